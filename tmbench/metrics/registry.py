"""What a metric declares about itself, and how it is found.

A metric is a pure function of a sample below the decorator :func:`metric`. The declaration is what a plan checks
before anything runs; the function is what runs. Shipped metrics are the modules of this package that hold a metric
of the module's own name; a user's metric is any decorated function, in a package or in a single file.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tmbench.errors import ConfigError, unknown
from tmbench.functions import find_function
from tmbench.metrics import parameters as schema

if TYPE_CHECKING:
    from tmbench.metrics.sample import Sample

TASKS = ("classification", "segmentation", "detection", "regression")
NEEDS = ("features", "labels", "posteriors", "source")

Function = TypeVar("Function", bound=Callable[..., Any])
Range = Callable[..., tuple[float, float]]


@dataclass(frozen=True)
class Metric:
    """The declaration of one metric.

    Attributes:
        function: ``function(sample, **parameters)`` → a float, or a :class:`~tmbench.metrics.scores.Score`.
        name: the function's name.
        tasks: the tasks it is defined for, of :data:`TASKS`.
        needs: what the sample must hold, of :data:`NEEDS`.
        version: raised whenever the same input would give another score.
        kind: 'metric', or 'baseline': shown beside the metrics, takes no vote in a win rate.
        randomised: whether the score depends on ``sample.seeds``.
        facts: the facts of the source it reads ('parameters', 'accuracy', ...).
        range: ``range(n, d, classes, **parameters)`` → (lowest, highest) value; checked on every score.
        infinite: whether ±inf is a value of it.
        min_classes: the fewest classes for which its value means something.
        parameters: name → :class:`~tmbench.metrics.parameters.Parameter`.
    """

    function: Callable[..., Any]
    name: str
    tasks: tuple[str, ...]
    needs: tuple[str, ...]
    version: int = 1
    kind: Literal["metric", "baseline"] = "metric"
    randomised: bool = False
    facts: tuple[str, ...] = ()
    range: Range | None = None
    infinite: bool = False
    min_classes: int = 2
    parameters: Mapping[str, schema.Parameter] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def reference(self) -> str:
        """``package.module:function``, or ``file.py:function`` without its folder, which changes no score."""
        module = self.function.__module__
        if module.startswith("tmbench_user_"):
            module = Path(self.function.__code__.co_filename).name
        return f"{module}:{self.function.__qualname__}"

    def bind(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All parameters, ``given`` in place of the defaults; ConfigError for an unknown name or a bad value."""
        return schema.bind(self.name, self.parameters, given or {})

    def key(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What changes the score besides the sample.

        Only parameters that differ from their default are in it, so that a default written out is the same
        score and a new parameter leaves the old ids alone.
        """
        bound = self.bind(given)
        differing = {n: v for n, v in bound.items() if v != self.parameters[n].default}
        return {"function": self.reference, "version": self.version, "parameters": differing}

    def missing(self, sample: "Sample") -> list[str]:
        """What this metric needs and ``sample`` lacks; empty when it applies."""
        lacks = [need for need in self.needs if need not in sample.provides]
        return lacks + [f"source.{fact}" for fact in self.facts if sample.source.get(fact) is None]


def metric(
    *,
    tasks: tuple[str, ...],
    needs: tuple[str, ...],
    version: int = 1,
    kind: Literal["metric", "baseline"] = "metric",
    randomised: bool = False,
    facts: tuple[str, ...] = (),
    range: Range | None = None,
    infinite: bool = False,
    min_classes: int = 2,
) -> Callable[[Function], Function]:
    """Declare the function below a metric; the fields are those of :class:`Metric`.

    The function itself is unchanged but for the attribute ``metric``, so it can be called and tested alone.

    Raises:
        ConfigError: for a task or a need that does not exist, or a signature that is not (sample, *, ...).
    """

    def declare(function: Function) -> Function:
        where = f"metric '{function.__name__}'"
        for kind_of_word, words, known in (("task", tasks, TASKS), ("need", needs, NEEDS)):
            if isinstance(words, str):
                raise ConfigError(f"{where}: write {kind_of_word}s as a tuple, ('{words}',).")
            for word in words:
                if word not in known:
                    raise unknown(kind_of_word, word, known, where=where)
        described = Metric(
            function=function,
            name=function.__name__,
            tasks=tuple(tasks),
            needs=tuple(needs),
            version=version,
            kind=kind,
            randomised=randomised,
            facts=tuple(facts),
            range=range,
            infinite=infinite,
            min_classes=min_classes,
            parameters=schema.read(function),
        )
        function.metric = described  # type: ignore[attr-defined]
        return function

    return declare


def metric_of(function: "Callable[..., Any] | Metric") -> Metric:
    """The declaration of a decorated function.

    Raises:
        ConfigError: when the function is not decorated.
    """
    if isinstance(function, Metric):
        return function
    described = getattr(function, "metric", None)
    if not isinstance(described, Metric):
        name = getattr(function, "__name__", repr(function))
        raise ConfigError(
            f"the function '{name}' declares no metric. Put @metric(tasks=..., needs=...) of "
            "tmbench.metrics.registry above it."
        )
    return described


@functools.cache
def shipped() -> dict[str, Metric]:
    """Every metric of this package by name; imports their modules, which stand on NumPy alone."""
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = importlib.import_module(f"tmbench.metrics.{module.name}")
        described = getattr(getattr(loaded, module.name, None), "metric", None)
        if isinstance(described, Metric):
            found[module.name] = described
    return found


def names(task: str | None = None) -> list[str]:
    """The names of the shipped metrics, sorted; with ``task``, of those that serve it.

    Raises:
        ConfigError: for a task that does not exist.
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    return sorted(name for name, described in shipped().items() if task is None or task in described.tasks)


def find_metric(name: "str | Callable[..., Any] | Metric") -> Metric:
    """A metric by shipped name, by 'module:function' or 'file.py:function', or from the function itself.

    Raises:
        ConfigError: when there is none, with the nearest names.
    """
    if not isinstance(name, str):
        return metric_of(name)
    if ":" in name:
        return metric_of(find_function(name))
    known = shipped()
    if name not in known:
        raise unknown("metric", name, known, hint=f"tmbench show metrics lists all {len(known)}")
    return known[name]

"""What a metric declares about itself.

A metric is a pure function of a sample below the decorator :func:`metric`. The declaration is what a plan checks
before anything runs; the function is what runs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tmbench.errors import ConfigError, unknown
from tmbench.metrics import parameters as schema

if TYPE_CHECKING:
    from tmbench.metrics.feature_set import FeatureSet

TASKS = ("classification", "segmentation", "detection", "regression")
LEVELS = ("global", "local", "pixel", "prediction")
"""Where a sample is read: one an image, one an object, one a pixel, or the output of the source's head."""
NEEDS = (
    "features",
    "labels",
    "targets",
    "posteriors",
    "predictions",
    "boxes",
    "image_sizes",
    "label_embeddings",
    "source",
)
FACTS = ("size", "accuracy", "layers", "features", "labels", "mean", "std", "targets")
"""What may be known of a source: its number of parameters, its accuracy on its own task, its depth; features and labels
of its own data, and the mean and the standard deviation of each feature there; and the numbers that it was pretrained
to predict, where they are known of the very samples."""
READS = ("moments", "class_moments", "rows")
"""What of the features suffices, from the least to the most: mean, scatter and the sums over classes or targets; the
scatter of each class too; the rows themselves."""
INVARIANCES = ("scale", "offset", "rotation", "affine")
"""What a change of the features may be without changing the score: all times a number, plus a vector, times an
orthogonal matrix, times any invertible matrix plus a vector, which implies the others."""
ONE_CLASS = ("degenerate", "refused", "scored")
"""What becomes of a sample with a single class: it gets a value that says nothing, and the flag 'degenerate'; it is
refused, where no value exists; it is scored as any other, where the value rests on more than the labels."""
SCALINGS = ("range", "deviation")

Function = TypeVar("Function", bound=Callable[..., Any])
Range = Callable[..., tuple[float, float]]
Words = tuple[str, ...]


@dataclass(frozen=True)
class Pooled:
    """How the parts of a pool-relative score become one number inside each pool.

    Attributes:
        parts: names of parts that every score has.
        weights: one a part: the score is the weighted sum of the scaled parts.
        scaling: 'range' puts each part on 0..1 between the least and the largest of the pool, 'deviation' on mean 0
            and standard deviation 1.
        unscaled: parts that enter the sum as they are.
    """

    parts: tuple[str, ...]
    weights: tuple[float, ...]
    scaling: Literal["range", "deviation"] = "range"
    unscaled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rule by which nothing can be combined.

        Raises:
            ConfigError: for parts without weights, and a scaling that does not exist.
        """
        if len(self.parts) != len(self.weights):
            raise ConfigError(
                f"a pool combines {len(self.parts)} parts with {len(self.weights)} weights. Give each part one weight."
            )
        if self.scaling not in SCALINGS:
            raise unknown("scaling", self.scaling, SCALINGS)

    @property
    def names(self) -> tuple[str, ...]:
        """All parts that enter, each once."""
        return tuple(dict.fromkeys((*self.parts, *self.unscaled)))


@dataclass(frozen=True)
class Metric:
    """The declaration of one metric.

    Attributes:
        function: ``function(sample, **parameters)`` → a float, or a :class:`~tmbench.metrics.scores.Score`.
        name: the function's name.
        tasks: the tasks it is defined for, of :data:`TASKS`.
        levels: the readings that it serves, of :data:`LEVELS`; without a word of its own all that its needs allow:
            the first three for features, 'prediction' for what the source's head gives, none for facts of the source.
        needs: what the sample must hold, of :data:`NEEDS`; 'labels|targets' is one of the two.
        facts: what it reads of the source, of :data:`FACTS`; 'std|features' is one of the two.
        version: raised whenever the same input would give another score.
        kind: 'metric', or 'baseline': shown beside the metrics, takes no vote in a win rate.
        randomised: whether the score depends on ``sample.seeds``.
        range: ``range(n, d, classes, **parameters)`` → (lowest, highest) value; checked on every score.
        infinite: whether ±inf is a value of it.
        one_class: what becomes of a sample with a single class, of :data:`ONE_CLASS`.
        reads: what of the features suffices, of :data:`READS`.
        pooled: ``pooled(**parameters)``: how the score follows from its parts inside a pool; None for a score that
            is a function of its sample alone.
        invariances: what changes no score, of :data:`INVARIANCES`, with the default parameters.
        check: ``check(**parameters)`` → a sentence that says why these do not go together, or None.
        parameters: name → :class:`~tmbench.metrics.parameters.Parameter`.
        varying: name of a field → ``function(**parameters)``, where that field depends on the parameters; the field
            itself is then that of the defaults.
    """

    function: Callable[..., Any]
    name: str
    tasks: tuple[str, ...]
    levels: tuple[str, ...]
    needs: tuple[str, ...]
    version: int = 1
    kind: Literal["metric", "baseline"] = "metric"
    randomised: bool = False
    facts: tuple[str, ...] = ()
    range: Range | None = None
    infinite: bool = False
    one_class: str = "degenerate"
    reads: str = "rows"
    pooled: Callable[..., Pooled | None] | None = None
    invariances: tuple[str, ...] = ()
    check: Callable[..., str | None] | None = None
    parameters: Mapping[str, schema.Parameter] = field(default_factory=dict)
    varying: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

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
        """All parameters, ``given`` in place of the defaults.

        Raises:
            ConfigError: for an unknown name, a bad value, and values that do not go together.
        """
        bound = schema.bind(self.name, self.parameters, given or {})
        if self.check is not None and (reason := _called(self.name, "check", self.check, bound)):
            raise ConfigError(f"metric '{self.name}': {reason}")
        return bound

    def key(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What changes the score besides the sample.

        Only parameters that differ from their default are in it, so that a default written out is the same
        score and a new parameter leaves the old ids alone.
        """
        bound = self.bind(given)
        differing = {n: v for n, v in bound.items() if v != self.parameters[n].default}
        return {"function": self.reference, "version": self.version, "parameters": differing}

    def missing(self, sample: "FeatureSet", given: Mapping[str, Any] | None = None) -> list[str]:
        """What this metric needs and ``sample`` lacks; empty when it applies."""
        known = frozenset(fact for fact, value in sample.source.items() if value is not None)
        lacks = [need for need in self.needs_of(given) if not offered(need, sample.provides)]
        return lacks + [f"source.{fact}" for fact in self.facts_of(given) if not offered(fact, known)]

    def needs_of(self, given: Mapping[str, Any] | None = None) -> Words:
        """What the sample must hold with the parameters ``given``."""
        return _known(self.name, "need", self._declared("needs", given), NEEDS)

    def facts_of(self, given: Mapping[str, Any] | None = None) -> Words:
        """What is read of the source with the parameters ``given``."""
        return _known(self.name, "fact", self._declared("facts", given), FACTS)

    def reads_of(self, given: Mapping[str, Any] | None = None) -> str:
        """What of the features suffices with the parameters ``given``; '' for a metric that reads none."""
        if "features" not in self.needs_of(given):
            return ""
        return _known(self.name, "reading", (self._declared("reads", given),), READS)[0]

    def is_randomised(self, given: Mapping[str, Any] | None = None) -> bool:
        """Whether the score depends on ``sample.seeds`` with the parameters ``given``."""
        return bool(self._declared("randomised", given))

    def with_one_class(self, given: Mapping[str, Any] | None = None) -> str:
        """What becomes of a sample with a single class, of :data:`ONE_CLASS`; '' for a metric that reads no labels."""
        if not any("labels" in need.split("|") for need in self.needs_of(given)):
            return ""
        return _known(self.name, "answer to one class", (self._declared("one_class", given),), ONE_CLASS)[0]

    def pool_rule(self, given: Mapping[str, Any] | None = None) -> Pooled | None:
        """How the score follows from its parts inside a pool, with the parameters ``given``."""
        return None if self.pooled is None else _called(self.name, "pooled", self.pooled, self.bind(given))

    def _declared(self, name: str, given: Mapping[str, Any] | None) -> Any:
        if name not in self.varying:
            return getattr(self, name)
        return _called(self.name, name, self.varying[name], self.bind(given))


def offered(word: str, known: Collection[str]) -> bool:
    """Whether ``known`` holds a need or a fact, of 'a|b' one of the two."""
    return any(alternative in known for alternative in word.split("|"))


def metric(
    *,
    tasks: Words,
    levels: Words | None = None,
    needs: Words | Callable[..., Words],
    version: int = 1,
    kind: Literal["metric", "baseline"] = "metric",
    randomised: bool | Callable[..., bool] = False,
    facts: Words | Callable[..., Words] = (),
    range: Range | None = None,
    infinite: bool = False,
    one_class: str | Callable[..., str] = "degenerate",
    reads: str | Callable[..., str] = "rows",
    pooled: Callable[..., Pooled | None] | None = None,
    invariances: Words = (),
    check: Callable[..., str | None] | None = None,
) -> Callable[[Function], Function]:
    """Declare the function below a metric; the fields are those of :class:`Metric`.

    ``needs``, ``facts``, ``randomised``, ``one_class`` and ``reads`` may be functions of the parameters, given by name.
    The function itself is unchanged but for the attribute ``metric``, so it can be called and tested alone.

    Raises:
        ConfigError: for a word that no declaration knows, or a signature that is not (sample, *, ...).
    """

    def declare(function: Function) -> Function:
        parameters = schema.read(function)
        defaults = {name: parameter.default for name, parameter in parameters.items()}
        stated = {"needs": needs, "facts": facts, "randomised": randomised, "one_class": one_class, "reads": reads}
        varying = {name: value for name, value in stated.items() if callable(value)}
        described = Metric(
            function=function,
            name=function.__name__,
            tasks=_known(function.__name__, "task", tasks, TASKS),
            levels=_known(function.__name__, "level", _levels(needs) if levels is None else levels, LEVELS),
            version=version,
            kind=kind,
            range=range,
            infinite=infinite,
            pooled=pooled,
            invariances=_known(function.__name__, "invariance", invariances, INVARIANCES),
            check=check,
            parameters=parameters,
            varying=varying,
            **(stated | {name: _called(function.__name__, name, value, defaults) for name, value in varying.items()}),
        )
        for says in (described.needs_of, described.facts_of, described.reads_of, described.with_one_class):
            says()
        function.metric = described  # type: ignore[attr-defined]
        return function

    return declare


def _levels(needs: Words | Callable[..., Words]) -> Words:
    """The readings that offer what a metric needs."""
    if callable(needs) or "features" in needs:
        return LEVELS[:3]
    return LEVELS[3:] if {"posteriors", "predictions"}.intersection(needs) else ()


def _known(metric: str, kind: str, words: Words, known: Words) -> Words:
    """The words of a declaration, of which each must be known; 'a|b' is two."""
    if isinstance(words, str):
        raise ConfigError(f"metric '{metric}': write {kind}s as a tuple, ('{words}',).")
    for word in (alternative for each in words for alternative in each.split("|")):
        if word not in known:
            raise unknown(kind, word, known, where=f"metric '{metric}'")
    return tuple(words)


def _called(metric: str, name: str, function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """What a declaration that is a function says of these parameters; whatever it raises is a ConfigError."""
    try:
        return function(**parameters)
    except ConfigError as error:
        raise ConfigError(f"metric '{metric}': {error}") from error
    except Exception as error:
        raise ConfigError(f"'{name}' of metric '{metric}' failed: {type(error).__name__}: {error}") from error


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

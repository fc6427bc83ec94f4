"""A score: what a metric's function returns, and the one place where such a function is called."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tmbench.errors import TmbenchError
from tmbench.metrics.registry import Metric, metric_of
from tmbench.metrics.sample import BadSample, Sample

FLAGS = ("degenerate", "saturated", "not_converged")
"""degenerate: the value follows from the input's shape, not from its content (constant features, a class of one
sample); saturated: at the end of the range, so ties are likely and ranks mean little; not_converged: an iteration
stopped early."""

ROUNDING = 1e-9
"""How far, relative to 1 + |bound|, rounding may carry a float64 score over the end of its range."""


class NotFinite(TmbenchError):
    """A metric gave NaN, or an infinity that it does not declare."""

    failure = "nan"


class OutOfRange(TmbenchError):
    """A metric gave a value that its own declaration rules out."""

    failure = "bug"


@dataclass(frozen=True)
class Score:
    """The value of a metric on a sample, higher is better.

    Attributes:
        value: the score.
        flags: what a reader must know about it, of :data:`FLAGS`.
        parts: named numbers beside the value (the logarithm of a value that underflows, a count used).
        seconds: how long the function took; the decompositions of the sample count for the first that asks.
    """

    value: float
    flags: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a flag that no reader of the records knows."""
        for flag in self.flags:
            if flag not in FLAGS:
                raise ValueError(f"'{flag}' is no flag of a score; there are {', '.join(FLAGS)}")

    def __float__(self) -> float:
        return self.value


def evaluate(metric: Metric | Callable[..., Any], sample: Sample, parameters: Mapping[str, Any] | None = None) -> Score:
    """Run ``metric`` on ``sample`` and check what comes out.

    Args:
        metric: a declared metric, or its function.
        sample: what it scores; its arrays are read-only and stay as they are.
        parameters: those that differ from the defaults.

    Raises:
        ConfigError: an unknown parameter, or a value that it does not admit.
        BadSample: the sample lacks what the metric needs, or has too few classes for it.
        NotFinite: the value is NaN, or infinite where the metric does not declare that.
        OutOfRange: the value is outside the range that the metric declares.
    """
    described = metric_of(metric)
    bound = described.bind(parameters)
    _check_fits(described, sample)
    started = time.perf_counter()
    result = described.function(sample, **bound)
    seconds = time.perf_counter() - started
    score = _as_score(described, result, seconds)
    _check_value(described, sample, bound, score.value)
    return score


def _check_fits(metric: Metric, sample: Sample) -> None:
    missing = metric.missing(sample)
    if missing:
        raise BadSample(
            f"metric '{metric.name}' needs {', '.join(metric.needs)}; this sample has no {', '.join(missing)}. "
            f"It has: {', '.join(sorted(sample.provides)) or 'nothing'}."
        )
    if "labels" in metric.needs and sample.class_count < metric.min_classes:
        raise BadSample(
            f"metric '{metric.name}' compares classes and needs {metric.min_classes}; all {sample.n} labels are "
            f"{sample.class_ids[0]}. Take more samples, or leave this target out."
        )


def _as_score(metric: Metric, result: Any, seconds: float) -> Score:
    """The function's result, a number or a Score, as a Score of Python floats."""
    if isinstance(result, Score):
        parts = {name: float(part) for name, part in result.parts.items()}
        return dataclasses.replace(result, value=float(result.value), parts=parts, seconds=seconds)
    try:
        return Score(float(result), seconds=seconds)
    except (TypeError, ValueError) as error:
        raise TmbenchError(
            f"metric '{metric.name}' returned {type(result).__name__}; return a number or a Score."
        ) from error


def _check_value(metric: Metric, sample: Sample, parameters: Mapping[str, Any], value: float) -> None:
    if math.isnan(value) or (math.isinf(value) and not metric.infinite):
        raise NotFinite(
            f"metric '{metric.name}' gave {value} on {sample}. Return a finite number, with a flag where it means "
            "little, or raise an error that says why there is none."
        )
    if metric.range is None:
        return
    low, high = metric.range(sample.n, sample.d, sample.class_count, **parameters)
    if not low - ROUNDING * (1 + abs(low)) <= value <= high + ROUNDING * (1 + abs(high)):
        raise OutOfRange(
            f"metric '{metric.name}' gave {value!r} on {sample}, outside its range [{low:g}, {high:g}]: "
            "a defect of the metric or of the range it declares."
        )

"""Transferability metrics: one pure function a file, arrays in, a score out; higher is better.

>>> import numpy as np
>>> from tmbench.metrics import score
>>> features = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.2], [0.9, 0.0], [0.2, 1.0], [1.0, 0.1]])
>>> round(float(score("hscore", features, labels=[0, 0, 1, 1, 0, 1])), 3)
0.993
"""

from collections.abc import Callable, Mapping
from typing import Any

from tmbench.identity import Seeds
from tmbench.metrics.registry import Metric, find_metric, metric, metric_of, names
from tmbench.metrics.sample import BadSample, Sample
from tmbench.metrics.scores import FLAGS, NotFinite, OutOfRange, Score, evaluate

__all__ = [
    "FLAGS",
    "BadSample",
    "Metric",
    "NotFinite",
    "OutOfRange",
    "Sample",
    "Score",
    "evaluate",
    "find_metric",
    "metric",
    "metric_of",
    "names",
    "score",
]


def score(
    name: str | Callable[..., Any],
    features: Any = None,
    labels: Any = None,
    *,
    posteriors: Any = None,
    logits: Any = None,
    source: Mapping[str, Any] | None = None,
    seed: int = 0,
    **parameters: Any,
) -> Score:
    """Score one source on one target with one metric.

    For several metrics on the same arrays build one :class:`Sample` and call :func:`evaluate` for each: they share
    its decompositions.

    Args:
        name: a shipped metric (:func:`names`), 'module:function', 'file.py:function', or a decorated function.
        features: (n, d), a row a sample.
        labels: (n,) class ids; gaps are allowed.
        posteriors: (n, C_s) probabilities of the source's own head.
        logits: (n, C_s) its raw outputs, in place of ``posteriors``.
        source: facts of the source ('parameters', 'accuracy').
        seed: chooses the random streams of a randomised metric.
        **parameters: parameters of the metric.

    Returns:
        The score; ``float(score)`` is its value.

    Raises:
        ConfigError: an unknown metric or parameter, or a value that the parameter does not admit.
        BadSample: arrays that the metric cannot score; the text says why and what to do.
        NotFinite: the metric gave NaN or an infinity.
        OutOfRange: the metric gave a value outside the range that it declares.
    """
    described = find_metric(name)
    sample = Sample(features, labels, posteriors=posteriors, logits=logits, source=source, seeds=Seeds(f"seed {seed}"))
    return evaluate(described, sample, parameters)

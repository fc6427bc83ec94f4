"""LEEP: how well the source's own classes, read through the joint distribution, predict the target's."""

import math
from typing import Any

import numpy as np

from tmbench.metrics.registry import metric
from tmbench.metrics.sample import Sample
from tmbench.metrics.scores import Score


def leep_range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    """[-log C, 0]; the lower end by Jensen: LEEP ≥ -H(Y|Z) ≥ -H(Y) ≥ -log C."""
    return -math.log(classes), 0.0


@metric(
    tasks=("classification", "segmentation"),
    needs=("posteriors", "labels"),
    range=leep_range,
)
def leep(sample: Sample) -> Score:
    """The mean log-likelihood of the labels under p(y|x) = Σ_z p(y|z) p(z|x), z the source's classes.

    sample.posteriors: (n, C_s), rows summing to 1; sample.labels: (n,) in 0..C-1. p(y|z) comes from the empirical
    joint distribution; a source class without mass predicts nothing (0/0 is 0). Range [-H(y), 0]. O(n C_s).

    Flags: degenerate when all posteriors are one row, so that nothing but the class shares is predicted;
    saturated at 0.

    Nguyen et al., LEEP: a new measure to evaluate transferability of learned representations, ICML 2020, Section 3.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> round(float(score("leep", labels=[0, 0, 1, 1], posteriors=np.full((4, 3), 1 / 3))), 6)
    -0.693147
    """
    assert sample.posteriors is not None
    value = mean_log_likelihood(sample, sample.posteriors)
    degenerate = bool(np.all(sample.posteriors == sample.posteriors[0]))
    return Score(value, flags=leep_flags(value, degenerate))


def mean_log_likelihood(sample: Sample, posteriors: np.ndarray) -> float:
    """LEEP of any soft assignment ``posteriors`` (n, k) of the samples, rows summing to 1.

    No logarithm of 0 can arise: p(y_i|z) ≥ p(z|x_i) / Σ_j p(z|x_j), so at sample i's most likely z the sum is at
    least 1 / (k² n).
    """
    joint = sample.class_sums(posteriors)  # (C, k), n times p(y, z)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)  # p(y|z)
    likelihoods = np.empty(sample.n)
    for rows, given_class in zip(sample.class_rows, conditional, strict=True):
        likelihoods[rows] = posteriors[rows] @ given_class
    return float(np.mean(np.log(likelihoods)))


def leep_flags(value: float, degenerate: bool) -> tuple[str, ...]:
    """The flags of a LEEP value."""
    if degenerate:
        return ("degenerate",)
    return ("saturated",) if value >= -1e-9 else ()

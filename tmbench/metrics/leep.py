"""LEEP: how well the source's own classes, read through the joint distribution, predict the target's."""

import math
from typing import Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.likelihood import likelihoods, one_row
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score

SMOOTHING = 1e-10
"""What PACTran's code adds to p(z) and to the likelihoods."""


def leep_range(n: int, d: int, classes: int, *, variant: str = "exact", **_: Any) -> tuple[float, float]:
    """[-log C, 0]; the lower end by Jensen: LEEP ≥ -H(Y|Z) ≥ -H(Y) ≥ -log C."""
    if variant in ("no_log", "comparable"):
        return 0.0, 1.0
    return (math.log(SMOOTHING) if variant == "smoothed" else -math.log(classes)), 0.0


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("posteriors", "labels"),
    range=leep_range,
)
def leep(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "no_log", "smoothed", "softmax_twice", "comparable"] = "exact",
) -> Score:
    """The mean log-likelihood of the labels under p(y|x) = Σ_z p(y|z) p(z|x), z the source's classes.

    sample.posteriors: (n, C_s), rows summing to 1; sample.labels: (n,) in 0..C-1. p(y|z) comes from the empirical
    joint distribution; a source class without mass predicts nothing (0/0 is 0). Range [-H(y), 0], and 0 for one
    class. O(n C_s): no (n, C) predictions are formed.

    LEEP ≥ -H(Y|Z) of the joint distribution of label and soft source class: ``nce`` with variant 'soft'. ``nce``
    itself counts hard source classes and bounds LEEP from neither side.

    Variants: 'exact'. 'no_log' is the mean of p(y|x) itself, in [0, 1], which the codes of SFDA, ETran, NCTI and EMMS
    call LEEP; it ranks sources otherwise. 'smoothed' is PACTran's code and Model Spider's: 1e-10 on p(z) and on
    p(y|x). 'softmax_twice' is a fork in TransferGraph: the posteriors go through another softmax first, which leaves
    nearly uniform rows. 'comparable' is 1 + LEEP / H(y), in [0, 1]: 0 knows nothing of the labels, 1 knows all.

    Flags: degenerate when all posteriors are one row, so that nothing but the class shares is predicted;
    saturated at the upper end of the range.

    Nguyen et al., LEEP: a new measure to evaluate transferability of learned representations, ICML 2020, Section 3.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> round(float(score("leep", labels=[0, 0, 1, 1], posteriors=np.full((4, 3), 1 / 3))), 6)
    -0.693147
    """
    assert sample.posteriors is not None
    posteriors = sample.posteriors
    if variant == "softmax_twice":
        posteriors = np.exp(posteriors)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
    chances = likelihoods(sample, posteriors, smoothing=SMOOTHING if variant == "smoothed" else 0.0)
    value = leep_value(sample, chances, variant)
    return Score(value, flags=("degenerate",) if one_row(sample.posteriors) else ())


def leep_value(sample: FeatureSet, chances: np.ndarray, variant: str) -> float:
    """The score from the likelihoods (n,) of the labels: their mean logarithm, or what ``variant`` makes of them."""
    if variant == "no_log":
        return float(np.mean(chances))
    value = min(float(np.mean(np.log(chances))), 0.0)
    if variant == "comparable":
        return max(1 + value / sample.label_entropy, 0.0) if sample.class_count > 1 else 0.0
    return value

"""NCE: how much the source's predicted class leaves unsaid about the label."""

import math
from typing import Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.likelihood import one_row
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score

BLOCK_ROWS = 1024
SMOOTHING = 1e-5
"""What PARC's code adds to every joint and marginal probability."""


def _range(n: int, d: int, classes: int, *, variant: str = "exact", **_: Any) -> tuple[float, float]:
    if variant == "comparable":
        return 0.0, 1.0
    return (-math.inf if variant == "smoothed" else -math.log(classes)), 0.0


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("posteriors", "labels"),
    range=_range,
)
def nce(sample: FeatureSet, *, variant: Literal["exact", "smoothed", "soft", "comparable"] = "exact") -> Score:
    """-H(Y|Z) = Σ p(y, z) log p(y, z)/p(z), z the source class with the largest posterior.

    sample.posteriors: (n, C_s); sample.labels: (n,) in 0..C-1. Of equal posteriors the first column is taken;
    0 log 0 is 0. Range [-H(y), 0], and 0 for one class. O(n C_s).

    With few samples and many source classes it is optimistic: where every source class is predicted once, it is 0.

    Variants: 'exact', which the codes of LogME, TLlib and Model Spider agree with to 1e-15. 'smoothed' is PARC's code:
    1e-5 on every joint and every marginal probability, so that with C · C_s near 1e5 most of it is the smoothing.
    'soft' is what PACTran's code calls NCE: z is distributed as the posteriors, not their argmax; LEEP is at least
    this. 'comparable' is 1 + NCE / H(y), in [0, 1]: 0 knows nothing of the labels, 1 knows all.

    Flags: degenerate when one source class is predicted throughout (the score is -H(y)); saturated at the upper end.

    Tran, Nguyen and Hassner, Transferability and hardness of supervised classification tasks, ICCV 2019, Section 3.

    >>> from tmbench.metrics import score
    >>> round(float(score("nce", labels=[0, 0, 1, 1], posteriors=[[1, 0], [0, 1], [0, 1], [0, 1]])), 6)
    -0.477386
    """
    assert sample.posteriors is not None
    joint, degenerate = _joint(sample, sample.posteriors, soft=variant == "soft")
    smoothing = SMOOTHING if variant == "smoothed" else 0.0
    marginal = joint.sum(axis=0) + smoothing
    joint = joint + smoothing
    present = joint > 0
    ratio = np.divide(joint, marginal, out=np.ones_like(joint), where=present)
    value = min(float(np.sum(joint * np.log(ratio))), 0.0)
    if variant == "comparable":
        value = max(1 + value / sample.label_entropy, 0.0) if sample.class_count > 1 else 0.0
    return Score(value, flags=("degenerate",) if degenerate else ())


def _joint(sample: FeatureSet, posteriors: np.ndarray, soft: bool) -> tuple[np.ndarray, bool]:
    """(C, C_s) p(y, z), and whether z says nothing of the sample."""
    if soft:
        return sample.class_sums(posteriors) / sample.n, one_row(posteriors)
    assert sample.labels is not None
    # By blocks: NumPy's argmax copies an array that is read-only.
    blocks = range(0, sample.n, BLOCK_ROWS)
    guesses = np.concatenate([posteriors[start : start + BLOCK_ROWS].argmax(axis=1) for start in blocks])
    shape = (sample.class_count, posteriors.shape[1])
    joint = np.bincount(sample.labels * shape[1] + guesses, minlength=shape[0] * shape[1]).reshape(shape)
    return joint / sample.n, bool(np.all(guesses == guesses[0]))

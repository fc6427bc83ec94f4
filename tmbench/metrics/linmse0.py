"""LinMSE0: how well one linear map of the features predicts the targets."""

from typing import Literal

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.least_squares import error_range, least_squares_score
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


@metric(
    tasks=("detection", "regression"),
    needs=("features", "targets"),
    reads="moments",
    range=error_range,
    invariances=("affine",),
)
def linmse0(sample: FeatureSet, *, variant: Literal["exact", "code", "scale_free"] = "exact") -> Score:
    """-min over A, b of (1/n) Σ |y - A f - b|²: minus the error of least squares, summed over targets.

    sample.features: (n, d), rows f; sample.targets: (n, k), rows y. Range (-inf, 0]; [-1, 0] for scale_free. Invariant
    to every invertible affine map of the features; multiplied by the square of a scale of the targets.
    O(n d min(n, d) + k r), the first term shared with other metrics. Where n ≤ rank + 1 every target is fitted
    exactly: the score is 0 and ranks no source.

    Variants:
        code: what `transferability_score` of the authors' reg_score.py returns: the mean over targets, not the sum.
        scale_free: the error of each target divided by its variance, averaged: R² - 1. -1 knows nothing.

    Flags: saturated at 0; degenerate when all features, or all targets, are constant.

    Nguyen et al., Simple transferability estimation for regression tasks, UAI 2023, Definition 4.1 with λ = 0.

    >>> from tmbench.metrics import score
    >>> float(score("linmse0", [[1.0], [1.0], [3.0], [3.0]], targets=[0.0, 2.0, 3.0, 5.0]))
    -1.0
    """
    return least_squares_score(sample, 0.0, variant)

"""LabMSE0: how well one linear map of the source's predictions predicts the targets."""

from typing import Literal

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.least_squares import (
    error_range,
    labels_known,
    labels_needed,
    least_squares_score,
    of_source,
)
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


@metric(
    tasks=("regression",),
    needs=labels_needed,
    facts=labels_known,
    levels=("prediction",),
    range=error_range,
)
def labmse0(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "code", "scale_free"] = "exact",
    source_labels: Literal["predicted", "given"] = "predicted",
) -> Score:
    """-min over A, b of (1/n) Σ |y - A z - b|²: minus the error of least squares, summed over targets.

    sample.predictions: (n, k_s), rows z: what the source predicts for the target's inputs (its "dummy labels");
    sample.targets: (n, k), rows y. Range (-inf, 0]; [-1, 0] for scale_free. Invariant to every invertible affine map of
    the predictions. O(n k_s min(n, k_s) + n k k_s).

    ``source_labels``: 'given' puts sample.source["targets"] (n, k_s) in the place of the predictions: what the source
    was trained to predict, where its images are the target's own ("shared inputs"). Samples for which it is not known
    are left out.

    Variants:
        code: what `transferability_score` of the authors' reg_score.py returns: the mean over targets, not the sum.
        scale_free: the error of each target divided by its variance, averaged: R² - 1. -1 knows nothing.

    Flags: saturated at 0, where the predictions fit every target exactly; degenerate when all predictions, or all
    targets, are constant.

    Nguyen et al., Simple transferability estimation for regression tasks, UAI 2023, Definition 4.2 with λ = 0.

    >>> from tmbench.metrics import score
    >>> float(score("labmse0", None, predictions=[1.0, 1.0, 3.0, 3.0], targets=[0.0, 2.0, 3.0, 5.0]))
    -1.0
    """
    return least_squares_score(of_source(sample, source_labels), 0.0, variant)

"""LabMSE1: how well one short linear map of the source's predictions predicts the targets."""

from typing import Literal

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.least_squares import (
    Penalty,
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
def labmse1(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "code", "demo", "scale_free"] = "exact",
    source_labels: Literal["predicted", "given"] = "predicted",
    penalty: Penalty = 1.0,
) -> Score:
    """-min over A, b of (1/n) Σ |y - A z - b|² + λ |A|²: minus the error of ridge regression and its penalty.

    sample.predictions: (n, k_s), rows z: what the source predicts for the target's inputs (its "dummy labels");
    sample.targets: (n, k), rows y; |A|² is the sum of the squared entries, b is free; λ is ``penalty``, 1 unless it is
    set. Range (-inf, 0]; [-1, 0] for scale_free. Invariant to rotating and shifting the predictions, not to scaling
    them. O(n k_s min(n, k_s) + n k k_s).

    ``source_labels``: 'given' puts sample.source["targets"] (n, k_s) in the place of the predictions: what the source
    was trained to predict, where its images are the target's own ("shared inputs"). Samples for which it is not known
    are left out.

    Variants:
        code: what `transferability_score_ridge` of the authors' reg_score.py returns with alpha=λ: the same map, but
            its error without the penalty, and the mean over targets in place of the sum.
        demo: the same with n λ |A|² for the penalty, as their demo.ipynb has it for features.
        scale_free: the penalised error of each target divided by its variance, averaged. -1 knows nothing.

    Flags: degenerate when all predictions, or all targets, are constant.

    Nguyen et al., Simple transferability estimation for regression tasks, UAI 2023, Definition 4.2 with λ = 1.

    >>> from tmbench.metrics import score
    >>> float(score("labmse1", None, predictions=[1.0, 1.0, 3.0, 3.0], targets=[0.0, 2.0, 3.0, 5.0]))
    -2.125
    """
    return least_squares_score(of_source(sample, source_labels), penalty, variant)

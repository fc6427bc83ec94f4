"""LinMSE1: how well one short linear map of the features predicts the targets."""

from typing import Literal

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.fits.least_squares import Penalty, error_range, least_squares_score
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


@metric(
    tasks=("detection", "regression"),
    needs=("features", "targets"),
    reads="moments",
    range=error_range,
    invariances=("offset", "rotation"),
)
def linmse1(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "code", "demo", "scale_free"] = "exact",
    penalty: Penalty = 1.0,
) -> Score:
    """-min over A, b of (1/n) Σ |y - A f - b|² + λ |A|²: minus the error of ridge regression and its penalty.

    sample.features: (n, d), rows f; sample.targets: (n, k), rows y; |A|² is the sum of the squared entries, b is free;
    λ is ``penalty``, 1 unless it is set. Range (-inf, 0]; [-1, 0] for scale_free. Invariant to rotating and shifting
    the features, not to scaling them: the penalty is relative to their scale, and small features look useless.
    O(n d min(n, d) + k r), the first term shared with other metrics and other penalties.

    Variants:
        code: what `transferability_score_ridge` of the authors' reg_score.py returns with alpha=λ: the same map, but
            its error without the penalty, and the mean over targets in place of the sum.
        demo: what their demo.ipynb computes: it multiplies by n before that function does so again, so the penalty
            is n λ |A|² and the score about -Var(y), whatever the source.
        scale_free: the penalised error of each target divided by its variance, averaged. -1 knows nothing.

    Flags: degenerate when all features, or all targets, are constant.

    Nguyen et al., Simple transferability estimation for regression tasks, UAI 2023, Definition 4.1 with λ = 1.

    >>> from tmbench.metrics import score
    >>> float(score("linmse1", [[1.0], [1.0], [3.0], [3.0]], targets=[0.0, 2.0, 3.0, 5.0]))  # slope ¾, not 1½
    -2.125
    """
    return least_squares_score(sample, penalty, variant)

"""Target variance: the trivial baseline that targets which vary less are predicted with less error."""

import math
from typing import Any

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.registry import metric


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return -math.inf, 0.0


@metric(tasks=("detection", "regression"), needs=("targets",), range=_range, kind="baseline")
def negative_target_variance(sample: FeatureSet) -> float:
    """-Var(y), averaged over targets: minus the mean squared error of always predicting the mean.

    sample.targets: (n, k). It knows nothing of the source, and yet says most of an error that is pooled over targets.
    Range (-inf, 0].

    >>> from tmbench.metrics import score
    >>> float(score("negative_target_variance", targets=[1.0, 3.0]))
    -1.0
    """
    return 0.0 - float(sample.targets_norms.mean()) / sample.n

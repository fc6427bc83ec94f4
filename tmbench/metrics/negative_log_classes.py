"""Number of classes: the trivial baseline that fewer classes are told apart better."""

import math
from typing import Any

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.registry import metric


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return -math.inf, 0.0


@metric(tasks=("classification", "segmentation", "detection"), needs=("labels",), range=_range, kind="baseline")
def negative_log_classes(sample: FeatureSet) -> float:
    """-log C, C being the number of classes that occur: minus the loss of a guess.

    sample.labels: (n,). It knows nothing of the source: what a metric must beat where the targets are class subsets of
    random size. Range (-inf, 0].

    Flags: degenerate for one class.

    >>> from tmbench.metrics import score
    >>> round(float(score("negative_log_classes", labels=[0, 0, 1, 2])), 4)
    -1.0986
    """
    return 0.0 - math.log(sample.class_count)

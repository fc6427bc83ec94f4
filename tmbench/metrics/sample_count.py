"""Sample count: the trivial baseline that more training samples make a better transfer."""

import math
from typing import Any

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.registry import TASKS, metric


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return 1.0, math.inf


@metric(tasks=TASKS, needs=("labels|targets",), range=_range, kind="baseline")
def sample_count(sample: FeatureSet) -> float:
    """n, the number of samples.

    sample.labels: (n,), or sample.targets: (n, k). It knows nothing of the source. Range [1, inf).

    >>> from tmbench.metrics import score
    >>> float(score("sample_count", labels=[0, 0, 1, 2]))
    4.0
    """
    return float(sample.n)

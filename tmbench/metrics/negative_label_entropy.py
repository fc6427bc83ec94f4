"""Label entropy: the trivial baseline that labels which are guessed more easily are predicted better."""

import math
from typing import Any

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.registry import metric


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return (-math.log(classes) if classes else -math.inf), 0.0


@metric(tasks=("classification", "segmentation", "detection"), needs=("labels",), range=_range, kind="baseline")
def negative_label_entropy(sample: FeatureSet) -> float:
    """-H(y) in nats: the log-likelihood of labels that are predicted by their frequencies alone.

    sample.labels: (n,). It knows nothing of the source. Range [-log C, 0].

    Flags: degenerate for one class.

    >>> from tmbench.metrics import score
    >>> round(float(score("negative_label_entropy", labels=[0, 0, 1, 1])), 4)
    -0.6931
    """
    return 0.0 - sample.label_entropy

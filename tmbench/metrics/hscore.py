"""H-score: how well one linear map of the features tells the classes apart."""

from typing import Any

import numpy as np

from tmbench.metrics.registry import metric
from tmbench.metrics.sample import Sample
from tmbench.metrics.scores import Score


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return 0.0, float(min(n - 1, d, classes - 1))


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("features", "labels"),
    range=_range,
)
def hscore(sample: Sample) -> Score:
    """tr(cov(X)⁺ cov(E[X|y])), the sum of the squared canonical correlations of features and classes.

    sample.features: (n, d); sample.labels: (n,) in 0..C-1. Range [0, min(rank X, C-1)], X centred. Invariant to
    every invertible affine map of the features. O(n d min(n, d)), shared with the other metrics.

    Flags: degenerate when no feature varies (the score is 0); saturated at the end of the range, which n ≤ rank + 1
    forces whatever the features hold: there the score is C-1 for every source.

    Bao et al., An information-theoretic approach to transferability in task transfer learning, ICIP 2019,
    Definition 2.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> round(float(score("hscore", np.array([[0.0], [1.0], [1.0], [2.0]]), [0, 0, 1, 1])), 6)
    0.5
    """
    basis = sample.centred
    if basis.rank == 0:
        return Score(0.0, flags=("degenerate",))
    shares = sample.class_sums(basis.left) / np.sqrt(sample.class_counts)[:, None]  # (C, r)
    value = float(np.sum(shares**2))
    highest = min(basis.rank, sample.class_count - 1)
    return Score(value, flags=("saturated",) if value >= highest * (1 - 1e-9) else ())

"""H-score: how well one linear map of the features tells the classes apart."""

from typing import Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score


def _range(n: int, d: int, classes: int, *, variant: str = "exact", **_: Any) -> tuple[float, float]:
    if variant == "elementwise":
        return 0.0, float("inf")
    return 0.0, 1.0 if variant == "comparable" else float(min(n - 1, d, classes - 1))


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("features", "labels"),
    range=_range,
    reads="moments",
    invariances=("affine",),
    version=2,
)
def hscore(sample: FeatureSet, *, variant: Literal["exact", "elementwise", "comparable"] = "exact") -> Score:
    """tr(cov(X)⁺ cov(E[X|y])), the sum of the squared canonical correlations of features and classes.

    sample.features: (n, d); sample.labels: (n,) in 0..C-1. Range [0, min(rank X, C-1)], X centred. Invariant to
    every invertible affine map of the features. O(n d min(n, d)), shared with the other metrics.

    Variants: 'elementwise' is Σ_i (cov(X)⁺)_ii (cov(E[X|y]))_ii, what ``trace(pinv(cov) * cov_g)`` comes to where * is
    elementwise: the code behind "How stable are transferability metrics evaluations?" (with its cut at 1e-5 of the
    largest eigenvalue); it has no upper bound and no invariance. 'comparable' is H / (C-1), in [0, 1]; 0 for one class.

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
    if variant == "elementwise":
        return Score(_elementwise(sample))
    shares = sample.class_loadings / np.sqrt(sample.class_counts)[:, None]  # (C, r)
    highest = min(basis.rank, sample.class_count - 1)
    value = float(np.sum(shares**2))
    saturated = highest > 0 and value >= highest * (1 - 1e-9)
    if saturated:
        value = float(highest)  # what rounding leaves of it, or adds, must not rank sources
    if variant == "comparable":
        value /= max(sample.class_count - 1, 1)
    return Score(value, flags=("saturated",) if saturated else ())


def _elementwise(sample: FeatureSet) -> float:
    """The sum over features of the diagonals' products."""
    variances = sample.centred.values**2 / (sample.n - 1)
    kept = variances > 1e-5 * variances[0]
    inverse = (sample.centred.axes[:, kept] ** 2) @ (1 / variances[kept])  # (d,)
    means = sample.centred_class_sums / sample.class_counts[:, None]
    return float(inverse @ (sample.class_counts @ means**2)) / (sample.n - 1)

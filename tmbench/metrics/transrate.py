"""TransRate: how many bits the classes save in coding the features up to a distortion."""

import math
from typing import Annotated, Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score

ROUNDING = 1e-8
"""Rounding of a Gram matrix, relative to the identity that is added to it, above which its factor is not trusted."""
TINY = 1e-6
"""Eigenvalues, times the scale over n, that all lie below this are lost in a determinant of 1 plus them."""
NOISE = 1e-13
"""The same for what the precision of the stored features leaves in dimensions that they lack."""
Variant = Literal["exact", "comparable", "uniform", "frobenius", "official", "projected"]


def _range(
    n: int, d: int, classes: int, *, variant: str = "exact", epsilon: float = 1e-4, **_: Any
) -> tuple[float, float]:
    highest = {"comparable": 1.0, "official": math.log1p(1 / epsilon) / 2}
    return (-math.inf if variant in ("uniform", "projected") else 0.0), highest.get(variant, math.inf)


def _reads(*, variant: str, bins: int, **_: Any) -> str:
    return "rows" if bins or variant in ("official", "projected") else "class_moments"


def _needs(*, bins: int, **_: Any) -> tuple[str, ...]:
    return "features", ("targets" if bins else "labels")


def _check(*, bins: int, **_: Any) -> str | None:
    return (
        "bins=1 puts all samples in one class; give 2 or more, or 0 for a target with classes." if bins == 1 else None
    )


@metric(
    tasks=("classification", "segmentation", "detection", "regression"),
    needs=_needs,
    levels=("global", "local", "pixel"),
    check=_check,
    range=_range,
    reads=_reads,
    invariances=("offset", "rotation"),
)
def transrate(
    sample: FeatureSet,
    *,
    variant: Variant = "exact",
    epsilon: Annotated[float, Interval(1e-300)] = 1e-4,
    bins: Annotated[int, Interval(0)] = 0,
) -> Score:
    """R(Z) - Σ_c (n_c/n) R(Z_c), with the coding rate R(Z) = ½ log det(I + Zᵀ Z / (n ε)) of the centred features.

    sample.features: (n, d); sample.labels: (n,) in 0..C-1. Z_c are the rows of class c, less the mean of all. Range
    [0, ∞), since log det is concave. O(n d min(n, d) + Σ_c n_c² d), a class with more rows than d by its d × d side.
    Grows with the scale of the features, from 0 to a limit: set ``epsilon``, or take a variant without a scale.

    Variants:
        'exact': as above, no normalisation, ε = 1e-4.
        'comparable': divided by R(Z): the share of the rate that the classes save, in [0, 1]; 0 when no feature
            varies.
        'uniform': 1/C in place of n_c/n, as tllib, EMMS and the paper's listing have it; any real value, and far
            from 'exact' where classes are not balanced.
        'frobenius': Z divided by its Frobenius norm first, as the code of EMAB does; 'exact' ones apart from that.
        'official': the authors' code for selecting sources and layers. Rows of length 1, centred, made of length 1
            again, and the rates divided by the rank; in [0, ½ log(1 + 1/ε)]. Its option to divide eigenvalues by
            their sum changes nothing here: the sum is 1.
        'projected': their code for selecting models: the singular values of cov(Z) P and of cov(Z_c) P,
            P = cov(Z)⁺ cov(E[Z|y]), over the sum of the former, with the classes' own means; rates divided by the
            rank. Any real value. O(n r C + C³ r) beside the decomposition. A class of one sample has rate 0, where
            theirs is NaN. ``epsilon`` differs in nearly every case of their scripts, from 1e-5 to 1e-1.

    ``bins``: for regression. Each of the sample.targets (n, k) is cut into so many equal parts of its range, and the
    cells that are occupied are the classes: 5 for two targets and 2 for ten in Nguyen et al., UAI 2023.

    Flags: degenerate when no feature varies (the score is 0).

    Huang et al., Frustratingly easy transferability estimation, ICML 2022, Equations 2 to 5.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> features = np.array([[1.0, 0.0], [1.2, 0.0], [0.0, 1.0], [0.0, 1.1], [-1.0, -1.0]])
    >>> round(float(score("transrate", features, [0, 0, 1, 1, 2])), 3)
    3.471
    """
    if bins:
        assert sample.targets is not None
        sample = sample.with_labels(cells(sample.targets, bins))
    if sample.class_count == 1:
        return Score(0.0, flags=("degenerate",))
    scale = 1 / epsilon
    if variant == "frobenius":
        scale /= sample.statistics.centred_norm2 or 1.0
    # Before the decomposition: its scatter comes out of the same pass over the rows.
    determinants = None if variant in ("official", "projected") else sample.class_log_determinants(scale)
    if sample.centred.rank == 0:
        return Score(0.0, flags=("degenerate",))
    if variant == "official":
        return Score(_official(sample, epsilon))
    if variant == "projected":
        return Score(_projected(sample, epsilon))
    assert determinants is not None
    classes = _class_rates(sample, scale, determinants)
    rate = float(np.sum(np.log1p(sample.centred.values**2 * (scale / sample.n)))) / 2
    if variant == "uniform":
        return Score(rate - float(classes.mean()))
    value = max(rate - float(sample.class_shares @ classes), 0.0)
    return Score(value / rate if variant == "comparable" else value)


def cells(targets: np.ndarray, bins: int) -> np.ndarray:
    """(n,) int64: the cell that each row of ``targets`` (n, k) lies in, each column cut into ``bins`` equal parts."""
    low = targets.min(axis=0)
    spread = targets.max(axis=0) - low
    place = np.divide(targets - low, spread, out=np.zeros_like(targets), where=spread > 0)
    parts = np.minimum((place * bins).astype(np.int64), bins - 1)
    return np.unique(parts, axis=0, return_inverse=True)[1].reshape(-1)


def _class_rates(sample: FeatureSet, scale: float, determinants: np.ndarray) -> np.ndarray:
    """(C,) ½ log det(I + scale/n_c Z_cᵀ Z_c), in the dimensions that the features have: those of their principal axes.

    Determinants of Gram matrices serve unless what they hold beside these dimensions counts: the noise of float32
    features that lack some, or rounding, where the eigenvalues are so large that it is no longer small beside 1, or so
    small that 1 is all that is left of 1 plus them.
    """
    basis, epsilon = sample.centred, float(np.finfo(np.float64).eps)
    rounding = epsilon * basis.values[0] ** 2 * scale / sample.n > ROUNDING
    noise = sample.rank_tolerance**2 * scale / sample.n > NOISE and _lacks_dimensions(sample)
    tiny = basis.values[0] ** 2 * scale / sample.n < TINY
    if not (rounding or noise or tiny):
        return determinants / 2
    if sample.moments is not None:
        each = zip(sample.moments.class_values(basis.axes), sample.class_counts, strict=True)
        return np.array([float(np.sum(np.log1p(scale * values**2 / count))) / 2 for values, count in each])
    points = sample.project(basis.axes)
    if rounding or tiny:
        values = (np.linalg.svd(points[own], compute_uv=False) ** 2 / len(own) for own in sample.class_rows)
    else:
        values = (_eigenvalues(points[own]) for own in sample.class_rows)
    return np.array([float(np.sum(np.log1p(scale * each))) / 2 for each in values])


def _lacks_dimensions(sample: FeatureSet) -> bool:
    """Whether the rank is below what n and the number of features that vary at all allow."""
    rank = sample.centred.rank
    if rank == min(sample.n - 1, sample.d):
        return False
    return rank < min(sample.n - 1, int(np.any(sample.centred.axes != 0, axis=1).sum()))


def _official(sample: FeatureSet, epsilon: float) -> float:
    rows = _unit(sample.features64)
    rows = _unit(rows - rows.mean(axis=0))
    eigenvalues = _eigenvalues(rows)
    classes = [float(np.sum(np.log1p(_eigenvalues(rows[own]) / epsilon))) for own in sample.class_rows]
    saved = float(np.sum(np.log1p(eigenvalues / epsilon))) - float(sample.class_shares @ classes)
    return max(saved, 0.0) / (2 * _rank(eigenvalues, sample.d))


def _unit(rows: np.ndarray) -> np.ndarray:
    """``rows`` (n, d) of length 1 each; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _eigenvalues(rows: np.ndarray) -> np.ndarray:
    """The eigenvalues of rowsᵀ rows / n, without zeros that the smaller side does not have."""
    n, d = rows.shape
    return np.maximum(np.linalg.eigvalsh((rows @ rows.T if n < d else rows.T @ rows) / n), 0)


def _rank(eigenvalues: np.ndarray, d: int) -> int:
    """The rank that the authors' code counts, that of a d × d matrix by NumPy's own tolerance; at least 1."""
    return max(int(np.sum(eigenvalues > eigenvalues.max() * d * np.finfo(np.float64).eps)), 1)


def _projected(sample: FeatureSet, epsilon: float) -> float:
    """In the coordinates of the principal axes, where cov(Z) is diag(s²) / n and P = diag(1/s) T diag(s).

    T = Σ_c l_c l_cᵀ / n_c, l_c the class loadings, has rank C - 1: the last factor of each product is (C, r), and an
    orthogonal reduction of it leaves the singular values.
    """
    basis = sample.centred
    loadings = sample.class_loadings / np.sqrt(sample.class_counts)[:, None]  # (C, r)
    triangle = np.linalg.qr((loadings * basis.values).T).R  # (min(C, r), C)
    total = np.linalg.svd(triangle @ triangle.T / sample.n, compute_uv=False)
    if total[0] == 0:
        return 0.0
    saved = float(np.sum(np.log1p(total / (epsilon * total.sum()))))
    for share, own in zip(sample.class_shares, sample.class_rows, strict=True):
        rows = basis.left[own] - basis.left[own].mean(axis=0)
        product = (basis.values[:, None] * (rows.T @ (rows @ loadings.T))) @ triangle.T / len(own)
        singular = np.linalg.svd(product, compute_uv=False)
        saved -= float(share * np.sum(np.log1p(singular / (epsilon * total.sum()))))
    return saved / (2 * _rank(total, sample.d))

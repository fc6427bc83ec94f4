"""The thin singular value decomposition of the centred features, by the cheaper side, cut at the numerical rank.

An eigendecomposition of the scatter matrix (d, d), or of the Gram matrix of the samples (n, n) when n ≤ d, costs a
fraction of a singular value decomposition, but squares the condition number. So it is taken only where its
eigenvalues can be trusted: each is either far above its rounding error, or below a tolerance that itself is above it.
Else the matrix is reduced by QR and decomposed as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tmbench.metrics.feature_set.inputs import read_only

TRUSTED = 1e-7
"""An eigenvalue above this share of the largest has relative rounding error below about 1e-8 in a Gram matrix."""
NOISE = 64 * float(np.finfo(np.float64).eps)
"""Rounding error of an eigenvalue of a Gram matrix, relative to the largest, with a margin."""


@dataclass(frozen=True)
class Decomposition:
    """Centred features of rank r as ``left * values @ axes.T``.

    Attributes:
        values: (r,) float64, singular values, descending and above the tolerance.
        given_left: (n, r) float64, orthonormal columns, where the samples' side was decomposed.
        given_axes: (d, r) float64, orthonormal columns, where the features' side was decomposed.
        times: (d, k) → (n, k), the centred features times a matrix.
        transposed_times: (n, k) → (d, k), the transposed centred features times a matrix.
    """

    values: np.ndarray
    given_left: np.ndarray | None = None
    given_axes: np.ndarray | None = None
    times: Callable[[np.ndarray], np.ndarray] | None = field(default=None, repr=False)
    transposed_times: Callable[[np.ndarray], np.ndarray] | None = field(default=None, repr=False)

    @property
    def rank(self) -> int:
        """The number of singular values above the tolerance."""
        return len(self.values)

    @cached_property
    def left(self) -> np.ndarray:
        """(n, r) float64, orthonormal columns: a row a sample."""
        if self.given_left is not None:
            return self.given_left
        assert self.times is not None
        assert self.given_axes is not None
        return read_only(self.times(self.given_axes) / self.values)

    @cached_property
    def axes(self) -> np.ndarray:
        """(d, r) float64, orthonormal columns: the principal axes."""
        if self.given_axes is not None:
            return self.given_axes
        assert self.transposed_times is not None
        assert self.given_left is not None
        return read_only(self.transposed_times(self.given_left) / self.values)


def triangular(matrix: np.ndarray) -> np.ndarray:
    """R of ``matrix`` = QR, (min(m, k), k): RᵀR is the matrix's Gram, to the matrix's own precision."""
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def trusted_rank(eigenvalues: np.ndarray, tolerance: float) -> int | None:
    """How many of the eigenvalues of a Gram matrix are above ``tolerance``²; None where rounding hides the answer.

    Args:
        eigenvalues: (k,) float64, descending.
        tolerance: for singular values.
    """
    if len(eigenvalues) == 0 or eigenvalues[0] <= tolerance**2:
        return 0
    rank = int(np.sum(eigenvalues > tolerance**2))
    cut = rank < len(eigenvalues)
    if eigenvalues[rank - 1] < TRUSTED * eigenvalues[0] or (cut and tolerance**2 < NOISE * eigenvalues[0]):
        return None
    return rank


def by_scatter(scatter: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray] | None:
    """(r,) singular values above ``tolerance`` and (d, r) axes from centred XᵀX (d, d); None where rounding hides them.

    Only the diagonal and what lies below it is read.
    """
    # A dead unit is exactly 0 after centring; left in, its eigenvalue would be one that rounding hides.
    alive = np.flatnonzero(np.diagonal(scatter) > 0)
    eigenvalues, vectors = np.linalg.eigh(scatter if len(alive) == len(scatter) else scatter[np.ix_(alive, alive)])
    rank = trusted_rank(eigenvalues[::-1], tolerance)
    if rank is None:
        return None
    axes = np.zeros((len(scatter), rank))
    axes[alive] = vectors[:, len(alive) - rank :][:, ::-1]
    return np.sqrt(eigenvalues[::-1][:rank]), axes


def reflection(n: int) -> np.ndarray:
    """(n,) float64 v, |v|² = 2: the reflection x - v (vᵀ x) carries the constant unit vector to the first axis.

    Centred columns lie across that vector, so the reflected ones have a first entry of 0: n samples of centred
    features are n - 1 rows in other coordinates, without the zero eigenvalue that every centred matrix has.
    """
    v = np.full(n, 1 / np.sqrt(n))
    v[0] -= 1
    return v * np.sqrt(2) / np.linalg.norm(v) if n > 1 else v

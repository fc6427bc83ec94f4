"""The thin singular value decomposition that the closed-form metrics share."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decomposition:
    """A matrix of rank r as ``left * values @ right.T``, cut at its numerical rank.

    Attributes:
        left: (n, r) float64, orthonormal columns.
        values: (r,) float64, singular values, descending and above the tolerance.
        right: (d, r) float64, orthonormal columns.
    """

    left: np.ndarray
    values: np.ndarray
    right: np.ndarray

    @property
    def rank(self) -> int:
        """The number of singular values above the tolerance."""
        return len(self.values)

    @classmethod
    def of(cls, matrix: np.ndarray, tolerance: float) -> "Decomposition":
        """Decompose ``matrix`` (n, d), float64, and drop singular values up to ``tolerance``.

        LAPACK reduces the longer side by a QR factorisation first: O(n d min(n, d)). An eigendecomposition of
        the Gram matrix costs less but squares the condition number: it cannot tell singular values below
        1e-8 of the largest from rounding, and the tolerance for float64 features is far below that.
        """
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        rank = int(np.sum(values > tolerance))
        parts = (left[:, :rank], values[:rank], right[:rank].T)
        for part in parts:
            part.flags.writeable = False
        return cls(*parts)

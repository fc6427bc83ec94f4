"""Sums over a group of samples, from which moments are made; sums add.

In place of Σ xxᵀ stands a root of it, a matrix R with RᵀR = Σ xxᵀ, kept small by QR: it has the condition number of
the samples and not its square.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tmbench.metrics.feature_set.decomposition import TRUSTED, triangular

FULL = 3
"""A root of more than this many times its columns in rows is reduced by QR."""


@dataclass(frozen=True, eq=False)
class Group:
    """Sums over some samples (x, y), d features and k targets each, about a shift near them.

    What follows from them about the group's own mean is kept, so that all subsets of the groups share it.

    Attributes:
        shift: (d + k,) what is subtracted from every sample: one of them, so that distant groups lose no digits.
        root: (m, 1 + d + k) float64, R with RᵀR = Σ (1, x, y)ᵀ(1, x, y).
        cubic: (d,) Σ |x|² x.
        quartic: Σ |x|⁴.
    """

    shift: np.ndarray
    root: np.ndarray
    cubic: np.ndarray
    quartic: float

    @classmethod
    def of(cls, rows: np.ndarray, d: int) -> "Group":
        """The sums over ``rows`` (m, d + k), d features and k targets a row."""
        shift = rows[0].copy()
        rows = rows - shift
        squares = np.einsum("ij,ij->i", rows[:, :d], rows[:, :d])
        root = np.concatenate([np.ones((len(rows), 1)), rows], axis=1)
        return cls(shift, reduced(root), squares @ rows[:, :d], float(squares @ squares))

    def __add__(self, other: "Group") -> "Group":
        """The sums over both, about the shift of the first."""
        other = other.about(self.shift)
        root = np.concatenate([self.root, other.root])
        return Group(self.shift, reduced(root), self.cubic + other.cubic, self.quartic + other.quartic)

    def sums(self, shift: np.ndarray) -> np.ndarray:
        """(d + k,) Σ (x, y), about another shift."""
        count, total = self._total
        return total + count * (self.shift - shift)

    @cached_property
    def _total(self) -> tuple[float, np.ndarray]:
        """The number of samples and (d + k,) their sum, about the shift."""
        ones = self.root[:, 0]
        return float(ones @ ones), ones @ self.root[:, 1:]

    @cached_property
    def mean(self) -> np.ndarray:
        """(d + k,) the mean of (x, y)."""
        count, total = self._total
        return self.shift + total / count

    @cached_property
    def scatter(self) -> np.ndarray:
        """(d, d) Σ (x - mean)(x - mean)ᵀ."""
        root = across(self.root)[:, : len(self.cubic)]
        return root.T @ root

    @cached_property
    def centred(self) -> tuple[np.ndarray, float]:
        """(d,) Σ |x - mean|² (x - mean) and Σ |x - mean|⁴."""
        moved = self.about(self.mean)
        return moved.cubic, moved.quartic

    def squares_along(self, axes: np.ndarray) -> np.ndarray:
        """(k,) Σ (aᵀ(x - mean))² for each column a of ``axes`` (d, k), by the smaller of root and scatter."""
        d = len(self.cubic)
        if len(self.root) >= d:
            squares = np.einsum("ij,ij->j", axes, self.scatter @ axes)
            if squares.min(initial=np.inf) >= TRUSTED * np.trace(self.scatter):
                return squares
        along = across(np.concatenate([self.root[:, :1], self.root[:, 1 : d + 1] @ axes], axis=1))
        return np.einsum("ij,ij->j", along, along)

    def about(self, shift: np.ndarray) -> "Group":
        """The same samples about another shift (d + k,)."""
        by = self.shift - shift
        if not by.any():
            return self
        d = len(self.cubic)
        root = self.root.copy()
        root[:, 1:] += np.outer(self.root[:, 0], by)
        x, step = self.root[:, 1 : d + 1], by[:d]
        ones, length = self.root[:, 0], step @ step
        count, total, along = ones @ ones, ones @ x, x @ step
        square, product = float(np.sum(x * x)), x.T @ along
        # Σ |x + s|² (x + s) and Σ |x + s|⁴, multiplied out.
        cubic = self.cubic + 2 * product + length * total
        cubic = cubic + (square + 2 * (total @ step) + count * length) * step
        quartic = self.quartic + 4 * (self.cubic @ step) + 2 * length * square + 4 * (along @ along)
        quartic += 4 * length * (total @ step) + count * length**2
        return Group(shift, root, cubic, float(quartic))


def reduced(root: np.ndarray, full: int = FULL) -> np.ndarray:
    """A root of at most ``full`` times its columns in rows with the same RᵀR."""
    return triangular(root) if len(root) > full * root.shape[1] else root


def across(root: np.ndarray) -> np.ndarray:
    """The columns of ``root`` after the first, less their projection on it: a root of the centred sums."""
    ones, rest = root[:, 0], root[:, 1:]
    return rest - np.outer(ones, (ones @ rest) / (ones @ ones))

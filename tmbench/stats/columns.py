"""The layout in which measures are computed: candidates down, setups across.

A measure is called with rows, truth (..., n) and scores (..., n). A pool is short (n is 5 to 30) and the rows are many,
so that numpy is fast only with the rows innermost: every kernel works on truth (n, 1, R) and scores (n, M, R), where
M are the metrics that share a truth and R the pools. What depends on the truth alone is thus computed once, not M
times, by plain broadcasting.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.signedinteger]
MeasureFunction = Callable[[Array, Array], Array]
"""(truth (..., n), scores (..., n)) -> (...,) float64; the leading axes broadcast."""

COMPARISONS_PER_CHUNK = 1 << 20
"""Rows are taken so many at a time that their n x n comparisons, one byte each, stay in the cache."""

# glibc gives freed memory back to the system, to fetch it anew page by page for the next chunk, which doubles the time
# at some sizes. It keeps twice the largest array that was ever freed: here, of 16 MB that are never touched.
np.empty(1 << 24, dtype=np.uint8)


def by_columns(kernel: MeasureFunction, truth: Array, scores: Array) -> Array:
    """Apply ``kernel`` to rows, a cacheful at a time.

    Args:
        kernel: (truth (n, M or 1, R), scores (n, M or 1, R)) -> (M, R). A value must depend on its own column only,
            to the last bit, so that a setup has the same value whatever it is computed with; see ``total``.
        truth: (..., n), any real type.
        scores: (..., n); its leading axes broadcast with those of ``truth``.

    Returns:
        float64 of the broadcast leading shape.

    Raises:
        ValueError: when the arrays do not fit, or hold NaN.
    """
    truth, scores = checked(truth, scores)
    n, shape = truth.shape[-1], np.broadcast_shapes(truth.shape[:-1], scores.shape[:-1])
    truth, scores = _rows(truth, scores, shape)
    count, metrics = len(truth), max(truth.shape[1], scores.shape[1])
    result = np.empty((count, metrics))
    step = max(1, COMPARISONS_PER_CHUNK // (n * n * max(metrics, 1)))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        columns = (np.ascontiguousarray(values[rows].transpose(2, 1, 0)) for values in (truth, scores))
        result[rows] = kernel(*columns).T
    return result.reshape(shape)


def checked(truth: Array, scores: Array) -> tuple[Array, Array]:
    """Both as float64.

    Raises:
        ValueError: when they have no candidates, or not the same ones on their last axis, or hold NaN.
    """
    truth, scores = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim == 0 or scores.ndim == 0 or truth.shape[-1] != scores.shape[-1] or truth.shape[-1] == 0:
        raise ValueError(
            f"truth {truth.shape} and scores {scores.shape} need the same number of candidates, at least one, "
            "on their last axis."
        )
    for name, values in (("truth", truth), ("scores", scores)):
        if np.isnan(values).any():
            raise ValueError(f"{name} holds NaN, which has no rank. Take these rows out and count them as missing.")
    return truth, scores


def total(values: NDArray[Any]) -> Array:
    """The sum over the candidates, ``values`` (n, M, R) -> (M, R), one after the other.

    ``np.sum`` adds pairwise along the fast axis of the memory, which is that of the candidates for a single column.
    Its last bit would differ from that of the same setup among others, and equal metrics would not always tie.
    """
    result: Array = np.add.reduce(values, axis=0) if values[0].size > 1 else functools.reduce(np.add, values)
    return result


class Order:
    """How the candidates of ``values`` (n, M, R) compare, so that ±inf is a rank like any other.

    Attributes:
        higher: (n, n, M, R) int8, 1 where v_i > v_j.
        below, above: (n, M, R), how many candidates have a lower, a higher value.
    """

    def __init__(self, values: Array) -> None:
        self.higher = (values[:, None] > values[None, :]).view(np.int8)
        self.below, self.above = over_partners(self.higher), over_partners(self.higher.swapaxes(0, 1))

    @property
    def signs(self) -> NDArray[np.int8]:
        """(n, n, M, R) sgn(v_i − v_j)."""
        return self.higher - self.higher.swapaxes(0, 1)

    @property
    def untied(self) -> Integers:
        """(n, M, R) how many candidates have another value."""
        return self.below + self.above

    def ranks(self, second: "Order") -> Integers:
        """(n, M, R) the rank of each, 0 for the highest value; ties are broken by ``second``, then by position.

        Candidates tied in both have equal sums over their partners, so that their order does not change τ_w.
        """
        n = len(self.below)
        wide: np.dtype[Any] = np.dtype(np.int16 if n**3 <= 1 << 15 else np.int64)
        position = np.arange(n, dtype=wide)[:, None, None]
        key = (self.below.astype(wide) * n + second.below) * n + position
        return over_partners((key[None, :] > key[:, None]).view(np.int8))


def over_partners(pairs: NDArray[np.int8]) -> Integers:
    """Σ_j p_ij of ``pairs`` (n, n, M, R), each −1, 0 or 1; one byte holds the sum over up to 126 partners."""
    sums: Integers = np.add.reduce(pairs, axis=1, dtype=np.int8 if len(pairs) <= 127 else np.int32)
    return sums


def _rows(truth: Array, scores: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Both as (P, M, n), M being 1 for the one that is shared along the last leading axis, if either is."""
    n = truth.shape[-1]
    sizes = [values.shape[-2] if values.ndim > 2 else 0 for values in (truth, scores)]
    rows = int(np.prod(shape[:-1]))
    if min(sizes) != 1 or max(sizes) == 1 or rows < max(sizes):
        full = (*shape, n)
        return np.broadcast_to(truth, full).reshape(-1, 1, n), np.broadcast_to(scores, full).reshape(-1, 1, n)
    first, second = (
        np.broadcast_to(values, (*shape[:-1], *values.shape[-2:])).reshape(rows, -1, n) for values in (truth, scores)
    )
    return first, second

"""Pools: the subsets of a query's candidates that a metric is asked to rank; counted and read without a list."""

from math import comb

import numpy as np
from numpy.typing import NDArray

from tmbench.study.options import PoolOption


def pool_size(rule: PoolOption, candidates: int) -> int:
    """How many candidates each pool of ``rule`` holds; 0 when ``candidates`` are too few for it."""
    size = {"all": candidates, "leave_out": candidates - rule.count, "size": rule.count}[rule.rule]
    return size if 0 < size <= candidates else 0


def count_pools(rule: PoolOption, candidates: int) -> int:
    """How many pools ``rule`` forms from ``candidates``. A pool of fewer than two has no ranking and is none."""
    size = pool_size(rule, candidates)
    return comb(candidates, size) if size >= 2 else 0


def pool_members(rule: PoolOption, candidates: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pools with the given numbers.

    Args:
        rule: how pools are formed.
        candidates: (n,) int64, the candidates' positions in the study's list, ascending.
        numbers: (P,) int64 in 0..count_pools-1.

    Returns:
        (P, k) int64, positions from ``candidates``, ascending in each row. Pool number i is the i-th subset in
        lexicographic order, whatever slice it is read in.
    """
    size = pool_size(rule, len(candidates))
    return candidates[_combinations(len(candidates), size, numbers)]


def _combinations(n: int, k: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Combinations of k out of 0..n-1 by their lexicographic numbers, (P, k)."""
    out = np.empty((len(numbers), k), dtype=np.int64)
    left = np.array(numbers, dtype=np.int64)
    column = np.zeros(len(left), dtype=np.int64)
    for element in range(n):
        open_rows = column < k
        missing = k - column - 1
        # How many combinations go on with `element` in this place.
        with_it = np.array([comb(n - element - 1, m) if m >= 0 else 0 for m in range(k)], dtype=np.int64)
        here = np.where(open_rows, with_it[np.clip(missing, 0, k - 1)], 0)
        take = open_rows & (left < here)
        out[take, column[take]] = element
        left = np.where(open_rows & ~take, left - here, left)
        column = column + take
    return out

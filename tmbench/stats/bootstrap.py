"""Intervals by resampling queries.

Setups of one query share its cells, so their number says nothing about certainty; the queries are the sample.
Queries of one family, such as class subsets of one data set, are one draw: they come and go together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import Array

FEWEST_QUERIES = 6
"""With fewer independent queries no interval is given. A convention: coverage grows by degrees and has no edge there,
as ``benchmarks/coverage.py`` shows."""

COLUMNS_AT_A_TIME = 64
"""So many columns are resampled together, which bounds the memory at (draws, 64) whatever their number."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: ``draws`` resamplings of the queries (0: no intervals), ``level`` of coverage."""

    draws: int = 10_000
    seed: int = 0
    level: float = 0.95

    def weights(self, families: Sequence[str]) -> Array:
        """How often each query is drawn.

        Args:
            families: (Q,) the family of each query; empty names stand on their own.

        Returns:
            (draws, Q) float64: as many groups as there are, drawn with replacement; each query weighs as its group.
        """
        return _group_weights(self.groups(families), self.draws, self.seed)[:, group_of(families)]

    def groups(self, families: Sequence[str]) -> int:
        """The number of independent groups among queries of these families."""
        return len(set(group_of(families).tolist()))

    def gives_interval(self, families: Sequence[str]) -> bool:
        """Whether queries of these families are enough for an interval."""
        return self.draws > 0 and self.groups(families) >= FEWEST_QUERIES


@dataclass(frozen=True)
class Estimate:
    """Means with their intervals over queries; arrays of shape (columns,).

    ``count`` is the number of values that the mean is over. ``low`` and ``high`` are NaN where there is no interval.
    """

    value: Array
    low: Array
    high: Array
    count: NDArray[np.int64]


def group_of(families: Sequence[str]) -> NDArray[np.intp]:
    """(Q,) the number of the group that each query moves with, in order of first appearance."""
    number: dict[tuple[str, int], int] = {}
    keys = [(name, -1) if name else ("", query) for query, name in enumerate(families)]
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)


@lru_cache(maxsize=8)
def _group_weights(groups: int, draws: int, seed: int) -> Array:
    """(draws, groups) how often each of so many groups is drawn; kept, since every table draws the same."""
    if not groups:
        return np.zeros((draws, 0))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(np.float64)
    drawn.setflags(write=False)
    return drawn


def interval(samples: Array, groups: int, level: float = 0.95) -> tuple[Array, Array]:
    """The expanded percentile interval of a statistic from its resampled values.

    The percentiles of the resampled values make an interval too narrow twice over: by the factor sqrt((n − 1) / n),
    and by normal instead of Student quantiles. The expanded interval reads the percentiles α' and 1 − α' with

        α' = Φ(sqrt(n / (n − 1)) · t_{n−1}(α / 2)),        n = the number of independent groups,

    which mends both and never leaves the range of the resampled values. ``benchmarks/coverage.py`` holds it beside
    the others and ``tmbench/stats/README.md`` shows the table.

    Hesterberg, What teachers should know about the bootstrap, The American Statistician 69(4), 2015, section 5.3.

    Args:
        samples: (draws, ...) float64; NaN where a draw has no value, which is left out.
        groups: the number of independent groups of queries that were resampled.
        level: the nominal coverage.

    Returns:
        The lower and the upper ends (...); NaN without any value or with fewer than two groups.
    """
    shape = samples.shape[1:]
    flat = np.ascontiguousarray(samples.reshape(len(samples), math.prod(shape)).T)
    ends = np.full((2, len(flat)), np.nan)
    if groups > 1 and len(samples):
        tails = [expanded_tail(groups, level), 1 - expanded_tail(groups, level)]
        gaps = np.isnan(flat).any(axis=1)
        if not gaps.all():
            ends[:, ~gaps] = np.quantile(flat[~gaps], tails, axis=1)
        for column in np.flatnonzero(gaps):
            valid = flat[column][~np.isnan(flat[column])]
            if len(valid):
                ends[:, column] = np.quantile(valid, tails)
    low, high = ends.reshape(2, *shape)
    return low, high


def expanded_tail(groups: int, level: float) -> float:
    """α' of ``interval``: the share of the resampled values that lies below its lower end."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, (1 - level) / 2)))


def mean_of_sums(sums: Array, counts: Array, families: Sequence[str], resampling: Resampling) -> Estimate:
    """The mean of each column over all values of all queries, from each query's sum and number of values.

    A query without values in a column does not take part in it: the others are resampled. No interval where they
    form fewer than ``FEWEST_QUERIES`` groups.

    Args:
        sums: (Q, columns) float64, the sum of each query's values; 0 where it has none.
        counts: (Q, columns) how many values it has.
        families: (Q,) queries of one family are resampled together; an empty name stands on its own.
        resampling: the draws.

    Raises:
        ValueError: when the shapes disagree, or a sum is NaN: leave missing values out and do not count them.
    """
    if sums.shape != counts.shape or len(sums) != len(families):
        raise ValueError(f"sums {sums.shape}, counts {counts.shape} and families ({len(families)},) disagree.")
    if np.isnan(sums).any():
        raise ValueError("a sum is NaN. Leave missing values out of the sums and of the counts.")
    total, number = sums.sum(axis=0), counts.sum(axis=0)
    value = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    low, high = np.full(total.shape, np.nan), np.full(total.shape, np.nan)
    present = counts.T > 0
    patterns, pattern = np.unique(present, axis=0, return_inverse=True)
    for place, seen in enumerate(patterns):
        rows = np.flatnonzero(seen)
        taking_part = [families[int(query)] for query in rows]
        if not resampling.gives_interval(taking_part):
            continue
        groups = resampling.groups(taking_part)
        weights = _group_weights(groups, resampling.draws, resampling.seed)
        belongs = (np.arange(groups)[:, None] == group_of(taking_part)).astype(np.float64)
        every = np.flatnonzero(pattern.ravel() == place)
        for start in range(0, len(every), COLUMNS_AT_A_TIME):
            columns = every[start : start + COLUMNS_AT_A_TIME]
            cut = np.ix_(rows, columns)
            samples = (weights @ (belongs @ sums[cut])) / (weights @ (belongs @ counts[cut]))
            low[columns], high[columns] = interval(samples, groups, resampling.level)
    return Estimate(value, low, high, number.astype(np.int64))


def mean_of_values(values: Array, families: Sequence[str], resampling: Resampling) -> Estimate:
    """The mean of each column of ``values`` (Q, columns), one value a query, NaN left out; as ``mean_of_sums``."""
    there = ~np.isnan(values)
    return mean_of_sums(np.where(there, values, 0.0), there.astype(np.float64), families, resampling)


def pair_weights(weights: Array, families: Sequence[str]) -> Array:
    """How much each pair of queries weighs in each resampling; a query drawn twice is not paired with itself.

    Args:
        weights: (draws, Q) as from ``Resampling.weights``.
        families: (Q,) as there.

    Returns:
        (draws, Q (Q − 1) / 2), pairs in the order of ``np.triu_indices``. Queries a and b of different groups weigh
        w_a · w_b, every copy of one paired with every copy of the other. Two of one family weigh as the family does:
        each of its copies holds that pair once, and copies of one family are never paired.
    """
    group = group_of(families)
    first, second = np.triu_indices(len(group), k=1)
    product = weights[:, first] * weights[:, second]
    together = group[first] == group[second]
    product[:, together] = weights[:, first[together]]
    return product

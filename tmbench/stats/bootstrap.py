"""Intervals by resampling queries.

Setups of one query share its cells, so their number says nothing about certainty; the queries are the sample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST_QUERIES = 6
"""With fewer queries no interval is given: none that resampling makes covers what it claims."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: ``draws`` resamplings of the queries (0: no intervals), ``level`` of coverage."""

    draws: int = 10_000
    seed: int = 0
    level: float = 0.95

    def weights(self, queries: int) -> NDArray[np.float64]:
        """(draws, queries): how often each query is drawn, ``queries`` draws with replacement a row."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        return generator.multinomial(queries, np.full(queries, 1 / queries), size=self.draws).astype(np.float64)

    def gives_interval(self, queries: int) -> bool:
        """Whether so many queries get an interval."""
        return self.draws > 0 and queries >= FEWEST_QUERIES


def expanded_interval(samples: Array, queries: int, level: float = 0.95) -> tuple[Array, Array]:
    """The expanded percentile interval of ``samples`` (draws, ...), NaN draws left out.

    A plain percentile interval is too narrow by the factor sqrt((n − 1) / n) and by normal instead of Student
    quantiles. The expanded one reads the percentiles α' and 1 − α' with

        α' = Φ(sqrt(n / (n − 1)) · t_{n−1}(α / 2)),        n = the number of queries,

    which mends both and stays inside the range of the values. Simulated coverage of the mean at a nominal .95,
    the plain percentile interval in brackets, 2,000 repetitions:

        queries   normal       uniform-like (beta .8, .8)   skewed (beta .5, 2)   exponential
        6         .93 (.87)    .93 (.87)                    .89 (.82)             .89 (.81)
        9         .94 (.89)    .95 (.90)                    .92 (.87)             .90 (.85)
        17        .94 (.92)    .95 (.93)                    .94 (.91)             .91 (.89)

    Hesterberg, What teachers should know about the bootstrap, The American Statistician 69(4), 2015, section 5.3.

    Returns:
        The lower and the upper ends, of shape (...).
    """
    from scipy.special import ndtr, stdtrit

    if queries < 2 or not len(samples):
        nothing = np.full(samples.shape[1:], np.nan)
        return nothing, nothing
    tail = float(ndtr(np.sqrt(queries / (queries - 1)) * stdtrit(queries - 1, (1 - level) / 2)))
    flat = samples.reshape(len(samples), -1)
    ends = np.full((2, flat.shape[1]), np.nan)
    for column in range(flat.shape[1]):
        valid = flat[~np.isnan(flat[:, column]), column]
        if len(valid):
            ends[:, column] = np.quantile(valid, [tail, 1 - tail])
    low, high = ends.reshape(2, *samples.shape[1:])
    return low, high


def sums_by_query(values: Array, query: NDArray[np.integer], queries: int) -> tuple[Array, Array]:
    """Sum and number of the values of each query, NaN left out: each (queries, columns) from (rows, columns)."""
    if not values.shape[1]:  # no metric competes
        return np.zeros((queries, 0)), np.zeros((queries, 0))
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    sums = np.stack([np.bincount(query, column, queries) for column in filled.T], axis=1)
    counts = np.stack([np.bincount(query, column, queries) for column in there.T], axis=1)
    return sums.astype(np.float64), counts.astype(np.float64)


@dataclass(frozen=True)
class Estimate:
    """A mean over setups with its interval over queries; arrays of shape (columns,)."""

    value: Array
    low: Array
    high: Array
    count: NDArray[np.int64]


def mean_over_setups(values: Array, query: NDArray[np.integer], queries: int, resampling: Resampling) -> Estimate:
    """The mean of each column of ``values`` (rows, columns) over the rows that have it, queries resampled whole.

    Each resampling weighs a query by how often it was drawn. No interval where fewer than ``FEWEST_QUERIES``
    queries have values.
    """
    sums, counts = sums_by_query(values, query, queries)
    total, number = sums.sum(axis=0), counts.sum(axis=0)
    value = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    low, high = np.full(total.shape, np.nan), np.full(total.shape, np.nan)
    present = counts > 0
    for pattern in np.unique(present.T, axis=0):
        if not resampling.gives_interval(int(pattern.sum())):
            continue
        columns = np.flatnonzero((pattern == present.T).all(axis=1))
        weights = resampling.weights(int(pattern.sum()))
        rows = np.ix_(pattern, columns)
        samples = (weights @ sums[rows]) / (weights @ counts[rows])
        low[columns], high[columns] = expanded_interval(samples, int(pattern.sum()), resampling.level)
    return Estimate(value, low, high, number.astype(np.int64))

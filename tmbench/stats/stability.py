"""Setup stability: does the ranking of the metrics stay the same when one component of the setup varies?

Setups that agree in every other component form a group. Its score is the mean of τ_b over the pairs of its setups;
the stability is the unweighted mean over groups. With u the unit vectors of ``Outcomes.directions``, τ_b is their
product, so that the sum over pairs is (‖Σ u‖² − n) / 2 for the n setups of a group and no pair is ever visited.
Setups whose metrics are all tied, or one of which is missing, enter no pair.

Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, section 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Resampling, interval, mean_of_sums, pair_weights
from tmbench.stats.cells import Array
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.tally import Across, Sums, Tally

WEIGHTS_AT_A_TIME = 1 << 22
"""The weights of pairs are made in blocks of draws with at most so many numbers (32 MB)."""

PAIR_DRAWS = 2_000
"""Resamplings for pairs of queries: each costs a pass over all groups, the others cost next to nothing."""

PATTERNS_AT_A_TIME = 256
"""Groups with the same queries are weighed so many at a time, which bounds the memory at (256, draws)."""


@dataclass(frozen=True)
class Stability:
    """How stable the ranking of the field is when ``varied`` varies.

    Attributes:
        varied: ``query``, ``pool``, ``measure``, ``recipe``, ``level``, ``implementation`` or ``seed``.
        stability: in [-1, 1]; 1 = always the same ranking, about 0 = none.
        low, high: interval over queries, NaN where there is none.
        groups: number of groups of two or more comparable setups that the value is the mean over.
        setups: number of setups in these groups.
    """

    varied: str
    stability: float
    low: float
    high: float
    groups: int
    setups: int


@dataclass(frozen=True)
class PairDraws:
    """The resamplings for the stability between queries: ``weights`` (draws, Q) of queries, no draws: no interval."""

    weights: Array
    families: tuple[str, ...]

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Some draws, and how much each pair of queries weighs in them (draws, Q (Q − 1) / 2)."""
        pairs = max(len(self.families) * (len(self.families) - 1) // 2, 1)
        step = max(1, WEIGHTS_AT_A_TIME // pairs)
        for start in range(0, len(self.weights), step):
            rows = slice(start, start + step)
            yield rows, pair_weights(self.weights[rows], self.families)


def pair_draws(families: Sequence[str], resampling: Resampling) -> PairDraws:
    """The draws, as many as ``PAIR_DRAWS``; none where queries of these families get no interval."""
    if not resampling.gives_interval(families):
        return PairDraws(np.zeros((0, len(families))), tuple(families))
    fewer = replace(resampling, draws=min(resampling.draws, PAIR_DRAWS))
    return PairDraws(fewer.weights(families), tuple(families))


def stability_sums(outcomes: Outcomes, draws: PairDraws) -> Sums:
    """The sums over a chunk for ``measure``, ``pool`` and ``query`` varying."""
    directions = outcomes.directions
    usable = _usable(directions)
    return {
        **_over_queries("measure", *_group_scores(directions, usable)),
        "pool.direction": directions.sum(axis=2),
        "pool.count": usable.sum(axis=2).astype(np.float64),
        **_query_sums(directions, usable, draws),
    }


def across_sums(every: Sequence[Array]) -> Sums:
    """The same for an axis of which ``every`` holds the directions (E, Q, P, D), one array a value of the axis."""
    directions = np.stack(every)
    score, count = _group_scores(directions, _usable(directions))
    measures, queries, pools = score.shape
    flat = [value.transpose(1, 0, 2).reshape(queries, measures * pools) for value in (score, count)]
    return _over_queries("across", *flat)


def stability(tally: Tally, varied: str, resampling: Resampling) -> Stability:
    """The stability when ``query``, ``pool`` or ``measure`` varies."""
    if varied == "query":
        return _between_queries(tally, resampling)
    if varied == "measure":
        return _within_queries(varied, tally.sums, varied, tally.families, resampling)
    # One group a measure and query: its pools were summed chunk by chunk.
    total, count = tally.sums["pool.direction"], tally.sums["pool.count"]
    paired = np.maximum(count * (count - 1), 1)
    score = np.where(count > 1, (np.sum(total**2, axis=-1) - count) / paired, 0.0)
    sums = {
        "pool.score": score.sum(axis=0),
        "pool.groups": (count > 1).sum(axis=0).astype(np.float64),
        "pool.setups": np.where(count > 1, count, 0).sum(axis=0),
    }
    return _within_queries(varied, sums, varied, tally.families, resampling)


def stability_across(across: Across, resampling: Resampling) -> Stability:
    """The stability when a recipe, level, implementation or seed varies."""
    return _within_queries(across.varied, across.sums, "across", across.families, resampling)


def _usable(directions: Array) -> NDArray[np.bool_]:
    """(...,) where ``directions`` (..., D) are of a ranking and not zero."""
    usable: NDArray[np.bool_] = np.asarray(directions.any(axis=-1))
    return usable


def _group_scores(directions: Array, usable: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The score of each group along the first axis (K, ..., D), 0 where it has no pair, and its setups (...,)."""
    count = usable.sum(axis=0)
    squared = np.sum(directions.sum(axis=0) ** 2, axis=-1)
    score = np.where(count > 1, (squared - count) / np.maximum(count * (count - 1), 1), 0.0)
    return score, np.where(count > 1, count, 0)


def _over_queries(name: str, score: Array, count: Array) -> Sums:
    """The sums by query of scores (Q, groups) and of the setups in them."""
    return {
        f"{name}.score": score.sum(axis=1),
        f"{name}.groups": (count > 1).sum(axis=1).astype(np.float64),
        f"{name}.setups": count.sum(axis=1).astype(np.float64),
    }


def _within_queries(varied: str, sums: Sums, name: str, families: tuple[str, ...], resampling: Resampling) -> Stability:
    score, groups = sums[f"{name}.score"], sums[f"{name}.groups"]
    estimate = mean_of_sums(score[:, None], groups[:, None], families, resampling)
    setups = int(sums[f"{name}.setups"].sum())
    return Stability(
        varied, float(estimate.value[0]), float(estimate.low[0]), float(estimate.high[0]), int(groups.sum()), setups
    )


def _query_sums(directions: Array, usable: NDArray[np.bool_], draws: PairDraws) -> Sums:
    """Groups of the queries that share measure and pool; the pair (q, q') weighs as in ``draws``.

    A query drawn twice is not paired with itself, which would count as perfect agreement. Groups with the same queries
    share their weights and are summed before they are weighed.
    """
    measures, queries, pools, width = directions.shape
    by_group = directions.transpose(0, 2, 1, 3).reshape(measures * pools, queries, width)
    there = usable.transpose(0, 2, 1).reshape(measures * pools, queries)
    number = there.sum(axis=1)
    by_group, there, number = by_group[number > 1], there[number > 1], number[number > 1]
    squared = np.sum(by_group.sum(axis=1) ** 2, axis=-1)
    sums = {
        "query.score": np.sum((squared - number) / (number * (number - 1))),
        "query.groups": np.float64(len(number)),
        "query.setups": np.float64(number.sum()),
        "query.drawn": np.zeros(len(draws.weights)),
        "query.drawn_groups": np.zeros(len(draws.weights)),
    }
    if not len(draws.weights) or not len(number):
        return {name: np.asarray(value) for name, value in sums.items()}
    patterns, pattern = np.unique(there, axis=0, return_inverse=True)
    first, second = np.triu_indices(there.shape[1], k=1)
    agreement = np.zeros((len(patterns), len(first)))
    for pair, (one, other) in enumerate(zip(first, second, strict=True)):
        product = np.einsum("gd,gd->g", by_group[:, one], by_group[:, other])
        agreement[:, pair] = np.bincount(pattern.ravel(), product, len(patterns))
    size = np.bincount(pattern.ravel(), minlength=len(patterns))
    both = (patterns[:, first] & patterns[:, second]).astype(np.float64)
    for some, weights in draws.blocks():
        for start in range(0, len(patterns), PATTERNS_AT_A_TIME):
            rows = slice(start, start + PATTERNS_AT_A_TIME)
            possible = both[rows] @ weights.T
            drawn = np.divide(agreement[rows] @ weights.T, possible, out=np.zeros_like(possible), where=possible > 0)
            sums["query.drawn"][some] += drawn.sum(axis=0)
            sums["query.drawn_groups"][some] += size[rows] @ (possible > 0)
    return {name: np.asarray(value) for name, value in sums.items()}


def _between_queries(tally: Tally, resampling: Resampling) -> Stability:
    sums = tally.sums
    groups = float(sums["query.groups"])
    value = float(sums["query.score"]) / groups if groups else np.nan
    low = high = np.nan
    # Queries with no usable setup take part in no pair; too few of the others give no interval.
    paired = [family for family, count in zip(tally.families, sums["pool.count"].sum(axis=0), strict=True) if count]
    if groups and len(sums["query.drawn"]) and resampling.gives_interval(paired):
        number = sums["query.drawn_groups"]
        samples = np.divide(sums["query.drawn"], number, out=np.full(len(number), np.nan), where=number > 0)
        ends = interval(samples[:, None], resampling.groups(paired), resampling.level)
        low, high = float(ends[0][0]), float(ends[1][0])
    return Stability("query", value, low, high, int(groups), int(sums["query.setups"]))

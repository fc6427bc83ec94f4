"""Setup stability: does the ranking of the metrics stay the same when one component of the setup varies?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Array, Resampling, expanded_interval, mean_over_setups
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.win_rate import EQUAL_DECIMALS


@dataclass(frozen=True)
class Stability:
    """How stable the ranking of the field is when ``varied`` varies.

    Attributes:
        varied: ``query``, ``pool``, ``measure``, ``recipe`` or ``level``.
        value: in [-1, 1]; 1 = always the same ranking, about 0 = none.
        low, high: interval over queries, NaN where there is none.
        groups: number of groups of two or more comparable setups that the value is the mean over.
        setups: number of setups in these groups.
        missing: number of setups left out because a metric of the field has no value.
    """

    varied: str
    value: float
    low: float
    high: float
    groups: int
    setups: int
    missing: int


def ranking_directions(values: Array) -> Array:
    """(S, F (F − 1) / 2) from outcomes ``values`` (S, F): unit vectors whose products are Kendall's τ_b.

    The signs of the differences between all pairs of metrics, divided by their norm. τ_b of two outcomes is the
    product of their vectors. A row is NaN where τ_b is undefined: a value is missing, or all are tied.
    """
    rounded = np.round(values, EQUAL_DECIMALS)
    first, second = np.triu_indices(values.shape[1], k=1)
    signs = np.sign(rounded[:, first] - rounded[:, second])
    norm = np.sqrt(np.sum(signs**2, axis=1, keepdims=True))
    return np.divide(signs, norm, out=np.full(signs.shape, np.nan), where=norm > 0)


def setup_stability(outcomes: Outcomes, varied: str, resampling: Resampling) -> Stability:
    """The stability of the field's ranking when the axis ``varied`` takes its values and all else is held.

    Setups that agree in every other axis form a group. Its score is the mean of τ_b over the pairs of its
    setups; the stability is the unweighted mean over groups. With u the unit vectors of ``ranking_directions``,
    the sum over pairs is (‖Σ u‖² − Σ ‖u‖²) / 2, so that no pair is ever visited. Setups whose metrics are all
    tied, or one of which is missing, enter no pair.

    Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, section 4.
    """
    field = outcomes.field
    values = outcomes.values[:, field]
    missing = int(np.isnan(values).any(axis=1).sum())
    directions = ranking_directions(values)
    usable = ~np.isnan(directions).any(axis=1) if directions.shape[1] else np.zeros(len(values), dtype=bool)
    directions = directions[usable]
    held = [axis for axis in ("scenario", "recipe", "level", "query", "measure", "pool") if axis != varied]
    group, representative = _groups([outcomes.axis(axis)[usable] for axis in held])
    size = np.bincount(group, minlength=len(representative))
    scores = _group_scores(directions, group, size)
    counted = size > 1
    if not counted.any():
        return Stability(varied, np.nan, np.nan, np.nan, 0, 0, missing)
    queries = len(outcomes.labels["query"])
    if varied == "query":
        low, high = _interval_between_queries(
            directions, group, outcomes.query[usable], len(representative), queries, resampling
        )
    else:
        query_of_group = outcomes.query[usable][representative[counted]]
        estimate = mean_over_setups(scores[counted][:, None], query_of_group, queries, resampling)
        low, high = float(estimate.low[0]), float(estimate.high[0])
    return Stability(
        varied,
        float(scores[counted].mean()),
        low,
        high,
        int(counted.sum()),
        int(size[counted].sum()),
        missing,
    )


def _groups(columns: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The number of each row's group, rows being equal in all ``columns``, and a row of each group."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 1) + column
    _, representative, group = np.unique(key, return_index=True, return_inverse=True)
    return group, representative


def _group_scores(directions: Array, group: NDArray[np.intp], size: NDArray[np.intp]) -> Array:
    """The mean τ_b over pairs in each group; 0 for groups of one, which the caller leaves out."""
    total = np.stack([np.bincount(group, column, len(size)) for column in directions.T], axis=1)
    # Every vector has norm 1, so that Σ ‖u‖² is the group's size.
    return (np.sum(total**2, axis=1) - size) / np.maximum(size * (size - 1), 1)


def _interval_between_queries(
    directions: Array,
    group: NDArray[np.intp],
    query: NDArray[np.int32],
    groups: int,
    queries: int,
    resampling: Resampling,
) -> tuple[float, float]:
    """Resample queries where the pairs are between queries: pair (q, q') weighs w_q w_q', and q ≠ q'.

    So a query drawn twice is not paired with itself, which would count as perfect agreement. Groups that hold the
    same queries share their weights and are summed first.
    """
    drawn = np.unique(query)
    if not resampling.gives_interval(len(drawn)):
        return np.nan, np.nan
    position = np.searchsorted(drawn, query)
    held = np.zeros((groups, len(drawn)), dtype=bool)
    held[group, position] = True
    row_of = np.full((groups, len(drawn)), -1)
    row_of[group, position] = np.arange(len(group))
    patterns, pattern_of = np.unique(held, axis=0, return_inverse=True)
    weights = resampling.weights(len(drawn))
    total, number = np.zeros(len(weights)), np.zeros(len(weights))
    for index, pattern in enumerate(patterns):
        members = np.flatnonzero(pattern)
        if len(members) < 2:
            continue
        rows = row_of[np.flatnonzero(pattern_of.ravel() == index)][:, members]
        first, second = np.triu_indices(len(members), k=1)
        agreement = np.array(
            [np.sum(directions[rows[:, a]] * directions[rows[:, b]]) for a, b in zip(first, second, strict=True)]
        )
        pairs = weights[:, members[first]] * weights[:, members[second]]
        possible = pairs.sum(axis=1)
        mean = np.divide(pairs @ agreement, possible, out=np.zeros(len(pairs)), where=possible > 0)
        total += mean
        number += np.where(possible > 0, len(rows), 0)
    samples = np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
    low, high = expanded_interval(samples[:, None], len(drawn), resampling.level)
    return float(low[0]), float(high[0])

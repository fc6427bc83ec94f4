"""Rank entropy: how spread out the places are that a metric, or a candidate, takes."""

from dataclasses import dataclass

import numpy as np

from tmbench.stats.cells import Array, Cells
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.tally import Tally


@dataclass(frozen=True)
class RankEntropy:
    """The entropy of the ranks that ``name`` takes, divided by that of equal chances: 0 always the same, 1 any.

    ``of`` is ``metric`` (its rank in the field, over setups) or ``candidate`` (its true rank, over queries);
    ``mean_rank`` counts from 1, the best; ``count`` is the number of rankings it is in.
    """

    of: str
    name: str
    entropy: float
    mean_rank: float
    count: int


def rank_sums(outcomes: Outcomes) -> dict[str, Array]:
    """(Q, F, F): how often each metric of the field takes each rank in a chunk's complete setups."""
    merit = outcomes.merit[..., outcomes.field]
    complete = outcomes.complete
    queries = merit.shape[1]
    ranks = [rank_shares(merit[:, query][complete[:, query]]).sum(axis=0) for query in range(queries)]
    return {"ranks": np.stack(ranks)}


def rank_shares(merit: Array) -> Array:
    """(S, n, n): the share that item i has of rank r in each row of ``merit`` (S, n); tied items share their ranks."""
    better = (merit[:, None, :] > merit[:, :, None]).sum(axis=-1)
    tied = (merit[:, None, :] == merit[:, :, None]).sum(axis=-1)
    rank = np.arange(merit.shape[1])
    inside = (rank >= better[..., None]) & (rank < (better + tied)[..., None])
    return inside / np.maximum(tied, 1)[..., None]


def metric_entropies(tally: Tally) -> list[RankEntropy]:
    """One for each metric of the field."""
    ranks = tally.sums["ranks"].sum(axis=0)
    return [_entropy("metric", tally.names[metric], ranks[place]) for place, metric in enumerate(tally.field)]


def candidate_entropies(cells: Cells, recipe: int) -> list[RankEntropy]:
    """One for each candidate: whether its place in the truth depends on the query at all.

    Only queries with the truth of every candidate of the study would rank the same set; so a query's ranks are
    scaled to the number of its candidates, in as many classes as the smallest query has candidates. Where these
    entropies are small, a static list predicts the order and a metric has nothing to tell.

    Singh et al., ICLR 2026, ask for it beside the scores of a benchmark.
    """
    truth = cells.mean_truth[recipe]
    there = ~np.isnan(truth)
    numbers = there.sum(axis=1)
    ranked = numbers >= 2
    if not ranked.any():
        return []
    classes = int(numbers[ranked].min())
    shares = np.zeros((len(cells.candidates), classes))
    for query in np.flatnonzero(ranked):
        candidates = np.flatnonzero(there[query])
        ranks = rank_shares(truth[query, candidates][None])[0]
        shares[candidates] += ranks @ _classes(len(candidates), classes)
    return [_entropy("candidate", name, shares[place]) for place, name in enumerate(cells.candidates)]


def _classes(ranks: int, classes: int) -> Array:
    """(ranks, classes): the share of each rank, an interval of 1 / ranks, that lies in each class."""
    edges = np.arange(classes + 1) / classes
    low = np.arange(ranks)[:, None] / ranks
    overlap = np.minimum(low + 1 / ranks, edges[1:]) - np.maximum(low, edges[:-1])
    return np.maximum(overlap, 0.0) * ranks


def _entropy(of: str, name: str, weights: Array) -> RankEntropy:
    total = weights.sum()
    if total <= 0 or len(weights) < 2:
        return RankEntropy(of, name, np.nan, np.nan, 0)
    p = weights / total
    bits = -np.sum(p[p > 0] * np.log(p[p > 0])) / np.log(len(p))
    # Adding 0.0 turns −0 into 0.
    return RankEntropy(of, name, float(bits) + 0.0, float(p @ np.arange(1, len(p) + 1)), round(float(total)))

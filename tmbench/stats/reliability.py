"""Reliability of the truth: is the spread between candidates larger than what another seed would change?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Array
from tmbench.stats.cells import Cells
from tmbench.stats.measures import kendall_tau

SMALL_RATIO = 3.0
"""Below this many seed deviations between best and worst, a ranking of candidates is mostly luck."""

SMALL_RELIABILITY = 0.8
"""Below this reliability the order of the means over seeds is in doubt."""


@dataclass(frozen=True)
class Reliability:
    """The truth of one query under one recipe.

    Attributes:
        candidates: number of candidates that have a truth.
        seeds: the smallest number of seeds of one of them.
        best, worst: of the means over seeds.
        spread: best − worst.
        source_sd: standard deviation of the means (n − 1).
        seed_sd: pooled within-candidate standard deviation over seeds; NaN with one seed.
        ratio: spread / seed_sd; inf where the seeds agree exactly.
        reliability: ICC(1,k), the share of the variance of the means that is between candidates.
        seed_tau: mean Kendall τ_b between the truths of two single seeds: what a metric that predicts one seed
            perfectly would reach on another.
        random_start: mean truth of the random starts.
        pretrained_best: best truth of the others.
        least_gain: over the families that have both, the smallest (best pretrained − mean random start).
        missing: eligible candidates without any truth.
    """

    recipe: str
    query: str
    candidates: int
    seeds: int
    best: float
    worst: float
    spread: float
    source_sd: float
    seed_sd: float
    ratio: float
    reliability: float
    seed_tau: float
    random_start: float
    pretrained_best: float
    least_gain: float
    missing: int

    @property
    def weak(self) -> bool:
        """Whether this truth can hardly tell candidates apart. One seed alone cannot say, and is not weak."""
        return self.ratio < SMALL_RATIO or self.reliability < SMALL_RELIABILITY


def reliability(cells: Cells) -> list[Reliability]:
    """One row for each recipe and query of ``cells``, in their order."""
    return [
        _of_query(cells, recipe, query) for recipe in range(len(cells.recipes)) for query in range(len(cells.queries))
    ]


def seed_variance(truth: Array) -> tuple[float, float]:
    """One-way analysis of variance of ``truth`` (n, seeds), NaN where missing, rows without any left out.

    Returns:
        The pooled variance within candidates, and ICC(1,k) = (MS_between − MS_within) / MS_between. Both NaN
        where no candidate has two seeds; ICC may be negative, when candidates differ less than seeds do.

    Shrout and Fleiss, Intraclass correlations: uses in assessing rater reliability, Psychol. Bull. 86(2), 1979.
    """
    truth = truth[~np.isnan(truth).all(axis=1)]
    counts = (~np.isnan(truth)).sum(axis=1)
    free = int((counts - 1).sum())
    if len(truth) == 0 or free == 0:
        return np.nan, np.nan
    means = np.nanmean(truth, axis=1)
    within = float(np.nansum((truth - means[:, None]) ** 2) / free)
    if len(truth) < 2:
        return within, np.nan
    between = float(np.sum(counts * (means - np.average(means, weights=counts)) ** 2) / (len(truth) - 1))
    return within, (between - within) / between if between > 0 else np.nan


def _of_query(cells: Cells, recipe: int, query: int) -> Reliability:
    truth = cells.truth[recipe, query]
    means = cells.mean_truth[recipe, query]
    there = ~np.isnan(means)
    within, icc = seed_variance(truth)
    seed_sd = float(np.sqrt(within))
    best, worst = _reduce(np.max, means[there]), _reduce(np.min, means[there])
    spread = best - worst
    started_randomly = there & cells.random_start
    pretrained = there & ~cells.random_start
    counts = (~np.isnan(truth)).sum(axis=1)
    return Reliability(
        recipe=cells.recipes[recipe],
        query=cells.queries[query],
        candidates=int(there.sum()),
        seeds=int(counts[there].min()) if there.any() else 0,
        best=best,
        worst=worst,
        spread=spread,
        source_sd=float(means[there].std(ddof=1)) if there.sum() > 1 else np.nan,
        seed_sd=seed_sd,
        ratio=np.inf if seed_sd == 0 and spread > 0 else spread / seed_sd if seed_sd > 0 else np.nan,
        reliability=icc,
        seed_tau=_seed_tau(truth),
        random_start=_reduce(np.mean, means[started_randomly]),
        pretrained_best=_reduce(np.max, means[pretrained]),
        least_gain=_least_gain(cells.families, means, started_randomly, pretrained),
        missing=int((~there & cells.eligible[query]).sum()),
    )


def _reduce(function: Callable[[Array], float], values: Array) -> float:
    return float(function(values)) if len(values) else np.nan


def _seed_tau(truth: Array) -> float:
    """Mean τ_b between single seeds (columns), over the candidates that have both."""
    found = []
    for first in range(truth.shape[1]):
        for second in range(first):
            both = ~np.isnan(truth[:, first]) & ~np.isnan(truth[:, second])
            if both.sum() > 1:
                found.append(float(kendall_tau(truth[both, first], truth[both, second])))
    defined = [value for value in found if not np.isnan(value)]
    return float(np.mean(defined)) if defined else np.nan


def _least_gain(
    families: tuple[str, ...], means: Array, random: NDArray[np.bool_], pretrained: NDArray[np.bool_]
) -> float:
    gains = []
    for family in dict.fromkeys(families):
        member = np.array([name == family for name in families])
        if (member & random).any() and (member & pretrained).any():
            gains.append(float(means[member & pretrained].max() - means[member & random].mean()))
    return min(gains, default=np.nan)

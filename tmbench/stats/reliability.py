"""Reliability of the truth: is the spread between candidates larger than what another seed would change?

And the noise ceiling that follows: the τ that a metric which knows the expected truth would reach against this one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import Array, Cells
from tmbench.stats.measures import kendall_tau, weighted_tau

SMALL_RATIO = 3.0
"""Below this many seed deviations between best and worst, a ranking of candidates is mostly luck."""

SMALL_RELIABILITY = 0.8
"""Below this reliability the order of the means over seeds is in doubt."""

SEEDS, BINOMIAL, UNKNOWN = "seeds", "binomial", ""
"""Where the noise of a truth is known from: several seeds of it, or the size of its test set."""

CEILING_DRAWS = 1000
"""Noisy truths that a ceiling is the mean over; its own error is then below .01."""


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
        noise: where the noise is known from: ``seeds``, ``binomial`` or empty.
        noise_sd: root mean square, over the candidates, of the standard deviation of their mean truths by chance.
        ceiling_weighted_tau, ceiling_kendall_tau: what a perfect metric would reach on average, ``noise_ceiling``; NaN
            where the noise is unknown.
        test_size: of the candidates' test sets the smallest, NaN where unknown.
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
    noise: str
    noise_sd: float
    ceiling_weighted_tau: float
    ceiling_kendall_tau: float
    test_size: float

    @property
    def weak(self) -> bool:
        """Whether this truth can hardly tell candidates apart. One seed alone cannot say, and is not weak."""
        return self.ratio < SMALL_RATIO or self.reliability < SMALL_RELIABILITY


def reliability(cells: Cells, draws: int = CEILING_DRAWS, seed: int = 0) -> list[Reliability]:
    """One row for each recipe and query of ``cells``, in their order.

    Args:
        cells: truths, with their seeds or the sizes of their test sets.
        draws: noisy truths that each ceiling is the mean over.
        seed: of the noise; every row has the same draws, so that it does not depend on the others.
    """
    return [
        _of_query(cells, recipe, query, draws, seed)
        for recipe in range(len(cells.recipes))
        for query in range(len(cells.queries))
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


def noise_variance(truth: Array, test_sizes: Array) -> tuple[str, Array]:
    """How much chance moves the mean truth of each candidate of one query.

    With several seeds: the pooled variance within candidates / the candidate's number of seeds, which is the noise of
    training. With one seed and known test sets: p (1 − p) / n, the noise of the test set. Neither contains the other.

    Args:
        truth: (n, seeds), NaN where missing; each row has one at least.
        test_sizes: (n,) images in the test set where the truth is a proportion, NaN unknown.

    Returns:
        ``seeds``, ``binomial`` or ``""`` (not known for all of them), and the variances (n,), NaN where not known.
    """
    within, _ = seed_variance(truth)
    if not np.isnan(within):
        return SEEDS, within / (~np.isnan(truth)).sum(axis=1)
    p = np.nanmean(truth, axis=1) if len(truth) else np.empty(0)
    if len(p) and (test_sizes > 0).all() and ((p >= 0) & (p <= 1)).all():
        return BINOMIAL, p * (1 - p) / test_sizes
    return UNKNOWN, np.full(len(truth), np.nan)


def noise_ceiling(means: Array, variance: Array, draws: int = CEILING_DRAWS, seed: int = 0) -> tuple[float, float]:
    """The τ that a metric which knows the expected truth of each candidate would reach against a noisy truth.

    The observed means x spread by their true differences and by noise. Shrunk to

        x̄ + sqrt(ρ) (x − x̄),        ρ = max(0, 1 − mean noise variance / variance of x),

    they spread as the expected truths do, so that noise is not counted twice. Noise of the given variance is added to
    them ``draws`` times; the ceiling is the mean τ between the shrunk means and these noisy ones. 0 where the means
    differ no more than the noise makes them differ (ρ = 0).

    Args:
        means: (n,) mean truths.
        variance: (n,) of the noise of each, as from ``noise_variance``.
        draws: number of noisy truths.
        seed: of the noise, which is normal.

    Returns:
        The ceilings of weighted τ and of Kendall's τ_b; NaN with fewer than two candidates, where a variance is NaN, or
        where all are equal without noise.
    """
    if len(means) < 2 or np.isnan(variance).any() or draws < 1:
        return np.nan, np.nan
    spread = float(means.var(ddof=1))
    share = max(0.0, 1 - float(variance.mean()) / spread) if spread > 0 else 0.0
    expected = means.mean() + np.sqrt(share) * (means - means.mean())
    generator = np.random.Generator(np.random.PCG64(seed))
    noisy = expected + np.sqrt(variance) * generator.standard_normal((draws, len(means)))
    return float(np.mean(weighted_tau(noisy, expected))), float(np.mean(kendall_tau(noisy, expected)))


def _of_query(cells: Cells, recipe: int, query: int, draws: int, seed: int) -> Reliability:
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
    assert cells.test_sizes is not None
    test_sizes = cells.test_sizes[query, there]
    noise, variance = noise_variance(truth[there], test_sizes)
    ceilings = noise_ceiling(means[there], variance, draws, seed)
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
        noise=noise,
        noise_sd=float(np.sqrt(variance.mean())) if len(variance) else np.nan,
        ceiling_weighted_tau=ceilings[0],
        ceiling_kendall_tau=ceilings[1],
        test_size=_reduce(np.min, test_sizes),
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

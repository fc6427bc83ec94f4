"""Sign-flip test over queries, and Holm's correction for many of them."""

from collections.abc import Sequence

import numpy as np

from tmbench.stats.bootstrap import group_of
from tmbench.stats.cells import Array

MOST_FLIPPED = 20
"""Up to so many independent groups of queries all sign patterns are tried; beyond, ``DRAWN_FLIPS`` random ones."""

DRAWN_FLIPS = 100_000

FLIPS_AT_A_TIME = 10_000
"""Random patterns are made so many at a time, which bounds the memory."""

ROUNDING = 1e-12
"""Sums that fall short of the observed one by less than this share of Σ |difference| count as reaching it."""


def sign_flip(differences: Array, families: Sequence[str] | None = None, seed: int = 0) -> float:
    """Two-sided p of a zero mean of ``differences``, by flipping their signs; queries of one family flip together.

    If neither of two metrics is better, each query's difference is as likely to be d as −d, whatever the others are.
    p is the share of the sign patterns whose |mean| reaches the observed one. Exact up to ``MOST_FLIPPED`` groups;
    beyond, with r of m random patterns, (r + 1) / (m + 1). It cannot be smaller than ``smallest_p``.

    Args:
        differences: (Q,) the mean difference of two metrics on each query.
        families: (Q,) as in ``Resampling.weights``; every query on its own where None.
        seed: of the random patterns.

    Returns:
        p, NaN without queries.

    Raises:
        ValueError: when a difference is NaN, or the lengths disagree.

    Fisher, The Design of Experiments, 1935, section 21; Phipson and Smyth, Permutation p-values should never be zero,
    Stat. Appl. Genet. Mol. Biol. 9(1), 2010, for the random patterns.
    """
    if np.isnan(differences).any():
        raise ValueError("a difference is NaN. Test the queries that have both metrics.")
    group = group_of([""] * len(differences) if families is None else families)
    if len(group) != len(differences):
        raise ValueError(f"{len(differences)} differences and {len(group)} families disagree.")
    if not len(group):
        return np.nan
    sums = np.bincount(group, differences)
    enough = abs(sums.sum()) - ROUNDING * np.abs(sums).sum()
    if len(sums) <= MOST_FLIPPED:
        # The first sign stays: a pattern and its negative have the same |sum|.
        flipped = sums[:1]
        for one in sums[1:]:
            flipped = np.concatenate([flipped + one, flipped - one])
        return float(np.mean(np.abs(flipped) >= enough))
    generator = np.random.Generator(np.random.PCG64(seed))
    reached = 0
    for _ in range(DRAWN_FLIPS // FLIPS_AT_A_TIME):
        signs = 1 - 2 * generator.integers(0, 2, size=(FLIPS_AT_A_TIME, len(sums)), dtype=np.int8)
        reached += int((np.abs(signs @ sums) >= enough).sum())
    return (reached + 1) / (DRAWN_FLIPS + 1)


def smallest_p(groups: int) -> float:
    """The smallest p that ``sign_flip`` can give with so many independent groups of queries; NaN without any.

    2^(1 − n): the observed signs and their negative, of 2^n patterns. With 5 groups it is .0625, so that no difference
    whatever reaches .05; beyond ``MOST_FLIPPED`` it is that of the random patterns.
    """
    if groups < 1:
        return np.nan
    return 2.0 ** (1 - groups) if groups <= MOST_FLIPPED else 1 / (DRAWN_FLIPS + 1)


def holm(p: Array) -> Array:
    """Holm's step-down correction of ``p`` (tests,): the chance of any false rejection stays below the level.

    NaN is no test: it is not counted and stays NaN.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2), 1979.
    """
    corrected = np.full(p.shape, np.nan)
    valid = np.flatnonzero(~np.isnan(p))
    order = valid[np.argsort(p[valid], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected

"""Pairwise comparison: one metric, variant or baseline against another, in the same setups."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Array, Resampling, mean_over_setups, sums_by_query
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.win_rate import EQUAL_DECIMALS

MOST_FLIPPED = 16
"""Up to so many queries all sign patterns are tried; beyond, ``DRAWN_FLIPS`` random ones."""

DRAWN_FLIPS = 100_000


@dataclass(frozen=True)
class Duel:
    """``metric`` against ``other`` over the setups in which both have a value.

    ``win``, ``tie`` and ``loss`` are shares of setups; ``difference`` = win − loss, with its interval over
    queries; ``p`` tests, over queries, that it is 0; ``p_holm`` is corrected for the number of duels.
    """

    metric: str
    other: str
    win: float
    tie: float
    loss: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    setups: int


def duels(outcomes: Outcomes, resampling: Resampling) -> list[Duel]:
    """All ordered pairs of what ``outcomes`` compares. Two orders of a pair are one test, not two."""
    queries = len(outcomes.labels["query"])
    rounded = np.round(outcomes.values, EQUAL_DECIMALS)
    found = []
    for first, second in permutations(range(len(outcomes.metrics)), 2):
        # inf does not occur: a measure is bounded or NaN. So the sign of the difference is 1, 0, −1 or NaN.
        sign = np.sign(rounded[:, first] - rounded[:, second])
        compared = ~np.isnan(sign)
        estimate = mean_over_setups(sign[:, None], outcomes.query, queries, resampling)
        sums, counts = sums_by_query(sign[:, None], outcomes.query, queries)
        seen = counts[:, 0] > 0
        total = max(int(compared.sum()), 1)
        found.append(
            Duel(
                metric=outcomes.metrics[first],
                other=outcomes.metrics[second],
                win=float((sign == 1).sum() / total) if seen.any() else np.nan,
                tie=float((sign == 0).sum() / total) if seen.any() else np.nan,
                loss=float((sign == -1).sum() / total) if seen.any() else np.nan,
                difference=float(estimate.value[0]),
                low=float(estimate.low[0]),
                high=float(estimate.high[0]),
                p=sign_flip(sums[seen, 0] / counts[seen, 0], resampling.seed),
                p_holm=np.nan,
                setups=int(compared.sum()),
            )
        )
    return _with_holm(found)


def sign_flip(differences: Array, seed: int = 0) -> float:
    """Two-sided p of a zero mean of ``differences`` (one a query), by flipping their signs.

    Exact up to ``MOST_FLIPPED`` queries: the share of the 2^n sign patterns whose |mean| reaches the observed
    one. The smallest p that n queries can give is 2^(1 − n). NaN without queries.
    """
    n = len(differences)
    if n == 0:
        return np.nan
    if n <= MOST_FLIPPED:
        # |mean| is the same for a pattern and its negative, so that half of the patterns suffice.
        patterns = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
        drawn = 0
    else:
        generator = np.random.Generator(np.random.PCG64(seed))
        patterns = generator.integers(0, 2, size=(DRAWN_FLIPS, n))
        drawn = 1
    reached = np.abs((1 - 2 * patterns) @ differences) >= abs(differences.sum()) - 1e-12
    return float((reached.sum() + drawn) / (len(patterns) + drawn))


def holm(p: Array) -> Array:
    """Holm's step-down correction of ``p`` (tests,), NaN left alone. Scand. J. Statist. 6(2), 1979."""
    corrected = np.full(p.shape, np.nan)
    valid = np.flatnonzero(~np.isnan(p))
    order = valid[np.argsort(p[valid], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _with_holm(found: list[Duel]) -> list[Duel]:
    once = {tuple(sorted((duel.metric, duel.other))): duel.p for duel in found}
    corrected: NDArray[np.float64] = holm(np.array(list(once.values()), dtype=np.float64))
    by_pair = dict(zip(once, corrected, strict=True))
    return [replace(duel, p_holm=float(by_pair[tuple(sorted((duel.metric, duel.other)))])) for duel in found]

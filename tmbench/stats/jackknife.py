"""Delete-one-family jackknife: what if another zoo of candidates had been at hand.

Candidates of one family (ResNets, say) behave alike, so that families are the sample, and families differ in size.
The formula is the plain one over families, G groups whatever their sizes:

    variance = (G − 1) / G · Σ_g (θ_(−g) − mean θ_(−g))²

For a mean over n candidates, deleting a family of m moves θ by m (θ − θ_g) / (n − m), where θ_g is the family's own
mean. So each term holds m² (θ_g − θ)² / (n − m)², and such terms are what the variance of a mean over whole clusters
adds up: right to first order when the candidates of a family are alike, and also when they have nothing in common. The
delete-m_j jackknife for groups of unequal size (Busing, Meijer and van der Leeden, Statistics and Computing 9, 1999)
weighs the same squares by m and not by m². That suits blocks of independent observations; where a large family moves
as one, which is what is asked here, it is too small. ``tests/stats/test_jackknife.py`` simulates both.

The values are centred at their own mean, not at the estimate: with a family fewer the pools are more alike, which
shifts all of them, and this shift is no uncertainty about the families.
"""

from collections.abc import Sequence

import numpy as np

from tmbench.stats.cells import Array

FEWEST_FAMILIES = 3
"""With fewer families the interval would be wider than the range of any statistic."""


def jackknife_error(without_one: Sequence[Array]) -> Array:
    """The standard error of a statistic over families, from its values (...) with each of them deleted in turn.

    NaN with fewer than ``FEWEST_FAMILIES`` families, and where a value is NaN: a statistic that cannot do without one
    of the families has no error over them.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11; over clusters of unequal size: MacKinnon,
    Nielsen and Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust inference, Journal of Applied
    Econometrics 38(5), 2023.
    """
    groups = len(without_one)
    if groups < FEWEST_FAMILIES:
        return np.full(np.shape(without_one[0]) if groups else (), np.nan)
    values = np.stack(without_one)
    error: Array = np.sqrt((groups - 1) / groups * np.sum((values - values.mean(axis=0)) ** 2, axis=0))
    return error


def jackknife_interval(
    estimate: Array,
    without_one: Sequence[Array],
    level: float = 0.95,
    least: float = -np.inf,
    most: float = np.inf,
) -> tuple[Array, Array]:
    """The interval ``estimate`` ± t_{G−1} · ``jackknife_error``, cut at the range of the statistic.

    Args:
        estimate: (...) the statistic with all G families.
        without_one: its G values (...) with each family of candidates deleted in turn.
        level: the nominal coverage.
        least: the smallest value that the statistic can take, such as 0 for a win rate.
        most: the largest.

    Returns:
        Lower and upper ends, of the shape of ``estimate``; NaN where there is no error.
    """
    from scipy.special import stdtrit

    groups = len(without_one)
    if groups < FEWEST_FAMILIES:
        nothing = np.full(np.shape(estimate), np.nan)
        return nothing, nothing
    reach = float(stdtrit(groups - 1, 0.5 + level / 2)) * jackknife_error(without_one)
    return np.clip(estimate - reach, least, most), np.clip(estimate + reach, least, most)

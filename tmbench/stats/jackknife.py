"""Delete-one-family jackknife: what if another zoo of candidates had been at hand."""

from collections.abc import Sequence

import numpy as np

from tmbench.stats.bootstrap import Array

FEWEST_FAMILIES = 3
"""With fewer families the interval would be wider than the range of any statistic."""


def jackknife_interval(estimate: Array, without_one: Sequence[Array], level: float = 0.95) -> tuple[Array, Array]:
    """The interval of ``estimate`` (...) from its value with each of G families of candidates deleted in turn.

        variance = (G − 1) / G · Σ_g (θ_(−g) − mean θ_(−g))²,        estimate ± t_{G−1} · sqrt(variance)

    Returns:
        Lower and upper ends, of the shape of ``estimate``; NaN with fewer than ``FEWEST_FAMILIES`` families.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11.
    """
    from scipy.special import stdtrit

    groups = len(without_one)
    if groups < FEWEST_FAMILIES:
        nothing = np.full(np.shape(estimate), np.nan)
        return nothing, nothing
    values = np.stack(without_one)
    deviation = np.sqrt((groups - 1) / groups * np.sum((values - values.mean(axis=0)) ** 2, axis=0))
    reach = float(stdtrit(groups - 1, 0.5 + level / 2)) * deviation
    return estimate - reach, estimate + reach

"""Win rate: in what share of the setups a metric comes out best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Array, Estimate, Resampling, mean_over_setups
from tmbench.stats.outcomes import Outcomes

EQUAL_DECIMALS = 12
"""Values equal to this many decimals are tied: the same ranking reached by another sum differs in the last bits."""


@dataclass(frozen=True)
class WinRate:
    """Win rates of the field: F metrics, under the three rules for ties.

    Attributes:
        metrics: (F,) positions in the outcomes' metrics.
        strict: (F,) share of setups that the metric wins alone.
        split: (F,) a tied win counts 1 / (number of winners); sums to 1. Its interval is over queries.
        all: (F,) a tied win counts 1 for each winner; can sum to more than 1.
        setups: number of setups in which the whole field has values; only these count.
        missing: number of setups left out because a metric of the field has no value.
    """

    metrics: NDArray[np.intp]
    strict: Array
    split: Estimate
    all: Array
    setups: int
    missing: int


def winners(values: Array) -> NDArray[np.bool_]:
    """(S, F) which metrics are best in each setup, ties included; ``values`` (S, F) without NaN."""
    rounded = np.round(values, EQUAL_DECIMALS)
    return rounded == rounded.max(axis=1, keepdims=True)


def win_rate(outcomes: Outcomes, resampling: Resampling) -> WinRate:
    """Who wins among the field of ``outcomes``: its metrics; variants and baselines take no vote."""
    field = outcomes.field
    values = outcomes.values[:, field]
    complete = ~np.isnan(values).any(axis=1) if len(field) else np.zeros(len(outcomes), dtype=bool)
    setups = int(complete.sum())
    won = winners(values[complete]) if setups else np.zeros((0, len(field)), dtype=bool)
    number = won.sum(axis=1, keepdims=True)
    queries = len(outcomes.labels["query"])
    split = mean_over_setups(won / np.maximum(number, 1), outcomes.query[complete], queries, resampling)
    nothing = np.full(len(field), np.nan)
    return WinRate(
        metrics=field,
        strict=(won & (number == 1)).mean(axis=0) if setups else nothing,
        split=split,
        all=won.mean(axis=0) if setups else nothing,
        setups=setups,
        missing=len(outcomes) - setups,
    )

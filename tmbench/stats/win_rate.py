"""Win rate: in what share of the setups a metric comes out best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.bootstrap import Estimate, Resampling, mean_of_sums
from tmbench.stats.cells import Array
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.tally import Tally


@dataclass(frozen=True)
class WinRate:
    """Win rates of the field: F metrics, under the three rules for ties, with bounds for what is missing.

    Attributes:
        metrics: (F,) positions in the tally's names.
        strict: (F,) share of setups that the metric wins alone.
        split: (F,) a tied win counts 1 / (number of winners); sums to 1. Its interval is over queries.
        all: (F,) a tied win counts 1 for each winner; can sum to more than 1.
        setups: number of setups in which the whole field has values; only these count above.
        missing: number of setups left out because a metric of the field has no value.
        as_loss: (F,) over all setups, each missing score losing and the present ones competing, ties split.
        lowest, highest: (F,) over all setups: where a score is missing, the metric itself has lost and a missing rival
            has won; and the reverse.
    """

    metrics: NDArray[np.intp]
    strict: Array
    split: Estimate
    all: Array
    setups: int
    missing: int
    as_loss: Array
    lowest: Array
    highest: Array


def winners(merit: Array) -> NDArray[np.bool_]:
    """(..., F) which metrics are best in each setup, ties included; nobody where all are NaN. More is better."""
    best = np.where(np.isnan(merit), -np.inf, merit).max(axis=-1, keepdims=True, initial=-np.inf)
    return merit == best


def win_sums(outcomes: Outcomes) -> dict[str, Array]:
    """The sums over a chunk that ``win_rate`` needs, each (E, Q, F), and the number of complete setups (E, Q)."""
    merit = outcomes.merit[..., outcomes.field]
    if not merit.shape[-1]:
        nothing = np.zeros((*merit.shape[:2], 0))
        sums = dict.fromkeys(("strict", "split", "tied", "as_loss", "own_missing"), nothing)
        return {**sums, "complete": np.zeros(merit.shape[:2])}
    won = winners(merit)
    number = won.sum(axis=-1, keepdims=True)
    share = won / np.maximum(number, 1)
    complete = outcomes.complete
    counted = won & complete[..., None]
    return {
        "strict": (counted & (number == 1)).sum(axis=2),
        "split": np.where(complete[..., None], share, 0.0).sum(axis=2),
        "tied": counted.sum(axis=2),
        "as_loss": share.sum(axis=2),
        "own_missing": (np.isnan(merit) & outcomes.asked[..., None]).sum(axis=2),
        "complete": complete.sum(axis=2),
    }


def winner_sets(outcomes: Outcomes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which sets of metrics won the complete setups, as bits, and how often each."""
    won = winners(outcomes.merit[..., outcomes.field])[outcomes.complete]
    bits = won @ (1 << np.arange(won.shape[-1], dtype=np.int64))
    return np.unique(bits, return_counts=True)


def win_rate(tally: Tally, resampling: Resampling, measure: int | None = None) -> WinRate:
    """Who wins among the field: its metrics; variants and baselines take no vote.

    Args:
        tally: the sums over a slice of the study.
        resampling: of the queries.
        measure: the position of the one measure to look at; over all of them where None.
    """
    chosen = slice(None) if measure is None else slice(measure, measure + 1)
    sums = {
        name: tally.sums[name][chosen].sum(axis=0) for name in ("strict", "split", "tied", "as_loss", "own_missing")
    }
    complete = tally.sums["complete"][chosen].sum(axis=0)
    setups, asked = int(complete.sum()), int(tally.sums["setups"][chosen].sum())
    counts = np.repeat(complete[:, None], len(tally.field), axis=1)
    return WinRate(
        metrics=tally.field,
        strict=_share(sums["strict"], setups),
        split=mean_of_sums(sums["split"], counts, tally.families, resampling),
        all=_share(sums["tied"], setups),
        setups=setups,
        missing=asked - setups,
        as_loss=_share(sums["as_loss"], asked),
        lowest=_share(sums["split"], asked),
        highest=_share(sums["as_loss"] + sums["own_missing"], asked),
    )


def _share(by_query: Array, number: int) -> Array:
    return by_query.sum(axis=0) / number if number else np.full(by_query.shape[1], np.nan)

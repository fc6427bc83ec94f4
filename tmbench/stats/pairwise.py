"""Pairwise comparison: one metric, variant or baseline against another, in the same setups."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from tmbench.stats.bootstrap import Resampling, mean_of_sums
from tmbench.stats.cells import Array
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.sign_flip import holm, sign_flip
from tmbench.stats.tally import Tally


@dataclass(frozen=True)
class Duel:
    """``metric`` against ``other`` over the setups in which both have a value.

    ``win``, ``tie`` and ``loss`` are shares of setups; ``difference`` = win − loss, with its interval over
    queries; ``p`` tests, over queries, that it is 0. ``p_holm`` is corrected for the number of duels between metrics of
    the field; duels with a variant or a baseline are other questions and are corrected among themselves.
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


def duel_sums(outcomes: Outcomes) -> dict[str, Array]:
    """(Q, M, M) in how many setups of a chunk one has more merit than the other, and in how many both have any."""
    merit = outcomes.merit
    there = (~np.isnan(merit)).astype(np.float32)
    measures, queries, pools, metrics = merit.shape
    # (Q, setups, M): products of 0 and 1 in float32 are exact far beyond a chunk's size.
    flat = there.transpose(1, 0, 2, 3).reshape(queries, measures * pools, metrics)
    won = np.stack([(merit[..., one, None] > merit).sum(axis=(0, 2)) for one in range(metrics)], axis=1)
    return {"won": won, "met": flat.transpose(0, 2, 1) @ flat}


def duels(tally: Tally, resampling: Resampling) -> list[Duel]:
    """All ordered pairs of what is compared. Two orders of a pair are one test, not two."""
    won, met = tally.sums["won"], tally.sums["met"]
    lost = won.transpose(0, 2, 1)
    count = len(tally.names)
    estimate = mean_of_sums((won - lost).reshape(len(won), -1), met.reshape(len(met), -1), tally.families, resampling)
    low, high = estimate.low.reshape(count, count), estimate.high.reshape(count, count)
    found = []
    for first, second in permutations(range(count), 2):
        number = met[:, first, second]
        total = number.sum()
        wins, losses = won[:, first, second], lost[:, first, second]
        seen = number > 0
        families = [tally.families[query] for query in np.flatnonzero(seen)]
        found.append(
            Duel(
                metric=tally.names[first],
                other=tally.names[second],
                win=_share(wins.sum(), total),
                tie=_share((number - wins - losses).sum(), total),
                loss=_share(losses.sum(), total),
                difference=_share((wins - losses).sum(), total),
                low=float(low[first, second]),
                high=float(high[first, second]),
                p=sign_flip((wins - losses)[seen] / number[seen], families, resampling.seed),
                p_holm=np.nan,
                setups=int(total),
            )
        )
    field = {tally.names[metric] for metric in tally.field}
    inside = [{duel.metric, duel.other} <= field for duel in found]
    return _with_holm(found, inside)


def _share(number: float, total: float) -> float:
    return float(number / total) if total else np.nan


def _with_holm(found: list[Duel], inside: list[bool]) -> list[Duel]:
    """Each duel with its corrected p; those ``inside`` the field are one set of tests, the others another."""
    sets: tuple[dict[tuple[str, str], float], ...] = ({}, {})
    for duel, within in zip(found, inside, strict=True):
        sets[within][_pair(duel)] = duel.p
    corrected: dict[tuple[str, str], float] = {}
    for once in sets:
        corrected.update(zip(once, holm(np.array(list(once.values()), dtype=np.float64)), strict=True))
    return [replace(duel, p_holm=float(corrected[_pair(duel)])) for duel in found]


def _pair(duel: Duel) -> tuple[str, str]:
    """The two, whichever comes first."""
    return (duel.metric, duel.other) if duel.metric < duel.other else (duel.other, duel.metric)

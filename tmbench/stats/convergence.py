"""Convergence: how many setups, and how many queries, it takes to name the winner."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from tmbench.stats.bootstrap import group_of
from tmbench.stats.cells import Array
from tmbench.stats.tally import Tally

NUMBERS_OF_SETUPS = (1, 3, 10, 30, 100, 300, 1000)

DRAWS = 10_000
"""Random draws where the probability cannot be summed up exactly."""

NUMBERS_OF_QUERIES = (*range(1, 11), 15, 20, 30, 50, 100)

MOST_ENUMERATED = 20_000
"""Up to so many subsets of queries all are tried."""


@dataclass(frozen=True)
class Convergence:
    """``probability`` that ``count`` random setups, or queries, name the winner.

    ``unit`` is ``setups``: drawn with replacement, they name the metric that wins the whole study; or ``queries``:
    drawn without, they name the metric that wins the remaining queries; queries of one family are one. Ties split, and
    a tie for the first place names each of the tied with equal chance.
    """

    unit: str
    count: int
    probability: float


def convergence(tally: Tally, seed: int = 0) -> list[Convergence]:
    """How the probability grows with the number of setups and of queries; nothing with fewer than two metrics."""
    if len(tally.field) < 2:
        return []
    setups = int(tally.sums["complete"].sum())
    return [*_over_setups(tally.winner_sets, len(tally.field), setups, seed), *_over_queries(tally, seed)]


def _over_setups(winner_sets: Mapping[int, int], metrics: int, setups: int, seed: int) -> Iterator[Convergence]:
    if not setups:
        return
    bits = np.array(sorted(winner_sets), dtype=np.int64)
    number = np.array([winner_sets[int(one)] for one in bits], dtype=np.float64)
    won = (bits[:, None] >> np.arange(metrics)) & 1
    share = won / won.sum(axis=1, keepdims=True)
    overall = _first(number @ share)
    generator = np.random.Generator(np.random.PCG64(seed))
    for count in NUMBERS_OF_SETUPS:
        if count > setups:
            return
        if count == 1:
            probability = float(_agreement(share, overall[None]) @ number / number.sum())
        else:
            drawn = generator.multinomial(count, number / number.sum(), size=DRAWS)
            probability = float(_agreement(_first(drawn @ share), overall[None]).mean())
        yield Convergence("setups", count, probability)


def _over_queries(tally: Tally, seed: int) -> Iterator[Convergence]:
    """Each subset of N queries against the others, which are as many or more: of fewer, the winner is less certain.

    Both sides go by their split wins over complete setups. Queries of one family stand on one side, and count as one.
    """
    complete = tally.sums["complete"].sum(axis=0)
    seen = np.flatnonzero(complete > 0)
    group = group_of([tally.families[query] for query in seen])
    queries = int(group.max(initial=-1)) + 1
    wins = np.zeros((queries, len(tally.field)))
    np.add.at(wins, group, tally.sums["split"].sum(axis=0)[seen])
    generator = np.random.Generator(np.random.PCG64(seed))
    for count in (number for number in NUMBERS_OF_QUERIES if number <= queries // 2):
        chosen = _subsets(queries, count, generator)
        some, rest = _first(chosen @ wins), _first((1 - chosen) @ wins)
        yield Convergence("queries", count, float(_agreement(some, rest).mean()))


def _subsets(queries: int, count: int, generator: np.random.Generator) -> Array:
    """(subsets, queries) of 0 and 1: all subsets of ``count`` queries, or random ones where there are too many."""
    if comb(queries, count) <= MOST_ENUMERATED:
        members = np.array(list(combinations(range(queries), count)))
    else:
        members = np.argsort(generator.random((DRAWS, queries)), axis=1)[:, :count]
    chosen = np.zeros((len(members), queries))
    np.put_along_axis(chosen, members, 1.0, axis=1)
    return chosen


def _first(wins: Array) -> Array:
    """(..., F) the chance of each metric to be named by ``wins`` (..., F): the most wins, ties split."""
    rounded = np.round(wins, 9)
    first = rounded == rounded.max(axis=-1, keepdims=True)
    return first / first.sum(axis=-1, keepdims=True)


def _agreement(named: Array, winner: Array) -> Array:
    """(...,) the chance that the metric named is the winner, tied winners counting as right."""
    return np.sum(named * (winner > 0), axis=-1)

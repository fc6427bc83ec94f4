"""One pass over the pools of a study, in constant memory: chunks of pools → outcomes → sums."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import Array, Cells
from tmbench.stats.entropy import rank_sums
from tmbench.stats.measures import Measure
from tmbench.stats.outcomes import ALL, Evaluation, Outcomes, PoolChunk, Slice, ranking_directions
from tmbench.stats.pairwise import duel_sums
from tmbench.stats.stability import PairDraws, across_sums, pair_draws, stability_sums
from tmbench.stats.tally import Across, StudyTally, Sums, Tally, add
from tmbench.stats.win_rate import win_sums, winner_sets

MOST_METRICS = 62
"""So many metrics can compete at once: the set of those that win a setup is kept as bits of one integer."""

VALUES_AT_A_TIME = 1 << 21
"""A chunk is split so that its largest array has about so many numbers (16 MB); what is read stays in the caches."""


def tally_study(
    cells: Cells,
    chunks: Iterable[PoolChunk],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    advance: Callable[[int], None] = lambda setups: None,
) -> StudyTally:
    """Sum up every setup of one scenario: recipe x level x query x pool x measure.

    The chunks are worked on by as many threads as there are cores and added in their order, so that the sums are the
    same, bit for bit, whatever the machine.

    Args:
        cells: truths and scores.
        chunks: each pool of the scenario once.
        measures: by name.
        resampling: of the queries; only the stability between queries needs it here.
        advance: told the number of setups finished.

    Raises:
        ConfigError: when a measure is a ratio of truths and one of these is negative, or more than ``MOST_METRICS``
            metrics compete.
    """
    work = _Pass(Evaluation(cells, measures), pair_draws(cells.query_families, resampling))
    if max((len(one) for one in work.evaluation.fields), default=0) > MOST_METRICS:
        raise ConfigError(
            f"{cells.scenario}: more than {MOST_METRICS} metrics compete. Name those to compare, metric=[…], or make "
            "some of them variants (kinds: {NAME: variant})."
        )
    total = work.empty(tuple(measures))
    small = chain.from_iterable(_split(chunk, work.pools_at_a_time) for chunk in chunks)
    for part in _in_order(work.sums_of, small):
        for tally, (sums, sets) in zip(total.slices, part.slices, strict=True):
            add(tally.sums, sums)
            tally.winner_sets.update(sets)
        for across, sums in zip(total.across, part.across, strict=True):
            add(across.sums, sums)
        advance(part.setups)
    return total


@dataclass(frozen=True)
class _Part:
    """The sums over one chunk: by slice, and by what varies across slices."""

    slices: list[tuple[Sums, Counter[int]]]
    across: list[Sums]
    setups: int


class _Pass:
    """What to sum up of each chunk."""

    def __init__(self, evaluation: Evaluation, draws: PairDraws) -> None:
        self.evaluation = evaluation
        self.draws = draws
        cells = evaluation.cells
        self.slices = [(recipe, level) for recipe in range(len(cells.recipes)) for level in range(len(cells.levels))]
        self.varying = list(_varying(cells))
        self.seeds = len(cells.seeds) if len(cells.seeds) > 1 else 0
        metrics = len(cells.names)
        fields = max((len(one) for one in evaluation.fields), default=0)
        pairs = len(cells.queries) * (len(cells.queries) - 1) // 2 if len(draws.weights) else 0
        by_query = max(metrics, fields * (fields - 1) // 2, 1) * max(len(cells.queries), 1)
        widest = max(by_query, pairs) * max(len(evaluation.measures), 1)
        self.pools_at_a_time = max(16, VALUES_AT_A_TIME // widest)

    def empty(self, measures: tuple[str, ...]) -> StudyTally:
        """The tallies of no setup, their sums filled from a chunk without pools."""
        cells = self.evaluation.cells
        where = [Slice(cells.scenario, cells.recipes[r], cells.levels[v], cells.direction) for r, v in self.slices]
        slices = [
            Tally(one, measures, cells.queries, cells.query_families, cells.names, cells.all_kinds, field)
            for one, field in zip(where, (self.evaluation.fields[level] for _, level in self.slices), strict=True)
        ]
        across = [Across(group.where, group.varied, cells.query_families) for group in self.varying]
        if self.seeds:
            across += [Across(one, "seed", cells.query_families) for one in where]
        shape = (0, len(cells.candidates)), (0, len(cells.queries))
        nothing = self.sums_of(PoolChunk(np.zeros(shape[0], dtype=bool), np.zeros(shape[1], dtype=bool)))
        for tally, (sums, _) in zip(slices, nothing.slices, strict=True):
            add(tally.sums, sums)
        for one_across, sums in zip(across, nothing.across, strict=True):
            add(one_across.sums, sums)
        return StudyTally(slices, across)

    def sums_of(self, chunk: PoolChunk) -> _Part:
        """The sums over the pools of ``chunk``."""
        every = {place: self.evaluation.outcomes(chunk, *place) for place in self.slices}
        slices = [(_sums(outcomes, self.draws), _counted(*winner_sets(outcomes))) for outcomes in every.values()]
        across = [across_sums(_in_common_field(every, group.places)) for group in self.varying]
        if self.seeds:
            across += [
                across_sums([self.evaluation.outcomes(chunk, *place, seed).directions for seed in range(self.seeds)])
                for place in self.slices
            ]
        return _Part(slices, across, int(chunk.serves.sum()) * len(self.slices) * len(self.evaluation.measures))


@dataclass(frozen=True)
class _Varying:
    """Slices that differ in one component alone."""

    varied: str
    where: Slice
    places: list[tuple[int, int]]


def _varying(cells: Cells) -> Iterator[_Varying]:
    """Recipes at each level; levels of one implementation, and implementations of one level, under each recipe."""
    if len(cells.recipes) > 1:
        for level, name in enumerate(cells.levels):
            where = Slice(cells.scenario, ALL, name, cells.direction)
            yield _Varying("recipe", where, [(recipe, level) for recipe in range(len(cells.recipes))])
    parts = [name.partition("@") for name in cells.levels]
    for varied, kept, title in (("level", 2, "all@{}"), ("implementation", 0, "{}@all")):
        groups: dict[str, list[int]] = {}
        for level, part in enumerate(parts):
            groups.setdefault(part[kept], []).append(level)
        for name, levels in groups.items():
            if len(levels) < 2:
                continue
            label = title.format(name) if any(part[1] for part in parts) else ALL
            for recipe, recipe_name in enumerate(cells.recipes):
                where = Slice(cells.scenario, recipe_name, label, cells.direction)
                yield _Varying(varied, where, [(recipe, level) for level in levels])


def _in_common_field(every: Mapping[tuple[int, int], Outcomes], places: list[tuple[int, int]]) -> list[Array]:
    """The directions of each place, over the metrics that compete in all of them."""
    field: NDArray[np.intp] = every[places[0]].field
    for place in places[1:]:
        field = np.intersect1d(field, every[place].field)
    return [ranking_directions(every[place].merit[..., field]) for place in places]


def _sums(outcomes: Outcomes, draws: PairDraws) -> Sums:
    values, asked = outcomes.values, outcomes.asked
    there = ~np.isnan(values)
    measures = len(values)
    return {
        "setups": np.repeat(asked.sum(axis=1)[None], measures, axis=0).astype(np.float64),
        "value": np.where(there, values, 0.0).sum(axis=2),
        "valued": there.sum(axis=2),
        "inapplicable": measures * (outcomes.inapplicable & asked[..., None]).sum(axis=1),
        "constant": measures * (outcomes.constant & asked[..., None]).sum(axis=1),
        **win_sums(outcomes),
        **duel_sums(outcomes),
        **rank_sums(outcomes),
        **stability_sums(outcomes, draws),
    }


def _counted(sets: NDArray[np.int64], counts: NDArray[np.int64]) -> Counter[int]:
    return Counter(dict(zip(sets.tolist(), counts.tolist(), strict=True)))


def _split(chunk: PoolChunk, pools: int) -> Iterator[PoolChunk]:
    """``chunk`` in pieces of at most ``pools``."""
    for start in range(0, len(chunk.members), pools):
        rows = slice(start, start + pools)
        yield PoolChunk(chunk.members[rows], chunk.serves[rows])


Item = TypeVar("Item")
Result = TypeVar("Result")


def _in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map`` by a thread a core, results in the order of ``items``; only a few are in the making at a time."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

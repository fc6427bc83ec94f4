"""Outcomes: one value of an evaluation measure for each setup and each metric."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import INAPPLICABLE, Cells
from tmbench.stats.measures import MeasureFunction

AXES = ("scenario", "recipe", "level", "query", "measure")
"""The axes of a setup that bear names; its sixth, the pool, bears a number."""

Pools = Callable[[int], Sequence[NDArray[np.integer]]]
"""The pools of a query by its index: arrays (P, k) of candidates, one array a pool size."""


class Slice(NamedTuple):
    """What a table row is about, before anything is averaged."""

    scenario: str
    recipe: str
    level: str
    direction: str


@dataclass(frozen=True)
class Outcomes:
    """S setups, each with one value for each of M metrics, variants and baselines.

    Attributes:
        values: (S, M) float64; NaN where a metric has no value.
        inapplicable: (S, M) bool; the value is absent because the metric does not apply to a candidate.
        metrics: (M,) names.
        kinds: (M,) ``metric``, ``variant`` or ``baseline``.
        scenario, recipe, level, query, measure: (S,) int32, positions in ``labels``.
        pool: (S,) int32; within a scenario the same number means the same set of candidates, whatever the query.
        labels: the names along each of ``AXES``.
        directions: one for each scenario.
    """

    values: NDArray[np.float64]
    inapplicable: NDArray[np.bool_]
    metrics: tuple[str, ...]
    kinds: tuple[str, ...]
    scenario: NDArray[np.int32]
    recipe: NDArray[np.int32]
    level: NDArray[np.int32]
    query: NDArray[np.int32]
    measure: NDArray[np.int32]
    pool: NDArray[np.int32]
    labels: Mapping[str, tuple[str, ...]]
    directions: tuple[str, ...]

    def __len__(self) -> int:
        """The number of setups."""
        return len(self.values)

    def axis(self, name: str) -> NDArray[np.int32]:
        """(S,) the column of the axis ``name``."""
        column: NDArray[np.int32] = getattr(self, name)
        return column

    @property
    def field(self) -> NDArray[np.intp]:
        """Which of ``metrics`` compete here: those of kind metric that apply to at least one setup."""
        competes = ~np.all(self.inapplicable, axis=0) if len(self) else np.ones(len(self.metrics), dtype=bool)
        return np.flatnonzero([kind == "metric" and competes[i] for i, kind in enumerate(self.kinds)])

    def where(self, mask: NDArray[np.bool_]) -> "Outcomes":
        """The setups that ``mask`` (S,) keeps; the labels stay."""
        columns: dict[str, Any] = {name: self.axis(name)[mask] for name in (*AXES, "pool")}
        return replace(self, values=self.values[mask], inapplicable=self.inapplicable[mask], **columns)

    def slices(self) -> Iterator[tuple[Slice, "Outcomes"]]:
        """The setups of each (scenario, recipe, level), in the order of the labels."""
        for s, scenario in enumerate(self.labels["scenario"]):
            for r, recipe in enumerate(self.labels["recipe"]):
                for v, level in enumerate(self.labels["level"]):
                    mask = (self.scenario == s) & (self.recipe == r) & (self.level == v)
                    if mask.any():
                        yield Slice(scenario, recipe, level, self.directions[s]), self.where(mask)


def evaluate(
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    pools: NDArray[np.integer],
    measure: MeasureFunction,
) -> NDArray[np.float64]:
    """One query's outcomes on each pool.

    Args:
        truth: (n,) of each candidate; NaN where missing.
        scores: (M, n); NaN where missing or inapplicable.
        pools: (P, k) indices of candidates.
        measure: such as ``measures.weighted_tau``.

    Returns:
        (P, M). NaN for a metric without a score somewhere in the pool, for all of them where a truth is missing,
        and where the measure itself is undefined.
    """
    pool_truth, pool_scores = truth[pools], scores[:, pools].transpose(1, 0, 2)
    usable = ~np.isnan(pool_truth).any(axis=-1)[:, None] & ~np.isnan(pool_scores).any(axis=-1)
    if usable.all():
        return measure(pool_truth[:, None, :], pool_scores)
    values = np.full(usable.shape, np.nan)
    pool, metric = np.nonzero(usable)
    if len(pool):
        values[pool, metric] = measure(pool_truth[pool], pool_scores[pool, metric])
    return values


def evaluate_study(cells: Cells, pools: Pools, measures: Mapping[str, MeasureFunction]) -> Outcomes:
    """Every setup of ``cells``: recipe x level x query x measure x pool, in this order.

    Args:
        cells: truths and scores.
        pools: for the index of a query, its pools as arrays (P, k) of candidates, one array a pool size, drawn
            from ``common_candidates(cells)`` where the metrics are to meet on equal terms.
        measures: functions by name.
    """
    blocks = [(query, np.asarray(indices)) for query in range(len(cells.queries)) for indices in pools(query)]
    for query, indices in blocks:
        if indices.ndim != 2:
            raise ValueError(f"the pools of '{cells.queries[query]}' have shape {indices.shape}, not (pools, size).")
    numbers = _pool_numbers(blocks, len(cells.candidates))
    truth = cells.mean_truth
    values, inapplicable, columns = [], [], []
    for recipe in range(len(cells.recipes)):
        for level in range(len(cells.levels)):
            scores, states = cells.rows(recipe, level), cells.row_states(recipe, level)
            for block, (query, indices) in enumerate(blocks):
                cannot = (states[:, query] == INAPPLICABLE)[:, indices].any(axis=-1).T
                for number, function in enumerate(measures.values()):
                    values.append(evaluate(truth[recipe, query], scores[:, query], indices, function))
                    inapplicable.append(cannot)
                    columns.append((recipe, level, query, number, block))
    sizes = [len(block) for block in values]
    names = cells.names
    table = np.array(columns, dtype=np.int32).reshape(-1, 5)
    recipe_column, level_column, query_column, measure_column = (np.repeat(column, sizes) for column in table.T[:4])
    return Outcomes(
        values=np.concatenate(values) if values else np.empty((0, len(names))),
        inapplicable=np.concatenate(inapplicable) if inapplicable else np.empty((0, len(names)), dtype=bool),
        metrics=names,
        kinds=cells.all_kinds,
        scenario=np.zeros(sum(sizes), dtype=np.int32),
        recipe=recipe_column,
        level=level_column,
        query=query_column,
        measure=measure_column,
        pool=np.concatenate([numbers[block] for block in table[:, 4]]) if values else np.empty(0, dtype=np.int32),
        labels={
            "scenario": (cells.scenario,),
            "recipe": cells.recipes,
            "level": cells.levels,
            "query": cells.queries,
            "measure": tuple(measures),
        },
        directions=(cells.direction,),
    )


def concatenate(parts: Sequence[Outcomes]) -> Outcomes:
    """The setups of several scenarios in one table; they must have the same metrics, and scenarios of their own.

    Raises:
        ValueError: when metrics or kinds differ, or a scenario comes twice.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.metrics != first.metrics or part.kinds != first.kinds:
            raise ValueError(
                f"outcomes of different metrics cannot be joined: {', '.join(first.metrics)} "
                f"and {', '.join(part.metrics)}."
            )
    scenarios = [name for part in parts for name in part.labels["scenario"]]
    if len(set(scenarios)) != len(scenarios):
        raise ValueError(f"a scenario comes twice: {', '.join(scenarios)}.")
    labels = {axis: tuple(dict.fromkeys(name for part in parts for name in part.labels[axis])) for axis in AXES}
    columns: dict[str, Any] = {}
    for axis in AXES:
        position = {name: number for number, name in enumerate(labels[axis])}
        moved = [np.array([position[name] for name in part.labels[axis]], dtype=np.int32) for part in parts]
        columns[axis] = np.concatenate([m[part.axis(axis)] for m, part in zip(moved, parts, strict=True)])
    return replace(
        first,
        values=np.concatenate([part.values for part in parts]),
        inapplicable=np.concatenate([part.inapplicable for part in parts]),
        pool=np.concatenate([part.pool for part in parts]),
        labels=labels,
        directions=tuple(direction for part in parts for direction in part.directions),
        **columns,
    )


def _pool_numbers(blocks: Sequence[tuple[int, NDArray[np.integer]]], candidates: int) -> list[NDArray[np.int32]]:
    """For each (query, pools): a number for each pool, equal exactly for equal sets of candidates."""
    keys = []
    for _, indices in blocks:
        member = np.zeros((len(indices), candidates), dtype=bool)
        np.put_along_axis(member, indices, True, axis=1)
        if (member.sum(axis=1) != indices.shape[1]).any():
            raise ValueError("a pool names a candidate twice.")
        packed = np.packbits(member, axis=1)
        keys.append(np.ascontiguousarray(packed).view(f"S{packed.shape[1]}").ravel())
    if not keys:
        return []
    numbers = np.unique(np.concatenate(keys), return_inverse=True)[1].astype(np.int32)
    parts = np.split(numbers, np.cumsum([len(key) for key in keys])[:-1])
    for query in {query for query, _ in blocks}:
        mine = np.concatenate([part for part, (owner, _) in zip(parts, blocks, strict=True) if owner == query])
        if len(np.unique(mine)) != len(mine):
            raise ValueError("a query has the same pool twice; each setup counts once.")
    return parts

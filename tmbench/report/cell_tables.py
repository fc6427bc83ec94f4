"""What stands behind the statistics: the matrix of cells, and what was counted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.contract import INDEPENDENT, TIED, Row, all_tie
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import INAPPLICABLE, MISSING, Array, Cells
from tmbench.stats.outcomes import ALL, Slice

if TYPE_CHECKING:
    from pandas import DataFrame

    from tmbench.report.tables import Scene


def count_rows(scene: Scene, resampling: Resampling, policies: Mapping[str, str], split: bool) -> Iterator[Row]:
    """Setups, gaps and failed rankings of each slice, then what reading the cells found.

    Where ``split``, the scenario has several scenes, and these rows name the recipes and levels of this one.
    """
    cells = scene.cells
    for tally in scene.tally.slices:
        where = tally.where._asdict()
        yield {**where, "what": "setups", "count": tally.setups, "policy": "complete or not"}
        yield {
            **where, "what": "setups missing", "count": tally.missing,
            "policy": "a metric that competes has no value: left out of the win rate, counted in bounds",
        }  # fmt: skip
        without = (tally.sums["setups"] - tally.sums["complete"]).sum(axis=0)
        if number := int(without[_tied(cells, cells.recipes.index(tally.where.recipe))].sum()):
            policy = f"{all_tie(cells.direction)} on the query: there is no order to predict"
            yield {**where, "what": TIED, "count": number, "policy": policy}
        for name, number in zip(tally.names, tally.sums["constant"].sum(axis=0), strict=True):
            if number:
                policy = "setups with one score for the whole pool: a failed ranking, not a missing one"
                yield {**where, "what": f"constant scores: {name}", "count": round(float(number)), "policy": policy}
    recipes, levels = (" ".join(names) if split else ALL for names in (cells.recipes, cells.levels))
    where = Slice(cells.scenario, recipes, levels, cells.direction)._asdict()
    yield {**where, "what": "queries", "count": len(cells.queries), "policy": ""}
    yield {
        **where, "what": INDEPENDENT, "count": resampling.groups(cells.query_families),
        "policy": "queries of one family are resampled together",
    }  # fmt: skip
    yield {**where, "what": "candidates", "count": len(cells.candidates), "policy": ""}
    for what, number, policy in _gaps(scene):
        yield {**where, "what": what, "count": number, "policy": policy}
    for name, number in cells.counts.items():
        yield {**where, "what": name, "count": int(number), "policy": policies.get(name, "")}


def _tied(cells: Cells, recipe: int) -> Array:
    """(Q,) whether two or more candidates of a query have a truth, and all the same."""
    truth = cells.mean_truth[recipe]
    there = cells.eligible & ~np.isnan(truth)
    least, greatest = np.where(there, truth, np.inf).min(axis=1), np.where(there, truth, -np.inf).max(axis=1)
    tied: Array = (there.sum(axis=1) > 1) & (least == greatest)
    return tied


def _gaps(scene: Scene) -> Iterator[tuple[str, int, str]]:
    """What the cells of the study lack, and the queries that have nothing to rank."""
    cells = scene.cells
    states = np.concatenate([cells.state, *(one.state[:, None] for one in cells.combined)], axis=1)
    here = states[..., cells.eligible]
    yield (
        "missing truths",
        int(np.isnan(cells.mean_truth[:, cells.eligible]).sum()),
        "cells and recipes without a truth: the setups that hold them have no value",
    )
    yield (
        "missing scores",
        int((here == MISSING).sum()),
        "the metric has no value in the setups that hold them",
    )
    yield (
        "inapplicable scores",
        int((here == INAPPLICABLE).sum()),
        "the candidate leaves the pools where the metric competes",
    )
    setups = sum((tally.sums["setups"].sum(axis=0) for tally in scene.tally.slices), np.zeros(len(cells.queries)))
    yield "queries without setups", int((setups == 0).sum()), "fewer than two candidates: nothing to rank"


def cell_matrix(every: Sequence[Cells]) -> DataFrame:
    """One row for each level and cell of the study; absent scores are empty and named by their reason."""
    import pandas

    return pandas.concat(
        [pandas.DataFrame(_columns(cells, level)) for cells in every for level in range(len(cells.levels))],
        ignore_index=True,
    )


def _columns(cells: Cells, level: int) -> dict[str, Any]:
    """The matrix of one level by column, (cells,) each."""
    query, candidate = np.nonzero(cells.eligible)
    queries, candidates = np.array(cells.queries)[query], np.array(cells.candidates)[candidate]
    ranked = cells.direction == "source_selection"
    count = len(query)
    assert cells.sizes is not None
    columns: dict[str, Any] = {
        "scenario": [cells.scenario] * count,
        "level": [cells.levels[level]] * count,
        "direction": [cells.direction] * count,
        "target": queries if ranked else candidates,
        "source": candidates if ranked else queries,
        "family": np.array(cells.families)[candidate],
        "size": cells.sizes[candidate],
        "random_start": cells.random_start[candidate],
    }
    for number, recipe in enumerate(cells.recipes):
        runs = cells.truth[number, query, candidate]
        columns[f"truth_{recipe}"] = cells.mean_truth[number, query, candidate]
        columns[f"truth_{recipe}_sd"] = _deviation(runs)
        columns[f"truth_{recipe}_seeds"] = (~np.isnan(runs)).sum(axis=1)
    taken = {*columns, "inapplicable", "missing"}
    for metric, name in enumerate(cells.metrics):
        columns[_free(name, taken)] = cells.scores[level, metric, query, candidate]
    for one in cells.combined:
        for part, part_name in enumerate(one.part_names):
            columns[_free(f"{one.name}.{part_name}", taken)] = one.parts[level, part, query, candidate]
    states = np.concatenate([cells.state[level], *(one.state[level][None] for one in cells.combined)])
    names = np.array([*cells.metrics, *(one.name for one in cells.combined)], dtype=str)
    for reason, state in (("inapplicable", INAPPLICABLE), ("missing", MISSING)):
        columns[reason] = [" ".join(names[absent]) for absent in (states[:, query, candidate] == state).T]
    return columns


def _free(name: str, taken: set[str]) -> str:
    """A column's name for a metric that no other column has."""
    while name in taken:
        name = f"score_{name}"
    taken.add(name)
    return name


def _deviation(runs: Array) -> Array:
    """(cells,) the standard deviation (n − 1) over seeds, NaN with fewer than two."""
    there = ~np.isnan(runs)
    count = there.sum(axis=1)
    several = count > 1
    mean = np.where(there, runs, 0.0).sum(axis=1) / np.maximum(count, 1)
    squared = (np.where(there, runs - mean[:, None], 0.0) ** 2).sum(axis=1)
    return np.sqrt(np.divide(squared, count - 1, out=np.full(len(runs), np.nan), where=several))

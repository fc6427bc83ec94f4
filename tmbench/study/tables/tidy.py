"""Cell tables out: cells as tidy tables, from which reading makes the same cells again."""

import inspect
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.files import whole_file
from tmbench.stats.baselines import STATIC
from tmbench.stats.cells import INAPPLICABLE, Cells, Combine, Combined, axes_of
from tmbench.study.tables.facts import AXES_COLUMNS, COMBINE_WITH

if TYPE_CHECKING:
    import pandas as pd

TRUTHS = (
    "scenario", "source", "target", "recipe", "seed", "measure", "value", "family", "query_family",
    "query_group", "size", "test_size",
)  # fmt: skip
SCORES = (
    "scenario", "source", "target", "level", "metric", "variant", "part", "sample_seed", "implementation", "value",
    "flags", "kind",
)  # fmt: skip


def tidy(cells: Cells) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Truths and scores, a value a row; a value that is missing has a row of its own, empty.

    Pairs that are no cell have no rows. Scores are those of ``cells.metrics`` and the parts of ``cells.combined``; what
    tmbench computes from the cells (``static``, ``random``) is not written.
    """
    return _truths(cells), _scores(cells)


def write_cells(folder: Path, every: Sequence[Cells]) -> list[Path]:
    """Write truths.csv, scores.csv and axes.csv; ``cells=FOLDER`` reads the same cells from them.

    Numbers have 17 significant digits and are read back bit for bit. axes.csv keeps what rows cannot say: the order of
    the names, and the direction. ``Cells.counts`` tell of another file and are not written.

    Returns:
        The files.

    Raises:
        ValueError: when two of the cells have one scenario name, or a combine function cannot be named.
        StoreError: when the folder cannot be written.
    """
    import pandas as pd

    scenarios = [cells.scenario for cells in every]
    if len(set(scenarios)) != len(scenarios):
        raise ValueError(f"two of the cells have one scenario name: {', '.join(scenarios)}.")
    pairs = [tidy(cells) for cells in every]
    frames = {
        "truths.csv": pd.concat([truths for truths, _ in pairs], ignore_index=True),
        "scores.csv": pd.concat([scores for _, scores in pairs], ignore_index=True),
        "axes.csv": pd.DataFrame(
            [row for cells in every for row in _axes(cells)], columns=[*AXES_COLUMNS, COMBINE_WITH]
        ),
    }
    for name, frame in frames.items():
        text = frame.to_csv(index=False, float_format="%.17g", lineterminator="\n")
        with whole_file(folder / name) as stream:
            stream.write(text.encode())
    return [folder / name for name in frames]


def _pairs(cells: Cells) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The query and the candidate of each cell, and the names that its rows bear."""
    query, candidate = np.nonzero(cells.eligible)
    names = {
        "source": _array(cells.candidates)[candidate],
        "target": _array(cells.queries)[query],
    }
    if cells.direction == "target_selection":
        names = {"source": names["target"], "target": names["source"]}
    return query, candidate, names


def _truths(cells: Cells) -> "pd.DataFrame":
    import pandas as pd

    query, candidate, names = _pairs(cells)
    assert cells.sizes is not None
    assert cells.test_sizes is not None
    beside = {
        "scenario": cells.scenario,
        **names,
        "measure": cells.truth_measure,
        "family": _array(cells.families)[candidate],
        "query_family": _array(cells.query_families)[query],
        "query_group": _array(cells.query_groups)[query],
        "size": cells.sizes[candidate] if cells.direction == "source_selection" else np.nan,
        "test_size": cells.test_sizes[query, candidate],
    }
    blocks = [
        pd.DataFrame({**beside, "recipe": recipe, "seed": seed, "value": cells.truth[r, query, candidate, s]})
        for r, recipe in enumerate(cells.recipes)
        for s, seed in enumerate(cells.seeds)
    ]
    return pd.concat(blocks, ignore_index=True)[list(TRUTHS)]


def _scores(cells: Cells) -> "pd.DataFrame":
    import pandas as pd

    query, candidate, names = _pairs(cells)
    blocks = []

    def add(level: str, metric: str, kind: str, part: str, values: np.ndarray, state: np.ndarray) -> None:
        name, _, variant = metric.partition("/") if kind == "variant" else (metric, "", "")
        if not name or not variant or metric != f"{name.strip()}/{variant.strip()}":
            name, variant = metric, ""
        place, _, implementation = level.partition("@")
        if not place or not implementation:
            place, implementation = level, ""
        flags = np.where(state[query, candidate] == INAPPLICABLE, "inapplicable", "")
        columns = {"scenario": cells.scenario, **names, "level": place, "metric": name, "variant": variant}
        columns |= {"part": part, "sample_seed": "", "implementation": implementation}
        blocks.append(pd.DataFrame({**columns, "value": values[query, candidate], "flags": flags, "kind": kind}))

    for v, level in enumerate(cells.levels):
        for m, (metric, kind) in enumerate(zip(cells.metrics, cells.kinds, strict=True)):
            add(level, metric, kind, "", cells.scores[v, m], cells.state[v, m])
        for one in cells.combined:
            for p, part in enumerate(one.part_names):
                add(level, one.name, one.kind, part, one.parts[v, p], one.state[v])
    return pd.concat(blocks, ignore_index=True)[list(SCORES)] if blocks else pd.DataFrame(columns=list(SCORES))


def _axes(cells: Cells) -> list[dict[str, Any]]:
    """The rows of axes.csv."""
    queries, candidates = axes_of(cells.direction)
    assert cells.sizes is not None
    sizes = cells.sizes if cells.direction == "source_selection" else np.full(len(cells.candidates), np.nan)
    empty = dict.fromkeys((*AXES_COLUMNS, COMBINE_WITH), "")
    rows: list[dict[str, Any]] = []

    def add(axis: str, name: str, **known: Any) -> None:
        head = {"scenario": cells.scenario, "direction": cells.direction, "axis": axis, "name": name}
        rows.append({**empty, **head, **known})

    for axis, names in (("recipe", cells.recipes), ("seed", cells.seeds), ("level", cells.levels)):
        for name in names:
            add(axis, name)
    for name, family in zip(cells.queries, cells.query_families, strict=True):
        add(queries, name, family=family)
    for place, name in enumerate(cells.candidates):
        size = "" if np.isnan(sizes[place]) else f"{sizes[place]:.17g}"
        start = "true" if cells.random_start[place] else ""
        add(candidates, name, family=cells.families[place], size=size, random_start=start)
    for name, kind in zip(cells.metrics, cells.kinds, strict=True):
        add("metric", name, kind=kind)
    for one in cells.combined:
        add("combined", one.name, kind=one.kind, **_combine(one))
    if cells.static:
        add("baseline", STATIC, kind="baseline")
    return rows


def _combine(one: Combined) -> dict[str, str]:
    """The function that combines the parts of a metric; its parameters with the order of the parts they belong to."""
    if not isinstance(one.combine, partial):
        return {"combine": _reference(one.name, one.combine)}
    given = {"parts": one.part_names, **one.combine.keywords}
    return {"combine": _reference(one.name, one.combine.func), COMBINE_WITH: json.dumps(given, sort_keys=True)}


def _reference(metric: str, combine: Combine) -> str:
    """How an option names a function."""
    name = getattr(combine, "__qualname__", "")
    if not name.isidentifier():
        raise ValueError(
            f"the function that combines '{metric}' cannot be named in a table: it is not one of a module."
        )
    if combine.__module__.startswith("tmbench_user_") or combine.__module__ == "__main__":
        return f"{inspect.getsourcefile(combine)}:{name}"
    return f"{combine.__module__}:{name}"


def _array(names: Sequence[str]) -> np.ndarray:
    return np.array(names, dtype=object)

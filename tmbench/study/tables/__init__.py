"""Cell tables in: any table of truths and scores, tmbench's, published or a user's own, read as :class:`Cells`.

Three forms are recognised from the columns (``tmbench.study.tables.options.COLUMNS``), as CSV or Parquet:

- *tidy*: two tables, truths (source, target, recipe, seed, measure, value) and scores (source, target, level, metric,
  variant, part, sample_seed, implementation, value, flags), a value a row;
- *joined*: one table, a score a row beside its truth (source, target, metric, score, truth);
- *wide*: one table, a cell a row and a column a metric (source, target, truth, logme, leep, …). Tidy scores may be wide
  as well. A column that nothing claims is a metric if it holds a number, or, beside such ones, nothing at all.

Both joined and wide tables may have one column of truth for each recipe (``truths: {full: COLUMN}``). The axes are the
values of the table in order of first appearance; columns that are not there get one neutral value (recipe ``default``,
level ``default``, seed ``0``). Seeds stay apart in ``Cells.truth``, samples of a score (``sample_seed``) are averaged.

Nothing is dropped and nothing becomes 0 unsaid: what reading finds is counted in ``Cells.counts`` (``POLICIES``).
A pair (source, target) without any row is no cell (``Cells.present``). Names that differ only by case are two names,
with a warning. Whatever cannot be read at all is one :class:`ConfigError`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tmbench.errors import ConfigError, unknown
from tmbench.stats.cells import Cells
from tmbench.study.tables.assembly import Assembly
from tmbench.study.tables.columns import Names
from tmbench.study.tables.facts import Axes, read_axes
from tmbench.study.tables.files import locate
from tmbench.study.tables.forms import Loaded, Rows, duplicates, load
from tmbench.study.tables.options import CellsOption, cells_option
from tmbench.study.tables.tidy import tidy, write_cells

__all__ = ["CellsOption", "cells_option", "read_cells", "tidy", "write_cells"]


POLICIES = {
    "duplicate_rows": "rows that repeat an earlier one exactly: read once. Rows that differ stop the reading",
    "blank_rows": "rows without any content: left out",
    "stripped_names": "names with blanks around them: the blanks are left out",
    "other_measures": "truths of another measure than the primary one (measure): not read",
    "other_tasks": "rows of another task than the one asked for (task): not read",
    "empty_truths": "truths that are empty or NaN: missing",
    "text_truths": "truths that are text: missing, the first one in a warning",
    "infinite_truths": "truths that are ±inf: missing",
    "empty_scores": "scores that are empty or NaN: missing",
    "text_scores": "scores that are text: missing, the first one in a warning",
    "infinite_scores": "scores that are ±inf: kept, a legal rank",
    "inapplicable_scores": "empty scores whose flags say inapplicable: inapplicable",
    "absent_scores": "scores of a cell without a row, where the metric has rows at the level: missing",
    "absent_metrics": "metrics without any row at a level: inapplicable there, they do not compete",
    "averaged_scores": "scores that are the mean of several samples",
    "incomplete_parts": "scores of which some parts are there and some are not: missing or inapplicable",
    "scores_without_truth": "cells (of a recipe) with a score and no truth: they stay, the truth is missing",
    "truths_without_score": "cells with a truth and no score of any metric: they stay, the scores are missing",
    "constant_scores": "rankings (level, metric, query) in which all candidates have one score: they stay",
    "queries_with_one_candidate": "queries with nothing to rank: they stay",
    "unknown_sizes": "candidates without a size, where others have one: no baseline source_size",
    "unknown_source_accuracies": "the same of source_accuracy",
    "truths_no_proportion": "cells with a test size and a truth below 0 or above 1: the size gives no noise ceiling",
    "text_facts": "sizes, source accuracies and test sizes that are text or ±inf: unknown",
}
"""What ``Cells.counts`` counts, where it is above 0, and what was done with it."""


def read_cells(
    option: CellsOption, where: str = "cells", warnings: list[str] | None = None, beside: Path | None = None
) -> list[Cells]:
    """The cells of each scenario in the table that ``option`` names.

    Args:
        option: how the table is read; :func:`cells_option` makes one from the command line.
        where: the option's file, for messages.
        warnings: sentences for the user are appended to it: text that was no number, columns that were not read, …
        beside: the folder of the option's file, where its tables are looked up before the working directory.

    Raises:
        ConfigError: for a file that cannot be read, a form that cannot be recognised, names that do not exist, and
            rows that contradict each other.
    """
    notes: list[str] = [] if warnings is None else warnings
    places = locate(option, where, beside)
    loaded = load(option, places, notes)
    _check_names(loaded, option, where)
    every_axes = read_axes(places.axes) if places.axes else {}
    scenarios = _scenarios(loaded, option, every_axes)
    found = []
    for scenario in scenarios:
        counts: dict[str, int] = {}
        truths, scores = (_chosen(rows, scenario) for rows in (loaded.truths, loaded.scores))
        _count_rows(loaded, truths, scores, counts)
        truths, scores = (_of_task(rows, option, counts) for rows in (truths, scores))
        axes = every_axes.get(scenario, Axes())
        found.append(Assembly(scenario, truths, scores, option, axes, counts, notes).cells())
    for view in loaded.views:
        for column, example in view.texts.items():
            notes.append(f"{view.table.path}: column '{column}' has text that is no number, {example}: missing.")
    return found


def _scenarios(loaded: Loaded, option: CellsOption, axes: dict[str, Axes]) -> list[str]:
    """The scenarios to read; their names are filled in where the table has none."""
    tables = (loaded.truths, loaded.scores)
    lacking = [rows for rows in tables if rows.view.place("scenario") is None]
    said = [name for rows in tables for name in rows.names["scenario"].names if name]
    default = option.scenario or next(iter(axes), "") or loaded.places.name
    if len(lacking) == 1 and said:
        if len(set(said)) > 1:
            raise ConfigError(
                f"{lacking[0].view.table.path}: the other table has the scenarios {', '.join(dict.fromkeys(said))}, "
                "this one has no column 'scenario'. Add it, or name it: columns.scenario=COLUMN."
            )
        default = said[0]
    for rows in tables:
        names = rows.names["scenario"]
        rows.names["scenario"] = names.renamed([name or default for name in names.names])
    every = list(dict.fromkeys(name for rows in tables for name in rows.names["scenario"].names))
    if option.scenario and said:
        if option.scenario not in every:
            raise unknown("scenario", option.scenario, every, where=str(loaded.truths.view.table.path))
        return [option.scenario]
    return every


def _chosen(rows: Rows, scenario: str) -> Rows:
    names = rows.names["scenario"]
    if names.names == (scenario,):
        return rows
    code = names.names.index(scenario) if scenario in names.names else -1
    return rows.take(names.codes == code)


def _count_rows(loaded: Loaded, truths: Rows, scores: Rows, counts: dict[str, int]) -> None:
    """What is counted by row of a table, whatever it holds."""
    for key in ("duplicate_rows", "blank_rows", "stripped_names"):
        counts[key] = 0
    for view in loaded.views:
        used = np.zeros(len(view), dtype=bool)
        for rows in (truths, scores):
            if rows.view is view:
                used[rows.row] = True
        counts["duplicate_rows"] += int((duplicates(view) & used).sum())
        counts["blank_rows"] += view.table.blank
        counts["stripped_names"] += int(view.stripped[used].sum())


def _of_task(rows: Rows, option: CellsOption, counts: dict[str, int]) -> Rows:
    """The rows of the task that the option asks for; of one task, if it asks for none."""
    names, path = rows.names["task"], rows.view.table.path
    there = [name for code in np.unique(names.codes) if (name := names.names[code])]
    if not there:
        return rows
    if option.task:
        if option.task not in there:
            raise unknown("task", option.task, there, where=str(path))
        keep = names.codes == names.names.index(option.task)
        counts["other_tasks"] = counts.get("other_tasks", 0) + int((~keep).sum())
        return rows.take(keep)
    targets = rows.names["target"]
    pairs = np.unique(targets.codes * len(names.names) + names.codes) // len(names.names)
    if len(pairs) > len(np.unique(targets.codes)):
        values, count = np.unique(pairs, return_counts=True)
        name = targets.names[values[np.argmax(count > 1)]]
        raise ConfigError(
            f"{path}: target '{name}' stands under several tasks, {', '.join(there)}. Say task={there[0]}."
        )
    return rows


def _check_names(loaded: Loaded, option: CellsOption, where: str) -> None:
    """Every name in the option must be one of the table."""
    tables: Sequence[Rows] = (loaded.truths, loaded.scores)

    def known(*keys: str) -> list[str]:
        columns: list[Names] = [rows.names[key] for rows in tables for key in keys if key in rows.names]
        return list(dict.fromkeys(name for column in columns for name in column.names))

    pairs = known("source", "target")
    checks: list[tuple[str, str, Sequence[str], list[str]]] = [
        (f"{key}.{family}", "candidate" if key == "families" else "query", members, pairs)
        for key in ("families", "query_families", "query_groups")
        for family, members in getattr(option, key).items()
    ]
    checks += [
        ("random_start", "candidate", option.random_start, pairs),
        ("sizes", "source", list(option.sizes), known("source")),
        ("source_accuracy", "source", list(option.source_accuracy), known("source")),
        ("test_sizes", "target", list(option.test_sizes), known("target")),
        ("kinds", "metric", list(option.kinds), known("metric")),
        ("combine", "metric", list(option.combine), known("metric")),
    ]
    for key, kind, names, valid in checks:
        for name in names:
            if name not in valid:
                raise unknown(kind, name, valid, where=f"{where}, {key}")

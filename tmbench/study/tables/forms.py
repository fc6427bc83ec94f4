"""The forms that a table of cells may have, recognised from its columns: tidy, joined or wide → rows of one form."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError, nearest, unknown
from tmbench.study.tables.columns import EMPTY, INFINITE, NUMBER, Names, Values, View, first_of_each, key_of
from tmbench.study.tables.files import Places, read_table
from tmbench.study.tables.options import COLUMNS, CellsOption

WORDS = {
    "source": ("source", "model", "arch", "backbone", "network", "checkpoint", "encoder", "pretrain"),
    "target": ("target", "dataset", "data_set", "data", "downstream"),
    "truth": ("truth", "acc", "iou", "performance", "perf", "map", "top1", "auc", "result"),
    "metric": ("metric", "measure", "method", "estimator"),
    "score": ("score", "value", "estimate"),
}
"""What people call the columns that every table needs, for the example in an error."""


@dataclass(frozen=True)
class Rows:
    """Truths or scores, one a row, whatever form the table had.

    Attributes:
        view: the table that they come from.
        names: by tmbench's name of the column, (n,) names.
        values: (n,) numbers.
        row: (n,) the row of the table that each was read from.
        inapplicable: (n,) bool, rows that say so and have no number.
    """

    view: View
    names: dict[str, Names]
    values: Values
    row: NDArray[np.int64]
    inapplicable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: NDArray[Any]) -> "Rows":
        """The chosen rows."""
        names = {key: column.take(index) for key, column in self.names.items()}
        return Rows(self.view, names, self.values.take(index), self.row[index], self.inapplicable[index])


@dataclass(frozen=True)
class Loaded:
    """What the files of one option hold."""

    truths: Rows
    scores: Rows
    views: tuple[View, ...]
    places: Places


TRUTH_KEYS = ("scenario", "task", "source", "target", "recipe", "seed", "measure")
SCORE_KEYS = ("scenario", "task", "source", "target", "level", "metric", "part", "sample_seed")
ROW_KEYS = (*TRUTH_KEYS, "level", "metric", "variant", "part", "sample_seed", "implementation")


def load(option: CellsOption, places: Places, notes: list[str]) -> Loaded:
    """Read the tables and bring them into one form.

    Raises:
        ConfigError: when a file cannot be read or its form cannot be recognised.
    """
    if places.joined is not None:
        views: tuple[View, ...] = (View(read_table(places.joined), option),)
    else:
        assert places.truths is not None
        assert places.scores is not None
        views = (View(read_table(places.truths), option), View(read_table(places.scores), option))
        if views[0].place("metric") and not views[1].place("metric"):
            views = (views[1], views[0])
    truths, scores = views[0], views[-1]
    _check_mapping(views, option)
    truth = _truth_columns(truths, joined=len(views) == 1)
    long, columns = False, list[str]()
    if not option.truths_only:
        long, columns = _score_columns(scores, joined=len(views) == 1, truth=set(truth))
    lacking = [key for view in views for key in ("source", "target") if view.place(key) is None]
    enough = bool(columns) or option.truths_only
    if lacking or not truth or not enough:
        raise _unrecognised(views, [*dict.fromkeys(lacking)], truth=bool(truth), score=enough)
    _note_columns(views, truth, columns, long, notes)
    scored = _score_rows(scores, columns or [*truth], long)
    if option.truths_only:
        scored = scored.take(np.zeros(len(scored), dtype=bool))
    return Loaded(truths=_truth_rows(truths, truth), scores=scored, views=views, places=places)


def _check_mapping(views: Sequence[View], option: CellsOption) -> None:
    """Every column that the option names must be in a table."""
    named = [(f"columns.{key}", column) for key, column in option.columns.items()]
    named += [(f"truths.{recipe}", column) for recipe, column in option.truths.items()]
    named += [("metrics", column) for column in option.metrics]
    every = [column for view in views for column in view.table.columns]
    for key, column in named:
        if column not in every:
            files = " and ".join(str(view.table.path) for view in views)
            raise unknown("column", column, every, where=f"{files}, {key}")


def _truth_columns(view: View, joined: bool) -> dict[str, str]:
    """Column of the file → its recipe, or "" where a column 'recipe' may say it."""
    if view.option.truths:
        return {column: recipe for recipe, column in view.option.truths.items() if column in view.table.columns}
    column = view.place("truth") or (None if joined else view.place("value"))
    return {} if column is None else {column: ""}


def _score_columns(view: View, joined: bool, truth: set[str]) -> tuple[bool, list[str]]:
    """Whether the scores are long, and the columns that hold them."""
    if view.place("metric") is not None:
        if view.option.metrics:
            raise ConfigError(
                f"{view.table.path}: it has a column of metrics ('{view.place('metric')}'), and the setting 'metrics' "
                "says that each metric is a column. Remove the setting."
            )
        column = view.first("score", "value")
        return True, [] if column is None or (joined and column in truth) else [column]
    if view.option.metrics:
        return False, [column for column in view.option.metrics if column in view.table.columns]
    holds = {column: view.values(column).holds for column in _free(view, truth)}
    numbers = [column for column in holds if np.isin(holds[column], (NUMBER, INFINITE)).any()]
    # A column without any content among these is a metric that nobody could compute: all its scores are missing.
    return False, [column for column in holds if column in numbers or (numbers and _empty(view, column))]


def _free(view: View, truth: Iterable[str]) -> list[str]:
    """The columns that nothing claims."""
    taken = {*truth, *COLUMNS, *view.option.columns.values(), *view.option.truths.values()}
    return [column for column in view.table.columns if column not in taken]


def _empty(view: View, column: str) -> bool:
    return bool((view.values(column).holds == EMPTY).all())


def _note_columns(
    views: Sequence[View], truth: dict[str, str], columns: list[str], long: bool, notes: list[str]
) -> None:
    """Say which columns were taken for metrics unasked, and which were not read."""
    scores = views[-1]
    if columns and not long and not scores.option.metrics:
        notes.append(
            f"{scores.table.path}: taken for metrics: {', '.join(columns)}. cells.metrics=[…] says it otherwise."
        )
    for view in views:
        known = {*truth, *columns, *(place for key in COLUMNS if (place := view.place(key)) is not None)}
        if unread := [column for column in view.table.columns if column not in known]:
            notes.append(f"{view.table.path}: columns that are not read: {', '.join(unread)}.")
        for column in unread:
            view.texts.pop(column, None)  # looked at, and no metric


def _unrecognised(views: Sequence[View], lacking: list[str], truth: bool, score: bool) -> ConfigError:
    """The one error for a table whose form is not clear."""
    every = list(dict.fromkeys(column for view in views for column in view.table.columns))
    looked = [f"'{key}'" for key in lacking]
    settings = [f"columns.{key}={_guess(key, every)}" for key in lacking]
    long = next((view.place("metric") for view in views if view.place("metric")), None)
    if not truth:
        looked.append("'truth' (or a column for each recipe: cells.truths.RECIPE=COLUMN)")
        settings.append(f"truths.full={_guess('truth', every)}")
    if not score and long:
        looked.append("'score'")
        settings.append(f"columns.score={_guess('score', every)}")
    elif not score:
        beside = ", ".join(_free(views[-1], ()))
        looked.append(
            "'metric' with 'score' (or a column for each metric: cells.metrics=[COLUMN,…]"
            + (f"; none of these holds a number: {beside})" if truth and not lacking and beside else ")")
        )
        guess = {key: _guess(key, every) for key in ("metric", "score")}
        if "COLUMN" not in guess.values() and guess["metric"] != guess["score"]:
            settings += [f"columns.{key}={column}" for key, column in guess.items()]
        else:
            settings.append("metrics=[COLUMN,…]")
    files = " and ".join(str(view.table.path) for view in views)
    apart = len(views) == 1 and truth != score and "COLUMN" in " ".join(settings)
    second = f", or give the {'scores' if truth else 'truths'} too: cells=[TRUTHS,SCORES]" if apart else ""
    return ConfigError(
        f"{files}: which column is what is not clear. Found: {', '.join(every)}. Looked for and not found: "
        f"{', '.join(looked)}. Say it, for example: {' '.join(f'cells.{one}' for one in settings)}{second}."
    )


def _guess(key: str, columns: Sequence[str]) -> str:
    """The column that is most likely meant; COLUMN where nothing tells."""
    free = [column for column in columns if column not in COLUMNS or (key == "score" and column == "value")]
    close = free if len(free) == 1 else nearest(key, free, 1)
    words = (column for word in WORDS[key] for column in free if word in column.lower())
    return next(words, close[0] if close else "COLUMN")


def _truth_rows(view: View, columns: dict[str, str]) -> Rows:
    """One row for each truth; columns of several recipes are stacked."""
    names = {key: view.names(key) for key in ("scenario", "task", "measure")}
    names |= {key: view.required(key) for key in ("source", "target")}
    names["seed"] = view.names("seed", "0")
    recipes = [
        Names.constant(recipe, len(view)) if recipe else view.names("recipe", view.option.recipe)
        for recipe in columns.values()
    ]
    values = [view.values(column) for column in columns]
    return _stacked(view, names, {"recipe": recipes}, values, np.zeros(len(view), dtype=bool))


def _score_rows(view: View, columns: list[str], long: bool) -> Rows:
    """One row for each score; columns of several metrics are stacked."""
    names = {key: view.names(key) for key in ("scenario", "task", "part", "sample_seed", "kind")}
    names |= {key: view.required(key) for key in ("source", "target")}
    names["level"] = view.names("level", view.option.level).joined(view.names("implementation"), "{}@{}")
    metrics = [view.required("metric")] if long else [Names.constant(column, len(view)) for column in columns]
    renamed = _renamed(view, metrics)
    names["variant"] = view.names("variant")
    stacked = {"metric": [metric.joined(names["variant"], "{}/{}") for metric in renamed]}
    values = [view.values(column) for column in columns]
    flags = view.names("flags")
    says = np.array(["inapplicable" in text.lower() for text in flags.names])[flags.codes]
    return _stacked(view, names, stacked, values, says)


def _renamed(view: View, metrics: list[Names]) -> list[Names]:
    """The metrics under the names that ``rename`` gives them."""
    rename = view.option.rename
    known = [name for metric in metrics for name in metric.names]
    for name, new in rename.items():
        if name not in known:
            raise unknown("metric", name, known, where=f"{view.table.path}, rename")
        others = [rename.get(other, other) for other in dict.fromkeys(known) if other != name]
        if new in others:
            raise ConfigError(f"{view.table.path}, rename: '{name}' becomes '{new}', which is the name of another.")
    return [metric.renamed([rename.get(name, name) for name in metric.names]) for metric in metrics]


def _stacked(
    view: View,
    names: dict[str, Names],
    stacked: dict[str, list[Names]],
    values: list[Values],
    says: NDArray[np.bool_],
) -> Rows:
    """Several columns of values one below the other, in the order of the rows, so that axes keep theirs."""
    count, rows = len(values), len(view)
    numbers = np.stack([value.numbers for value in values], axis=1).ravel()
    holds = np.stack([value.holds for value in values], axis=1).ravel()
    row = np.repeat(np.arange(rows), count)
    # From one column below the other to row by row.
    order = np.arange(rows * count).reshape(count, rows).T.ravel()
    every = {key: column.take(row) if count > 1 else column for key, column in names.items()}
    every |= {key: Names.stacked(columns).take(order) for key, columns in stacked.items()}
    return Rows(view, every, Values(numbers, holds), row, says[row] & (holds == EMPTY))


def duplicates(view: View) -> NDArray[np.bool_]:
    """(rows,) whether an earlier row has the same place in the study: the same names in all columns that name."""
    keys = [view.names(key) for key in ROW_KEYS if view.place(key) is not None]
    return first_of_each(key_of(keys)) != np.arange(len(view))


def settled(rows: Rows, keys: Sequence[str], what: str) -> Rows:
    """Each truth or score once.

    Raises:
        ConfigError: when two rows give it different values.
    """
    first = first_of_each(key_of([rows.names[key] for key in keys]))
    numbers, holds = rows.values.numbers, rows.values.holds
    same = (numbers == numbers[first]) | (np.isnan(numbers) & np.isnan(numbers[first]))
    same &= (holds == holds[first]) & (rows.inapplicable == rows.inapplicable[first])
    if not same.all():
        later = int(np.argmin(same))
        raise _differ(rows, keys, what, int(first[later]), later)
    return rows.take(first == np.arange(len(first)))


def _differ(rows: Rows, keys: Sequence[str], what: str, early: int, late: int) -> ConfigError:
    def value(place: int) -> str:
        if rows.inapplicable[place]:
            return "inapplicable"
        holds = rows.values.holds[place]
        number = float(rows.values.numbers[place])
        return "empty" if holds == EMPTY else repr(number) if not np.isnan(number) else "text"

    named = [f"{key} '{name}'" for key in keys if (name := rows.names[key].names[rows.names[key].codes[early]])]
    numbers = rows.view.table.numbers[rows.row[[early, late]]]
    return ConfigError(
        f"{rows.view.table.path}: rows {numbers[0]} and {numbers[1]} give different {what}s, {value(early)} and "
        f"{value(late)}, for {', '.join(named)}. Keep the right one, or name the column that tells them apart "
        f"({', '.join(key for key in keys if rows.view.place(key) is None) or 'none is left'})."
    )

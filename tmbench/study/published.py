"""Published tables as a study: the table that a user names, the sweep made from it, and what filters leave of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmbench.errors import ConfigError, NothingMatched, unknown
from tmbench.stats.cells import MISSING, OK, Cells, axes_of
from tmbench.study.compose import OptionFolders, Options, UserTable, describe_options
from tmbench.study.compose import validated as validated_option
from tmbench.study.exclusion import parts
from tmbench.study.resolution import spelled
from tmbench.study.sweep import EXCLUDABLE, Request, Sweep
from tmbench.study.sweep import validated as validated_sweep
from tmbench.study.tables import cells_option, read_cells
from tmbench.study.tables.files import SUFFIXES, name_of
from tmbench.study.tables.options import CellsOption

MEASURES = ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")
"""What a table is evaluated by where the user says nothing."""
MEASURES_OF_ANY_SIGN = (*MEASURES[:-1], "normalised_regret")
"""The same where a truth is negative, such as a negative error: a ratio of truths then means nothing."""
POOL = "three_quarters"
FILTERS = ("source", "target", "level", "recipe", "metric")

Tables = Mapping[str, Sequence[Cells]]
"""Name of an option of ``cells`` → the cells of its scenarios."""


def user_table(request: Request, folders: OptionFolders) -> UserTable | None:
    """The table that ``cells=FILE`` names, with the keys that say how to read it; None for names of options.

    Raises:
        ConfigError: for files beside names of options, for ``cells.KEY=`` without a file, and for wrong keys.
    """
    references = [str(one) for one in _as_list(request.axes.get("cells", ()))]
    known = folders.names("cells")
    files = [name for name in references if name not in known and _is_file(name)]
    if not files:
        if request.cells:
            text = next(iter(request.cells.values()))[1]
            raise ConfigError(
                f"{text} says how a table is read, and no file is named: cells=FILE. (An option of conf/cells/ says "
                "it in its own file.)"
            )
        return None
    if len(files) < len(references):
        named = next(name for name in references if name not in files)
        raise ConfigError(f"cells: '{named}' is an option and '{files[0]}' a file. Name options or files, not both.")
    settings = {key: value for key, (value, _) in request.cells.items()}
    option = cells_option(files if len(files) > 1 else files[0], settings)
    raw: dict[str, Any] = {"file": files[0]}
    if len(files) > 1:
        raw = {"files": {"truths": files[0], "scores": files[1]}}
    overrides = [f"+cells.{key}={spelled(value)}" for key, value in _flat(raw)]
    for key, (value, text) in request.cells.items():
        _set(raw, key.split("."), value)
        overrides.append(f"+{text.lstrip('+')}")
    return UserTable(_name(files), option, tuple(overrides), raw)


def made_sweep(request: Request, folders: OptionFolders, table: UserTable | None) -> tuple[Sweep, Tables, list[str]]:
    """The sweep for ``cells=…`` without ``sweep=``, the tables it made necessary to read, and warnings.

    Raises:
        ConfigError: for a table that cannot be read, or an axis that is wrong.
    """
    notes: list[str] = []
    known = folders.names("cells") if table is None else {}
    if table is not None:
        options = {table.name: table.option}
    else:
        names = [str(name) for name in _as_list(request.axes["cells"])]
        for name in names:
            if name not in known:
                raise unknown("cells", name, known, hint="a table of your own is named by its file: cells=FILE.csv")
        contents = describe_options("cells", names, folders)
        options = {name: validated_option(CellsOption, contents[name], known[name]) for name in names}
    tables = {name: _read(name, option, known.get(name), notes) for name, option in options.items()}
    signs = [np.nanmin(cells.truth, initial=0.0) for every in tables.values() for cells in every]
    first = next(iter(options))
    content = {
        "name": _slug(first),
        "version": 1,
        "title": " and ".join(option.title or name for name, option in options.items()),
        "measure": MEASURES if min(signs, default=0.0) >= 0 else MEASURES_OF_ANY_SIGN,
        "pool": () if "pool_size" in request.axes else (POOL,),
        **{axis: value for axis, value in request.axes.items() if axis != "seed"},
        "cells": tuple(options),
    }
    return validated_sweep(content, "the command line"), tables, notes


def read_tables(sweep: Sweep, options: Options, given: Tables, notes: list[str]) -> Tables:
    """The tables of a sweep, those ``given`` not read again; what reading warns of is appended to ``notes``.

    Raises:
        ConfigError: for a table that cannot be read, and for two scenarios of one name.
    """
    tables = {
        name: given[name] if name in given else _read(name, option, options.files.get(("cells", name)), notes)
        for name, option in options.cells.items()
    }
    first: dict[str, str] = {}
    for name, every in tables.items():
        for cells in every:
            if cells.scenario in first:
                raise ConfigError(
                    f"sweep {sweep.name}: cells '{first[cells.scenario]}' and '{name}' both have a scenario "
                    f"'{cells.scenario}'. Give one of them another name ('scenario')."
                )
            first[cells.scenario] = name
    return tables


def _read(name: str, option: CellsOption, file: Path | None, notes: list[str]) -> list[Cells]:
    """The cells of an option of that file; of a table that the user named, where there is none."""
    if file is None:
        return read_cells(option, f"cells={name}", notes)
    return read_cells(option, str(file), notes, file.parent)


def chosen(sweep: Sweep, every: Sequence[Cells], checked: Sequence[str] = FILTERS) -> tuple[Cells, ...]:
    """What the sweep's filters leave, in the order of the tables; its ``exclude`` rules leave some of each.

    A name must be found in one of the tables; a table that has none of the names of an axis is left out.

    Args:
        sweep: has the filters.
        every: the cells of all its tables.
        checked: the axes whose names must be found. A user who takes some of a sweep's tables does not have to take
            out what only the others have.

    Raises:
        ConfigError: for a name that no table has.
        NothingMatched: when nothing is left.
    """
    _check_names(sweep, every, checked)
    left = []
    for cells in every:
        wanted = {axis: _wanted(getattr(sweep, axis), _names(cells, axis)) for axis in FILTERS}
        if any(found == [] for found in wanted.values()):
            continue
        queries, candidates = axes_of(cells.direction)
        part = cells.only(
            queries=wanted[queries],
            candidates=wanted[candidates],
            recipes=wanted["recipe"],
            levels=wanted["level"],
            metrics=wanted["metric"],
        )
        if parts(sweep, part):
            left.append(part)
    if not left:
        raise _nothing_left(sweep, every, checked)
    return tuple(left)


def without_scores(every: Sequence[Cells]) -> list[str]:
    """A warning for each table in which a metric has not a single score: it stays, and no setup is complete."""
    notes = []
    for cells in every:
        states = [*zip(cells.metrics, np.moveaxis(cells.state, 1, 0), strict=True)]
        states += [(one.name, one.state) for one in cells.combined]
        empty = [name for name, state in states if not (state == OK).any() and (state == MISSING).any()]
        rest = [name for name, _ in states if name not in empty]
        if empty and rest:
            notes.append(
                f"{cells.scenario}: no score at all of {', '.join(empty)}: all are missing, in every setup. To leave "
                f"{'them' if len(empty) > 1 else 'it'} out, say metric=[{','.join(rest)}]."
            )
    return notes


def _nothing_left(sweep: Sweep, every: Sequence[Cells], checked: Sequence[str]) -> NothingMatched:
    """Why no cell is left, and what to do."""
    tables = ", ".join(cells.scenario for cells in every)
    known = {axis: dict.fromkeys(name for cells in every for name in _names(cells, axis)) for axis in FILTERS}
    named = {axis: f"{axis}={','.join(getattr(sweep, axis))}" for axis in FILTERS if getattr(sweep, axis)}
    for axis, filter in named.items():
        if axis not in checked and _wanted(getattr(sweep, axis), known[axis]) == []:
            return NothingMatched(
                f"the filter {filter} of sweep {sweep.name} does not fit {tables}, where {axis} is "
                f"{_several(known[axis])}. Say {axis}={next(iter(known[axis]))}, or name the table without sweep=."
            )
    by = [" ".join(named.values())] if named else []
    by += ["the 'exclude' rules"] if sweep.exclude else []
    return NothingMatched(
        f"sweep {sweep.name}: no cell of {tables} is left"
        + (f" by {' and '.join(by)}. " if by else ". ")
        + ("Exclude less." if sweep.exclude else "Take names that stand together in one table.")
    )


def _several(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _check_names(sweep: Sweep, every: Sequence[Cells], checked: Sequence[str]) -> None:
    known = {axis: {name for cells in every for name in _names(cells, axis)} for axis in (*FILTERS, "scenario")}
    where = f"sweep {sweep.name}"
    for axis in checked:
        for name in getattr(sweep, axis):
            if _wanted([name], known[axis]) == []:
                raise unknown(axis, name, known[axis], where=where, hint="the names are those of the tables")
    for rule in sweep.exclude if checked == FILTERS else ():
        for axis in EXCLUDABLE:
            for name in rule.get(axis, ()):
                if name not in known[axis]:
                    raise unknown(axis, name, known[axis], where=f"{where}, exclude")


def _names(cells: Cells, axis: str) -> Sequence[str]:
    """The names along an axis of a sweep."""
    queries, candidates = axes_of(cells.direction)
    return {
        queries: cells.queries,
        candidates: cells.candidates,
        "recipe": cells.recipes,
        "level": cells.levels,
        "metric": (*cells.metrics, *(one.name for one in cells.combined)),
        "scenario": (cells.scenario,),
    }[axis]


def _wanted(names: Sequence[str], known: Iterable[str]) -> list[str] | None:
    """Those of ``known`` that ``names`` choose, in their order; None for all. A level means all implementations."""
    if not names:
        return None
    known = list(known)
    found = [one for name in names for one in known if one == name or one.startswith(f"{name}@")]
    return list(dict.fromkeys(found))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_file(reference: str) -> bool:
    return reference.endswith(SUFFIXES) or "/" in reference or Path(reference).expanduser().exists()


def _name(files: Sequence[str]) -> str:
    """A name for the study of a table: the file's, or for two files that of their folder."""
    path = Path(files[0]).expanduser()
    return _slug(name_of(path if len(files) == 1 else path.parent))


def _slug(text: str) -> str:
    """``text`` as the name of a sweep."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "cells"


def _flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Dotted key → value."""
    flat: list[tuple[str, Any]] = []
    for key, value in content.items():
        flat += _flat(value, f"{before}{key}.") if isinstance(value, dict) else [(f"{before}{key}", value)]
    return flat


def _set(content: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set a nested key as Hydra sets it: every dot divides."""
    for key in keys[:-1]:
        content = content.setdefault(key, {})
    old = content.get(keys[-1])
    content[keys[-1]] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value

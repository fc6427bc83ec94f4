"""From what the user typed to a plan: the table or the sweep, its options, and all that they make."""

from dataclasses import replace
from typing import Any

from tmbench.errors import ConfigError
from tmbench.study.compose import OptionFolders, compose
from tmbench.study.plan import Plan, build
from tmbench.study.published import FILTERS, Tables, made_sweep, user_table
from tmbench.study.sweep import Request, load_sweep


def planned(request: Request, folders: OptionFolders) -> tuple[Plan, dict[str, Any]]:
    """The plan, and the keys that are left to the verb.

    For published tables ``seed`` is one of these: it is that of the resampling.

    Raises:
        ConfigError: for anything in the request, the sweep, the options or the tables that is wrong.
        NothingMatched: when no cell is left.
    """
    table = user_table(request, folders)
    if table is not None:
        request = replace(request, axes={**request.axes, "cells": (table.name,)})
    tables: Tables = {}
    notes: list[str] = []
    if request.sweep:
        sweep = load_sweep(request)
    else:
        sweep, tables, notes = made_sweep(request, folders, table)
    checked = tuple(axis for axis in FILTERS if axis in request.axes) if "cells" in request.axes else FILTERS
    plan = build(sweep, compose(sweep, request.settings, folders, table), tables, checked)
    extra = dict(request.extra)
    if sweep.cells and "seed" in request.axes:
        extra["seed"] = whole("seed", request.axes["seed"])
    if "bootstrap" in extra:
        extra["bootstrap"] = whole("bootstrap", extra["bootstrap"])
    return replace(plan, notes=(*notes, *plan.notes)), extra


def whole(key: str, value: Any) -> int:
    """``value`` as one whole number, 0 or more.

    Raises:
        ConfigError: when it is none.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{key}={value}: give one whole number, 0 or more.")
    return value

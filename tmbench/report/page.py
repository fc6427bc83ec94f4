"""The page: one HTML file with findings, figures, tables and provenance, that needs nothing else to be read."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmbench.report.figures import Figure
from tmbench.report.findings import counts, doubtful_truths, findings
from tmbench.report.frames import KEY, column, part_of, parts, rows
from tmbench.report.markup import best_column, best_rows, by_win_rate, is_number, shown
from tmbench.stats.baselines import STATIC
from tmbench.stats.cells import Cells
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from pandas import DataFrame

TITLES = {
    "win_rate": "Win rate",
    "win_rate_by_measure": "Win rate by measure",
    "means": "Mean of each measure",
    "stability": "Setup stability",
    "pairwise": "Pairwise comparison",
    "by_candidates": "Mean over queries, by group of candidates",
    "reliability": "Reliability of the truth",
    "per_query": "Each query, full pool",
    "per_query_groups": "Each query, by group of candidates",
    "cells": "The cell matrix",
    "flags": "Flags: cells on which a score says little",
}
"""The tables in the order of the page."""


@dataclass(frozen=True)
class Cell:
    """A cell as the page prints it: its text, whether it is a number, whether it is the best of its group."""

    text: str
    number: bool = False
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table as the page prints it; the rows in ``muted`` are baselines and variants."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    muted: frozenset[int] = frozenset()


def render_page(
    title: str,
    every: Sequence[Cells],
    outcomes: Outcomes,
    tables: dict[str, DataFrame],
    figures: Sequence[Figure],
    provenance: Mapping[str, Any],
    rebuild: str,
) -> str:
    """The whole page as HTML, everything inline."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tmbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    order = [*(name for name in TITLES if name in tables), *(name for name in tables if name not in TITLES)]
    return environment.get_template("report.html.j2").render(
        title=title,
        findings=findings(tables),
        counts=counts(every, outcomes),
        doubts=doubtful_truths(tables["reliability"]),
        short=list(_short_grids(tables)),
        groups=list(_group_grids(tables)),
        figures=[(figure, base64.b64encode(figure.svg).decode()) for figure in figures],
        tables=[_grid(name, tables[name]) for name in order],
        provenance=list(_flat(provenance)),
        rebuild=rebuild,
    )


def _grid(name: str, table: DataFrame) -> Grid:
    best, ranked = best_rows(table), best_column(table)
    # What is the same in every row says nothing on the page; the files keep it.
    constant = [c for c in ("scenario", "level", "direction") if c in table.columns and table[c].nunique() < 2]
    table = table.drop(columns=constant)
    numeric = [is_number(table, header) for header in table.columns]
    rows = tuple(
        tuple(
            Cell(shown(value), number, position in best and header == ranked)
            for header, number, value in zip(table.columns, numeric, values, strict=True)
        )
        for position, values in enumerate(table.itertuples(index=False, name=None))
    )
    return Grid(name, TITLES.get(name, name), tuple(table.columns), rows)


def _short_grids(tables: dict[str, DataFrame]) -> Iterator[Grid]:
    """For each scenario, recipe and level: win rate, the mean of each measure, and who beats the static list."""
    measures = list(dict.fromkeys(tables["means"]["measure"]))
    titles = [MEASURES[name].title if name in MEASURES else name for name in measures]
    columns = ("", "win rate", "95 % interval", *(f"mean {name}" for name in titles), "beats static in")
    for (names, wins), finding in zip(parts(tables["win_rate"], KEY), findings(tables), strict=True):
        where = dict(zip(KEY, names, strict=True))
        mean = column(part_of(tables["means"], where), "mean", ["metric", "measure"])
        beats = column(part_of(tables["pairwise"], {**where, "other": STATIC}), "win", "metric")
        ordered = by_win_rate(wins, mean, measures[0])
        best = {name: _highest(mean[row.metric, name] for row in ordered if row.kind == "metric") for name in measures}
        winner = _highest(row.split for row in ordered)
        grid = []
        for row in ordered:
            cells = [
                Cell(row.metric),
                Cell(shown(row.split, 2), True, row.split == winner),
                Cell("–" if math.isnan(row.low) else f"{shown(row.low, 2)} to {shown(row.high, 2)}", True),
            ]
            for name in measures:
                value = mean[row.metric, name]
                cells.append(Cell(shown(value, 2), True, row.kind == "metric" and value == best[name]))
            share = beats.get(row.metric, math.nan)
            cells.append(Cell("–" if math.isnan(share) else f"{100 * share:.0f} %", True))
            grid.append(tuple(cells))
        muted = frozenset(position for position, row in enumerate(ordered) if row.kind != "metric")
        yield Grid("short", finding.title, columns, tuple(grid), muted)


def _group_grids(tables: dict[str, DataFrame]) -> Iterator[Grid]:
    """The first measure, mean over queries, with a column for each group of candidates."""
    table = tables["by_candidates"]
    if table.empty:
        return
    table = table[table["measure"] == table["measure"].iloc[0]]
    groups = list(dict.fromkeys(table["candidates"]))
    titled = zip(parts(tables["win_rate"], KEY), findings(tables), strict=True)
    titles = {names: finding.title for (names, _), finding in titled}
    for names, part in parts(table, KEY):
        value = column(part, "mean", ["metric", "candidates"])
        kinds = {row.metric: row.kind for row in rows(part)}
        sizes = {group: [row.count for row in rows(part) if row.candidates == group] for group in groups}
        # The group "all" differs from metric to metric, so that none of its values is the best.
        best = {
            group: _highest(value.get((name, group), math.nan) for name, kind in kinds.items() if kind == "metric")
            for group in groups
            if group != "all"
        }
        grid = []
        for name, kind in kinds.items():
            found = [(group, value.get((name, group), math.nan)) for group in groups]
            cells = [Cell(shown(mean, 2), True, kind == "metric" and mean == best.get(group)) for group, mean in found]
            grid.append((Cell(name), *cells))
        muted = frozenset(position for position, kind in enumerate(kinds.values()) if kind != "metric")
        columns = tuple(f"{_group_title(group)} ({_range(sizes[group])})" for group in groups)
        yield Grid("groups", titles.get(names, ""), ("", *columns), tuple(grid), muted)


def _highest(values: Iterable[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _group_title(group: str) -> str:
    words = {"all": "all it applies to", "common": "common to all metrics", "without_random": "no random starts"}
    return words.get(group, group.replace("family:", "within "))


def _range(sizes: Sequence[float]) -> str:
    low, high = shown(min(sizes, default=math.nan), 1), shown(max(sizes, default=math.nan), 1)
    return low if low == high else f"{low} to {high}"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as (dotted name, text)."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        yield name, ", ".join(str(item) for item in value)
    else:
        yield name, str(value)

"""Tables as the page prints them: cells of text, the best marked, what is too long cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmbench.report.comparable import MARK, compared
from tmbench.report.contract import BASE, TITLES
from tmbench.report.findings import Finding
from tmbench.report.frames import KEY, column, part_of, parts, rows
from tmbench.report.markup import (
    best_column,
    best_of,
    best_rows,
    brief,
    by_win_rate,
    empty_columns,
    is_number,
    lower_is_better,
    places,
    shown,
    spread,
    titled,
)
from tmbench.stats.baselines import STATIC
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_ROWS = 200
"""So many rows of a table stand on the page; the CSV has them all."""

MOST_SHORT = 24
"""So many short tables, one a scenario, recipe and level, stand on the page."""


@dataclass(frozen=True)
class Cell:
    """A cell as the page prints it: its text, whether it is a number, whether it is the best of its group."""

    text: str
    number: bool = False
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table as the page prints it; the rows in ``muted`` are baselines and variants; ``cut`` more are in the file."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    muted: frozenset[int] = frozenset()
    caption: str = ""
    cut: int = 0


def table_grid(name: str, table: DataFrame, caption: str, lower: frozenset[str]) -> Grid:
    """The first ``MOST_ROWS`` rows of a table; what is the same in every row is left to the files."""
    best, ranked = best_rows(table, lower), best_column(table)
    constant = [c for c in BASE if c in table.columns and table[c].nunique() < 2]
    empty = [c for c in empty_columns(table) if c not in constant]
    kept = table.iloc[:MOST_ROWS].drop(columns=[*constant, *empty])
    numeric = [is_number(kept, header) for header in kept.columns]
    cells = tuple(
        tuple(
            Cell(shown(value), number, position in best and header == ranked)
            for header, number, value in zip(kept.columns, numeric, values, strict=True)
        )
        for position, values in enumerate(kept.itertuples(index=False, name=None))
    )
    if empty:
        caption = f"{caption} Without any value: {', '.join(empty)}.".strip()
    return Grid(name, TITLES.get(name, name), tuple(kept.columns), cells, caption=caption, cut=len(table) - len(kept))


def short_grids(
    tables: dict[str, DataFrame],
    found: Sequence[Finding],
    measures: Mapping[str, Measure],
    resampling: Resampling,
) -> Iterator[Grid]:
    """For each scenario, recipe and level: win rate, the mean of each measure, and who beats the static list."""
    shown_measures, lower = list(dict.fromkeys(tables["means"]["measure"])), lower_is_better(measures)
    means = [f"mean {titled(name, measures)}" for name in shown_measures]
    slices = list(zip(parts(tables["win_rate"], KEY), found, strict=True))[:MOST_SHORT]
    for (names, wins), finding in slices:
        where = dict(zip(KEY, names, strict=True))
        mean = column(part_of(tables["means"], where), "mean", ["metric", "measure"])
        beats = column(part_of(tables["pairwise"], {**where, "other": STATIC}), "win", "metric")
        header, ends = spread(wins, part_of(tables["ranges"], where), where["direction"], resampling)
        order = places(tables["means"], where["scenario"], lower)
        ordered = by_win_rate(wins, mean, shown_measures[0], lower, order)
        comparison = compared(part_of(tables["means"], where), shown_measures, lower)
        winner = best_of(row.split for row in ordered)
        grid = []
        known = any(not math.isnan(beats.get(row.metric, math.nan)) for row in ordered)
        for row in ordered:
            cells = [
                Cell(row.metric),
                Cell(brief(row.split), True, row.split == winner),
                Cell(" to ".join(brief(end) for end in ends.get(row.metric, ())) or "–", True),
            ]
            for name in shown_measures:
                value = mean[row.metric, name]
                text = brief(value, comparison.largest[name]) + MARK * ((row.metric, name) in comparison.marked)
                cells.append(Cell(text, True, row.kind == "metric" and value == comparison.best[name]))
            if known:
                share = beats.get(row.metric, math.nan)
                cells.append(Cell("–" if math.isnan(share) else f"{100 * share:.0f} %", True))
            grid.append(tuple(cells))
        muted = frozenset(position for position, row in enumerate(ordered) if row.kind != "metric")
        header_row = ("", "win rate", header, *means, *(["beats static in"] if known else []))
        note = f"{comparison.note}." if comparison.note else ""
        yield Grid("short", finding.title, header_row, tuple(grid), muted, note)


def group_grids(
    tables: dict[str, DataFrame], found: Sequence[Finding], measures: Mapping[str, Measure]
) -> Iterator[Grid]:
    """The first measure, mean over queries, with a column for each group of candidates; nothing where all are one."""
    table = tables["by_candidates"]
    if table.empty:
        return
    measure = str(table["measure"].iloc[0])
    lower = measure in lower_is_better(measures)
    table = table[table["measure"] == measure]
    slices = zip(parts(tables["win_rate"], KEY), found, strict=True)
    titles = {names: finding.title for (names, _), finding in slices}
    for names, part in list(parts(table, KEY))[:MOST_SHORT]:
        groups = list(dict.fromkeys(part["candidates"]))
        value = column(part, "mean", ["metric", "candidates"])
        kinds = {row.metric: row.kind for row in rows(part)}
        sizes = {group: [row.count for row in rows(part) if row.candidates == group] for group in groups}
        if len(groups) < 3 and len({size for every in sizes.values() for size in every}) < 2:
            continue  # what all metrics apply to is what each does
        # The group "all" differs from metric to metric, and so do the queries where a value is missing: none is best.
        queries = column(part, "queries", ["metric", "candidates"])
        field = [name for name, kind in kinds.items() if kind == "metric"]
        best = {
            group: best_of((value.get((name, group), math.nan) for name in field), lower)
            for group in groups
            if group != "all" and len({queries.get((name, group), 0) for name in field} - {0}) < 2
        }
        largest = best_of(abs(mean) for mean in value.values())
        grid = []
        for name, kind in kinds.items():
            means = [(group, value.get((name, group), math.nan)) for group in groups]
            cells = [
                Cell(brief(mean, largest), True, kind == "metric" and mean == best.get(group)) for group, mean in means
            ]
            grid.append((Cell(name), *cells))
        muted = frozenset(position for position, kind in enumerate(kinds.values()) if kind != "metric")
        columns = tuple(f"{_group_title(group)} ({_range(sizes[group])})" for group in groups)
        yield Grid(
            "groups", f"{titles.get(names, '')}: {titled(measure, measures)}", ("", *columns), tuple(grid), muted
        )


def _group_title(group: str) -> str:
    words = {"all": "all it applies to", "common": "common to all metrics", "without_random": "no random starts"}
    return words.get(group, group.replace("family:", "within "))


def _range(sizes: Sequence[float]) -> str:
    low, high = shown(min(sizes, default=math.nan), 1), shown(max(sizes, default=math.nan), 1)
    return low if low == high else f"{low} to {high}"

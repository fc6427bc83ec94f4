"""A data frame as CSV and as Markdown, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmbench.report.frames import rows

if TYPE_CHECKING:
    from pandas import DataFrame

GROUPING = ("scenario", "recipe", "level", "direction", "query", "measure", "candidates")
"""Rows that are equal in these columns are compared with each other."""


def is_number(table: DataFrame, column: str) -> bool:
    """Whether a column holds numbers, which stand to the right."""
    return table[column].dtype.kind in "fiu"


def by_win_rate(wins: DataFrame, means: Mapping[tuple[str, str], float], measure: str) -> list[Any]:
    """The rows of a win-rate table, winner first; those without a rate last, by their mean of ``measure``."""

    def place(row: Any) -> tuple[bool, float, float]:
        mean = means.get((row.metric, measure), math.nan)
        known = -math.inf if math.isnan(mean) else mean
        return math.isnan(row.split), 0.0 if math.isnan(row.split) else -row.split, -known

    return sorted(rows(wins), key=place)


def csv_text(table: DataFrame) -> str:
    """Comma-separated, ten significant digits, empty where there is no value."""
    text: str = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    return text


def shown(value: Any, digits: int = 3) -> str:
    """A value as a reader wants it: three decimals, or three significant digits where these say nothing."""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) >= 2:
        text = str(int(value))
    elif value != 0 and not 10**-digits <= abs(value) < 10_000:
        text = f"{value:.{digits}g}"
    else:
        text = f"{value:.{digits}f}"
    return text.replace("-", "−")


def best_rows(table: DataFrame) -> set[int]:
    """The positions of the rows whose metric is the best of its group; baselines and variants are never best."""
    column = best_column(table)
    if column is None or "kind" not in table.columns:
        return set()
    same = [c for c in GROUPING if c in table.columns]
    groups: dict[tuple[str, ...], list[tuple[float, int]]] = {}
    for position, row in enumerate(rows(table)):
        value = float(getattr(row, column))
        if row.kind == "metric" and not math.isnan(value):
            groups.setdefault(tuple(getattr(row, name) for name in same), []).append((value, position))
    return {position for group in groups.values() for value, position in group if value == max(group)[0]}


def best_column(table: DataFrame) -> str | None:
    """The column that ``best_rows`` compares; None where a table ranks nothing."""
    return next((c for c in ("split", "mean", "value") if c in table.columns), None)


def markdown_text(table: DataFrame) -> str:
    """A Markdown table, numbers to the right, the best of each group in bold."""
    best, column = best_rows(table), best_column(table)
    lines: list[Sequence[str]] = []
    for position, values in enumerate(table.itertuples(index=False)):
        cells = [shown(value).replace("|", r"\|") for value in values]
        if position in best and column is not None:
            at = list(table.columns).index(column)
            cells[at] = f"**{cells[at]}**"
        lines.append(cells)
    numeric = [is_number(table, name) for name in table.columns]
    header = "| " + " | ".join(table.columns) + " |"
    rule = "|" + "|".join("---:" if right else ":---" for right in numeric) + "|"
    return "\n".join([header, rule, *("| " + " | ".join(row) + " |" for row in lines)]) + "\n"

"""A data frame as CSV and as Markdown, the same bytes for the same numbers; and which of its rows are the best."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmbench.report.captions import interval_name
from tmbench.report.contract import SPLIT, plural, query_word
from tmbench.report.frames import rows
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure
from tmbench.stats.outcomes import EQUAL_DECIMALS

if TYPE_CHECKING:
    from pandas import DataFrame

GROUPING = ("scenario", "recipe", "level", "direction", "query", "measure", "candidates")
"""Rows that are equal in these columns are compared with each other."""


OVER = ("setups", "queries", "count")
"""Values are comparable where these are equal: what each is the mean over."""


def lower_is_better(measures: Mapping[str, Measure]) -> frozenset[str]:
    """The names of the measures of which less is better."""
    return frozenset(name for name, measure in measures.items() if measure.better == "lower")


def titled(name: str, measures: Mapping[str, Measure]) -> str:
    """A measure as it is printed."""
    return measures[name].title if name in measures else name


def is_number(table: DataFrame, column: str) -> bool:
    """Whether a column holds numbers, which stand to the right."""
    return table[column].dtype.kind in "fiu"


def empty_columns(table: DataFrame) -> list[str]:
    """The columns in which no row has a value; a table without rows has none."""
    return [str(name) for name in table.columns if len(table) and (table[name].isna() | (table[name] == "")).all()]


def by_win_rate(
    wins: DataFrame,
    means: Mapping[tuple[str, str], float],
    measure: str,
    lower: Collection[str] = (),
    places: Mapping[str, int] | None = None,
) -> list[Any]:
    """The rows of a win-rate table, winner first; those without a rate last, by their mean of ``measure``.

    With ``places``, baselines and variants stand in that order, which is the same in each table of a scenario.
    """
    sign, places = -1.0 if measure in lower else 1.0, places or {}

    def place(row: Any) -> tuple[bool, float, bool, int, float]:
        mean = sign * means.get((row.metric, measure), math.nan)
        known = -math.inf if math.isnan(mean) else round(mean, EQUAL_DECIMALS)
        competes = getattr(row, "kind", "") == "metric"
        rate = 0.0 if math.isnan(row.split) else -row.split
        return math.isnan(row.split), rate, not competes, 0 if competes else places.get(row.metric, 0), -known

    return sorted(rows(wins), key=place)


def places(means: DataFrame, scenario: str, lower: Collection[str] = ()) -> dict[str, int]:
    """The order of what a scenario compares by the mean of the study's first measure over recipes and levels."""
    measure = str(means["measure"].iloc[0])
    chosen = means[(means["scenario"] == scenario) & (means["measure"] == measure)]
    overall = chosen.groupby("metric", sort=False)["mean"].mean().round(EQUAL_DECIMALS)
    ordered = overall.sort_values(ascending=measure in lower, kind="stable", na_position="last")
    return {str(name): number for number, name in enumerate(ordered.index)}


def spread(
    wins: DataFrame, ranges: DataFrame, direction: str, resampling: Resampling
) -> tuple[str, dict[str, tuple[float, float]]]:
    """What stands beside the win rates of one slice: their interval or, where none has any, the range over queries.

    Returns:
        The column's title, and both ends by metric, for those that have them.
    """
    title, table, low, high = interval_name(resampling), wins, "low", "high"
    if not wins["low"].notna().any():
        title, low, high = f"range over {plural(query_word(direction))}", "least", "greatest"
        table = ranges[ranges["statistic"] == SPLIT]
    ends = zip(table["metric"], table[low], table[high], strict=True)
    return title, {str(metric): (least, most) for metric, least, most in ends if not math.isnan(least)}


def best_of(values: Iterable[float], lower: bool = False) -> float:
    """The best of ``values``, NaN left out; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return (min if lower else max)(known, default=math.nan)


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


def brief(value: float, largest: float = 1.0) -> str:
    """Two decimals, which do for numbers of the size of 1; two significant digits where the ``largest`` is small."""
    if math.isnan(value) or math.isinf(value) or largest < 0.05:
        return shown(value, 2)
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # adding 0.0 turns −0 into 0


def best_rows(table: DataFrame, lower: Collection[str] = ()) -> set[int]:
    """The positions of the rows whose metric is the best of its group; baselines and variants are never best.

    More is better, but for the measures in ``lower``. Equal values are all best. None is where the values of a group
    are over different numbers of setups, queries or candidates.
    """
    column = best_column(table)
    if column is None or "kind" not in table.columns:
        return set()
    same = [table[name].tolist() for name in GROUPING if name in table.columns]
    keys = list(zip(*same, strict=True)) if same else [()] * len(table)
    measure = table["measure"].tolist() if "measure" in table.columns else [""] * len(table)
    over = [table[name].tolist() for name in OVER if name in table.columns]
    counts = list(zip(*over, strict=True)) if over else [()] * len(table)
    groups: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    for position, (value, kind) in enumerate(zip(table[column].tolist(), table["kind"].tolist(), strict=True)):
        if kind == "metric" and not math.isnan(value):
            merit = round(-value if measure[position] in lower else value, EQUAL_DECIMALS)
            groups.setdefault(keys[position], []).append((merit, position))
    alike = [group for group in groups.values() if len({counts[position] for _, position in group}) == 1]
    return {position for group in alike for merit, position in group if merit == max(group)[0]}


def best_column(table: DataFrame) -> str | None:
    """The column that ``best_rows`` compares; None where a table ranks nothing."""
    return next((c for c in ("split", "mean", "value") if c in table.columns), None)


def markdown_text(table: DataFrame, caption: str = "", lower: Collection[str] = ()) -> str:
    """A Markdown table under its caption, numbers to the right, the best of each group in bold."""
    best, column = best_rows(table, lower), best_column(table)
    lines: list[Sequence[str]] = []
    for position, values in enumerate(table.itertuples(index=False, name=None)):
        cells = [_plain(shown(value)) for value in values]
        if position in best and column is not None:
            at = list(table.columns).index(column)
            cells[at] = f"**{cells[at]}**"
        lines.append(cells)
    numeric = [is_number(table, name) for name in table.columns]
    header = "| " + " | ".join(_plain(name) for name in table.columns) + " |"
    rule = "|" + "|".join("---:" if right else ":---" for right in numeric) + "|"
    above = [_plain(caption), ""] if caption else []
    return "\n".join([*above, header, rule, *("| " + " | ".join(row) + " |" for row in lines)]) + "\n"


def _plain(text: str) -> str:
    """``text`` without anything that Markdown would read as markup; an underscore inside a name is none."""
    return re.sub(r"([\\|<>*`])", r"\\\1", " ".join(text.split()))

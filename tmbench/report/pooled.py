"""What the pooled correlations say, in sentences: how far the mean of the query alone gets, and who is not above it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tmbench.report.contract import plural, query_word
from tmbench.report.frames import parts, rows
from tmbench.report.markup import titled
from tmbench.stats.measures import Measure
from tmbench.stats.pooled import QUERY_MEAN

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_NAMED = 6
"""So many metrics are named in a sentence."""

DECIMALS = 4
"""Values equal to so many decimals, which are printed, are not above each other."""


def pooled_sentences(table: DataFrame, measures: Mapping[str, Measure]) -> Iterator[str]:
    """A sentence for each scenario and recipe where a metric is not above the mean of the query.

    Where there is no metric at all, each of these has its sentence. They are about Pearson's r, which the share of the
    variance between queries belongs to, or else about the first of the correlations.

    Args:
        table: ``pooled``, or some of its rows.
        measures: what they are of.
    """
    if table.empty:
        return
    measure = "pearson" if (table["measure"] == "pearson").any() else str(table["measure"].iloc[0])
    table = table[table["measure"] == measure]
    scenarios, recipes = table["scenario"].nunique(), table["recipe"].nunique()
    for (scenario, recipe), part in parts(table, ["scenario", "recipe"]):
        baseline = next((row for row in rows(part[part["metric"] == QUERY_MEAN])), None)
        if baseline is None or not baseline.pooled > 0:  # or NaN: the mean of the query tells nothing
            continue
        found = _judged(part)
        if found == "":
            continue
        word = query_word(baseline.direction)
        names = [scenario] * (scenarios > 1) + [f"recipe {recipe}"] * (recipes > 1)
        yield (
            f"{', '.join(names)}{': ' * bool(names)}pooled over {plural(word)}, the mean of the {word} alone reaches "
            f"{titled(measure, measures)} {_number(baseline.pooled)} ({_percent(baseline.between)} of the truth's "
            f"variance lies between {plural(word)}){found or ''}: read the correlation per {word}."
        )


def _judged(part: DataFrame) -> str | None:
    """Which metrics are not above the mean of the query; "" where all are, None where there is no metric."""
    field = [row for row in rows(part[part["kind"] == "metric"]) if not math.isnan(row.pooled)]
    if not field:
        return "" if (part["kind"] == "metric").any() else None
    levels = len({row.level for row in field})
    below = [row for row in field if round(row.pooled, DECIMALS) <= round(row.query_mean, DECIMALS)]
    if not below:
        return ""
    if len(below) == len(field) > 1:
        best = max(field, key=lambda row: row.pooled)
        return f", and none of {len(field)} metrics is above it (at most {_number(best.pooled)}, {_name(best, levels)})"
    named = [f"{_name(row, levels)} {_number(row.pooled)}" for row in below[:MOST_NAMED]]
    more = f" and {len(below) - MOST_NAMED} more" if len(below) > MOST_NAMED else ""
    verb = "is" if len(below) == 1 else "are"
    return f", and {len(below)} of {len(field)} metrics {verb} not above it ({', '.join(named)}{more})"


def _name(row: Any, levels: int) -> str:
    """The metric, with its level where there are several."""
    return f"{row.metric} at {row.level}" if levels > 1 else str(row.metric)


def _number(value: float) -> str:
    return f"{value:.{DECIMALS}f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

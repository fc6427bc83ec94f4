"""What the tables say, in sentences. Every claim is read off a table; none is decided beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.frames import KEY, column, part_of, parts, rows
from tmbench.stats.baselines import STATIC
from tmbench.stats.bootstrap import FEWEST_QUERIES
from tmbench.stats.cells import INAPPLICABLE, MISSING, Cells
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.reliability import SMALL_RATIO, SMALL_RELIABILITY

if TYPE_CHECKING:
    from pandas import DataFrame

CLEAR_P = 0.05
"""A difference with a larger p is not called one."""


@dataclass(frozen=True)
class Finding:
    """What one scenario, recipe and level shows: a title, a headline and what qualifies it."""

    title: str
    headline: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """A number that the page states, with what it counts."""

    number: int
    what: str


def findings(tables: dict[str, DataFrame]) -> list[Finding]:
    """One finding for each scenario, recipe and level of the win-rate table."""
    found = []
    wins = tables["win_rate"]
    for names, part in parts(wins, KEY):
        scenario, recipe, level, direction = names
        here = {name: part_of(tables[name], dict(zip(KEY, names, strict=True))) for name in _READ}
        query = "target" if direction == "source_selection" else "source"
        title = f"recipe {recipe}"
        title += f", level {level}" if wins["level"].nunique() > 1 else ""
        title = f"{scenario}: {title}" if wins["scenario"].nunique() > 1 else title
        details = [_against_static(here["means"]), _stability(here["stability"])]
        headline = _headline(part, here["pairwise"], query, here["per_query"]["query"].nunique())
        found.append(Finding(title, headline, tuple(text for text in details if text)))
    return found


_READ = ("means", "stability", "pairwise", "per_query")


def _headline(wins: DataFrame, pairs: DataFrame, query: str, queries: int) -> str:
    field = list(rows(wins[wins["split"].notna()].sort_values("split", ascending=False, kind="stable")))
    if not field:
        return "No setup has a value for every metric, so that nobody wins."
    first = field[0]
    text = f"{first.metric} wins most often: {_share(first.split)} of {first.setups:,} setups, ties split"
    if math.isnan(first.low):
        few = f"; {queries} {query}{'s' * (queries > 1)}, too few for an interval" if queries < FEWEST_QUERIES else ""
        text += few + "."
    else:
        text += f" (95 % interval {_share(first.low)} to {_share(first.high)}, over {queries} {query}s)."
    if len(field) == 1:
        return text
    second = field[1]
    text += f" Next is {second.metric} with {_share(second.split)}"
    p = [row.p_holm for row in rows(pairs) if (row.metric, row.other) == (first.metric, second.metric)]
    if not p or math.isnan(p[0]):
        return text + "."
    apart = "the two are told apart" if p[0] < CLEAR_P else "the two cannot be told apart"
    return text + f"; {apart} (sign-flip test over {query}s, Holm-corrected p = {p[0]:.2g})."


def _against_static(means: DataFrame) -> str:
    if means.empty:
        return ""
    measure = str(means["measure"].iloc[0])
    means = means[means["measure"] == measure]
    title = MEASURES[measure].title if measure in MEASURES else measure
    field = column(means[(means["kind"] == "metric") & means["mean"].notna()], "mean", "metric")
    if not field:
        return ""
    best = max(field, key=lambda name: field[name])
    text = f"By mean {title}, {best} is the best metric with {_number(field[best])}."
    static = column(means, "mean", "metric").get(STATIC, math.nan)
    if math.isnan(static):
        return text
    beaten = sum(value > static for value in field.values())
    text += f" The static ranking, which never looks at the target, reaches {_number(static)}: "
    return text + (f"{beaten} of {len(field)} metrics do better." if beaten else "no metric does better.")


def _stability(table: DataFrame) -> str:
    known = [row for row in rows(table) if not math.isnan(row.stability)]
    if not known:
        return ""
    listed = ", ".join(f"{_number(row.stability)} when the {row.varied} varies" for row in known)
    return f"Stability of the order of the metrics (1: always the same, 0: unrelated): {listed}."


def doubtful_truths(table: DataFrame) -> list[str]:
    """A warning for each query and recipe whose truth can hardly tell candidates apart."""
    found = []
    for row in rows(table):
        reasons = []
        if row.ratio < SMALL_RATIO:
            reasons.append(f"best and worst are only {row.ratio:.1f} seed deviations apart")
        if row.reliability < SMALL_RELIABILITY:
            reasons.append(f"the reliability of the mean over seeds is {_number(row.reliability)}")
        if not math.isnan(row.least_gain) and row.least_gain <= 0:
            reasons.append("in one family no pretraining beats the random start")
        if row.missing:
            reasons.append("1 truth is missing" if row.missing == 1 else f"{row.missing} truths are missing")
        if reasons:
            found.append(f"{row.query}, recipe {row.recipe}: {'; '.join(reasons)}.")
    return found


def counts(every: Sequence[Cells], outcomes: Outcomes) -> list[Count]:
    """How much of everything there is, and how much is missing."""
    field = outcomes.field
    incomplete = int(np.isnan(outcomes.values[:, field]).any(axis=1).sum())
    stored = np.concatenate([cells.state.ravel() for cells in every])
    runs = [cells.truth[:, cells.eligible] for cells in every]
    return [
        Count(len(outcomes), "setups"),
        Count(incomplete, "of them with a metric missing"),
        Count(sum(int(cells.eligible.sum()) for cells in every), "cells (query and candidate)"),
        Count(int((stored != INAPPLICABLE).sum()), "scores"),
        Count(int((stored == MISSING).sum()), "scores missing"),
        Count(int((stored == INAPPLICABLE).sum()), "inapplicable"),
        Count(sum(run.size for run in runs), "truths"),
        Count(sum(int(np.isnan(run).sum()) for run in runs), "truths missing"),
    ]


def _share(value: Any) -> str:
    return f"{100 * float(value):.0f} %"


def _number(value: Any) -> str:
    return f"{float(value):.2f}".replace("-", "−")

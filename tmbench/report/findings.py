"""What the tables say, in sentences. Every claim is read off a table; none is decided beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.captions import all_queries, independent_queries, interval_name, p_text
from tmbench.report.comparable import partial_means
from tmbench.report.contract import SPLIT, TIED, all_tie, plural, query_word
from tmbench.report.frames import KEY, column, part_of, parts, rows
from tmbench.report.markup import titled
from tmbench.report.pooled import pooled_sentences
from tmbench.stats.baselines import RANDOM, STATIC
from tmbench.stats.bootstrap import FEWEST_QUERIES, Resampling
from tmbench.stats.cells import INAPPLICABLE, MISSING, Cells
from tmbench.stats.measures import Measure
from tmbench.stats.reliability import SMALL_RATIO, SMALL_RELIABILITY
from tmbench.stats.sign_flip import smallest_p

if TYPE_CHECKING:
    from pandas import DataFrame

    from tmbench.report.tables import Scene

CLEAR_P = 0.05
"""A difference with a larger p is not called one."""


FAMILY = "query family"
"""What is resampled where queries are of families."""


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


def findings(tables: dict[str, DataFrame], measures: Mapping[str, Measure], resampling: Resampling) -> list[Finding]:
    """One finding for each scenario, recipe and level of the win-rate table."""
    found = []
    wins = tables["win_rate"]
    for names, part in parts(wins, KEY):
        scenario, recipe, level, direction = names
        where = dict(zip(KEY, names, strict=True))
        here = {name: part_of(tables[name], where) for name in _READ}
        query = query_word(direction)
        alone = independent_queries(tables["counts"], scenario) == all_queries(tables["counts"], scenario)
        title = f"recipe {recipe}"
        title += f", level {level}" if wins["level"].nunique() > 1 else ""
        title = f"{scenario}: {title}" if wins["scenario"].nunique() > 1 else title
        queries = independent_queries(tables["counts"], scenario)
        details = [
            _against_static(here["means"], measures, query),
            _against_baseline(here["means"], measures),
            *(capital(text) for text in pooled_sentences(here["pooled"], measures)),
            _stability(here["stability"]),
        ]
        headline = _headline(part, here, query if alone else FAMILY, queries, resampling)
        found.append(Finding(title, headline, tuple(text for text in details if text)))
    return found


_READ = ("means", "stability", "pairwise", "ranges", "counts", "pooled")


def capital(text: str) -> str:
    """``text`` as a sentence begins."""
    return text[:1].upper() + text[1:]


def tied_setups(counts: DataFrame) -> int:
    """How many setups of ``counts`` have no value because all candidates of their query reach the same truth."""
    return int(counts.loc[counts["what"] == TIED, "count"].sum())


def _headline(wins: DataFrame, here: Mapping[str, DataFrame], query: str, queries: int, resampling: Resampling) -> str:
    direction = str(wins["direction"].iloc[0])
    tied, same, one = tied_setups(here["counts"]), all_tie(direction), query_word(direction)
    field = list(rows(wins[wins["split"].notna()].sort_values("split", ascending=False, kind="stable")))
    if not field:
        if tied and tied == int(wins["missing"].iloc[0]):
            return f"Nobody wins, because {same}: there is no order to predict."
        return "No setup has a value for every metric, so that nobody wins."
    first = field[0]
    text = f"{first.metric} wins most often: {_share(first.split)} of {first.setups:,} setups, ties split"
    if len(field) == 1:
        text += ", because it has no rival."
    elif not math.isnan(first.low):
        interval = interval_name(resampling)
        text += f" ({interval} {_share(first.low)} to {_share(first.high)}, over {queries} {plural(query)})."
    elif queries < FEWEST_QUERIES:
        few = f"{queries} {plural(query) if queries > 1 else query}, too few for an interval"
        text += f"; {few}" + (f": {_range(here['ranges'], first.metric, one)}." if queries > 1 else ".")
    else:
        text += "."
    if tied:
        text += f" {tied:,} setups are left out because {same} there."
    if first.missing > tied:
        text += f" {first.missing - tied:,} setups are left out because a metric has no value."
    if len(field) == 1:
        return text
    second = field[1]
    text += f" Next is {second.metric} with {_share(second.split)}"
    pairs = rows(here["pairwise"])
    p = [row.p_holm for row in pairs if (row.metric, row.other) == (first.metric, second.metric)]
    return f"{text}{_told_apart(p[0], len(field), query, queries) if p else ''}."


def _told_apart(p: float, field: int, query: str, queries: int) -> str:
    """Whether the first two are told apart, and where no study of so few queries could tell it."""
    if queries < 2:
        return f"; one {query} allows no test of whether the two differ"
    if math.isnan(p):
        return ""
    least, pairs, of = smallest_p(queries), field * (field - 1) // 2, plural(query)
    if least * pairs > CLEAR_P:
        times = f" before the correction for {pairs} pairs" if pairs > 1 else ""
        return (
            f"; whatever the difference, no two metrics can be told apart by this study: with {queries} {of} the p of "
            f"a sign-flip test cannot fall below {p_text(least)}{times}"
        )
    apart = "the two are told apart" if p < CLEAR_P else "the two cannot be told apart"
    test = f"sign-flip test over {of}, Holm-corrected p = {p_text(p)}; before the correction p cannot fall below"
    return f"; {apart} ({test} {p_text(least)})"


def _range(ranges: DataFrame, metric: str, query: str) -> str:
    """Between which values single queries lie."""
    chosen = list(rows(ranges[(ranges["statistic"] == SPLIT) & (ranges["metric"] == metric)]))
    if not chosen or math.isnan(chosen[0].least):
        return "no value"
    least, greatest = _share(chosen[0].least), _share(chosen[0].greatest)
    if least == greatest:
        return f"{least} of the setups of each {query}"
    return f"from {least} to {greatest} of the setups of one {query}"


def _against_static(means: DataFrame, measures: Mapping[str, Measure], query: str) -> str:
    if means.empty:
        return ""
    measure = str(means["measure"].iloc[0])
    sign = -1.0 if measure in measures and measures[measure].better == "lower" else 1.0
    means = means[means["measure"] == measure]
    title = titled(measure, measures)
    field = column(means[(means["kind"] == "metric") & means["mean"].notna()], "mean", "metric")
    if not field:
        return ""
    best = max(field, key=lambda name: sign * field[name])
    # Where a value is missing, the means are over different setups, and no claim is made beyond them.
    counts = column(means, "setups", "metric")
    partial = partial_means(counts, field)
    of = ", ".join(f"{name} {counts[name]:,.0f}" for name in partial)
    where = f", each over the setups that have a value ({of} of {max(counts.values()):,.0f})" if partial else ""
    text = f"By mean {title}{where}, {best} is the best metric with {_number(field[best])}."
    static = column(means, "mean", "metric").get(STATIC)
    if static is None:
        return text
    if math.isnan(static):
        return f"{text} There is no static ranking: no other {query} has the candidates of one."
    beaten = sum(sign * value > sign * static for value in field.values())
    text += f" The static ranking, which never looks at the query, reaches {_number(static)}: "
    better = "does better" if beaten == 1 else "do better"
    text += f"{beaten} of {len(field)} metrics {better}" if beaten else "no metric does better"
    unlike = partial_means(counts, [*field, STATIC])
    return text + (", each on the setups that have a value." if unlike else ".")


def _against_baseline(means: DataFrame, measures: Mapping[str, Measure]) -> str:
    """The best baseline beside the static and the random ranking, such as the number of classes, and whom it beats."""
    means = means[means["mean"].notna() & ~means["metric"].isin([STATIC, RANDOM])]
    if means.empty:
        return ""
    measure = str(means["measure"].iloc[0])
    sign = -1.0 if measure in measures and measures[measure].better == "lower" else 1.0
    means = means[means["measure"] == measure]
    baselines, field = (column(means[means["kind"] == kind], "mean", "metric") for kind in ("baseline", "metric"))
    if not baselines or not field:
        return ""
    best = max(baselines, key=lambda name: sign * baselines[name])
    beaten = sum(sign * value < sign * baselines[best] for value in field.values())
    unlike = partial_means(column(means, "setups", "metric"), [*field, best])
    return (
        f"{best}, a baseline, reaches {_number(baselines[best])}: better than "
        f"{f'{beaten} of {len(field)} metrics' if beaten else 'no metric'}"
        f"{', each on the setups that have a value' if unlike else ''}."
    )


def _stability(table: DataFrame) -> str:
    known = [row for row in rows(table) if not math.isnan(row.stability)]
    if not known:
        return ""
    listed = ", ".join(f"{_number(row.stability)} when the {row.varied} varies" for row in known)
    return f"Stability of the order of the metrics (1: always the same, 0: unrelated): {listed}."


def doubtful_truths(table: DataFrame) -> list[str]:
    """A warning for each query and recipe whose truth can hardly tell candidates apart."""
    found = []
    several = table["scenario"].nunique() > 1
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
            where = f"{row.scenario}: " if several else ""
            found.append(f"{where}{row.query}, recipe {row.recipe}: {'; '.join(reasons)}.")
    return found


def counts(scenes: Sequence[Scene]) -> list[Count]:
    """How much of everything there is, and how much is missing."""
    tallies = [tally for scene in scenes for tally in scene.tally.slices]
    every = [scene.cells for scene in scenes]
    # A cell that the study does not have is neither missing nor inapplicable.
    # Baselines predict nothing, and nobody computed a score for them.
    stored = [states for cells in every for states in (_scored(cells), *_combined(cells))]
    states = np.concatenate([part.ravel() for part in stored])
    runs = [cells.truth[:, cells.eligible] for cells in every]
    return [
        Count(sum(tally.setups for tally in tallies), "setups"),
        Count(sum(tally.missing for tally in tallies), "of them with a metric missing"),
        Count(sum(int(cells.eligible.sum()) for cells in every), "cells (query and candidate)"),
        Count(int((states != INAPPLICABLE).sum()), "scores"),
        Count(int((states == MISSING).sum()), "scores missing"),
        Count(int((states == INAPPLICABLE).sum()), "inapplicable"),
        Count(sum(run.size for run in runs), "truths"),
        Count(sum(int(np.isnan(run).sum()) for run in runs), "truths missing"),
    ]


def _scored(cells: Cells) -> Any:
    scored = [metric for metric, kind in enumerate(cells.kinds) if kind != "baseline"]
    return cells.state[:, scored][..., cells.eligible]


def _combined(cells: Cells) -> list[Any]:
    return [one.state[:, cells.eligible] for one in cells.combined if one.kind != "baseline"]


def _share(value: Any) -> str:
    return f"{100 * float(value):.0f} %"


def _number(value: Any) -> str:
    return f"{float(value):.2f}".replace("-", "−")

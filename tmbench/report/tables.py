"""The tables of a study, as data frames. Their columns are a contract; README and later papers read them by name.

All but ``cells`` begin with ``scenario, recipe, level, direction``. In ``stability`` a recipe or level reads
``all`` where it is itself what varies. ``kind`` is metric, variant or baseline.

====================== =================================================================================
win_rate               metric, kind, strict, split, all, low, high, family_low, family_high, setups, missing
win_rate_by_measure    the same with measure
means                  measure, metric, kind, mean, low, high, setups, missing
stability              varied, stability, low, high, groups, setups, missing
pairwise               metric, other, win, tie, loss, difference, low, high, p, p_holm
per_query              query, measure, metric, kind, value: the full pool of common candidates
per_query_groups       query, measure, metric, kind, candidates, count, value: also other groups of candidates
by_candidates          measure, metric, kind, candidates, count, mean, low, high, queries, missing
reliability            query, candidates, seeds, best, worst, spread, source_sd, seed_sd, ratio, reliability, …
cells                  target, source, family, random_start, truth and its deviation by recipe, score by metric
====================== =================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.stats.bootstrap import Resampling, mean_over_setups
from tmbench.stats.cells import INAPPLICABLE, MISSING, Cells
from tmbench.stats.jackknife import jackknife_interval
from tmbench.stats.measures import MEASURES, MeasureFunction
from tmbench.stats.outcomes import Outcomes, Slice
from tmbench.stats.pairwise import duels
from tmbench.stats.per_query import COMMON, per_query
from tmbench.stats.reliability import reliability
from tmbench.stats.stability import setup_stability
from tmbench.stats.win_rate import win_rate

if TYPE_CHECKING:
    from pandas import DataFrame

Row = dict[str, Any]


BASE = ("scenario", "recipe", "level", "direction")

COLUMNS: dict[str, tuple[str, ...]] = {
    "win_rate": (
        *BASE, "metric", "kind", "strict", "split", "all", "low", "high",
        "family_low", "family_high", "setups", "missing",
    ),
    "win_rate_by_measure": (
        *BASE, "measure", "metric", "kind", "strict", "split", "all", "low", "high",
        "family_low", "family_high", "setups", "missing",
    ),
    "means": (*BASE, "measure", "metric", "kind", "mean", "low", "high", "setups", "missing"),
    "stability": (*BASE, "varied", "stability", "low", "high", "groups", "setups", "missing"),
    "pairwise": (*BASE, "metric", "other", "win", "tie", "loss", "difference", "low", "high", "p", "p_holm"),
    "per_query": (*BASE, "query", "measure", "metric", "kind", "value"),
    "per_query_groups": (*BASE, "query", "measure", "metric", "kind", "candidates", "count", "value"),
    "by_candidates": (
        *BASE, "measure", "metric", "kind", "candidates", "count", "mean", "low", "high", "queries", "missing",
    ),
    "reliability": (
        *BASE, "query", "candidates", "seeds", "best", "worst", "spread", "source_sd", "seed_sd", "ratio",
        "reliability", "seed_tau", "random_start", "pretrained_best", "least_gain", "missing",
    ),
}  # fmt: skip


def build_tables(
    cells: Cells | Sequence[Cells],
    outcomes: Outcomes,
    *,
    measures: Mapping[str, MeasureFunction] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    without_family: Sequence[Outcomes] = (),
) -> dict[str, DataFrame]:
    """Every table of the study by name.

    Args:
        cells: of each scenario in ``outcomes``.
        outcomes: from ``evaluate_study``, concatenated where there are several scenarios.
        measures: functions by name, as given to ``evaluate_study``; the shipped ones where not given.
        draws: resamplings of the queries for an interval; 0 leaves the intervals empty.
        seed: of the resampling.
        without_family: outcomes with one family of candidates deleted each; three or more of them fill
            ``family_low`` and ``family_high``.
    """
    every = [cells] if isinstance(cells, Cells) else list(cells)
    functions = measures or {name: MEASURES[name].function for name in outcomes.labels["measure"]}
    resampling = Resampling(draws, seed)
    groups = _per_query_groups(every, functions)
    rows: dict[str, list[Row]] = {
        "win_rate": list(_win_rates(outcomes, resampling, without_family)),
        "win_rate_by_measure": [
            {**row, "measure": name}
            for name, part, others in _by_measure(outcomes, without_family)
            for row in _win_rates(part, resampling, others)
        ],
        "means": list(_means(outcomes, resampling)),
        "stability": list(_stability(outcomes, resampling)),
        "pairwise": [
            {**where._asdict(), **asdict(duel)} for where, part in outcomes.slices() for duel in duels(part, resampling)
        ],
        "per_query": [row for row in groups if row["candidates"] == COMMON],
        "per_query_groups": groups,
        "by_candidates": list(_by_candidates(groups, resampling)),
        "reliability": [
            {"scenario": one.scenario, "level": "all", "direction": one.direction, **asdict(row)}
            for one in every
            for row in reliability(one)
        ],
    }
    tables = {name: _frame(found, COLUMNS[name]) for name, found in rows.items()}
    tables["cells"] = _cell_matrix(every)
    return tables


def _frame(rows: list[Row], columns: Sequence[str]) -> DataFrame:
    import pandas

    return pandas.DataFrame([[row[column] for column in columns] for row in rows], columns=list(columns))


def _by_measure(outcomes: Outcomes, others: Sequence[Outcomes]) -> Iterator[tuple[str, Outcomes, list[Outcomes]]]:
    for number, name in enumerate(outcomes.labels["measure"]):
        yield (
            name,
            outcomes.where(outcomes.measure == number),
            [other.where(other.measure == other.labels["measure"].index(name)) for other in others],
        )


def _win_rates(outcomes: Outcomes, resampling: Resampling, without_family: Sequence[Outcomes]) -> Iterator[Row]:
    """A row for each metric; those outside the field have no rate, since they take no vote."""
    fewer: list[dict[Slice, Outcomes]] = [dict(other.slices()) for other in without_family]
    for where, part in outcomes.slices():
        rate = win_rate(part, resampling)
        deleted = [win_rate(other[where], Resampling(0)) for other in fewer if where in other]
        same = [other.split.value for other in deleted if (other.metrics.tolist() == rate.metrics.tolist())]
        family_low, family_high = jackknife_interval(rate.split.value, same)
        place = {int(metric): position for position, metric in enumerate(rate.metrics)}
        for metric, name in enumerate(part.metrics):
            row: Row = {**where._asdict(), "metric": name, "kind": part.kinds[metric]}
            if metric in place:
                at = place[metric]
                row |= {
                    "strict": rate.strict[at], "split": rate.split.value[at], "all": rate.all[at],
                    "low": rate.split.low[at], "high": rate.split.high[at],
                    "family_low": family_low[at], "family_high": family_high[at],
                }  # fmt: skip
            else:
                row |= dict.fromkeys(("strict", "split", "all", "low", "high", "family_low", "family_high"), np.nan)
            yield row | {"setups": rate.setups, "missing": rate.missing}


def _means(outcomes: Outcomes, resampling: Resampling) -> Iterator[Row]:
    for where, part in outcomes.slices():
        queries = len(part.labels["query"])
        for number, measure in enumerate(part.labels["measure"]):
            chosen = part.where(part.measure == number)
            estimate = mean_over_setups(chosen.values, chosen.query, queries, resampling)
            for metric, name in enumerate(part.metrics):
                yield {
                    **where._asdict(), "measure": measure, "metric": name, "kind": part.kinds[metric],
                    "mean": estimate.value[metric], "low": estimate.low[metric], "high": estimate.high[metric],
                    "setups": int(estimate.count[metric]),
                    "missing": len(chosen) - int(estimate.count[metric]),
                }  # fmt: skip


def _stability(outcomes: Outcomes, resampling: Resampling) -> Iterator[Row]:
    """Query, pool and measure for each slice; recipe and level for each scenario where there are several.

    None with fewer than two metrics: there is no order of metrics that could be stable.
    """
    if len(outcomes.field) < 2:
        return
    for where, part in outcomes.slices():
        for varied in ("query", "pool", "measure"):
            yield _stability_row(where, part, varied, resampling)
    for number, scenario in enumerate(outcomes.labels["scenario"]):
        part = outcomes.where(outcomes.scenario == number)
        direction = outcomes.directions[number]
        recipes, levels = outcomes.labels["recipe"], outcomes.labels["level"]
        if len(np.unique(part.recipe)) > 1:
            for level in np.unique(part.level):
                where = Slice(scenario, "all", levels[level], direction)
                yield _stability_row(where, part.where(part.level == level), "recipe", resampling)
        if len(np.unique(part.level)) > 1:
            for recipe in np.unique(part.recipe):
                where = Slice(scenario, recipes[recipe], "all", direction)
                yield _stability_row(where, part.where(part.recipe == recipe), "level", resampling)


def _stability_row(where: Slice, part: Outcomes, varied: str, resampling: Resampling) -> Row:
    found = setup_stability(part, varied, resampling)
    query = "target" if where.direction == "source_selection" else "source"
    return {
        **where._asdict(),
        **asdict(found),
        "varied": query if varied == "query" else varied,
        "stability": found.value,
    }


def _per_query_groups(every: Sequence[Cells], measures: Mapping[str, MeasureFunction]) -> list[Row]:
    return [
        {"scenario": one.scenario, "direction": one.direction, **asdict(row)}
        for one in every
        for row in per_query(one, measures)
    ]


def _by_candidates(groups: list[Row], resampling: Resampling) -> Iterator[Row]:
    """The mean over queries of ``per_query_groups``: each query counts once."""
    keys = (*BASE, "measure", "metric", "kind", "candidates")
    collected: dict[tuple[Any, ...], list[Row]] = {}
    for row in groups:
        collected.setdefault(tuple(row[key] for key in keys), []).append(row)
    for key, rows in collected.items():
        values = np.array([[row["value"]] for row in rows])
        estimate = mean_over_setups(values, np.arange(len(rows)), len(rows), resampling)
        yield {
            **dict(zip(keys, key, strict=True)),
            "count": float(np.mean([row["count"] for row in rows])),
            "mean": estimate.value[0], "low": estimate.low[0], "high": estimate.high[0],
            "queries": int(estimate.count[0]), "missing": len(rows) - int(estimate.count[0]),
        }  # fmt: skip


def _cell_matrix(every: Sequence[Cells]) -> DataFrame:
    """One row for each level, query and candidate; absent scores are empty and named by their reason."""
    import pandas

    return pandas.concat([pandas.DataFrame(_cell_rows(one)) for one in every], ignore_index=True)


def _cell_rows(cells: Cells) -> Iterator[Row]:
    sources_are_ranked = cells.direction == "source_selection"
    truth = cells.mean_truth
    for level, level_name in enumerate(cells.levels):
        states = cells.state[level]
        for query, query_name in enumerate(cells.queries):
            for candidate, candidate_name in enumerate(cells.candidates):
                pair = (query_name, candidate_name) if sources_are_ranked else (candidate_name, query_name)
                row: Row = {
                    "scenario": cells.scenario, "level": level_name, "direction": cells.direction,
                    "target": pair[0], "source": pair[1],
                    "family": cells.families[candidate], "random_start": bool(cells.random_start[candidate]),
                }  # fmt: skip
                for recipe, recipe_name in enumerate(cells.recipes):
                    runs = cells.truth[recipe, query, candidate]
                    runs = runs[~np.isnan(runs)]
                    row[f"truth_{recipe_name}"] = truth[recipe, query, candidate]
                    row[f"truth_{recipe_name}_sd"] = runs.std(ddof=1) if len(runs) > 1 else np.nan
                    row[f"truth_{recipe_name}_seeds"] = len(runs)
                for metric, name in enumerate(cells.metrics):
                    row[name] = cells.scores[level, metric, query, candidate]
                for name, state in (("inapplicable", INAPPLICABLE), ("missing", MISSING)):
                    absent = np.flatnonzero(states[:, query, candidate] == state)
                    row[name] = " ".join(cells.metrics[metric] for metric in absent)
                yield row

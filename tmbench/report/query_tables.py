"""The tables over queries rather than setups: full pools, groups of candidates, pooled values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.contract import BASE, COLUMNS, Row
from tmbench.stats.baselines import RANDOM
from tmbench.stats.bootstrap import Resampling, mean_of_values
from tmbench.stats.cells import Array, Cells
from tmbench.stats.correlations import pearson
from tmbench.stats.measures import Measure
from tmbench.stats.outcomes import Evaluation
from tmbench.stats.per_query import COMMON, per_query
from tmbench.stats.pooled import QUERY_MEAN, mean_of_query, share_between
from tmbench.stats.reliability import reliability

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_POOLED = 3_000
"""Rank correlations compare every pair of points: with more of them than this the pooled value is left empty."""


def pooled_table(every: Sequence[Cells], measures: Mapping[str, Measure]) -> DataFrame:
    """The table ``pooled`` of cells that have truths and no scores: how far baselines get."""
    import pandas

    rows = [row for cells in every for row in query_rows(cells, measures, Resampling(0))["pooled"]]
    return pandas.DataFrame(rows, columns=list(COLUMNS["pooled"]))


def query_rows(cells: Cells, measures: Mapping[str, Measure], resampling: Resampling) -> dict[str, list[Row]]:
    """The rows of one scenario by table."""
    scenario = {"scenario": cells.scenario, "direction": cells.direction}
    groups = [{**scenario, **vars(row)} for row in per_query(cells, measures)]
    common = [row for row in groups if row["candidates"] == COMMON]
    return {
        "per_query": common,
        "per_query_groups": groups,
        "by_candidates": list(_by_candidates(cells, groups, resampling)),
        "pooled": list(_pooled(cells, measures, common)),
        "reliability": [{**scenario, "level": "all", **asdict(row)} for row in reliability(cells)],
    }


def _by_candidates(cells: Cells, groups: list[Row], resampling: Resampling) -> Iterator[Row]:
    """The mean over queries of ``per_query_groups``: each query counts once."""
    keys = (*BASE, "measure", "metric", "kind", "candidates")
    place = {name: number for number, name in enumerate(cells.queries)}
    collected: dict[tuple[Any, ...], list[Row]] = {}
    for row in groups:
        collected.setdefault(tuple(row[key] for key in keys), []).append(row)
    values = np.full((len(cells.queries), len(collected)), np.nan)
    for column, rows in enumerate(collected.values()):
        for row in rows:
            values[place[row["query"]], column] = row["value"]
    estimate = mean_of_values(values, cells.query_families, resampling)
    for column, (key, rows) in enumerate(collected.items()):
        yield {
            **dict(zip(keys, key, strict=True)),
            "count": float(np.mean([row["count"] for row in rows])),
            "mean": estimate.value[column], "low": estimate.low[column], "high": estimate.high[column],
            "queries": int(estimate.count[column]), "missing": len(rows) - int(estimate.count[column]),
        }  # fmt: skip


def _pooled(cells: Cells, measures: Mapping[str, Measure], common: list[Row]) -> Iterator[Row]:
    """Each correlation over the full pools of all queries thrown together, beside its mean over queries.

    The queries are those that have a value of their own, so that all columns are about the same cells. The first two
    differ where queries differ in level: a metric can order targets by difficulty and tell nothing about sources. How
    far that goes stands beside them, ``tmbench.stats.pooled``; the mean of the query also has a row of its own.
    """
    correlations = {name: one for name, one in measures.items() if (one.low, one.high) == (-1.0, 1.0)}
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for row in common:
        key = (row["recipe"], row["level"], row["metric"], row["kind"], row["measure"])
        found.setdefault(key, {})[row["query"]] = row["value"]
    evaluation = Evaluation(cells, measures)
    pools = {
        (recipe, level, query): evaluation.full_pool(r, v, q)
        for r, recipe in enumerate(cells.recipes)
        for v, level in enumerate(cells.levels)
        for q, query in enumerate(cells.queries)
    }
    beside: dict[tuple[Any, ...], tuple[float, float]] = {}
    for (recipe, level, metric, kind, measure), values in found.items():
        if measure not in correlations:
            continue
        known = [query for query, value in values.items() if not np.isnan(value)]
        truths = [pools[recipe, level, query][0] for query in known]
        cell = (recipe, level, measure, *known)
        if cell not in beside:
            means = [(truth, mean_of_query(truth, correlations[measure].function)) for truth in truths]
            reached = _correlation(correlations[measure], QUERY_MEAN, means)
            beside[cell] = reached if np.isnan(reached) else max(0.0, reached), share_between(truths)
        query_mean, between = beside[cell]
        row = {
            "scenario": cells.scenario, "recipe": recipe, "level": level, "direction": cells.direction,
            "measure": measure, "query_mean": query_mean, "between": between,
        }  # fmt: skip
        points = [_points(*pools[recipe, level, query], cells.names.index(metric)) for query in known]
        yield row | {
            "metric": metric, "kind": kind,
            "per_query": float(np.mean([values[query] for query in known])) if known else np.nan,
            "pooled": _correlation(correlations[measure], metric, points),
        }  # fmt: skip
        if metric == RANDOM:  # which has a value wherever there is an order of candidates
            inside = 0.0 if known else np.nan
            yield row | {"metric": QUERY_MEAN, "kind": "baseline", "per_query": inside, "pooled": query_mean}


def _points(truth: Array, scores: Array, metric: int) -> tuple[Array, Array]:
    """(n,) truths and (n,) scores of one metric; the random ranking, which comes last, has one score everywhere."""
    return truth, scores[metric] if metric < len(scores) else np.zeros_like(truth)


def _correlation(measure: Measure, metric: str, points: list[tuple[Array, Array]]) -> float:
    many = measure.function is not pearson and sum(len(truth) for truth, _ in points) > MOST_POOLED
    if not points or many:
        return np.nan
    truth = np.concatenate([truth for truth, _ in points])
    scores = np.concatenate([scores for _, scores in points])
    return float(measure.at_random(truth) if metric == RANDOM else measure.function(truth, scores))

"""Each query on its own: the groups of candidates, and values that are the measures'."""

import numpy as np

from tmbench.stats.measures import MEASURES
from tmbench.stats.per_query import per_query

KENDALL = {"kendall_tau": MEASURES["kendall_tau"]}


def test_groups_and_values(make_cells):
    cells = make_cells()
    found = {(row.recipe, row.query, row.metric, row.candidates): row for row in per_query(cells, KENDALL)}
    kendall_tau = MEASURES["kendall_tau"].function
    truth = cells.mean_truth[1, 2]
    common = ~cells.random_start
    row = found["full", "target_2", "leep", "all"]
    assert (row.count, row.value) == (8, kendall_tau(truth[common], cells.scores[0, 2, 2, common]))
    assert found["full", "target_2", "hscore", "all"].count == 10
    assert found["full", "target_2", "hscore", "common"].count == 8
    row = found["full", "target_2", "hscore", "family:vit"]
    assert (row.count, row.value) == (4, kendall_tau(truth[5:9], cells.scores[0, 0, 2, 5:9]))
    assert ("full", "target_2", "static", "without_random") in found
    assert found["full", "target_2", "random", "common"].value == 0


def test_gaps_stay_gaps(rough_cells):
    cells = rough_cells(missing=0.1)
    rows = [row for row in per_query(cells, KENDALL) if row.candidates == "common" and row.kind == "metric"]
    assert {row.candidates for row in per_query(cells, KENDALL)} == {"all", "common"}
    for row in rows:
        recipe, level = cells.recipes.index(row.recipe), cells.levels.index(row.level)
        query, metric = cells.queries.index(row.query), cells.metrics.index(row.metric)
        there = cells.eligible[query]
        gap = np.isnan(cells.scores[level, metric, query, there]).any()
        gap |= np.isnan(cells.mean_truth[recipe, query, there]).any()
        constant = np.ptp(cells.mean_truth[recipe, query, there]) == 0
        assert np.isnan(row.value) == (gap or constant)
    assert any(np.isnan(row.value) for row in rows)

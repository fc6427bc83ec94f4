"""Of each cell, of each query and of all points together: tables beside those of the setups."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.stats.cells import MISSING, OK, Combined


def test_cell_matrix(study):
    cells, _, tables = study
    table = tables["cells"]
    assert len(table) == 60
    row = table[(table["target"] == "target_2") & (table["source"] == "vit_random")].iloc[0]
    assert row["truth_full"] == pytest.approx(cells.truth[1, 2, 9].mean())
    assert row["truth_full_sd"] == pytest.approx(cells.truth[1, 2, 9].std(ddof=1))
    assert row["truth_full_seeds"] == 2
    assert row["random_start"]
    assert np.isnan(row["leep"])
    assert row["inapplicable"] == "leep"
    assert row["missing"] == ""


def test_cell_matrix_has_the_cells_of_the_study_alone(make_cells, make_tables):
    cells = make_cells()
    present = np.ones((6, 10), dtype=bool)
    present[0, 0] = False
    sizes = np.array([1e6, np.nan] * 5)
    cells = replace(cells, present=present, sizes=sizes, metrics=("hscore", "size", "leep", "missing", "source_size"))
    truth = cells.truth.copy()
    truth[0, 1, 1, 0] = np.nan
    table = make_tables(replace(cells, truth=truth))[1]["cells"]
    assert len(table) == 59
    row = table[(table["target"] == "target_1") & (table["source"] == "resnet_shapes")].iloc[0]
    assert np.isnan(row["size"])
    assert np.isnan(row["truth_head_sd"])
    assert row["truth_head_seeds"] == 1
    # A metric that is named like another column gives way.
    assert row["score_size"] == cells.scores[0, 1, 1, 1]
    assert row["score_missing"] == cells.scores[0, 3, 1, 1]


def test_pooled_stands_beside_the_mean_per_query(study):
    """Pearson's correlation of all points, and the mean of the six."""
    cells, _, tables = study
    table = tables["pooled"].set_index(["recipe", "measure", "metric"])
    assert set(tables["pooled"]["measure"]) == {"weighted_tau", "kendall_tau", "pearson"}
    common = ~cells.random_start
    truth, scores = cells.mean_truth[1][:, common], cells.scores[0, 0][:, common]
    found = table.loc[("full", "pearson", "hscore")]
    assert found["pooled"] == pytest.approx(np.corrcoef(truth.ravel(), scores.ravel())[0, 1])
    each = [np.corrcoef(a, s)[0, 1] for a, s in zip(truth, scores, strict=True)]
    assert found["per_query"] == pytest.approx(np.mean(each))
    assert table.loc[("full", "pearson", "random"), "pooled"] == 0


def test_pooled_leaves_out_queries_without_a_value(make_cells, make_tables):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    gap = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    keys = ["recipe", "measure", "metric"]
    with_gap = make_tables(gap)[1]["pooled"].set_index(keys)
    without = make_tables(cells.only(queries=cells.queries[1:]))[1]["pooled"].set_index(keys)
    for column in ("per_query", "pooled"):
        assert with_gap.loc[("full", "pearson", "hscore"), column] == without.loc[("full", "pearson", "hscore"), column]


def test_combined_metrics_are_in_all_tables(make_cells, make_tables):
    cells = make_cells()
    parts = cells.scores[:, [0, 1]].transpose(0, 1, 2, 3).copy()
    both = Combined("both", "metric", lambda parts: parts.sum(axis=1), ("one", "two"), parts, cells.state[:, 0])
    _, tables = make_tables(replace(cells, combined=(both,)))
    pooled = tables["pooled"].set_index(["recipe", "measure", "metric"])
    truth, scores = cells.mean_truth[0][:, ~cells.random_start], parts[0].sum(axis=0)[:, ~cells.random_start]
    expected = np.corrcoef(truth.ravel(), scores.ravel())[0, 1]
    assert pooled.loc[("head", "pearson", "both"), "pooled"] == pytest.approx(expected)
    assert "both" in set(tables["win_rate"]["metric"])
    assert tables["cells"].loc[3, "both.two"] == cells.scores[0, 1, 0, 3]

"""The tables' columns and numbers, and how they are written."""

import io
from dataclasses import replace

import numpy as np
import pandas
import pytest

from tmbench.report import build_tables
from tmbench.report.markup import best_rows, csv_text, markdown_text, shown
from tmbench.report.tables import COLUMNS
from tmbench.stats.cells import MISSING, OK
from tmbench.stats.outcomes import concatenate


@pytest.fixture(scope="module")
def study(make_cells, make_outcomes):
    cells = make_cells()
    outcomes = make_outcomes(cells)
    return cells, outcomes, build_tables(cells, outcomes, draws=300)


def test_columns_are_the_contract(study):
    base = ["scenario", "recipe", "level", "direction"]
    contract = {
        "win_rate": "metric kind strict split all low high family_low family_high setups missing",
        "win_rate_by_measure": "measure metric kind strict split all low high family_low family_high setups missing",
        "means": "measure metric kind mean low high setups missing",
        "stability": "varied stability low high groups setups missing",
        "pairwise": "metric other win tie loss difference low high p p_holm",
        "per_query": "query measure metric kind value",
    }
    tables = study[2]
    for name, columns in contract.items():
        assert list(tables[name].columns) == base + columns.split()
    assert set(tables) == {*COLUMNS, "cells"}
    for name in COLUMNS:
        assert list(tables[name].columns[:4]) == base


def test_win_rates_sum_to_one_and_baselines_take_no_vote(study):
    wins = study[2]["win_rate"]
    for _, part in wins.groupby("recipe"):
        field = part[part["kind"] == "metric"]
        assert field["split"].sum() == pytest.approx(1)
        assert (field["strict"] <= field["split"]).all()
        assert (field["split"] <= field["all"]).all()
        assert (field["low"] < field["split"]).all()
        assert (part["setups"] == 6 * 4 * 56).all()
    others = wins[wins["kind"] != "metric"]
    assert set(others["metric"]) == {"source_size", "static"}
    assert others[["strict", "split", "all", "low", "high"]].isna().all(axis=None)


def test_every_table_carries_the_static_baseline(study):
    for name in ("win_rate", "means", "per_query", "by_candidates"):
        table = study[2][name]
        assert "baseline" in set(table.loc[table["metric"] == "static", "kind"])
    assert "static" in set(study[2]["pairwise"]["other"])


def test_per_query_has_one_row_a_query_measure_and_metric(study):
    table = study[2]["per_query"]
    assert not table.duplicated(["recipe", "query", "measure", "metric"]).any()
    assert len(table) == 2 * 6 * 4 * 6


def test_stability_rows(study):
    table = study[2]["stability"]
    assert list(table["varied"]) == ["target", "pool", "measure"] * 2 + ["recipe"]
    assert table["recipe"].iloc[-1] == "all"
    assert table["stability"].between(-1, 1).all()


def test_cell_matrix(study):
    cells, _, tables = study
    table = tables["cells"]
    assert len(table) == 60
    row = table[(table["target"] == "target_2") & (table["source"] == "vit_random")].iloc[0]
    assert row["truth_full"] == pytest.approx(cells.truth[1, 2, 9].mean())
    assert row["truth_full_sd"] == pytest.approx(cells.truth[1, 2, 9].std(ddof=1))
    assert row["random_start"]
    assert np.isnan(row["leep"])
    assert row["inapplicable"] == "leep"
    assert row["missing"] == ""


def test_few_queries_give_values_without_intervals(make_cells, make_outcomes):
    cells = make_cells(queries=5)
    tables = build_tables(cells, make_outcomes(cells), draws=300)
    for name in ("win_rate", "means", "stability", "pairwise", "by_candidates"):
        assert tables[name][["low", "high"]].isna().all(axis=None)
    assert tables["win_rate"].loc[tables["win_rate"]["kind"] == "metric", "split"].notna().all()


def test_missing_scores_are_counted(make_cells, make_outcomes):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    tables = build_tables(cells, make_outcomes(cells), draws=0)
    # One source of eight stands in 35 of the 56 pools of five, on one target, under four measures.
    assert (tables["win_rate"]["missing"] == 35 * 4).all()
    assert (tables["win_rate"]["setups"] == 1344 - 140).all()
    means = tables["means"].set_index(["recipe", "measure", "metric"])
    assert means.loc[("full", "pearson", "hscore"), "missing"] == 35
    assert means.loc[("full", "pearson", "logme"), "missing"] == 0
    assert tables["cells"].loc[0, "missing"] == "hscore"


def test_families_deleted_in_turn_give_an_interval(make_cells, make_outcomes):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_outcomes(cells.without_family(name), size=5) for name in "abc"]
    wins = build_tables(cells, make_outcomes(cells), draws=0, without_family=without)["win_rate"]
    field = wins[wins["kind"] == "metric"]
    assert (field["family_low"] <= field["split"]).all()
    assert (field["split"] <= field["family_high"]).all()
    assert wins[wins["kind"] != "metric"]["family_low"].isna().all()


def test_two_scenarios(make_cells, make_outcomes):
    every = [make_cells(scenario="one"), make_cells(seed=1, queries=7, scenario="two")]
    tables = build_tables(every, concatenate([make_outcomes(one) for one in every]), draws=0)
    assert list(dict.fromkeys(tables["win_rate"]["scenario"])) == ["one", "two"]
    assert tables["reliability"].groupby("scenario").size().to_dict() == {"one": 12, "two": 14}
    alone = build_tables(every[1], make_outcomes(every[1]), draws=0)["means"]
    both = tables["means"]
    pandas.testing.assert_frame_equal(both[both["scenario"] == "two"].reset_index(drop=True), alone)


def test_csv_round_trip(study):
    table = study[2]["win_rate"]
    again = pandas.read_csv(io.StringIO(csv_text(table)))
    pandas.testing.assert_frame_equal(again, table, rtol=1e-9, check_dtype=False)


def test_markdown_sets_the_best_metric_in_bold():
    table = pandas.DataFrame(
        {
            "measure": ["m", "m", "m", "n"],
            "metric": ["a|x", "b", "static", "a"],
            "kind": ["metric", "metric", "baseline", "metric"],
            "mean": [0.5, 0.25, 0.9, np.nan],
        }
    )
    assert best_rows(table) == {0}
    assert markdown_text(table).splitlines() == [
        "| measure | metric | kind | mean |",
        "|:---|:---|:---|---:|",
        r"| m | a\|x | metric | **0.500** |",
        "| m | b | metric | 0.250 |",
        "| m | static | baseline | 0.900 |",
        "| n | a | metric | – |",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.500"), (float("nan"), "–"), (float("inf"), "∞"), (8.0, "8"), (1e-5, "1e−05")],
)
def test_numbers_as_shown(value, text):
    assert shown(value) == text

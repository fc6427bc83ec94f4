"""The tables' columns and numbers."""

from dataclasses import fields, replace

import numpy as np
import pandas
import pytest

from tmbench.report.contract import BASE, COLUMNS, SPLIT
from tmbench.report.markup import best_rows, by_win_rate, lower_is_better
from tmbench.stats.measures import MEASURES
from tmbench.stats.reliability import Reliability


def test_columns_are_the_contract(study):
    base = ["scenario", "recipe", "level", "direction"]
    contract = {
        "win_rate": "metric kind strict split all low high family_low family_high setups missing",
        "win_rate_by_measure": "measure metric kind strict split all low high family_low family_high setups missing",
        "means": "measure metric kind mean low high setups missing",
        "stability": "varied stability low high groups setups",
        "pairwise": "metric other win tie loss difference low high p p_holm",
        "per_query": "query measure metric kind value",
        "convergence": "unit count probability",
        "bounds": "metric kind as_loss lowest highest setups missing",
        "ranges": "statistic metric kind least greatest queries",
        "rank_entropy": "of name entropy mean_rank count",
        "per_query_groups": "query measure metric kind candidates count value",
        "by_candidates": "measure metric kind candidates count mean low high queries missing",
        "pooled": "measure metric kind per_query pooled query_mean between",
        "counts": "what count policy",
        "reliability": " ".join(field.name for field in fields(Reliability) if field.name != "recipe"),
    }
    tables = study[2]
    for name, columns in contract.items():
        assert list(tables[name].columns) == base + columns.split()
    assert set(tables) == {*contract, "cells"}
    assert list(tables["cells"].columns[:8]) == [
        *(name for name in BASE if name != "recipe"), "target", "source", "family", "size", "random_start",
    ]  # fmt: skip


def test_a_study_without_rows_keeps_the_columns(make_cells, make_tables):
    cells = make_cells()
    alone = cells.only(metrics=["hscore"])
    _, tables = make_tables(alone)
    for name, columns in COLUMNS.items():
        assert list(tables[name].columns) == list(columns)
    assert tables["stability"].empty
    assert tables["convergence"].empty


def test_win_rates_sum_to_one_and_baselines_take_no_vote(study):
    wins = study[2]["win_rate"]
    for _, part in wins.groupby("recipe"):
        assert list(part["metric"]) == ["hscore", "logme", "leep", "gbc", "source_size", "static", "random"]
        field = part[part["kind"] == "metric"]
        assert field["split"].sum() == pytest.approx(1)
        assert (field["strict"] <= field["split"]).all()
        assert (field["split"] <= field["all"]).all()
        assert (field["low"] < field["split"]).all()
        assert (part["setups"] == 6 * 4 * 56).all()
    others = wins[wins["kind"] != "metric"]
    assert set(others["metric"]) == {"source_size", "static", "random"}
    assert others[["strict", "split", "all", "low", "high"]].isna().all(axis=None)


def test_win_rate_is_the_mean_of_those_by_measure(study):
    """Every measure has as many complete setups here."""
    tables = study[2]
    keys = ["recipe", "metric"]
    whole = tables["win_rate"].set_index(keys)["split"]
    by_measure = tables["win_rate_by_measure"].groupby(keys)["split"].mean()
    pandas.testing.assert_series_equal(by_measure.reindex(whole.index), whole, rtol=1e-12)


def test_every_table_carries_the_baselines(study):
    for name in ("win_rate", "means", "per_query", "by_candidates", "pooled"):
        table = study[2][name]
        for baseline in ("static", "random"):
            assert set(table.loc[table["metric"] == baseline, "kind"]) == {"baseline"}
    assert {"static", "random"} <= set(study[2]["pairwise"]["other"])


def test_per_query_has_one_row_a_query_measure_and_metric(study):
    table = study[2]["per_query"]
    assert not table.duplicated(["recipe", "query", "measure", "metric"]).any()
    assert len(table) == 2 * 6 * 4 * 7


def test_stability_rows(study):
    table = study[2]["stability"]
    slices = ["target", "pool", "measure"] * 2
    assert list(table["varied"]) == [*slices, "recipe", "seed", "seed"]
    assert list(table["recipe"]) == ["head"] * 3 + ["full"] * 3 + ["all", "head", "full"]
    assert table["stability"].between(-1, 1).all()
    assert (table["setups"] > 0).all()


def test_the_query_is_named_by_the_direction(make_cells, make_tables):
    _, tables = make_tables(replace(make_cells(), direction="target_selection"))
    assert list(tables["stability"]["varied"][:3]) == ["query", "pool", "measure"]
    assert tables["cells"].loc[0, ["target", "source"]].tolist() == ["resnet_glyphs", "target_0"]


def test_ranges_are_those_of_single_queries(study):
    tables = study[2]
    table = tables["ranges"]
    overall = tables["win_rate"].set_index(["recipe", "metric"])["split"]
    wins = table[table["statistic"] == SPLIT].set_index(["recipe", "metric"])
    assert set(wins["kind"]) == {"metric"}
    assert (wins["least"] <= overall.reindex(wins.index)).all()
    assert (wins["greatest"] >= overall.reindex(wins.index)).all()
    assert (table["queries"] == 6).all()
    assert set(table["statistic"]) == {
        SPLIT,
        *(f"mean {name}" for name in ("weighted_tau", "kendall_tau", "pearson")),
    } | {"mean rel_at_1"}
    means = tables["means"].set_index(["recipe", "measure", "metric"])["mean"]
    one = table[(table["statistic"] == "mean pearson") & (table["metric"] == "leep") & (table["recipe"] == "full")]
    # Every query has as many setups here, so that the mean over setups lies inside.
    assert one["least"].item() <= means["full", "pearson", "leep"] <= one["greatest"].item()


def test_bounds_are_the_win_rate_where_nothing_is_missing(study):
    tables = study[2]
    keys = ["recipe", "metric"]
    bounds, wins = tables["bounds"].set_index(keys), tables["win_rate"].set_index(keys)["split"].dropna()
    assert len(bounds) == len(wins)
    for column in ("as_loss", "lowest", "highest"):
        np.testing.assert_allclose(bounds[column], wins.reindex(bounds.index), rtol=1e-12)


def test_rank_entropy_of_metrics_and_candidates(study):
    table = study[2]["rank_entropy"]
    assert table["entropy"].between(0, 1).all()
    metrics, candidates = (table[table["of"] == name] for name in ("metric", "candidate"))
    assert (metrics["count"] == 6 * 4 * 56).all()
    assert len(candidates) == 2 * 10
    assert set(candidates["level"]) == {"all"}


def test_two_scenarios(make_cells, make_tables):
    every = [make_cells(scenario="one"), make_cells(seed=1, queries=7, scenario="two")]
    _, tables = make_tables(*every)
    assert list(dict.fromkeys(tables["win_rate"]["scenario"])) == ["one", "two"]
    assert tables["reliability"].groupby("scenario").size().to_dict() == {"one": 12, "two": 14}
    alone = make_tables(every[1])[1]
    for name, table in tables.items():
        second = table[table["scenario"] == "two"].reset_index(drop=True)
        pandas.testing.assert_frame_equal(second, alone[name], check_dtype=False)


def test_less_regret_is_better(make_cells, make_tables):
    measures = {name: MEASURES[name] for name in ("normalised_regret", "weighted_tau")}
    lower = lower_is_better(measures)
    assert lower == {"normalised_regret"}
    means = make_tables(make_cells(), measures=measures)[1]["means"]
    best = means.iloc[sorted(best_rows(means, lower))]
    for measure, choose in (("normalised_regret", "min"), ("weighted_tau", "max")):
        field = means[(means["kind"] == "metric") & (means["measure"] == measure)]
        found = best[best["measure"] == measure]
        assert found["mean"].tolist() == field.groupby("recipe", sort=False)["mean"].agg(choose).tolist()


def test_rows_by_win_rate_end_with_those_that_do_not_compete():
    wins = pandas.DataFrame({"metric": ["a", "static", "b", "random"], "split": [0.2, np.nan, 0.8, np.nan]})
    means = {("static", "regret"): 0.1, ("random", "regret"): 0.5}
    assert [row.metric for row in by_win_rate(wins, means, "regret", {"regret"})] == ["b", "a", "static", "random"]
    assert [row.metric for row in by_win_rate(wins, means, "regret")] == ["b", "a", "random", "static"]

"""The tables' columns and numbers."""

from dataclasses import fields, replace

import numpy as np
import pandas
import pytest

from tmbench.report.contract import BASE, COLUMNS, SPLIT
from tmbench.report.markup import best_rows, by_win_rate, lower_is_better
from tmbench.stats.cells import MISSING, OK, Combined
from tmbench.stats.measures import MEASURES
from tmbench.stats.reliability import Reliability

INTERVALS = ("win_rate", "win_rate_by_measure", "means", "stability", "pairwise", "by_candidates")


@pytest.fixture(scope="module")
def study(make_cells, make_tables):
    cells = make_cells()
    scenes, tables = make_tables(cells, draws=300)
    return cells, scenes, tables


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
        "pooled": "measure metric kind per_query pooled",
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
    assert list(tables["stability"]["varied"][:3]) == ["source", "pool", "measure"]
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


def test_few_queries_give_values_without_intervals(make_cells, make_tables):
    _, tables = make_tables(make_cells(queries=5), draws=300)
    for name in INTERVALS:
        assert tables[name][["low", "high"]].isna().all(axis=None)
    assert tables["win_rate"].loc[tables["win_rate"]["kind"] == "metric", "split"].notna().all()


def test_no_draws_give_no_intervals_and_keep_p(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcde"]
    _, tables = make_tables(cells, draws=0, without=without)
    for name in INTERVALS:
        assert tables[name][["low", "high"]].isna().all(axis=None)
    assert tables["win_rate"][["family_low", "family_high"]].isna().all(axis=None)
    assert tables["pairwise"][["p", "p_holm"]].notna().all(axis=None)


def test_missing_scores_are_counted(make_cells, make_tables):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan), counts={"text_scores": 1})
    _, tables = make_tables(cells, policies={"text_scores": "text is no number: missing"})
    # One source of eight stands in 35 of the 56 pools of five, on one target, under four measures.
    assert (tables["win_rate"]["missing"] == 35 * 4).all()
    assert (tables["win_rate"]["setups"] == 1344 - 140).all()
    means = tables["means"].set_index(["recipe", "measure", "metric"])
    assert means.loc[("full", "pearson", "hscore"), "missing"] == 35
    assert means.loc[("full", "pearson", "logme"), "missing"] == 0
    assert tables["cells"].loc[0, "missing"] == "hscore"
    bounds = tables["bounds"].set_index(["recipe", "metric"])
    assert (bounds["lowest"] <= bounds["as_loss"]).all()
    assert (bounds["as_loss"] <= bounds["highest"]).all()
    assert bounds.loc[("full", "hscore"), "lowest"] < bounds.loc[("full", "hscore"), "highest"]
    counts = tables["counts"].set_index(["recipe", "what"])
    assert counts.loc[("full", "setups"), "count"] == 1344
    assert counts.loc[("full", "setups missing"), "count"] == 140
    assert counts.loc[("all", "text_scores"), "count"] == 1
    assert counts.loc[("all", "text_scores"), "policy"] == "text is no number: missing"
    per_query = tables["per_query"].set_index(["recipe", "query", "measure", "metric"])["value"]
    assert np.isnan(per_query["full", "target_0", "pearson", "hscore"])


def test_inapplicable_is_not_missing(make_cells, make_tables):
    """A variant that does not apply to some candidates has fewer setups, none of them missing."""
    cells = replace(make_cells(), kinds=("metric", "metric", "variant", "metric", "baseline"))
    means = make_tables(cells)[1]["means"].set_index(["recipe", "measure", "metric"])
    leep = means.loc[("full", "pearson", "leep")]
    assert leep["missing"] == 0
    # Pools of five out of the eight candidates that have a head, of those out of ten.
    assert leep["setups"] == 6 * 56
    assert means.loc[("full", "pearson", "gbc"), "setups"] == 6 * 252


def test_constant_scores_are_counted(make_cells, make_tables):
    cells = make_cells()
    scores = cells.scores.copy()
    scores[0, 3, 1] = 0.5
    counts = make_tables(replace(cells, scores=scores))[1]["counts"].set_index(["recipe", "what"])["count"]
    assert counts["head", "constant scores: gbc"] == 56 * 4
    assert ("head", "constant scores: hscore") not in counts.index


def test_families_deleted_in_turn_give_an_interval(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcd"]
    wins = make_tables(cells, draws=300, without=without)[1]["win_rate"]
    field = wins[wins["kind"] == "metric"]
    assert (field["family_low"] <= field["split"]).all()
    assert (field["split"] <= field["family_high"]).all()
    assert (field["family_low"] < field["family_high"]).any()
    assert field[["family_low", "family_high"]].stack().between(0, 1).all()
    assert wins[wins["kind"] != "metric"]["family_low"].isna().all()


def test_a_family_that_the_field_hangs_on_gives_no_interval(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abc"]
    without.append(make_tally(cells.without_family("d").only(metrics=["hscore", "logme", "gbc", "source_size"])))
    wins = make_tables(cells, draws=300, without=without)[1]["win_rate"]
    assert wins[["family_low", "family_high"]].isna().all(axis=None)


def test_two_scenarios(make_cells, make_tables):
    every = [make_cells(scenario="one"), make_cells(seed=1, queries=7, scenario="two")]
    _, tables = make_tables(*every)
    assert list(dict.fromkeys(tables["win_rate"]["scenario"])) == ["one", "two"]
    assert tables["reliability"].groupby("scenario").size().to_dict() == {"one": 12, "two": 14}
    alone = make_tables(every[1])[1]
    for name, table in tables.items():
        second = table[table["scenario"] == "two"].reset_index(drop=True)
        pandas.testing.assert_frame_equal(second, alone[name], check_dtype=False)


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

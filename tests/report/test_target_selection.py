"""The report of target selection: queries that rank candidates of their own, each group of them a scenario."""

import numpy as np
import pytest

from tmbench.report import Scene, build_tables, print_summary
from tmbench.report.canvas import Figures, drawing
from tmbench.report.captions import captions
from tmbench.report.findings import findings
from tmbench.report.grids import group_grids, short_grids
from tmbench.report.page import render_page
from tmbench.report.query_tables import pooled_table
from tmbench.report.scatters import _titles, scatters
from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.jackknife import FEWEST_FAMILIES
from tmbench.stats.measures import MEASURES
from tmbench.study.exclusion import parts
from tmbench.study.options import PoolOption
from tmbench.study.pools.space import PoolSpace
from tmbench.study.scenario import Scenario
from tmbench.study.sweep import Sweep

BOTH = {name: MEASURES[name] for name in ("weighted_tau", "pearson")}
RESAMPLING = Resampling(200)
SWEEP = Sweep(name="x", version=1, cells=("x",), measure=("pearson",), pool=("all",))
RANDOM, HALF = "demo_targets_random", "demo_targets_half"


def scene(cells, measures=BOTH):
    """As ``aggregate`` makes it, jackknife too."""
    space = PoolSpace(Scenario.of(cells), {"all": PoolOption(rule="all")})
    families = [name for name in dict.fromkeys(cells.families) if name]
    families = families if len(families) >= FEWEST_FAMILIES else []
    without = [
        tally_study(cells.without_family(name), space.without_family(name).chunks(), measures, Resampling(0))
        for name in families
    ]
    return Scene(cells, tally_study(cells, space.chunks(), measures, RESAMPLING), without)


def study_of(cells):
    scenes = [scene(part) for part in parts(SWEEP, cells)]
    return scenes, build_tables(scenes, BOTH, RESAMPLING)


@pytest.fixture(scope="module")
def study(target_cells):
    """12 queries of two groups and three data sets, each with 8 candidates of its own."""
    return study_of(target_cells(sources=2, sets=("cars", "birds", "pets"), members=8))


def test_each_group_has_tables_of_its_own(study):
    _, tables = study
    points, means = tables["per_query"], tables["means"].set_index(["scenario", "measure", "metric"])
    for scenario, group in ((RANDOM, "random"), (HALF, "half")):
        own = points[(points["scenario"] == scenario) & (points["measure"] == "pearson") & (points["metric"] == "gbc")]
        assert len(own) == 6
        assert own["query"].str.endswith(group).all()
        row = means.loc[(scenario, "pearson", "gbc")]
        assert (row["mean"], row["setups"], row["missing"]) == (pytest.approx(own["value"].mean()), 6, 0)
    for name, table in tables.items():
        assert set(table["scenario"]) == {RANDOM, HALF}, name


def test_the_number_of_classes_ranks_subsets_of_random_size_alone(study):
    means = study[1]["means"].set_index(["scenario", "measure", "metric"])["mean"]
    assert means[RANDOM, "weighted_tau", "minus_log_classes"] > 0.3
    assert means[HALF, "weighted_tau", "minus_log_classes"] == 0  # a failed ranking, and not a missing one
    assert np.isfinite(means.drop("static", level="metric")).all()


def test_intervals_resample_the_data_sets_of_a_group(target_cells):
    _, tables = study_of(target_cells(sources=2, sets=("a", "b", "c", "d", "e", "f"), members=4))
    counts = tables["counts"].set_index(["scenario", "what"])["count"]
    assert (counts[HALF, "queries"], counts[HALF, "independent queries"]) == (12, 6)
    row = tables["means"].set_index(["scenario", "measure", "metric"]).loc[(HALF, "pearson", "gbc")]
    own = tables["per_query"].query("scenario == @HALF and measure == 'pearson' and metric == 'gbc'")["value"]
    assert own.min() <= row["low"] < row["mean"] < row["high"] <= own.max()


def test_groups_are_never_pooled(target_cells):
    cells = target_cells(sources=2, members=6)
    table = pooled_table(parts(SWEEP, cells), BOTH).set_index(["measure", "scenario", "metric"])
    random = [query for query, group in zip(cells.queries, cells.query_groups, strict=True) if group == "random"]
    alone = pooled_table([cells.only(queries=random)], BOTH).set_index(["measure", "metric"])
    for column in ("pooled", "query_mean", "between"):
        found = table.loc[("pearson", RANDOM, "gbc"), column]
        assert found == pytest.approx(alone.loc[("pearson", "gbc"), column])


def test_sentences_speak_of_queries(study):
    scenes, tables = study
    random, half = findings(tables, BOTH, RESAMPLING)
    assert (random.title, half.title) == (f"{RANDOM}: recipe head", f"{HALF}: recipe head")
    assert "3 query families, too few for an interval" in random.headline
    assert "100 % of the setups of each query" in half.headline
    assert not any("sources" in text for text in (random.headline, *random.details))
    said = captions(scenes, tables, RESAMPLING)["means"]
    assert f"No interval: {RANDOM} has 3 independent queries, fewer than 6; see ranges." in said


def test_the_page_keeps_them_apart(study):
    scenes, tables = study
    said = captions(scenes, tables, RESAMPLING)
    page = render_page("Targets", scenes, BOTH, RESAMPLING, tables, said, Figures(), {}, "")
    assert page.count(f"<h3>{RANDOM}: recipe head</h3>") == page.count(f"<h3>{HALF}: recipe head</h3>") == 2
    assert "range over queries" in page


def test_the_terminal_has_a_table_for_each(study, capsys):
    print_summary(study[1], BOTH, RESAMPLING)
    out = capsys.readouterr().out
    assert out.index(f"{RANDOM} · recipe head") < out.index(f"{HALF} · recipe head")
    assert "range over queries (of 3 families: too few for an interval)" in " ".join(out.split())


def test_queries_of_one_family_are_so_counted(target_cells, capsys):
    print_summary(study_of(target_cells(sources=2, sets=("cars",), members=5))[1], BOTH, RESAMPLING)
    said = " ".join(capsys.readouterr().out.split())
    assert "range over queries (of 1 family: too few for an interval)" in said


def test_the_best_baseline_is_held_against_the_metrics(study):
    random, half = findings(study[1], BOTH, RESAMPLING)
    reached = study[1]["means"].query("scenario == @RANDOM and measure == 'weighted_tau'").set_index("metric")["mean"]
    assert reached["minus_log_classes"] > max(reached["gbc"], reached["logme"])
    number = f"{reached['minus_log_classes']:.2f}"
    assert f"minus_log_classes, a baseline, reaches {number}: better than 2 of 2 metrics." in random.details
    assert any(", a baseline, reaches 0.00: better than" in text for text in half.details)


def test_long_rows_of_panels_are_left_to_the_table(target_cells):
    cells = target_cells(sources=11, sets=("cars",), members=4)
    scenes, tables = study_of(cells.only(queries=[name for name in cells.queries if name.endswith("half")]))
    figures = Figures()
    with drawing():
        scatters(figures, scenes, BOTH, tables)
    assert [figure.name for figure in figures.drawn] == ["leading_head"]
    (said,) = figures.left_out
    assert "2 metrics × 11 queries are more panels than can be read" in said


def test_titles_of_panels_say_what_differs():
    assert _titles(["net · cars_half", "net · pets_half"], 18) == ["cars_half", "pets_half"]
    assert _titles(["a · cars", "b · cars"], 18) == ["a\ncars", "b\ncars"]
    assert _titles(["cars", "pets"], 18) == ["cars", "pets"]


def test_one_source_has_no_static_ranking(target_cells):
    """No other query has the candidates of one: nothing to be said, and nothing that fails."""
    _, tables = study_of(target_cells(sources=1, members=5, families=False))
    static = tables["means"][tables["means"]["metric"] == "static"]
    assert static["mean"].isna().all()
    assert tables["win_rate"]["missing"].eq(0).all()
    found = findings(tables, BOTH, RESAMPLING)
    assert any("There is no static ranking: no other query has the candidates of one." in x for x in found[0].details)
    grids = list(short_grids(tables, found, BOTH, RESAMPLING))
    assert "beats static in" not in grids[0].columns
    assert not list(group_grids(tables, found, BOTH))  # all metrics apply to all candidates


def test_the_jackknife_goes_over_the_families_of_candidates(study, target_cells):
    wins = study[1]["win_rate"].set_index(["scenario", "metric"]).loc[(RANDOM, "gbc")]
    assert 0 <= wins["family_low"] <= wins["split"] <= wins["family_high"] <= 1
    _, none = study_of(target_cells(sources=2, members=4, families=False))
    assert none["win_rate"]["family_low"].isna().all()

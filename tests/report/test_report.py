"""The written report: whole, self-contained, the same bytes again; and the terminal's table."""

import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tmbench.report import build_tables, print_summary, write_report
from tmbench.report.findings import counts, doubtful_truths, findings
from tmbench.report.grids import MOST_ROWS, table_grid
from tmbench.stats.bootstrap import Resampling

PROVENANCE = {"commit": "0123abc", "config": {"recipe": {"full": {"epochs": 12}}}, "seeds": [0, 1]}
TITLE = "A <small> study"
RESAMPLING = Resampling(300)


@pytest.fixture(scope="module")
def study(make_cells, make_tables):
    """Scenes and tables."""
    cells = make_cells().only(metrics=["hscore", "leep", "gbc", "source_size"])
    # A user's names may hold anything; none of it may become markup.
    cells = replace(cells, metrics=("hscore", "leep", "<b>gbc & co</b>", "$source_size"))
    return make_tables(cells, draws=300)


@pytest.fixture(scope="module")
def written(study, measures, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "demo"
    return write_report(out, study[0], measures, RESAMPLING, study[1], PROVENANCE, TITLE, rebuild="make demo")


@pytest.fixture(scope="module")
def two_scenarios(make_cells, make_tables, measures, tmp_path_factory):
    """Scenes and files: one scenario has too few queries for intervals."""
    one = make_cells(scenario="one", queries=2).only(recipes=["head"], metrics=["hscore", "gbc"])
    two = make_cells(scenario="two", seed=1).only(recipes=["full"], metrics=["hscore", "gbc"])
    scenes, tables = make_tables(one, two, draws=100)
    out = tmp_path_factory.mktemp("two")
    return scenes, write_report(out, scenes, measures, Resampling(100), tables, PROVENANCE, TITLE, rebuild="make demo")


def test_all_files_are_there(written, study):
    names = set(written)
    assert {f"tables/{name}.{ending}" for name in study[1] for ending in ("csv", "md", "tex")} <= names
    pictures = ("win_rate", "agreement", "stability", "convergence", "scatter_head", "scatter_full")
    assert {name for name in names if name.startswith("figures/")} == {
        f"figures/{name}.{ending}" for name in pictures for ending in ("svg", "png")
    }
    assert {"report", "report.html", "provenance.json"} <= names
    folder = written["report"].parent
    assert all(path.stat().st_size > 0 for path in written.values())
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names - {"report"}
    assert written["figures/win_rate.png"].read_bytes()[:4] == b"\x89PNG"


def test_the_same_bytes_again(two_scenarios, measures, tmp_path):
    """From the tallies on: tables, figures and page."""
    scenes, before = two_scenarios
    tables = build_tables(scenes, measures, Resampling(100))
    again = write_report(tmp_path, scenes, measures, Resampling(100), tables, PROVENANCE, TITLE, rebuild="make demo")
    assert set(again) == set(before)
    for name, path in before.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_markdown_and_latex_bear_captions(written):
    for name in ("win_rate", "counts", "cells", "per_query"):
        for ending in ("md", "tex"):
            assert "2,688 setups, 0 of them missing" in written[f"tables/{name}.{ending}"].read_text()


def test_page_needs_nothing_else(written):
    page = written["report"].read_text()
    assert not re.findall(r"https?:", page)
    assert "<script" not in page
    assert "<link" not in page
    references = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert references
    assert all(reference.startswith(("data:image/svg+xml;base64,", "#")) for reference in references)
    assert "url(" not in page
    anchors = {reference[1:] for reference in references if reference.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))


def test_page_says_it_all(written):
    page = written["report"].read_text()
    assert "A &lt;small&gt; study" in page
    assert "&lt;b&gt;gbc &amp; co&lt;/b&gt;" in page
    assert "<b>gbc" not in page
    assert "wins most often" in page
    assert "static ranking" in page
    assert "config.recipe.full.epochs" in page
    assert "0123abc" in page
    assert "make demo" in page
    assert "2,688</b>" in page
    assert "prefers-color-scheme: dark" in page
    assert "expanded percentiles of 300 resamplings" in page
    assert "smallest attainable p" in page


def test_long_tables_are_cut_with_a_pointer_to_the_file(written, study):
    table = study[1]["per_query"]
    grid = table_grid("per_query", table, "", frozenset())
    assert len(grid.rows) == MOST_ROWS
    assert grid.cut == len(table) - MOST_ROWS
    page = written["report"].read_text()
    assert f"{grid.cut} more rows in <code>tables/per_query.csv</code>" in page
    assert f"{len(table)} rows · per_query.csv" in page


def test_too_many_panels_are_left_out_and_said(make_cells, make_tables, measures, tmp_path):
    scenes, tables = make_tables(make_cells(queries=11).only(recipes=["full"]))
    files = write_report(tmp_path, scenes, measures, Resampling(0), tables, {}, "t")
    assert not [name for name in files if "scatter" in name]
    assert "4 metrics × 11 queries are more panels than can be read" in files["report"].read_text()


def test_two_scenarios_of_few_queries_on_one_page(two_scenarios):
    files = two_scenarios[1]
    page = files["report"].read_text()
    assert "one: recipe head" in page
    assert "two: recipe full" in page
    assert "2 targets, too few for an interval: from" in page
    assert "range over targets" in page
    assert "95 % interval" in page
    assert {"figures/win_rate_one.svg", "figures/win_rate_two.svg", "figures/convergence.svg"} <= set(files)


def test_one_metric_alone_and_nothing_to_compare(make_cells, make_tables, measures, tmp_path):
    scenes, tables = make_tables(make_cells(queries=2).only(recipes=["full"], metrics=["hscore"]))
    files = write_report(tmp_path, scenes, measures, Resampling(0), tables, {}, "t")
    assert "figures/convergence.svg" not in files
    assert "hscore wins most often: 100 %" in files["report"].read_text()


def test_findings_name_the_winner_and_are_careful(study, measures):
    _, tables = study
    found = findings(tables, measures, RESAMPLING)
    assert [one.title for one in found] == ["recipe head", "recipe full"]
    wins = tables["win_rate"]
    for one, (_, part) in zip(found, wins.groupby("recipe", sort=False), strict=True):
        assert one.headline.startswith(part.loc[part["split"].idxmax(), "metric"] + " wins most often")
        assert "over 6 targets" in one.headline
        assert "told apart" in one.headline
        assert "cannot fall below 0.031" in one.headline


def test_few_queries_are_said_with_their_range(make_cells, make_tables, measures):
    _, tables = make_tables(make_cells(queries=3), draws=300)
    headline = findings(tables, measures, RESAMPLING)[0].headline
    winner = headline.split(" ")[0]
    ranges = tables["ranges"].set_index(["recipe", "statistic", "metric"])
    row = ranges.loc[("head", "win rate (split)", winner)]
    low, high = (f"{100 * row[end]:.0f} %" for end in ("least", "greatest"))
    assert f"3 targets, too few for an interval: from {low} to {high} of the setups of one target" in headline


def test_doubtful_truths_are_named(make_cells, make_tables):
    cells = make_cells()
    truth = cells.truth.copy()
    truth[1, 2] = np.random.default_rng(0).normal(0.5, 0.2, truth[1, 2].shape)
    truth[1, 3, 0] = np.nan
    _, tables = make_tables(replace(cells, truth=np.abs(truth)))
    doubts = doubtful_truths(tables["reliability"])
    assert any(doubt.startswith("target_2, recipe full:") and "reliability of the mean" in doubt for doubt in doubts)
    assert any(doubt.startswith("target_3, recipe full:") and "1 truth is missing" in doubt for doubt in doubts)
    assert not any(doubt.startswith("target_0") for doubt in doubts)


def test_counts(study):
    numbers = {count.what: count.number for count in counts(study[0])}
    assert numbers["setups"] == 2688
    assert numbers["inapplicable"] == 12
    assert numbers["scores"] == 3 * 60 - 12  # those of baselines are not counted
    assert numbers["truths"] == 240
    assert numbers["scores missing"] == numbers["truths missing"] == 0


def test_cells_that_the_study_has_not_are_not_counted(make_cells, make_tables):
    cells = make_cells()
    present = np.ones((6, 10), dtype=bool)
    present[:, 0] = False
    numbers = {count.what: count.number for count in counts(make_tables(replace(cells, present=present))[0])}
    assert numbers["cells (query and candidate)"] == 54
    assert numbers["scores"] + numbers["inapplicable"] == 4 * 54


def summary(tables, measures, resampling):
    stream = io.StringIO()
    print_summary(tables, measures, resampling, Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


def test_terminal_table_fits(study, measures):
    text = summary(study[1], measures, RESAMPLING)
    assert "recipe head" in text
    assert "static" in text
    assert "1,344 setups" in text
    assert "95 % interval" in text
    assert "<b>gbc & co</b>" in text
    assert "…" not in text


def test_terminal_table_of_few_queries_has_their_range(make_cells, make_tables, measures):
    text = summary(make_tables(make_cells(queries=4), draws=300)[1], measures, RESAMPLING)
    assert "range over targets (4: too few for an interval)" in text
    assert "95 % interval" not in text


def test_terminal_stops_after_some_tables(make_cells, make_tables, measures):
    every = [make_cells(scenario=f"scenario_{number}", queries=2) for number in range(5)]
    text = summary(make_tables(*every)[1], measures, Resampling(0))
    assert "… and 2 more in tables/win_rate.md" in text
    assert "scenario_3" in text
    assert "scenario_4" not in text


def test_importing_is_light():
    code = (
        "import sys, tmbench.stats.outcomes, tmbench.stats.stability, tmbench.stats.pairwise, tmbench.report\n"
        "heavy = {'scipy.stats', 'pandas', 'matplotlib', 'jinja2', 'torch', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

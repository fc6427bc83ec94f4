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

PROVENANCE = {"commit": "0123abc", "config": {"recipe": {"full": {"epochs": 12}}}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def study(make_cells, make_outcomes):
    cells = make_cells()
    # A user's names may hold anything; none of it may become markup.
    cells = replace(cells, metrics=("hscore", "logme", "leep", "<b>gbc & co</b>", "source_size"))
    outcomes = make_outcomes(cells)
    return cells, outcomes, build_tables(cells, outcomes, draws=300)


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "demo"
    cells, outcomes, tables = study
    return write_report(out, cells, outcomes, PROVENANCE, "A <small> study", tables=tables, rebuild="make demo")


def test_all_files_are_there(written, study):
    names = set(written)
    assert {f"tables/{name}.{ending}" for name in study[2] for ending in ("csv", "md")} <= names
    pictures = ("win_rate", "agreement", "scatter_head", "scatter_full")
    assert {f"figures/{name}.{ending}" for name in pictures for ending in ("svg", "png")} <= names
    assert {"report", "report.html", "provenance.json"} <= names
    folder = written["report"].parent
    assert all(path.stat().st_size > 0 for path in written.values())
    assert not list(folder.rglob(".*.part"))
    assert written["figures/win_rate.png"].read_bytes()[:4] == b"\x89PNG"


def test_the_same_bytes_again(written, study, tmp_path):
    cells, outcomes, tables = study
    again = write_report(tmp_path, cells, outcomes, PROVENANCE, "A <small> study", tables=tables, rebuild="make demo")
    for name, path in written.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_page_needs_nothing_else(written):
    page = written["report"].read_text()
    assert not re.findall(r"https?:", page)
    assert "<script" not in page
    assert "<link" not in page
    references = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert references
    assert all(reference.startswith(("data:image/svg+xml;base64,", "#")) for reference in references)
    assert "url(" not in page


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


def test_findings_name_the_winner_and_are_careful(study):
    _, _, tables = study
    found = findings(tables)
    assert [one.title for one in found] == ["recipe head", "recipe full"]
    wins = tables["win_rate"]
    for one, (_, part) in zip(found, wins.groupby("recipe", sort=False), strict=True):
        assert one.headline.startswith(part.loc[part["split"].idxmax(), "metric"] + " wins most often")
        assert "over 6 targets" in one.headline
        assert "told apart" in one.headline


def test_few_queries_are_said(make_cells, make_outcomes):
    cells = make_cells(queries=3)
    headline = findings(build_tables(cells, make_outcomes(cells)))[0].headline
    assert "3 targets, too few for an interval" in headline


def test_doubtful_truths_are_named(make_cells, make_outcomes):
    cells = make_cells()
    truth = cells.truth.copy()
    truth[1, 2] = np.random.default_rng(0).normal(0.5, 0.2, truth[1, 2].shape)
    truth[1, 3, 0] = np.nan
    outcomes = make_outcomes(replace(cells, truth=np.abs(truth)))
    cells = replace(cells, truth=np.abs(truth))
    doubts = doubtful_truths(build_tables(cells, outcomes, draws=0)["reliability"])
    assert any(doubt.startswith("target_2, recipe full:") and "reliability of the mean" in doubt for doubt in doubts)
    assert any(doubt.startswith("target_3, recipe full:") and "1 truth is missing" in doubt for doubt in doubts)
    assert not any(doubt.startswith("target_0") for doubt in doubts)


def test_counts(study):
    cells, outcomes, _ = study
    numbers = {count.what: count.number for count in counts([cells], outcomes)}
    assert numbers["setups"] == 2688
    assert numbers["inapplicable"] == 12
    assert numbers["scores"] == 5 * 60 - 12
    assert numbers["truths"] == 240
    assert numbers["scores missing"] == numbers["truths missing"] == 0


def test_terminal_table_fits(study):
    stream = io.StringIO()
    print_summary(study[2], Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "recipe head" in text
    assert "static" in text
    assert "1,344 setups" in text
    assert "…" not in text


def test_importing_is_light():
    code = (
        "import sys, tmbench.stats.outcomes, tmbench.stats.stability, tmbench.stats.pairwise, tmbench.report\n"
        "heavy = {'scipy.stats', 'pandas', 'matplotlib', 'jinja2', 'torch', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Names that are long or odd, tables that are wide, figures that are many."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas
import pytest

from tmbench.report import write_report
from tmbench.report.canvas import drawing
from tmbench.report.captions import captions
from tmbench.report.frames import shortened
from tmbench.report.grids import table_grid
from tmbench.report.latex import TEXT_WIDTH, latex_text
from tmbench.report.markup import empty_columns
from tmbench.stats.bootstrap import Resampling

NAME = "a_metric_whose_name_goes_on_" * 5


def test_the_middle_is_left_out():
    assert shortened("short") == "short"
    assert shortened("a" * 30) == "a" * 30
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert len(shortened(NAME)) == 30


@pytest.fixture(scope="module")
def odd(make_cells, make_tables, measures, tmp_path_factory):
    """The files of a study with odd names, which may make nobody stumble."""
    cells = make_cells(queries=2)
    cells = replace(
        cells,
        metrics=(NAME, r"$\frac{x$ $y$", "leep", "本", "source_size"),
        queries=(NAME, "$q$"),
        families=(NAME,) * 5 + ("$f_$",) * 5,
        recipes=(NAME, "$r$"),
    )
    scenes, tables = make_tables(cells)
    return write_report(tmp_path_factory.mktemp("odd"), scenes, measures, Resampling(0), tables, {}, "t")


@pytest.mark.filterwarnings("error")
def test_odd_names_warn_of_nothing(make_cells, make_tables, measures, tmp_path, capfd):
    cells = replace(make_cells(queries=2), metrics=(NAME, r"$\frac{x$ $y$", "leep", "本", "source_size"))
    scenes, tables = make_tables(cells)
    write_report(tmp_path, scenes, measures, Resampling(0), tables, {}, "t")
    assert capfd.readouterr().err == ""


def test_names_are_whole_in_the_files(odd):
    for name in ("tables/means.csv", "tables/means.md", "report.html"):
        assert NAME in odd[name].read_text()
    assert NAME.replace("_", r"\_") in odd["tables/means.tex"].read_text()
    page = odd["report.html"].read_text()
    assert f'<td class="long">{NAME}</td>' in page
    assert "overflow-wrap: anywhere" in page


def test_pictures_keep_their_size(odd):
    for name, path in odd.items():
        if name.endswith(".svg"):
            width, height = re.search(r'width="([0-9.]+)pt" height="([0-9.]+)pt"', path.read_text()).groups()
            assert float(width) < 1200, name
            assert float(height) < 1200, name


def test_the_style_is_left_behind():
    import matplotlib

    before = matplotlib.rcParams["text.parse_math"]
    with drawing():
        assert matplotlib.rcParams["text.parse_math"] is False
    assert matplotlib.rcParams["text.parse_math"] is before


def test_columns_without_values_leave_the_page_and_are_named():
    table = pandas.DataFrame({"query": ["a", "b"], "ratio": [np.nan, np.nan], "noise": ["", ""], "best": [0.5, np.nan]})
    assert empty_columns(table) == ["ratio", "noise"]
    grid = table_grid("reliability", table, "Caption.", frozenset())
    assert grid.columns == ("query", "best")
    assert grid.caption == "Caption. Without any value: ratio, noise."
    assert empty_columns(table.iloc[:0]) == []


def test_latex_leaves_constant_and_empty_columns_to_the_caption():
    table = pandas.DataFrame(
        {
            "scenario": ["s"] * 4, "measure": ["m", "m", "n", "n"], "metric": ["a", "b"] * 2, "kind": ["metric"] * 4,
            "mean": [0.1, 0.2, 0.3, 0.4], "low": [np.nan] * 4, "high": [np.nan] * 4, "ratio": [np.nan] * 4,
            "setups": [12, 12, 12, 12], "missing": [0, 0, 1, 0],
        }
    )  # fmt: skip
    text = latex_text(table, "means", "Means.")
    assert "Throughout: scenario s, kind metric, setups 12. Without any value: ratio.}" in text
    assert r"metric & mean & missing \\" in text
    assert text.count(r"\multicolumn{3}{l}{\emph{") == 2
    assert r"b & \textbf{.200} & 0 \\" in text


def test_a_wide_table_leaves_columns_to_the_csv(study):
    tables = study[2]
    text = latex_text(tables["reliability"], "reliability", "")
    assert "The CSV file also has spread, source\\_sd" in text
    assert "& spread" not in text
    assert r"\shortstack{ceiling\\weighted\\tau}" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_tables_fit_an_article(study, tmp_path):
    """All but the matrix of cells, which is as wide as a study has metrics."""
    tables, texts = study[2], captions(*study[1:], Resampling(300))
    names = [name for name in tables if name != "cells"]
    lines = [r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"]
    for name in names:
        (tmp_path / f"{name}.tex").write_text(latex_text(tables[name], name, texts[name]))
        lines.append(rf"\typeout{{FILE {name}}}\input{{{name}.tex}}\clearpage")
    (tmp_path / "all.tex").write_text("\n".join([*lines, r"\end{document}"]))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    wide = [line for line in done.stdout.splitlines() if line.startswith(("Overfull", "FILE"))]
    assert not [line for line in wide if line.startswith("Overfull")], wide
    assert TEXT_WIDTH < 345


def test_the_leading_metric_alone_where_all_are_too_many(make_cells, make_tables, measures, tmp_path):
    scenes, tables = make_tables(make_cells(queries=11).only(recipes=["full"]))
    files = write_report(tmp_path, scenes, measures, Resampling(0), tables, {}, "t")
    assert {"figures/leading_full.svg", "figures/leading_full.png"} <= set(files)
    wins = tables["win_rate"]
    page = files["report.html"].read_text()
    assert f"Score of {wins.loc[wins['split'].idxmax(), 'metric']}, which wins most often, against truth" in page
    assert "is shown for one metric: 4 metrics × 11 queries" in page


def test_more_queries_than_fit_have_no_such_figure(make_cells, make_tables, measures, tmp_path):
    scenes, tables = make_tables(make_cells(queries=25).only(recipes=["full"], metrics=["hscore", "gbc"]))
    files = write_report(tmp_path, scenes, measures, Resampling(0), tables, {}, "t")
    assert not [name for name in files if "leading" in name or "scatter" in name]
    assert "No figure of score against truth for demo: 2 metrics × 25 queries" in files["report.html"].read_text()


def test_no_convergence_to_be_seen_in_one_point(make_cells, make_tables, measures, tmp_path):
    scenes, tables = make_tables(make_cells(queries=2).only(recipes=["full"]))
    convergence = tables["convergence"].drop_duplicates("unit")
    files = write_report(tmp_path, scenes, measures, Resampling(0), {**tables, "convergence": convergence}, {}, "t")
    assert "figures/convergence.svg" not in files
    assert "figures/stability.svg" in files

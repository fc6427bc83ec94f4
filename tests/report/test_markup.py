"""Tables as CSV, Markdown and LaTeX."""

import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas
import pytest

from tmbench.report.captions import captions
from tmbench.report.latex import MOST_ROWS, escaped, latex_text, number_text
from tmbench.report.markup import best_rows, csv_text, markdown_text, shown
from tmbench.stats.bootstrap import Resampling

NASTY = r"a_b&c%d#e{f}g~h^i\j$k[l]*m<n>|τ"

TABLE = pandas.DataFrame(
    {
        "scenario": ["s"] * 4,
        "recipe": ["head", "head", "full", "full"],
        "level": ["l"] * 4,
        "direction": ["source_selection"] * 4,
        "metric": ["a_b", "[b", "static", "a_b"],
        "kind": ["metric", "metric", "baseline", "metric"],
        "strict": [0.5, 0.25, np.nan, 0.0001],
        "split": [0.5, 0.25, np.nan, -0.75],
        "low": [0.25, 0.125, np.nan, np.nan],
        "high": [0.75, 0.5, np.nan, np.nan],
        "setups": [1000, 1000, 12345, 12345],
    }
)


@pytest.fixture(scope="module")
def nasty(make_cells, make_tables):
    """All tables of a study whose names hold everything that LaTeX minds, and their captions."""
    cells = make_cells()
    cells = replace(
        cells,
        scenario=NASTY,
        recipes=(NASTY, "full"),
        levels=(NASTY,),
        metrics=(NASTY, "*logme", "leep", "[gbc]", "source_size"),
        queries=(NASTY, *cells.queries[1:]),
        candidates=(NASTY, *cells.candidates[1:]),
        families=(NASTY,) * 5 + ("vit",) * 5,
    )
    scenes, tables = make_tables(cells, replace(cells, scenario="two"), draws=200)
    return tables, captions(scenes, tables, Resampling(200))


def test_csv_round_trip(nasty):
    for name in ("win_rate", "pairwise", "stability", "convergence"):
        again = pandas.read_csv(io.StringIO(csv_text(nasty[0][name])))
        pandas.testing.assert_frame_equal(again, nasty[0][name], rtol=1e-9, check_dtype=False)


def test_markdown_sets_the_best_metric_in_bold():
    table = pandas.DataFrame(
        {
            "measure": ["m", "m", "m", "n"],
            "metric": ["a|x", "b", "static", "<a>"],
            "kind": ["metric", "metric", "baseline", "metric"],
            "mean": [0.5, 0.25, 0.9, np.nan],
        }
    )
    assert best_rows(table) == {0}
    assert best_rows(table, {"m"}) == {1}
    assert markdown_text(table, "Means * of all.").splitlines() == [
        r"Means \* of all.",
        "",
        "| measure | metric | kind | mean |",
        "|:---|:---|:---|---:|",
        r"| m | a\|x | metric | **0.500** |",
        "| m | b | metric | 0.250 |",
        "| m | static | baseline | 0.900 |",
        r"| n | \<a\> | metric | – |",
    ]


def test_equal_values_are_all_best():
    table = pandas.DataFrame({"metric": ["a", "b"], "kind": ["metric"] * 2, "mean": [0.1 + 0.2, 0.3]})
    assert best_rows(table) == {0, 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.5, "−0.500"), (float("nan"), "–"), (float("inf"), "∞"), (8.0, "8"), (1e-5, "1e−05")],
)
def test_numbers_as_shown(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4788, ".479"), (-0.05, "$-$.050"), (1.0, "1.000"), (297024, "297,024"), (np.int64(-1234), "$-$1,234"),
        (float("nan"), "--"), (float("-inf"), r"$-$$\infty$"), (2.1e-5, r"$2.1\cdot10^{-5}$"), (12.0, "12"),
        (-3e7, "$-$30000000"), (1.5e6 + 0.5, r"$1.5\cdot10^{6}$"), (np.True_, "yes"), ("a_b", r"a\_b"), (0.0, ".000"),
    ],
)  # fmt: skip
def test_numbers_in_latex(value, text):
    assert number_text(value) == text


def test_plain_numbers_in_latex_have_three_decimals():
    assert [number_text(value, plain=True) for value in (0.0004, -0.0004, 0.0006, 0.5)] == [
        ".000", ".000", ".001", ".500",
    ]  # fmt: skip


def test_a_latex_table():
    text = latex_text(TABLE, "win_rate", "Who wins 100 % of it.")
    assert text == "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}[tbp]",
            r"\centering",
            r"\small\setlength{\tabcolsep}{4pt}",
            r"\caption[Win rate]{Who wins 100 \% of it. Throughout: scenario s, level l, direction source\_selection.}",
            r"\label{tab:win-rate}",
            r"\par\medskip",
            r"\begin{tabular}{llrrr}",
            r"\toprule",
            r"metric & kind & strict & split & setups \\",
            r"\midrule",
            r"\multicolumn{5}{l}{\emph{head}} \\",
            r"a\_b & metric & .500 & \textbf{.500} {[}.250, .750{]} & 1,000 \\",
            r"{[}b & metric & .250 & .250 {[}.125, .500{]} & 1,000 \\",
            r"\midrule",
            r"\multicolumn{5}{l}{\emph{full}} \\",
            r"static & baseline & -- & -- & 12,345 \\",
            r"a\_b & metric & .000 & \textbf{$-$.750} & 12,345 \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def test_a_latex_table_without_intervals_has_no_column_of_ends():
    text = latex_text(TABLE.assign(low=np.nan, high=np.nan), "win_rate", "")
    assert r"a\_b & metric & .500 & \textbf{.500} & 1,000 \\" in text
    assert "low" not in text


def test_a_long_latex_table_runs_over_pages():
    table = pandas.concat([TABLE] * (MOST_ROWS // 4 + 1))
    text = latex_text(table, "win_rate", "Long.")
    assert text.startswith("% \\usepackage{booktabs,longtable}")
    assert text.count(r"\begin{longtable}{llrrr}") == text.count(r"\end{longtable}") == 1
    assert r"\endfirsthead" in text
    assert r"\begin{table}" not in text


def unescaped(text, character):
    return len(re.findall(rf"(?<!\\){re.escape(character)}", text.replace("\\\\", "")))


def test_latex_of_every_table_is_well_formed(nasty):
    """Braces balance, every row has as many cells as there are columns, and no name leaks an active character."""
    tables, texts = nasty
    for name, table in tables.items():
        text = latex_text(table, name, texts[name])
        assert unescaped(text, "{") == unescaped(text, "}"), name
        assert unescaped(text, "$") % 2 == 0, name
        columns = len(re.search(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}", text)[1])
        body = text.split(r"\midrule", 1)[1]
        rows = [line for line in body.splitlines() if line.endswith(r" \\") and not line.startswith(r"\multicolumn")]
        assert len(rows) >= len(table), name
        assert {unescaped(row, "&") for row in rows} == {columns - 1}, name
        assert not re.search(r"(?<!\\)[#%]", text.split("\n", 1)[1]), name
        assert "~" not in text, name
        assert all(ord(character) < 128 for character in text), name


def test_everything_is_escaped():
    assert escaped("a\n b") == "a b"
    assert escaped(r"\x") == r"\textbackslash{}x"
    assert escaped("5 % of x_1 & −2") == r"5 \% of x\_1 \& $-$2"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here; the strict test above stands in")
def test_latex_sets_every_table(nasty, tmp_path):
    tables, texts = nasty
    packages = r"\usepackage{booktabs,longtable}"
    (tmp_path / "all.tex").write_text(
        "\n".join(
            [rf"\documentclass{{article}}{packages}\begin{{document}}"]
            + [rf"\input{{{name}.tex}}\clearpage" for name in tables]
            + [r"\end{document}"]
        )
    )
    for name, table in tables.items():
        (tmp_path / f"{name}.tex").write_text(latex_text(table, name, texts[name]))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 0

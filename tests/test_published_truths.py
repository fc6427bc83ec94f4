"""A published table that has truths and no scores: what ``aggregate`` makes and says of it."""

import pandas

from tmbench.cli import main as tmbench


def test_tables_figures_page_and_what_the_terminal_says(tmp_path, monkeypatch, capsys):
    """Of two of the targets and three of the sources, which are drawn sooner than all."""
    monkeypatch.chdir(tmp_path)
    sources = "source=[openmonkey_0,openmonkey_1,openmonkey_2]"
    words = ["cells=regression_keypoints", "target=[cub_1,cub_2]", sources, "measure=[pearson]", "out=out"]
    assert tmbench(["aggregate", *words]) == 0
    out, folder = capsys.readouterr().out, tmp_path / "out"
    assert "recipe head · negative MSE (0: perfect)" in out
    assert "openmonkey_0  −0.0873  −0.0357" in out
    said = "ooled over targets, the mean of the target alone reaches Pearson r 0.9"
    assert f"P{said}" in out
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == {"truth", "reliability", "pooled"}
    assert (folder / "figures" / "truth.svg").is_file()
    assert f"P{said}" in (folder / "report.html").read_text()
    table = pandas.read_csv(folder / "tables" / "pooled.csv")
    assert set(table["metric"]) == {"static", "random", "query_mean"}
    assert table["between"].nunique() == 1


def test_other_verbs_have_a_word_for_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert tmbench(["plan", "cells=regression_keypoints"]) == 0
    assert "regression_keypoints" in capsys.readouterr().out

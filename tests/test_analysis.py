"""The scripts of analysis/: what they read is what ``aggregate`` writes, and without it they say so."""

import runpy
from itertools import product

import numpy as np
import pytest

from tmbench.cli import main as tmbench
from tmbench.report.truths import truth_table
from tmbench.stats.correlations import pearson
from tmbench.stats.truths import Runs

SETS = ("digits", "letters", "greek", "signs")


@pytest.fixture
def script(repository):
    return lambda name: runpy.run_path(str(repository / "analysis" / f"{name}.py"))["main"]


def row(table, *begins):
    """The cells after those with which one line of a Markdown table begins."""
    split = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()]
    (found,) = [cells for cells in split if cells[: len(begins)] == begins]
    return found[len(begins) :]


def tables(folder, truth, scores):
    """Two tidy tables of ``truth`` (4 targets, 4 sources) and of TLogME's ``scores`` (2 levels, 4, 4)."""
    truths, scored = ["source,target,recipe,value"], ["source,target,level,metric,value"]
    for target, source in product(range(4), range(4)):
        pair = f"{SETS[source]},{SETS[target]}_on_black"
        truths.append(f"{pair},tlogme_head,{truth[target, source]}")
        for level, name in enumerate(("local_pyramid", "global_pyramid")):
            scored.append(f"{pair},{name},tlogme,{scores[level, target, source]}")
    (folder / "truths.csv").write_text("\n".join(truths))
    (folder / "scores.csv").write_text("\n".join(scored))


def test_tlogmes_table_of_what_aggregate_writes(tmp_path, monkeypatch, capsys, script):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    truth, scores = generator.random((4, 4)).round(3), generator.random((2, 4, 4)).round(3)
    tables(tmp_path, truth, scores)
    words = ["cells=[truths.csv,scores.csv]", "measure=[pearson,weighted_tau]", "pool=all", "bootstrap=0"]
    assert tmbench(["aggregate", *words, "paths.out=out"]) == 0, capsys.readouterr().err
    (written,) = (tmp_path / "out").glob("*/tables")
    written.parent.rename(tmp_path / "out" / "tlogme_synthetic")
    sources, targets = script("tlogme")(tmp_path / "out").split("### Target selection")
    assert "Means over 4 queries" in sources
    for level, name in enumerate(("local", "global")):
        paper, here, tau = row(sources, name, "tlogme")
        assert paper == {"local": "0.50", "global": "0.31"}[name]
        assert here == f"{np.mean(pearson(truth, scores[level])):.2f}"
        assert -1 <= float(tau) <= 1
    assert row(sources, "local", "logme") == ("0.50", "–", "–")
    assert "No results" in targets
    assert "tmbench run sweep=tlogme_synthetic_targets" in targets
    assert row(targets, "local", "tlogme") == ("0.35", "–", "–")


def test_vit_detections_table_of_the_truths(tmp_path, script):
    def runs(measure, schedule, value):
        of = ("coco2017", f"{schedule}_epochs", "vit_base_mae", "mae", "vit_base", 86e6, float(schedule), "p", measure)
        return Runs(*of, np.array([value]))

    values = [("box_ap", 25, 0.40), ("mask_ap", 25, 0.38), ("box_ap", 50, 0.45), ("mask_ap", 50, 0.37)]
    folder = tmp_path / "vit_detection" / "tables"
    folder.mkdir(parents=True)
    truth_table([runs(*one) for one in [*values, ("box_ap", 100, np.nan)]]).to_csv(folder / "truth.csv", index=False)
    table = script("vit_detection")(tmp_path)
    assert "No results" not in table
    assert row(table, "vit_base", "mae", "25") == ("48.1", "40.0", "43.2", "38.0")
    assert row(table, "vit_base", "mae", "100") == ("50.3", "–", "44.9", "–")
    assert row(table, "vit_base", "mae", "best") == ("50.3", "45.0", "44.9", "37.0")
    assert row(table, "vit_base", "random", "best") == ("48.9", "–", "–", "–")


def test_without_the_study_the_published_half_is_printed(tmp_path, script):
    table = script("vit_detection")(tmp_path)
    assert "No results" in table
    assert "tmbench run sweep=vit_detection" in table
    assert row(table, "vit_large", "beit", "best") == ("53.3", "–", "47.1", "–")


def test_regression_beside_the_mean_of_the_target(tmp_path, script):
    table = script("regression")(tmp_path / "out")
    head = "OpenMonkey to CUB, 255 pairs (Table 1)", "head"
    assert row(table, *head, "LinMSE1") == ("Pearson r", "0.995", "0.9948", "no")
    assert row(table, *head, "LogME") == ("Pearson r", "0.969", "0.9948", "no")
    assert row(table, "OpenMonkey to CUB, 255 pairs (Table 1)", "half", "LogME") == ("Pearson r", "0.870", "–", "–")
    assert "99.1 % lies between the 15 targets" in table
    assert (tmp_path / "out" / "regression.md").read_text() == f"{table}\n"
    assert (tmp_path / "out" / "regression.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (tmp_path / "out" / "regression.svg").read_bytes()

"""``aggregate`` on tables of a user's own: what it refuses, what it says, what it writes."""

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas
import pytest

from tmbench.aggregate import main as aggregate


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A wide table of six sources and seven targets in the working directory."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    truth = generator.random((7, 6))
    rows = ["source,target,truth,logme,leep"]
    for target, source in np.ndindex(truth.shape):
        score = truth[target, source] + generator.normal(0, 0.2, 2)
        rows.append(f"s{source},t{target},{truth[target, source]:.3f},{score[0]:.3f},{score[1]:.3f}")
    Path("zoo.csv").write_text("\n".join(rows))
    return tmp_path


def said(capsys, *words):
    code = aggregate(["cells=zoo.csv", "pool=leave_1_out", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


MEASURES = {
    "raises": "raise RuntimeError('boom')",
    "wrong": "return np.zeros(3)",
    "scalar": "return 0.5",
    "words": "return np.full(scores.shape[:-1], 'good')",
    "infinite": "return np.full(scores.shape[:-1], np.inf)",
    "writes": "truth[...] = 0",
    "half": "return np.full(np.broadcast(truth[..., 0], scores[..., 0]).shape, 0.5)",
}


@pytest.fixture
def measures(zoo):
    (zoo / "mine" / "measure").mkdir(parents=True)
    functions = "".join(f"def {name}(truth, scores):\n    {body}\n" for name, body in MEASURES.items())
    (zoo / "mine" / "measure" / "own.py").write_text("import numpy as np\n" + functions)
    for name in MEASURES:
        (zoo / "mine" / "measure" / f"{name}.yaml").write_text(f"function: own.py:{name}\n")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "measure 'raises' failed on arrays of shape .*RuntimeError: boom"),
        ("wrong", r"measure 'wrong' gave float64 of shape \(3,\) and has to give one number a row"),
        ("scalar", "measure 'scalar' gave float64 of shape"),
        ("words", "measure 'words' gave <U4 of shape"),
        ("infinite", "measure 'infinite' gave an infinite value"),
        ("writes", "measure 'writes' failed .*read-only"),
    ],
)
def test_a_measure_that_is_wrong_is_named(measures, capsys, name, says):
    import re

    code, out, err = said(capsys, f"measure=[weighted_tau,{name}]", "bootstrap=0", "--config-dir", "mine")
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: {says}.*", err.strip().splitlines()[-1])
    assert "Traceback" not in err


def test_a_measure_of_ones_own(measures, capsys):
    assert said(capsys, "measure=[half,kendall_tau]", "bootstrap=0", "--config-dir", "mine")[0] == 0
    means = pandas.read_csv("results/zoo/tables/means.csv").set_index(["measure", "metric"])["mean"]
    assert (means["half"] == 0.5).all()


def test_too_few_resamplings_make_no_interval(zoo, capsys):
    code, _, err = said(capsys, "bootstrap=5")
    assert code == 2
    assert "takes 40 resamplings at least" in err
    code, _, err = said(capsys, "bootstrap=200")
    assert code == 0
    assert "leave the ends of the intervals" in err
    assert pandas.read_csv("results/zoo/tables/win_rate.csv")["low"].notna().sum() == 2
    assert said(capsys, "bootstrap=0")[0] == 0
    assert pandas.read_csv("results/zoo/tables/win_rate.csv")[["low", "high"]].isna().all(axis=None)


def test_the_command_that_makes_it_again_is_whole(zoo, capsys):
    assert said(capsys, "bootstrap=0", "out=there")[0] == 0
    command = json.loads(Path("there/provenance.json").read_text())["command"]
    assert command == "tmbench aggregate cells=zoo.csv pool=leave_1_out bootstrap=0"
    assert command in Path("there/report.html").read_text()


def test_a_table_without_a_truth(zoo, capsys):
    Path("none.csv").write_text("source,target,truth,logme\na,x,,1\nb,x,,2\nc,x,,3\n")
    assert aggregate(["cells=none.csv", "pool=all"]) == 3
    assert "no cell has a truth" in capsys.readouterr().err


def test_no_folder(zoo, capsys):
    code, _, err = said(capsys, "out=")
    assert (code, err.splitlines()[-1]) == (2, "error: out= names no folder.")
    assert [path.name for path in zoo.iterdir()] == ["zoo.csv"]


def test_cells_of_a_run_can_be_read_again(zoo, capsys):
    """The same truths and scores give the same tables, byte for byte."""
    words = ["pool=leave_1_out", "measure=[weighted_tau,rel_at_1]", "bootstrap=0"]
    assert aggregate(["cells=zoo.csv", *words]) == 0
    assert aggregate(["cells=results/zoo/cells", *words, "out=again"]) == 0
    for path in sorted(Path("results/zoo/tables").glob("*.csv")):
        if path.stem != "counts":
            assert (Path("again/tables") / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_function_that_combines_parts_wrongly_is_named(zoo, capsys):
    Path("combine.py").write_text(
        dedent("""
        def short(parts):
            return parts[:, 0, 1:]

        def nothing(parts):
            return parts.sum(axis=1) * float("nan")
        """)
    )
    truths = "".join(f"s{i},t,{i / 7}\n" for i in range(6))
    Path("truths.csv").write_text("source,target,value\n" + truths)
    scores = "".join(f"s{i},t,{metric},{part},{i}\n" for i in range(6) for metric in "ab" for part in ("p", "q"))
    Path("scores.csv").write_text("source,target,metric,part,value\n" + scores)
    words = ["cells=[truths.csv,scores.csv]", "pool=leave_1_out", "bootstrap=0", "cells.combine.a=combine.py:short"]
    assert aggregate([*words, "cells.combine.b=combine.py:short"]) == 2
    assert "combine function of metric 'a' gave float64 of shape" in capsys.readouterr().err
    assert aggregate([*words[:-1], "cells.combine.a=combine.py:nothing", "cells.combine.b=combine.py:nothing"]) == 2
    assert "combine function of metric 'a' gave NaN" in capsys.readouterr().err


def test_what_reading_found_stands_under_every_table(zoo, capsys):
    lines = Path("zoo.csv").read_text().splitlines()
    lines[1] = lines[1].rpartition(",")[0] + ","  # an empty score
    lines[2] = lines[2].rpartition(",")[0] + ",high"  # text
    lines[3] = lines[3].rpartition(",")[0] + ",-inf"
    Path("zoo.csv").write_text("\n".join([*lines, lines[-1]]))  # a row twice
    code, _, err = said(capsys, "bootstrap=0")
    assert code == 0
    assert "high" in err
    counts = pandas.read_csv("results/zoo/tables/counts.csv").set_index("what")["count"]
    found = {"duplicate_rows": 1, "empty_scores": 1, "text_scores": 1, "infinite_scores": 1}
    assert {name: counts[name] for name in found} == found
    assert counts["missing scores"] == 2
    for path in Path("results/zoo/tables").glob("*.md"):
        text = path.read_text()
        for name in found:
            assert f"1 {name.replace('_', ' ')}" in text, path.name
    for path in Path("results/zoo/tables").glob("*.tex"):
        assert "1 infinite scores" in path.read_text(), path.name

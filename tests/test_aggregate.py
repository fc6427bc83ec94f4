"""``aggregate`` on tables of a user's own: what it refuses, what it says, what it writes."""

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas
import pytest
import yaml
from status_work import Stored
from verbs_work import said as told

from tmbench.aggregate import main as aggregate
from tmbench.engine.records import row, write_shard
from tmbench.identity import canonical


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


# Of the records of a run.

STUDY = {
    "name": "mine",
    "version": 1,
    "source": ["small_resnet_random", "small_vit_random"],
    "target": ["scenes_shapes"],
    "recipe": ["head"],
    "seed": [0, 1],
}
SCORED = {"target": ["digits"], "level": ["penultimate"], "measure": ["weighted_tau"], "pool": ["all"]}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes a sweep; its words, and its store."""
    monkeypatch.chdir(tmp_path)

    def call(**changes):
        Path("mine.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
        words = ["sweep=mine.yaml"]
        return words, Stored(words)

    return call


def finish(stored, value=lambda unit: 0.5, **more):
    """Records of all units; the truths by ``value``."""
    rows = []
    for unit in stored.units:
        common = {"unit": unit.id, "status": "done", "finished": "2026-01-01T00:00:00.000000", **more}
        measures = [""] if unit.stage == "features" else ["box_ap", "mask_ap", "accuracy", "validation_accuracy"]
        rows += [row(id=unit.id, stage=unit.stage, name=unit.name, measure=m, value=value(unit),
                     key=canonical(unit.key), **common)
                 for m in measures]  # fmt: skip
        rows += [row(id=score.id, stage="score", name=score.name, value=len(unit.source),
                     key=canonical(score.key), **common)
                 for score in unit.scores]  # fmt: skip
    write_shard(stored.store / "records", "r", rows)


def test_what_was_left_out_as_broken_is_said(mine, capsys):
    words, stored = mine()
    problems = {
        "train": ["a.json, annotation 3: no area.", "a.json, annotation 4: <no> box."],
        "test": ["b.png: torn."],
    }
    finish(stored, details={"problems": problems})
    code, _, err = told(capsys, "aggregate", *words)
    assert code == 0, err
    said = "scenes_shapes: 3 faults in the data were passed over (train 2, test 1), such as: "
    assert f"note: {said}a.json, annotation 3: no area; tables/dropped.csv lists all." in err
    assert said in Path("results/mine/report.html").read_text()
    table = pandas.read_csv("results/mine/tables/dropped.csv")
    assert list(table["problem"]) == [*problems["train"], *problems["test"]]
    assert all(Path(f"results/mine/tables/dropped.{kind}").is_file() for kind in ("md", "tex"))


def test_a_target_that_is_whole_has_no_table_of_what_was_left_out(mine, capsys):
    words, stored = mine()
    finish(stored, details={"problems": {"train": [], "validation": [], "test": []}})
    code, _, err = told(capsys, "aggregate", *words)
    assert (code, "passed over" in err) == (0, False)
    assert not Path("results/mine/tables/dropped.csv").exists()


def test_one_source_has_truths_and_no_ranking(mine, capsys):
    words, stored = mine(source=["small_resnet_random"], metric=["hscore"], **SCORED)
    code, _, err = told(capsys, "aggregate", *words)
    assert (code, "there is no setup" in err, Path("results/mine").exists()) == (3, True, False)
    finish(stored)
    code, out, err = told(capsys, "aggregate", *words)
    assert code == 3
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: the truths are reported without a ranking: there is no setup to evaluate: at most 1")
    assert "small_resnet_random" in out
    assert list(pandas.read_csv("results/mine/tables/truth.csv")["mean"]) == [0.5]
    assert Path("results/mine/figures/truth.svg").is_file()


def test_truths_that_all_tie_are_the_reason_why_nobody_wins(mine, capsys):
    words, stored = mine(metric=["hscore", "logme"], **SCORED)
    finish(stored, lambda unit: 0.0)
    code, out, err = told(capsys, "aggregate", *words, "bootstrap=0")
    assert code == 0, err
    shown = " ".join(out.split())
    assert "0 setups, 1 left out because all sources reach the same truth" in shown
    assert "missing values" not in shown
    assert "note: setups that tell nothing because all sources reach the same truth: 1" in err
    assert "some metric has no value" not in err
    page = Path("results/mine/report.html").read_text()
    assert "Nobody wins, because all sources reach the same truth: there is no order to predict." in page
    assert "All sources reach the same on digits (0.000): none is the best." in page


RATES = {"name": "rates", "recipe": "head", "learning_rate": [0.001, 0.002], "extensions": 0}


@pytest.mark.parametrize("verb", ["plan", "aggregate"])
def test_a_grid_that_diverged_everywhere_is_said(mine, capsys, verb):
    words, stored = mine(target=["digits"], tuning=[RATES])
    stored.fail(stored.units[:2], "nan")
    told_so = "every point of stage rates diverged for small_resnet_random on digits; lower its learning_rate values."
    _, _, err = told(capsys, verb, *words)
    assert f"warning: {told_so}" in err
    assert "small_vit_random" not in err
    if verb == "aggregate":
        assert f"is there yet. E{told_so[1:]}" in err


def test_a_best_point_on_the_edge_is_said(mine, capsys):
    words, stored = mine(target=["digits"], tuning=[RATES])
    finish(stored, lambda unit: unit.config["recipe"]["learning_rates"][0])
    finish(Stored(words))
    _, _, err = told(capsys, "aggregate", *words)
    assert "note: after all extensions the best point of stage rates lies on the edge of the grid for " in err
    assert "small_resnet_random on digits (learning_rate), small_vit_random on digits (learning_rate):" in err

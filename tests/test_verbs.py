"""The verbs as a user meets them: real work on a tiny study, read from stdout, stderr and the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tmbench.cli import VERBS
from tmbench.cli import main as tmbench


def said(capsys, *words):
    """(exit code, stdout, stderr) of a verb."""
    code = tmbench(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def facts(capsys, *words):
    return json.loads(said(capsys, *words, "--json")[1])


def scores():
    """Score id → value, over all shards of the store."""
    rows = [
        row
        for path in Path("results/store/records").glob("*.parquet")
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    return {
        row["id"]: row["value"]
        for row in rows
        if row["stage"] in ("score", "truth") and row["measure"] in ("", "accuracy")
    }


@pytest.fixture
def done(tiny, capsys):
    """The tiny study, run."""
    code, out, err = said(capsys, "run", *tiny)
    assert code == 0, out + err
    return tiny


def test_from_config_to_page(done, capsys):
    plan = facts(capsys, "plan", *done)
    assert plan["cells"] == 8
    assert {name: stage["done"] for name, stage in plan["stages"].items()} == {
        "pretrain": 3,
        "features": 8,
        "truth": 32,
        "score": 36,
    }
    assert plan["inapplicable"] == {"leep": 2, "source_accuracy": 2}
    # Three common candidates: one pool of three and three of two, on two targets, by two recipes and two measures.
    assert plan["setups"] == 4 * 2 * 2 * 2

    code, out, _ = said(capsys, "status", *done)
    assert code == 0
    assert out.splitlines()[-1] == "next: tmbench aggregate --config-dir conf sweep=tiny.yaml cluster=debug"

    code, out, err = said(capsys, "aggregate", *done)
    assert code == 0, err
    assert "hscore" in out
    folder = Path("results/tiny")
    for table in ("win_rate", "means", "stability", "reliability", "per_query", "pairwise"):
        text = (folder / "tables" / f"{table}.csv").read_text()
        assert text.startswith("scenario,recipe,level,direction"), table
        assert (folder / "tables" / f"{table}.md").is_file()
    cells = (folder / "tables" / "cells.csv").read_text().splitlines()
    assert len(cells) == 1 + 8
    page = (folder / "report.html").read_text()
    assert "tiny_strokes" in page
    assert 'src="http' not in page
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["versions"]["torch"]
    assert provenance["seeds"] == [0, 1]


def test_a_second_run_computes_nothing_and_tables_are_the_same_bytes(done, capsys):
    said(capsys, "aggregate", *done)
    tables = {path.name: path.read_bytes() for path in Path("results/tiny/tables").iterdir()}
    shards = set(Path("results/store/records").iterdir())
    code, out, _ = said(capsys, "run", *done)
    assert code == 0
    assert "this run did 0 units" in out
    assert set(Path("results/store/records").iterdir()) == shards
    said(capsys, "aggregate", *done)
    assert {path.name: path.read_bytes() for path in Path("results/tiny/tables").iterdir()} == tables


def test_the_same_seeds_give_the_same_bits_in_other_processes(done, capsys):
    here = scores()
    arguments = [word.replace("cluster=debug", "cluster=local") for word in done]
    again = [*arguments, "cluster.workers=2", "paths.store=results/again"]
    code, out, err = said(capsys, "run", *again)
    assert code == 0, out + err
    Path("results/store").rename("results/first")
    Path("results/again").rename("results/store")
    assert scores() == here
    assert len(here) == 36 + 32


def test_a_new_metric_is_computed_from_stored_features(done, capsys):
    folder = Path("conf/metric")
    folder.mkdir()
    (folder / "spread.yaml").write_text("function: spread.py:spread\n")
    (folder / "spread.py").write_text(
        "from tmbench.metrics.registry import metric\n\n\n"
        "@metric(tasks=('classification',), needs=('features',))\n"
        "def spread(sample):\n"
        "    '''Mean squared distance of the features from their mean.'''\n"
        "    return float((sample.centred_features ** 2).sum() / sample.n)\n"
    )
    words = [*done, "metric=[hscore,leep,gbc,spread]"]
    assert "Mean squared distance" in said(capsys, "show", "metric=spread", "--config-dir", "conf")[1]
    assert "spread" in said(capsys, "show", "metrics", "--config-dir", "conf")[1]
    passes = {path: path.stat().st_mtime_ns for path in Path("results/store/artifacts/features").rglob("*.safetensors")}
    code, _, err = said(capsys, "run", *words)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in passes} == passes
    said(capsys, "aggregate", *words)
    assert ",spread,metric," in Path("results/tiny/tables/win_rate.csv").read_text()


def test_a_damaged_artifact_is_made_again(done, capsys):
    features = sorted(Path("results/store/artifacts/features").rglob("*.safetensors"))
    weights = sorted(Path("results/store/artifacts/pretrain").rglob("*.safetensors"))
    for path in (*features, *weights):
        path.write_bytes(path.read_bytes()[:-7])
    before = scores()
    code, _, err = said(capsys, "run", *done, "metric=[hscore,leep,gbc,logme]")
    # The damaged weights are found out by the passes that need them; the next run makes them again.
    assert code == 1
    assert "corrupt_artifact" in err
    code, _, err = said(capsys, "run", *done, "metric=[hscore,leep,gbc,logme]")
    assert code == 0, err
    after = scores()
    assert {id: after[id] for id in before} == before
    assert len(after) == len(before) + 8


def test_a_metric_that_fails_is_listed_and_the_rest_is_done(tiny, capsys):
    folder = Path("conf/metric")
    folder.mkdir()
    for name, body in (("broken", "raise ValueError('no such luck')"), ("hollow", "return float('nan')")):
        (folder / f"{name}.yaml").write_text(f"function: mine.py:{name}\n")
        with (folder / "mine.py").open("a") as stream:
            stream.write(
                "from tmbench.metrics.registry import metric\n\n\n"
                "@metric(tasks=('classification',), needs=('features',))\n"
                f"def {name}(sample):\n    '''Fails.'''\n    {body}\n\n\n"
            )
    words = [*tiny, "metric=[hscore,broken,hollow]", "seed=0", "recipe=head"]
    code, out, err = said(capsys, "run", *words)
    assert code == 1
    assert "no such luck" in err
    assert "retry=" in out
    status = facts(capsys, "status", *words)
    assert {failure["failure"] for failure in status["failures"]} == {"bug", "nan"}
    assert status["stages"]["score"] == {"done": 8, "failed": 16}
    assert all("no such luck" in Path(f["log"]).read_text() for f in status["failures"] if f["failure"] == "bug")
    assert status["stages"]["truth"] == {"done": 8}
    # What is missing is counted as missing, never as 0, and the tables are made all the same.
    code, _, err = said(capsys, "aggregate", *words)
    assert code == 1
    assert "16 scores" in err
    rows = Path("results/tiny/tables/win_rate.csv").read_text()
    assert ",broken,metric," in rows


def test_dry_run_lists_and_does_nothing(tiny, capsys):
    code, out, err = said(capsys, "run", *tiny, "--dry-run")
    assert code == 0
    assert len(out.splitlines()) == 3 + 8 + 32
    assert "next: tmbench run" in err
    assert not Path("results").exists()


def test_run_without_torch_says_what_to_install(tiny, capsys, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    code, _, err = said(capsys, "run", *tiny)
    assert code == 1
    assert "run needs torch: pip install 'tmbench[vision]'" in err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["metric=leep", "source=[tiny_shapes,tiny_strokes]"],
        ["metric=[hscore,source_size]", "target=tiny_digits"],
        ["metric=hscore", "target=tiny_digits", "pool=all", "recipe=head"],
    ],
)
def test_small_selections_have_tables_too(done, capsys, words):
    code, _, err = said(capsys, "aggregate", *done, "pool=all", *words)
    assert code == 0, err


def test_baselines_alone_do_not_compete(done, capsys):
    code, _, err = said(capsys, "aggregate", *done, "metric=source_size")
    assert code == 3
    assert "name a metric" in err


def test_no_setup_is_said_and_nothing_is_overwritten(done, capsys):
    said(capsys, "aggregate", *done)
    before = Path("results/tiny/tables/win_rate.csv").read_bytes()
    words = [*done, "pool=leave_3_out", "source=[tiny_shapes,tiny_strokes]"]
    assert "warning: no setup: at most 2 candidates" in said(capsys, "plan", *words)[1]
    code, _, err = said(capsys, "aggregate", *words)
    assert code == 3
    assert "say pool=all" in err
    assert Path("results/tiny/tables/win_rate.csv").read_bytes() == before


def test_lost_records_of_stored_passes_come_back(done, capsys):
    """As after a kill between the artifact and the flush, or with every shard cut short."""
    before = scores()
    for shard in Path("results/store/records").iterdir():
        shard.unlink()
    code, out, err = said(capsys, "run", *done)
    assert code == 0, out + err
    assert scores() == before
    assert facts(capsys, "status", *done)["failures"] == []


def test_a_layer_that_a_source_lacks_fails_that_level_alone(tiny, capsys):
    Path("conf/level").mkdir()
    Path("conf/level/deep.yaml").write_text("{reading: global, layer: stages.1}")
    Path("conf/level/nowhere.yaml").write_text("{reading: global, layer: stages.9}")
    words = [*tiny, "level=[penultimate,deep,nowhere]", "metric=[hscore,source_size]", "recipe=head", "seed=0"]
    code, _, err = said(capsys, "run", *words)
    assert code == 1
    assert "has no layer 'stages.9'" in err
    # H-score at three levels on eight cells; the size of a source is one score, whatever the level.
    status = facts(capsys, "status", *words)
    assert status["stages"]["score"] == {"done": 8 * 2 + 8 * 3, "failed": 8}


def test_a_source_can_be_pretrained_on_a_users_own_target(tiny, capsys):
    Path("conf/target/mine.py").write_text(
        "from tmbench.targets.digits import digits\n\n\n"
        "def mine(split, size, seeds):\n    return digits(split, size, seeds)\n"
    )
    Path("conf/target/mine.yaml").write_text(
        "{task: classification, function: 'mine.py:mine', classes: 10, image_size: 32, "
        "sizes: {train: 60, validation: 30, test: 60}}"
    )
    text = Path("conf/source/tiny_strokes.yaml").read_text().replace("target: strokes", "target: mine")
    Path("conf/source/on_mine.yaml").write_text(text)
    plan = facts(capsys, "plan", *tiny, "source=[on_mine,tiny_random]", "target=[mine,tiny_digits]")
    assert plan["own_cells_left_out"] == 1


def test_aggregate_before_run_says_what_to_do(tiny, capsys):
    code, _, err = said(capsys, "aggregate", *tiny)
    assert code == 3
    assert "Next: tmbench run --config-dir conf sweep=tiny.yaml" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", "sweep=dmo"], "no sweep is named 'dmo'. Nearest: 'demo'"),
        (["plan", "sweep=demo", "metric=logmee"], "no metric is named 'logmee'. Nearest: 'logme'"),
        (["plan", "sweep=demo", "cluster=slurm"], "no cluster is named 'slurm'"),
        (["plan", "sweep=demo", "cluster.wokers=2"], "Nearest: 'workers'"),
        (["plan", "sweep=demo", "paths.store=/etc/passwd"], "is a file; name a folder"),
        (["plan", "sweep=demo", "seed=[]"], "seed from the command line"),
        (["plan", "sweep=demo", "target=[digit]"], "no target is named 'digit'. Nearest: 'digits'"),
        (["run", "sweep=demo", "retry=oom"], "no class of failure is named 'oom'"),
        (["status", "sweep=demo", "clutser=debug"], "Nearest: 'cluster'"),
        (["plan"], "say which study: sweep=NAME"),
        (["show", "metric=hscor"], "Nearest: 'hscore'"),
        (["show", "things"], "no kind is named 'things'"),
        (["show", "sweep=stability", "setup=1134240"], "stability has 1,134,240, numbered 0 to 1,134,239"),
        (["show", "sweep=stability", "setup=x"], "setup=x: give one whole number"),
        (
            ["show", "sweep=stability", "setup=3", "pool.size=19", "recipe=full", "cells=segmentation_sources"],
            "no setup",
        ),
        (["plan", "sweep=stability", "target=camvd"], "no target is named 'camvd'. Nearest: 'camvid'"),
        (["plan", "sweep=stability", "pool.size=1"], "pool_size: Input should be greater than or equal to 2"),
        (["plan", "sweep=stability", "pool=[leave_5_out,size_matched_5]"], "size_matched_5"),
        (["plan", "cells=nothing.csv"], "there is no file nothing.csv"),
        (["pln"], "no verb is named 'pln'. Nearest: 'plan'"),
    ],
)
def test_bad_usage_gets_one_sentence_and_code_2(capsys, words, says):
    code, out, err = said(capsys, *words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert says in err


def test_show_lists_everything(capsys):
    listed = facts(capsys, "show")
    assert {"hscore", "logme", "leep", "nleep", "gbc"} <= set(listed["metrics"])
    assert "demo" in listed["sweeps"]
    for kind in ("sources", "targets", "recipes", "metrics", "measures", "pools", "levels", "cells", "sweeps"):
        code, out, _ = said(capsys, "show", kind)
        assert code == 0
        assert all(name in out for name in listed[kind])
    assert "Bao et al." in said(capsys, "show", "metric=hscore")[1]


def test_a_sweep_of_published_tables_has_nothing_to_run(capsys):
    code, out, err = said(capsys, "plan", "sweep=stability")
    assert (code, err) == (0, "")
    assert "1,134,240" in out
    assert "full  297,024 segmentation_sources + 418,608 classification_architectures = 715,632" in out
    assert "head  418,608 classification_architectures" in out
    assert out.splitlines()[-1] == "next: tmbench aggregate sweep=stability"
    for verb in ("run", "status"):
        code, out, err = said(capsys, verb, "sweep=stability")
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == "stability: nothing needs to run, its truths and scores stand in tables"
        assert out.splitlines()[-1] == "next: tmbench aggregate sweep=stability"
    plan = facts(capsys, "plan", "sweep=stability", "measure=pearson")
    assert plan["setups"] == 1_134_240 // 4
    assert [one["recipes"] for one in plan["scenarios"]] == [{"full": 74_256}, {"full": 104_652, "head": 104_652}]
    assert facts(capsys, "status", "sweep=stability")["failures"] == []


def test_a_scenario_without_a_pool_is_said(capsys):
    out = said(capsys, "plan", "sweep=stability", "pool.size=18")[1]
    assert "warning: no setup in segmentation_sources: at most 16 candidates of a target" in out


def test_one_setup_by_its_number(capsys):
    words = ("show", "sweep=stability", "setup=412388")
    setup = facts(capsys, *words)
    assert setup["scenario"] == "classification_architectures"
    assert len(setup["pool"]) == 14
    code, out, _ = said(capsys, *words)
    assert code == 0
    for said_too in (setup["id"], setup["pool_id"], setup["query"], setup["measure"], setup["recipe"], setup["level"]):
        assert said_too in out
    assert all(f"  {text}" in out.splitlines() for text in setup["overrides"])
    assert facts(capsys, "show", "sweep=demo", "setup=0")["overrides"][0].startswith("+target=")
    assert "of which" in said(capsys, "show", "sweep=stability_notebook", "setup=500")[1]


def test_text_in_a_table_is_warned_of(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("source,target,truth,logme\na,t,0.5,1\nb,t,0.6,n.a.!\nc,t,0.7,2\n")
    code, out, err = said(capsys, "plan", "cells=mine.csv")
    assert code == 0
    assert out.splitlines()[-1] == "next: tmbench aggregate cells=mine.csv"
    assert "\nwarning: mine.csv: column 'logme' has text that is no number, 'n.a.!' in row 3" in err


LIGHT = """
import runpy, sys
heavy = set({heavy!r})
sys.argv = {words!r}
try:
    runpy.run_module({words!r}[0], run_name="__main__")
except SystemExit:
    pass
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
HEAVY = ["torch", "scipy.stats", "pandas", "matplotlib", "sklearn"]


def in_a_process(words, heavy, folder):
    """stdout of a verb in a process of its own, which must not have imported ``heavy``."""
    code = LIGHT.format(words=words, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["tmbench.cli", *(f"tmbench.{verb}" for verb in VERBS)])
def test_help_imports_nothing_heavy(module, tmp_path):
    assert "usage" in in_a_process([module, "--help"], [*HEAVY, "hydra", "pyarrow", "scipy"], tmp_path)


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_planning_imports_no_torch(verb, tmp_path):
    assert "next: tmbench run sweep=demo" in in_a_process([f"tmbench.{verb}", "sweep=demo"], HEAVY, tmp_path)


def test_planning_published_tables_imports_nothing_heavy(tmp_path):
    # Without pandas too, but pyarrow imports it where it is installed.
    heavy = {*HEAVY, "scipy"} - {"pandas"}
    assert "715,632" in in_a_process(["tmbench.plan", "sweep=stability"], heavy, tmp_path)

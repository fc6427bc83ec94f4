"""The verbs as a user meets them: real work on a tiny study, read from stdout, stderr and the exit code."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from verbs_work import facts, said


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
        ["metric=hscore", "target=tiny_digits", "recipe=head"],
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


def test_plan_lists_the_scenarios_where_groups_of_queries_are_kept_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["sweep=demo_targets", "source=[small_resnet_letters]", "cluster=debug"]
    words.append("target=[digits_random_subsets,digits_half_subsets,greek_half_subsets]")
    code, out, _ = said(capsys, "plan", *words)
    assert code == 0
    assert "├ demo_targets_random_size: 12 targets ranked for 1 query\n" in out
    assert "├ demo_targets_half_of_the_classes: 12 targets ranked for 2 queries\n" in out
    assert [one["queries"] for one in facts(capsys, "plan", *words)["scenarios"]] == [1, 2]

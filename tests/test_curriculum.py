"""The verb ``curriculum`` on a store as a run would leave it."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml
from status_work import Stored
from verbs_work import said

from tmbench.engine.records import row, write_shard
from tmbench.identity import canonical

TASKS = ["class", "count", "colour"]
SWEEP = {
    "name": "mine",
    "version": 1,
    "source": [*(f"common_{task}" for task in TASKS), "common_random", "common_class+common_count"],
    "target": [f"common_{task}" for task in TASKS],
    "level": ["penultimate"],
    "recipe": ["head"],
    "metric": ["hscore", "source_size"],
    "measure": ["weighted_tau"],
    "pool": ["all"],
    "seed": [0, 1],
    "own": "scored",
}
SCORES = {
    "common_class": [4.0, 1.8, 0.5],
    "common_count": [2.0, 3.0, 0.4],
    "common_colour": [1.0, 0.6, 2.0],
    "common_random": [0.4, 0.3, 0.6],
    "common_class+common_count": [4.0, 3.0, 1.8],
}
TRUTHS = {
    "common_class": [None, 0.6, 0.2],
    "common_count": [0.7, None, 0.3],
    "common_colour": [0.5, 0.4, None],
    "common_random": [0.3, 0.2, 0.5],
    "common_class+common_count": [None, None, 0.9],
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes a sweep, and records of it."""
    monkeypatch.chdir(tmp_path)

    def call(without=(), **changes):
        Path("mine.yaml").write_text(yaml.safe_dump({**SWEEP, **changes}))
        stored = Stored(["sweep=mine.yaml"])
        rows = list(records(stored.study.plan, without))
        if rows:
            write_shard(stored.store / "records", "made", rows)

    return call


def records(plan, without):
    for batch in plan.units.batches:
        if batch.stage == "pretrain" or batch.stage in without:
            continue
        column = SWEEP["target"].index(batch.target)
        for number, id in enumerate(batch.ids):
            unit = batch.unit(number)
            common = {
                "unit": id,
                "status": "done",
                "finished": "2026-01-01T00:00:00.000000",
                "key": canonical(unit.key),
            }
            if batch.stage == "truth":
                value = TRUTHS[batch.source][column] + 0.02 * unit.seed
                yield row(id=id, stage="truth", name=unit.name, measure="accuracy", value=value, **common)
                continue
            yield row(id=id, stage="features", name=unit.name, value=None, **common)
            for owed, score in zip(batch.owed, unit.scores, strict=True):
                value = SCORES[batch.source][column] * (1 if owed.metric == "hscore" else -1)
                common["key"] = canonical(score.key)
                yield row(id=score.id, stage="score", name=score.name, value=value, **common)


def test_the_order_the_matrix_and_the_covering_sets(mine, capsys):
    mine()
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert (code, err) == (0, "")
    assert "class+count" in out
    assert "next: open results/mine/curriculum/transfer_graph.png" in out
    facts = json.loads(Path("results/mine/curriculum/curriculum.json").read_text())
    assert [one["metric"] for one in facts] == ["hscore"]  # and no baseline
    (found,) = facts
    # H(source) / H(own): scratch → colour .3, colour → class .25 and class → count .6 are more than scratch → class .1,
    # class → count .6 and scratch → colour .3, or what begins with count.
    assert [(step["task"], step["parent"], step["value"]) for step in found["order"]] == [
        ("common_colour", "scratch", pytest.approx(0.3)),
        ("common_class", "common_colour", pytest.approx(0.25)),
        ("common_count", "common_class", pytest.approx(0.6)),
    ]
    matrix = pandas.read_csv("results/mine/curriculum/matrix.csv").set_index(["source", "target"])
    assert matrix.loc[("common_count", "common_class"), "normalised"] == pytest.approx(0.5)
    assert matrix.loc[("common_count", "common_class"), "truth"] == pytest.approx(0.71)
    assert matrix.loc[("common_class", "common_class"), "own"] == "yes"
    assert np.isnan(matrix.loc[("common_class", "common_class"), "normalised"])
    assert matrix.loc[("common_class", "common_class"), "score"] == 4
    budgets = {cover["budget"]: cover for cover in found["covers"]}
    assert budgets[2]["learned"] == ["common_class", "common_count"]
    assert budgets[2]["serves"]["common_colour"] == {"source": "common_class+common_count", "value": pytest.approx(0.9)}
    assert found["fewest"]["learned"] == ["common_class", "common_count"]
    assert budgets[3]["mean"] == 1
    names = {path.name for path in Path("results/mine/curriculum").iterdir()}
    figures = {f"{name}.{kind}" for name in ("transfer_graph", "order_against_random") for kind in ("png", "pdf")}
    assert names == {"curriculum.csv", "curriculum.json", "matrix.csv", *figures}


def test_the_order_is_held_against_all_orders_by_real_truths(mine, capsys):
    mine()
    found = json.loads(said(capsys, "curriculum", "sweep=mine.yaml", "--json")[1])["curricula"][0]
    chance = found["against_random"]
    assert (chance["random_orders"]["number"], chance["random_orders"]["all"]) == (6, True)
    # Truths: colour from scratch .51, the best of .21, .31, .51; class from colour .51 of .31 to .71; count from class,
    # the best. The pair is no task, and its truth moves no end of a scale.
    assert chance["value"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert chance["scratch_alone"] == pytest.approx(1 / 3)
    assert np.mean(chance["by_seed"]) == pytest.approx(chance["value"])
    assert chance["sd_of_seeds"] > 0
    assert chance["best_order"] == pytest.approx(chance["value"])
    steps = {step["task"]: step for step in found["order"]}
    assert (steps["common_colour"]["gain"], steps["common_count"]["gain"]) == (0, pytest.approx(0.4))
    assert steps["common_class"]["best"] == pytest.approx(0.71)


def test_a_budget(mine, capsys):
    mine()
    code, out, _ = said(capsys, "curriculum", "sweep=mine.yaml", "budget=1", "out=there", "--json")
    assert code == 0
    (cover,) = json.loads(out)["curricula"][0]["covers"]
    assert len(cover["learned"]) == 1
    assert Path("there/matrix.csv").exists()
    for word, says in (("budget=0", "budget=0: say how many"), ("share=2", "share=2"), ("budget=two", "budget=two")):
        code, out, err = said(capsys, "curriculum", "sweep=mine.yaml", word)
        assert (code, out) == (2, "")
        assert says in err


def test_what_is_missing_is_counted_and_named(mine, capsys):
    mine(without=["truth"])
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert code == 1
    assert "missing: truths of 10 cells: common_class → common_count" in err
    assert "next: tmbench run sweep=mine.yaml" in out
    assert json.loads(Path("results/mine/curriculum/curriculum.json").read_text())[0]["against_random"] is None


def test_without_the_scores_of_their_own_targets(mine, capsys):
    mine(own="left_out")
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml", "--json")
    assert code == 0
    assert "own: scored" in err
    assert "worst source" in json.loads(out)["curricula"][0]["scale"]


def test_joined_features_that_are_wider_are_told(mine, capsys, monkeypatch):
    monkeypatch.setitem(SCORES, "common_class+common_count", [4.0, 3.0, 2.5])
    mine()
    code, _, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert code == 0
    assert "note: hscore puts 1 of 1 transfers of joined sources above the target's own feature" in err


def test_nothing_is_scored_yet(mine, capsys):
    mine(without=["truth", "features"])
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert (code, out) == (3, "")
    assert "no score of mine is there yet. Next: tmbench run sweep=mine.yaml" in err


def test_a_metric_that_has_no_scores_between_the_tasks(mine, capsys):
    mine(metric=["hscore", "ncti"])
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml", "--json")
    assert code == 0
    assert "note: ncti compares the candidates of a pool: it has no scores of its own between tasks" in err
    assert list(json.loads(out)["without"]) == ["ncti"]


@pytest.mark.parametrize(
    ("tasks", "metric", "without", "says"),
    [
        (["class", "count"], "hscore", ["truth"], "hscore scores one source of each target, or all alike"),
        (["class", "depth"], "leep", ["truth", "features"], "leep is inapplicable between these tasks"),
    ],
)
def test_scores_that_will_never_be_there_are_not_waited_for(mine, capsys, tasks, metric, without, says):
    """Two tasks and no random start; the head of a classifier of images says nothing of pixels, nor the other way."""
    names = [f"common_{task}" for task in tasks]
    mine(without, source=names, target=names, level=["task_last"], metric=[metric], own="left_out")
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert (code, out) == (2, "")
    assert says in err
    assert "Name other metrics" in err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": ["digits", "greek"]}, "no target has a source that is trained on it"),
        ({"source": ["common_class", "common_random"]}, "only common_class has a source"),
        ({"source": [*SWEEP["source"], "small_resnet_random"]}, "common_random and small_resnet_random are random"),
        ({"source": [*SWEEP["source"], "common_class@stages.0"]}, "common_class and common_class@stages.0 are all"),
        ({"metric": ["source_size"]}, "only baselines are named"),
        ({"metric": [], "level": [], "measure": [], "pool": []}, "mine names no metric"),
    ],
)
def test_a_study_of_no_tasks_is_refused(mine, capsys, changes, says):
    mine(without=["truth", "features"], **changes)
    code, out, err = said(capsys, "curriculum", "sweep=mine.yaml")
    assert (code, out) == (2, "")
    assert says in err


def test_targets_may_be_what_is_ranked(mine, capsys):
    mine()
    sources = json.loads(said(capsys, "curriculum", "sweep=mine.yaml", "--json")[1])["curricula"]
    mine(scenario="target_selection")
    assert json.loads(said(capsys, "curriculum", "sweep=mine.yaml", "--json")[1])["curricula"] == sources


def test_published_cells_say_nothing_of_sources(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = said(capsys, "curriculum", "sweep=stability")
    assert code == 2
    assert "published cells" in err

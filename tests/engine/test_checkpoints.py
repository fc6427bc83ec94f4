"""Units that train, cut by a signal or killed, go on from the state that they left in the store."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from tmbench.engine import checkpoints as engine_checkpoints
from tmbench.engine import stages
from tmbench.engine.artifacts import read_artifact
from tmbench.engine.checkpoints import UnitCheckpoints
from tmbench.engine.interruption import Interrupted, Interruption
from tmbench.engine.units import Unit
from tmbench.engine.workbench import Workbench
from tmbench.identity import content_id
from tmbench.sources.checkpoints import Saved
from tmbench.sources.training import TrainingState
from tmbench.study.compose import OptionFolders, describe_options

STATE = Saved(
    {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"steps": 3, "loss": 0.1, "state": {"state": 2**127}}
)


def kept(tmp_path, every=1000.0, key="k", interruption=None):
    return UnitCheckpoints(tmp_path / "ab" / "abc.safetensors", key, every, interruption or Interruption())


def test_a_state_comes_back(tmp_path):
    assert kept(tmp_path).saved() is None
    kept(tmp_path).save(STATE)
    saved = kept(tmp_path).saved()
    assert saved.facts == STATE.facts
    assert saved.arrays["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    checkpoints = kept(tmp_path)
    checkpoints.discard()
    checkpoints.discard()
    assert checkpoints.saved() is None


def test_a_state_counts_the_seconds_of_all_its_workers(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(engine_checkpoints.time, "monotonic", lambda: clock[0])
    first = kept(tmp_path)
    assert first.saved() is None
    clock[0] += 30
    first.save(STATE)
    clock[0] += 5  # after the last save; lost with the worker
    second = kept(tmp_path)
    assert second.saved() is not None
    assert second.earlier_seconds == 30
    clock[0] += 10
    second.save(STATE)
    assert second.saved() is not None
    assert second.earlier_seconds == 30  # its own are its own
    third = kept(tmp_path)
    assert third.saved() is not None
    assert third.earlier_seconds == 40
    third.count_from_here()
    fourth = kept(tmp_path)
    assert fourth.saved().facts == STATE.facts
    assert fourth.earlier_seconds == 0


def test_the_state_of_another_key_is_passed_over(tmp_path):
    kept(tmp_path).save(STATE)
    assert kept(tmp_path, key="other").saved() is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_state_is_none(tmp_path, damage):
    checkpoints = kept(tmp_path)
    checkpoints.save(STATE)
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes({"cut": content[:-5], "flip": content, "empty": b""}[damage])
    assert checkpoints.saved() is None
    checkpoints.save(STATE)
    assert checkpoints.saved() is not None
    path.with_name(f".{path.name}.0123.tmp").write_bytes(b"of a worker that was killed")
    checkpoints.discard()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_saving_is_due_by_time_and_when_told_to_stop(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(engine_checkpoints.time, "monotonic", lambda: clock[0])
    interruption = Interruption()
    checkpoints = kept(tmp_path, 60.0, interruption=interruption)
    assert not checkpoints.due()
    clock[0] += 60
    assert checkpoints.due()
    checkpoints.save(STATE)
    assert not checkpoints.due()
    interruption.requested = True
    assert checkpoints.due()
    with pytest.raises(Interrupted):
        checkpoints.save(replace(STATE, facts={"steps": 4}))
    assert checkpoints.saved().facts == {"steps": 4}


def test_a_slow_store_is_written_to_less_often(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(engine_checkpoints.time, "monotonic", lambda: clock[0])

    def slow(*arguments):
        clock[0] += 30

    monkeypatch.setattr(engine_checkpoints, "write_artifact", slow)
    checkpoints = kept(tmp_path, 60.0)
    checkpoints.save(STATE)
    clock[0] += 599
    assert not checkpoints.due()
    clock[0] += 1
    assert checkpoints.due()


def test_a_store_that_cannot_be_written_loses_no_training(tmp_path):
    (tmp_path / "ab").write_text("a file where the folder should be")
    interruption = Interruption()
    checkpoints = kept(tmp_path, interruption=interruption)
    assert checkpoints.saved() is None
    with pytest.warns(UserWarning, match="not saved"):
        checkpoints.save(STATE)
    interruption.requested = True
    with pytest.warns(UserWarning, match="not saved"), pytest.raises(Interrupted):
        checkpoints.save(STATE)
    checkpoints.discard()


FOLDERS = OptionFolders()
SOURCE = describe_options("source", ["small_resnet_strokes"], FOLDERS)["small_resnet_strokes"]
DIGITS = describe_options("target", ["digits"], FOLDERS)["digits"]
RECIPES = describe_options("recipe", list(FOLDERS.names("recipe")), FOLDERS)


def unit(stage, epochs=2):
    """A pretraining of 5 steps an epoch, or a truth of a random source with two learning rates of 3."""
    architecture = {**SOURCE["architecture"], "parameters": {"widths": [8, 8]}}
    weights = {"kind": "random"}
    config = {}
    if stage == "pretrain":
        sizes = {"train": 80, "validation": 20, "test": 40}
        target = {**SOURCE["weights"]["target"], "sizes": sizes, "parameters": {"classes": 4}, "classes": 4}
        recipe = {**SOURCE["weights"]["recipe"], "epochs": epochs, "batch_size": 16}
        weights = {"kind": "pretrain", "target": target, "recipe": recipe}
    else:
        config["target"] = {**DIGITS, "parameters": {}, "sizes": {"train": 48, "validation": 30, "test": 40}}
        recipe = {**RECIPES["classification/full"], "epochs": epochs, "batch_size": 16, "learning_rates": [0.01, 0.003]}
        config["recipe"] = recipe
    config["source"] = {**SOURCE, "architecture": architecture, "weights": weights}
    key = {"stage": stage, "test": epochs}
    return Unit(content_id(key), stage, f"a {stage}", key, config, "small_resnet_strokes")


class StoppedAt(Workbench):
    """A bench whose worker is told to stop at every ``k``-th step."""

    def __init__(self, store, k):
        super().__init__(store)
        self.k = k

    def checkpoints(self, unit):
        kept = super().checkpoints(unit)
        due, interruption, seen = kept.due, self.interruption, []

        def counted():
            seen.append(1)
            interruption.requested = len(seen) == self.k
            return due()

        kept.due = counted
        return kept


def outcome(unit, rows, bench):
    """What a unit leaves: its records and its weights, as bytes. The worker lets its state go."""
    bench.state.discard()
    path = bench.artifact("pretrain", unit.id)
    told = [(row["measure"], row["value"], row["details"]) for row in rows]
    return told, path.read_bytes() if path.exists() else None


def left(bench):
    """The files of the store that are not artifacts."""
    return [path for path in bench.store.rglob("*") if path.is_file() and "pretrain" not in path.parts]


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("stage", ["pretrain", "truth"])
def test_a_unit_stopped_again_and_again_ends_as_the_uninterrupted_one(stage, k, tmp_path):
    work, whole, cut = unit(stage), Workbench(tmp_path / "whole"), StoppedAt(tmp_path / "cut", k)
    expected = outcome(work, stages.perform(work, whole), whole)
    stops = 0
    while True:
        try:
            rows = stages.perform(work, cut)
            break
        except Interrupted:
            stops += 1
            assert len(left(cut)) == 1
    assert stops == {"pretrain": 10, "truth": 14}[stage] // k
    assert outcome(work, rows, cut) == expected
    assert not left(cut)
    assert not left(whole)


@pytest.mark.parametrize("stage", ["pretrain", "truth"])
def test_a_damaged_state_costs_time_only(stage, tmp_path):
    work, whole, cut = unit(stage), Workbench(tmp_path / "whole"), StoppedAt(tmp_path / "cut", 4)
    expected = outcome(work, stages.perform(work, whole), whole)
    with pytest.raises(Interrupted):
        stages.perform(work, cut)
    (state,) = left(cut)
    state.write_bytes(state.read_bytes()[:-100])
    cut.k = 0
    assert outcome(work, stages.perform(work, cut), cut) == expected
    assert not left(cut)


def test_a_full_store_loses_no_training(tmp_path):
    work, whole, full = unit("truth"), Workbench(tmp_path / "whole"), Workbench(tmp_path / "full", checkpoint_seconds=0)
    expected = outcome(work, stages.perform(work, whole), whole)
    full.checkpoints(work)._path.parent.parent.mkdir(parents=True)
    full.checkpoints(work)._path.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="not saved"):
        rows = stages.perform(work, full)
    assert outcome(work, rows, full) == expected


CHILD = """
import json, sys, time
from pathlib import Path
from tmbench.engine import stages
from tmbench.engine.units import Unit
from tmbench.engine.workbench import Workbench
from tmbench.sources.training import TrainingState
quick = TrainingState.step
TrainingState.step = lambda *arguments: (time.sleep(0.03), quick(*arguments))  # so that it does not end before its time
stages.perform(Unit(**json.load(sys.stdin)), Workbench(Path(sys.argv[1]), checkpoint_seconds=0.05))
"""


@pytest.mark.parametrize("stage", ["pretrain", "truth"])
def test_a_worker_killed_in_the_middle_of_a_training_is_taken_over(stage, tmp_path, monkeypatch):
    work, whole, cut = unit(stage, epochs=30), Workbench(tmp_path / "whole"), Workbench(tmp_path / "cut")
    steps = []
    real = TrainingState.step
    monkeypatch.setattr(TrainingState, "step", lambda *arguments: steps.append(1) or real(*arguments))
    expected = outcome(work, stages.perform(work, whole), whole)
    all_steps, steps[:] = len(steps), []

    text = json.dumps({**asdict(work), "resources": None, "scores": []})
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(cut.store)], stdin=subprocess.PIPE, text=True)
    child.stdin.write(text)
    child.stdin.close()
    deadline = time.monotonic() + 60
    state = cut.checkpoints(work)._path
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.1)  # a few states more, and into the middle of something
    child.kill()
    assert child.wait() == -9, "the child ended before it was killed"
    read_artifact(state)  # whole, whenever the kill came
    assert outcome(work, stages.perform(work, cut), cut) == expected
    assert 0 < len(steps) < all_steps
    assert not left(cut)

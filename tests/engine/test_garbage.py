import os
import time

import pytest

from tmbench.engine.artifacts import artifact_path, write_artifact
from tmbench.engine.batches import Batch, Units
from tmbench.engine.garbage import InUse, delete, garbage
from tmbench.engine.plans import UnreadablePlan, register, registered

DAYS = 86400.0
IDS = [f"{number:032x}" for number in range(6)]


def aged(path, days=2.0, content=b"x" * 1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - days * DAYS,) * 2)
    return path


def weights(store, id, days=2.0, stage="pretrain"):
    return aged(artifact_path(store, stage, id), days)


def checkpoint(store, id, days=2.0):
    return aged(store / "checkpoints" / id[:2] / f"{id}.safetensors", days)


def paths(found):
    return {one.path for one in found}


def use(wanted=(), done=(), held=()):
    return InUse(frozenset(wanted), frozenset(done), frozenset(held))


def units(*ids, stage="truth"):
    return Units([Batch(stage, "name", {}, {}, tuple(ids), "s")])


def test_what_no_plan_refers_to_can_go(tmp_path):
    kept, gone = weights(tmp_path, IDS[0]), weights(tmp_path, IDS[1])
    passes = weights(tmp_path, IDS[2], stage="features")
    found = garbage(tmp_path, use(wanted=[IDS[0]]))
    assert {one.path: one.reason for one in found} == {
        gone: "weights that no plan refers to",
        passes: "features that no plan refers to",
    }
    assert [one.bytes for one in found] == [1000, 1000]
    assert kept.exists()


def test_what_is_younger_than_a_day_or_held_stays(tmp_path):
    weights(tmp_path, IDS[0], days=0.9)
    weights(tmp_path, IDS[1])
    checkpoint(tmp_path, IDS[2])
    checkpoint(tmp_path, IDS[3], days=0.0)
    assert garbage(tmp_path, use(done=[IDS[2], IDS[3]], held=[IDS[1], IDS[2]])) == []


def test_a_checkpoint_goes_when_its_unit_is_done_or_forgotten(tmp_path):
    done, forgotten, _ = (checkpoint(tmp_path, id) for id in IDS[:3])
    assert paths(garbage(tmp_path, use(wanted=[IDS[0], IDS[2]], done=[IDS[0]]))) == {done, forgotten}


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("artifacts/pretrain/ab/abc.corrupt", True),
        ("records/r-000.broken", True),
        ("records/.r-000.parquet.0a1b2c3d.tmp", True),
        ("claims/.0a1b.draft", True),
        ("records/r-000.parquet", False),
        ("records/x.corrupt", False),
        ("plans/demo-0123.json", False),
        ("claims/000001.json", False),
        ("logs/ab/abc-truth.log", False),
        ("artifacts/pretrain/ab/notes.txt", False),
        ("artifacts/pretrain/ab/mine.safetensors", False),
        (f"artifacts/pretrain/{IDS[1]}.safetensors", False),
        (f"artifacts/elsewhere/00/{IDS[1]}.safetensors", False),
        (f"mine/{IDS[1]}.safetensors", False),
        (f"{IDS[1]}.safetensors", False),
    ],
)
def test_only_what_tmbench_left_goes(tmp_path, name, goes):
    path = aged(tmp_path / name)
    assert paths(garbage(tmp_path, use())) == ({path} if goes else set())


def test_links_are_neither_followed_nor_deleted(tmp_path):
    outside, store = tmp_path / "outside", tmp_path / "store"
    target = weights(outside, IDS[0])
    link = artifact_path(store, "pretrain", IDS[1])
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    (store / "artifacts" / "features").symlink_to(outside / "artifacts" / "pretrain")
    assert garbage(store, use()) == []


def test_what_became_wanted_held_or_young_in_between_stays(tmp_path):
    first, second, third, fourth = (weights(tmp_path, id) for id in IDS[:4])
    found = garbage(tmp_path, use())
    write_artifact(third, {})
    gone = delete(found, tmp_path, use(wanted=[IDS[0]], held=[IDS[1]]))
    assert paths(gone) == {fourth}
    assert [path.exists() for path in (first, second, third, fourth)] == [True, True, True, False]


def test_what_another_deleted_first_is_no_error(tmp_path):
    one, other = (weights(tmp_path, id) for id in IDS[:2])
    found = garbage(tmp_path, use())
    one.unlink()
    assert paths(delete(found, tmp_path, use())) == {other}


def test_the_newest_plan_of_a_command_line_is_registered(tmp_path):
    register(tmp_path, "demo", "sweep=demo", units(*IDS[:2]))
    register(tmp_path, "demo", "sweep=demo seed=[0]", units(IDS[2], stage="pretrain"))
    register(tmp_path, "demo", "sweep=demo", units(IDS[3]))
    found = {plan.command: plan.ids for plan in registered(tmp_path)}
    assert found == {"sweep=demo": {IDS[3]}, "sweep=demo seed=[0]": {IDS[2]}}
    assert all(plan.date for plan in registered(tmp_path))
    assert registered(tmp_path / "nowhere") == []


@pytest.mark.parametrize("content", ["{", "[]", '{"units": {}}', "null", '{"units": [1]}'])
def test_a_damaged_plan_is_said(tmp_path, content):
    path = register(tmp_path, "demo", "sweep=demo", units(IDS[0]))
    path.write_text(content)
    with pytest.raises(UnreadablePlan, match="nobody knows"):
        registered(tmp_path)

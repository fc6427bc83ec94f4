"""``compact`` and ``gc`` as a user calls them."""

import os
import time
from pathlib import Path

import pytest
from records_work import TIMES, attempt
from verbs_work import facts, said

from tmbench.engine.artifacts import artifact_path, write_artifact
from tmbench.engine.plans import register
from tmbench.engine.records import write_shard
from tmbench.study.compose import compose
from tmbench.study.plan import build
from tmbench.study.sweep import load_sweep, parse

STORE = Path("results/store")
FOREIGN = "0" * 32


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def records(count=3):
    for number in range(count):
        write_shard(STORE / "records", "r", attempt(f"id{number}", "r", TIMES[0], {"accuracy": 1.0}))


def old_weights(id):
    path = artifact_path(STORE, "pretrain", id)
    write_artifact(path, {})
    os.utime(path, (time.time() - 200_000,) * 2)
    return path


def demo():
    sweep = load_sweep(parse(["sweep=demo"]))
    return build(sweep, compose(sweep)).units


def test_compact_folds_and_says_what_it_did(capsys):
    records()
    code, out, _ = said(capsys, "compact")
    assert code == 0
    assert out.startswith("3 shards, 3 rows → ")
    assert out.splitlines()[-1] == "next: tmbench gc"
    code, out, _ = said(capsys, "compact", "sweep=demo")
    assert (code, out.splitlines()[0]) == (0, "nothing to fold: the records stand in one file already")
    assert out.splitlines()[-1] == "next: tmbench status sweep=demo"


def test_compact_takes_a_store_and_speaks_json(capsys):
    records()
    STORE.rename("elsewhere")
    said_so = facts(capsys, "compact", "paths.store=elsewhere")
    assert (said_so["shards"], said_so["rows"], said_so["unreadable"]) == (3, 3, [])
    assert Path(said_so["file"]).is_file()


def test_compact_leaves_and_names_what_it_cannot_read(capsys):
    records()
    (STORE / "records" / "x.parquet").write_bytes(b"half")
    code, _, err = said(capsys, "compact")
    assert code == 1
    assert "x.parquet cannot be read and was left" in err


@pytest.mark.parametrize("words", [["paths.store=nowhere"], []])
def test_compact_without_records_matches_nothing(capsys, words):
    code, _, err = said(capsys, "compact", *words)
    assert code == 3
    assert "there are no records in" in err


@pytest.mark.parametrize("verb", ["compact", "gc"])
def test_a_key_that_does_not_exist_is_refused(capsys, verb):
    code, _, err = said(capsys, verb, "paths.stroe=x")
    assert code == 2
    assert "stroe" in err


def test_gc_refuses_without_a_plan(capsys):
    path = old_weights(FOREIGN)
    for words in ([], ["--delete"], ["sweep=demo", "--delete"]):
        code, _, err = said(capsys, "gc", *words)
        assert code == 3
        assert "no plan is registered in" in err
    assert path.exists()


def test_gc_lists_first_and_deletes_when_told(capsys):
    units = demo()
    register(STORE, "demo", "sweep=demo", units)
    wanted, foreign = old_weights(units[0].id), old_weights(FOREIGN)
    code, out, _ = said(capsys, "gc")
    assert code == 0
    assert "sweep=demo" in out
    assert str(foreign) in out
    assert str(wanted) not in out
    assert "1 file, " in out
    assert out.splitlines()[-1] == "next: tmbench gc --delete"
    assert foreign.exists()
    code, out, _ = said(capsys, "gc", "--delete")
    assert (code, foreign.exists(), wanted.exists()) == (0, False, True)
    assert "deleted" in out
    assert "nothing to delete" in said(capsys, "gc")[1]


def test_the_sweep_that_is_named_is_wanted_too(capsys):
    path = old_weights(demo()[0].id)
    register(STORE, "other", "sweep=other", demo()[:0] or type(demo())(()))
    assert [one["path"] for one in facts(capsys, "gc")["files"]] == [str(path.absolute())]
    assert facts(capsys, "gc", "sweep=demo")["files"] == []


def test_what_a_run_holds_stays(capsys, monkeypatch):
    register(STORE, "other", "sweep=other", type(demo())(()))
    path = old_weights(FOREIGN)
    monkeypatch.setattr("tmbench.engine.holdings.held_units", lambda store: frozenset([FOREIGN]))
    said(capsys, "gc", "--delete")
    assert path.exists()


def test_a_damaged_plan_stops_everything(capsys):
    register(STORE, "demo", "sweep=demo", demo()).write_text("{")
    path = old_weights(FOREIGN)
    code, _, err = said(capsys, "gc", "--delete")
    assert code != 0
    assert "nobody knows what that plan refers to" in err
    assert path.exists()

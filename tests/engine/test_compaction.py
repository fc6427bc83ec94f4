import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from records_work import TIMES, attempt

from tmbench.engine import compaction
from tmbench.engine.compaction import CompactionFailed, compact
from tmbench.engine.records import Records, RecordWriter, write_shard
from tmbench.engine.shards import shard_names
from tmbench.files import StoreError


def filled(folder, count=5):
    """A store's records: ``count`` shards, with an id that succeeds twice and one that fails."""
    for number in range(count):
        write_shard(folder, f"r{number}", attempt(f"id{number}", f"r{number}", TIMES[0], {"accuracy": number / 10}))
    write_shard(folder, "again", attempt("id0", "again", TIMES[1], {"accuracy": 0.5}))
    write_shard(folder, "failing", attempt("bad", "failing", TIMES[1], {}, "bug"))
    return said(folder)


def said(folder):
    records = Records().merge(folder)
    rows = {id: [dict(one) for one in rows] for id, rows in records.results.items()}
    return rows, {id: dict(one) for id, one in records.failures.items()}, records.attempts, records.differing


def test_every_row_is_kept_and_the_shards_are_gone(tmp_path):
    before = filled(tmp_path)
    done = compact(tmp_path)
    assert (done.shards, done.rows, done.repeated) == (7, 7, 0)
    assert shard_names(tmp_path) == [done.path.name]
    assert said(tmp_path) == before
    ids = pq.read_table(done.path)["id"].to_pylist()
    assert ids == sorted(ids)
    assert compact(tmp_path).shards == 0


def test_a_file_of_records_is_folded_with_what_came_later(tmp_path):
    filled(tmp_path)
    compact(tmp_path)
    write_shard(tmp_path, "later", attempt("late", "later", TIMES[2], {"accuracy": 1.0}))
    before = said(tmp_path)
    assert compact(tmp_path).shards == 2
    assert said(tmp_path) == before
    assert len(shard_names(tmp_path)) == 1


def test_nothing_and_one_shard_are_left_alone(tmp_path):
    assert compact(tmp_path / "nowhere").shards == 0
    path = write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"x": 1.0}))
    assert compact(tmp_path).path is None
    assert shard_names(tmp_path) == [path.name]


def test_what_cannot_be_read_or_is_of_a_later_version_is_left(tmp_path):
    before = filled(tmp_path)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"half")
    newer = write_shard(tmp_path, "newer", attempt("n", "r", TIMES[0], {"x": 1.0}))
    table = pq.read_table(newer)
    pq.write_table(table.append_column("invented", table["id"]), newer)
    done = compact(tmp_path)
    assert (done.unreadable, done.newer) == ([broken], [newer])
    assert broken.exists()
    assert "invented" in pq.read_schema(newer).names
    newer.unlink()
    assert said(tmp_path) == before


CUTS = ["open", "replace", "fsync", "unlink", "unlink 3"]


@pytest.mark.parametrize("cut", CUTS)
def test_a_compaction_cut_anywhere_loses_and_doubles_nothing(tmp_path, monkeypatch, cut):
    before = filled(tmp_path)
    name, _, after = cut.partition(" ")
    calls = []

    class Cut(BaseException):
        pass

    def cutting(real):
        def call(*arguments, **more):
            calls.append(1)
            if len(calls) > int(after or 0):
                raise Cut
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patched:
        if name == "fsync":
            patched.setattr(os, "fsync", cutting(os.fsync))
        else:
            patched.setattr(Path, name, cutting(getattr(Path, name)))
        with pytest.raises(Cut):
            compact(tmp_path)
    assert said(tmp_path) == before
    done = compact(tmp_path)
    assert said(tmp_path) == before
    assert len(shard_names(tmp_path)) == 1
    assert done.rows == 7


def test_a_compaction_killed_at_random_moments_loses_and_doubles_nothing(tmp_path):
    before = filled(tmp_path, 40)
    code = "from pathlib import Path; from tmbench.engine.compaction import compact; print(1, flush=True)"
    code += f"; compact(Path({str(tmp_path)!r}))"
    for milliseconds in (5, 20, 40, 60, 80):
        worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        worker.stdout.readline()
        time.sleep(milliseconds / 1000)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert said(tmp_path) == before
        write_shard(tmp_path, "more", attempt("id1", "r1", TIMES[0], {"accuracy": 0.1}))
    compact(tmp_path)
    assert said(tmp_path) == before
    assert len(shard_names(tmp_path)) == 1


def test_many_compactions_beside_a_writer_and_a_reader_lose_nothing(tmp_path):
    stop, problems = threading.Event(), []

    def compacting():
        while not stop.is_set():
            try:
                compact(tmp_path)
            except Exception as error:
                problems.append(error)

    def reading():
        most = 0
        while not stop.is_set():
            seen = len(Records().merge(tmp_path).results)
            if seen < most:
                problems.append(AssertionError(f"{most} ids were there, then {seen}"))
            most = seen

    threads = [threading.Thread(target=work) for work in (compacting, compacting, reading)]
    for thread in threads:
        thread.start()
    with RecordWriter(tmp_path, "r", every=0.01) as writer:
        for number in range(150):
            writer.add(attempt(f"id{number}", "r", TIMES[0], {"accuracy": float(number)}))
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    compact(tmp_path)
    records = Records().merge(tmp_path)
    assert {id: records.value(id, "accuracy") for id in records.results} == {f"id{n}": float(n) for n in range(150)}
    assert not records.differing
    assert len(pq.read_table(tmp_path / shard_names(tmp_path)[0])) == 150


def test_a_full_disk_leaves_the_shards(tmp_path, monkeypatch):
    before = filled(tmp_path)

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match="no shard was deleted"):
            compact(tmp_path)
    assert said(tmp_path) == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_file_that_does_not_hold_what_was_read_costs_no_shard(tmp_path, monkeypatch):
    before = filled(tmp_path)
    real = pq.write_table
    monkeypatch.setattr(pq, "write_table", lambda table, *place, **more: real(table.slice(1), *place, **more))
    with pytest.raises(CompactionFailed, match="no shard was deleted"):
        compact(tmp_path)
    assert said(tmp_path) == before
    assert len(shard_names(tmp_path)) == 8


def test_a_folder_that_forbids_deleting_says_so_and_counts_nothing_twice(tmp_path, monkeypatch):
    before = filled(tmp_path)

    def forbidden(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", forbidden)
        with pytest.raises(StoreError, match="counted twice"):
            compact(tmp_path)
    assert said(tmp_path) == before


@pytest.mark.parametrize("when", ["before it is read again", "before its size is asked for"])
def test_of_two_compactions_at_once_the_slower_one_leaves_it_to_the_other(tmp_path, monkeypatch, when):
    before, others = filled(tmp_path), []
    name = "_sync_folder" if when == "before it is read again" else "_holds"
    real = getattr(compaction, name)

    def overtaken(*arguments):
        said = real(*arguments)
        monkeypatch.setattr(compaction, name, real)
        others.append(compact(tmp_path))
        return said

    monkeypatch.setattr(compaction, name, overtaken)
    compact(tmp_path)
    assert shard_names(tmp_path) == [others[0].path.name]
    assert said(tmp_path) == before


def test_a_shard_that_another_host_folded_is_passed_by(tmp_path, monkeypatch):
    before, real, left = filled(tmp_path), Path.read_bytes, [1]

    def stale(self):
        if left and self.suffix == ".parquet":
            raise OSError(errno.ESTALE * left.pop(), "Stale file handle")
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", stale)
        done = compact(tmp_path)
    assert (done.shards, done.unreadable, done.newer) == (6, [], [])
    assert said(tmp_path) == before

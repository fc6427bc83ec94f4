import errno
from dataclasses import replace

import engine_work as work
import pyarrow.parquet as pq
import pytest

from tmbench.engine import keys, shards
from tmbench.engine.batches import Units
from tmbench.engine.compaction import compact
from tmbench.engine.keys import KeyCollision, check_keys
from tmbench.engine.records import row, write_shard
from tmbench.files import StoreError
from tmbench.identity import canonical


def success(of, **more):
    return row(**{"id": of.id, "name": of.name, "status": "done", "value": 1.0, "key": canonical(of.key), **more})


def test_keys_that_agree_pass_and_foreign_ids_do_not_matter(tmp_path):
    unit = work.unit(0, stage="features", scores=2)
    write_shard(tmp_path, "r", [success(unit), *map(success, unit.scores), success(work.unit(1), key="{}")])
    check_keys(Units.of([unit]), tmp_path)


@pytest.mark.parametrize("folded", [False, True])
def test_another_key_of_a_unit_or_a_score_stops(tmp_path, folded):
    unit = work.unit(0, stage="features", scores=2)
    for number, of in enumerate([unit, unit.scores[1]]):
        folder = tmp_path / str(number)
        write_shard(folder, "r", [success(of, key='{"other":1}')])
        write_shard(folder, "r", [success(work.unit(7))])
        if folded:
            compact(folder)
        with pytest.raises(KeyCollision, match=f"another key under the id {of.id}"):
            check_keys(Units.of([unit]), folder)


def test_failures_and_what_cannot_be_read_are_passed_by(tmp_path):
    unit = work.unit(0)
    write_shard(tmp_path, "r", [success(unit, status="failed", key="")])
    (tmp_path / "x.parquet").write_bytes(b"half")
    check_keys(Units.of([unit]), tmp_path)
    check_keys(Units.of([replace(unit, key={})]), tmp_path / "nowhere")


def test_the_check_ends_while_writers_are_busy(tmp_path, monkeypatch):
    unit = work.unit(0)
    write_shard(tmp_path, "r", [success(unit, key='{"other":1}')])
    real, listings = shards.shard_names, []

    def listed(folder):
        listings.append(1)
        if len(listings) <= 200:
            write_shard(folder, "w", [success(work.unit(len(listings)))])
        return real(folder)

    for module in (shards, keys):
        monkeypatch.setattr(module, "shard_names", listed, raising=False)
    check_keys(Units.of([work.unit(500)]), tmp_path)
    assert len(listings) == 2
    with pytest.raises(KeyCollision):
        check_keys(Units.of([unit]), tmp_path)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_a_file_that_cannot_be_read_for_a_moment_is_not_passed_by(tmp_path, monkeypatch, number):
    unit, left, real = work.unit(0), [1], pq.ParquetFile
    write_shard(tmp_path, "r", [success(unit, key='{"other":1}')])

    def opened(*arguments):
        if left:
            raise OSError(left.pop() and number, "passing")
        return real(*arguments)

    monkeypatch.setattr(pq, "ParquetFile", opened)
    with pytest.raises(KeyCollision if number == errno.ESTALE else StoreError):
        check_keys(Units.of([unit]), tmp_path)

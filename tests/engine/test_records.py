import numpy as np
import pytest

from tmbench.engine.records import Records, RecordWriter, row, set_aside, write_shard
from tmbench.files import StoreError


def done(id, value, finished, measure="accuracy", **more):
    return row(
        id=id, unit=id, stage="truth", name=id, status="done", measure=measure, value=value, finished=finished, **more
    )


def failed(id, finished, failure="bug"):
    return row(id=id, unit=id, stage="truth", name=id, status="failed", failure=failure, finished=finished)


def test_what_is_written_is_read(tmp_path):
    write_shard(tmp_path, "r-0", [done("a", 0.1 + 0.2, "2026-01-01", flags=["degenerate"], details={"rate": 0.1})])
    records = Records().merge(tmp_path)
    assert records.value("a", "accuracy") == 0.1 + 0.2
    assert records.results["a"][0]["flags"] == '["degenerate"]'
    assert records.value("a", "other") is None
    assert records.value("b") is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_last_success_wins_in_any_order_of_reading(tmp_path, order):
    attempts = [
        done("a", 1.0, "2026-01-01"),
        done("a", 1.0, "2026-01-03", details={"last": 1}),
        failed("a", "2026-01-05"),
    ]
    records = Records()
    for i in order:
        folder = tmp_path / str(i)
        write_shard(folder, "r", [attempts[i]])
        records.merge(folder)
    assert records.results["a"][0]["finished"] == "2026-01-03"
    assert not records.failures
    assert not records.differing


def test_two_successes_that_differ_are_reported(tmp_path):
    write_shard(tmp_path, "r", [done("a", 1.0, "2026-01-01"), done("a", 0.5, "2026-01-01", "loss")])
    write_shard(tmp_path, "r", [done("a", np.nextafter(1.0, 2.0), "2026-01-02"), done("a", 0.5, "2026-01-02", "loss")])
    records = Records().merge(tmp_path)
    assert records.differing == [("a", "accuracy")]


def test_the_last_failure_is_kept_and_all_are_counted(tmp_path):
    write_shard(tmp_path, "r", [failed("a", "2026-01-02", "nan"), failed("a", "2026-01-01", "bug")])
    records = Records().merge(tmp_path)
    assert records.failures["a"]["failure"] == "nan"
    assert records.attempts["a"] == 2


def test_a_shard_cut_short_is_set_aside_and_the_others_are_read(tmp_path):
    whole = write_shard(tmp_path, "r", [done("a", 1.0, "2026-01-01")])
    cut = write_shard(tmp_path, "r", [done("b", 1.0, "2026-01-01")])
    cut.write_bytes(cut.read_bytes()[:-40])
    records = Records().merge(tmp_path)
    assert set(records.results) == {"a"}
    assert records.broken == [cut]
    assert [path.suffix for path in set_aside(records)] == [".broken"]
    assert whole.exists()
    assert not Records().merge(tmp_path).broken


def test_a_foreign_table_is_no_record(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    assert Records().merge(tmp_path).broken == [tmp_path / "x.parquet"]


def test_temporary_files_are_not_read(tmp_path):
    (tmp_path / ".x.parquet.tmp").write_bytes(b"half")
    assert not Records().merge(tmp_path).broken


def test_the_writer_flushes_while_a_long_unit_computes(tmp_path):
    import time

    with RecordWriter(tmp_path, "r", every=0.05) as writer:
        writer.add([done("a", 1.0, "2026-01-01")])
        deadline = time.monotonic() + 10
        while not list(tmp_path.glob("*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(Records().merge(tmp_path).results) == {"a"}


def test_a_store_that_cannot_be_written_says_so_and_loses_nothing(tmp_path):
    folder = tmp_path / "records"
    folder.write_text("a file where the folder should be")
    writer = RecordWriter(folder, "r")
    writer.add([done("a", 1.0, "2026-01-01")])
    with pytest.raises(StoreError, match=r"cannot write .*the 1 results not yet written"):
        writer.flush()
    folder.unlink()
    writer.flush()
    assert set(Records().merge(folder).results) == {"a"}


def test_unknown_columns_are_refused():
    with pytest.raises(TypeError, match="no column"):
        row(identity="a")

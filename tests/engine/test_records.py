import json
import subprocess
import sys
import time

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


def test_a_name_that_no_utf8_can_hold_costs_no_record(tmp_path):
    with RecordWriter(tmp_path, "r", every=0.02) as writer:
        writer.add([done("good", 1.0, "2026-01-01")])
        bad = row(id="bad", status="failed", message="no caf\udce9.jpg", details={"\udce9": ["caf\udce9", 1]})
        writer.add([{**bad, "log": "/data/caf\udce9.log"}])  # as what is added to a row later
        time.sleep(0.1)
        writer.add([done("also good", 1.0, "2026-01-01")])
    records = Records().merge(tmp_path)
    assert set(records.results) == {"good", "also good"}
    failure = records.failures["bad"]
    assert (failure["message"], failure["log"]) == (r"no caf\udce9.jpg", r"/data/caf\udce9.log")
    assert json.loads(failure["details"]) == {r"\udce9": [r"caf\udce9", 1]}


def test_what_the_flushing_thread_trips_over_is_told_at_the_next_record(tmp_path):
    writer = RecordWriter(tmp_path, "r", every=0.02)
    writer._thread.start()
    writer.add([done("a", 1.0, "2026-01-01"), {"id": "b", "value": "no number"}])
    deadline = time.monotonic() + 20
    while writer._problem is None and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(StoreError, match=r"cannot write 2 results of r into .*report this"):
        writer.add([])
    assert writer._thread.is_alive()
    with pytest.raises(StoreError, match="cannot write 2 results"):
        writer.__exit__(None, None, None)


def test_text_numbers_and_what_is_empty_come_back(tmp_path):
    rows = [
        done("a", 0.5, "1", log="é→𝄞"),
        {"id": "b", "status": "done", "finished": "2"},
        done("c", None, "3", seconds=2),
    ]
    path = write_shard(tmp_path, "r", [*rows, *(done(f"n{n}", float(n), "4") for n in range(20))])
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    table.validate(full=True)
    assert table["value"].to_pylist()[:3] == [0.5, None, None]
    assert table["value"].to_pylist()[3:] == [float(n) for n in range(20)]
    assert table["seconds"].to_pylist()[:3] == [None, None, 2.0]
    assert table["log"].to_pylist()[:3] == ["é→𝄞", "", ""]


def test_records_are_written_and_read_without_pandas(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tmbench.engine.records import Records, row, write_shard\n"
        "folder = Path(sys.argv[1]); write_shard(folder, 'r', [row(id='a', status='done', value=1.0)])\n"
        "print(Records().merge(folder).value('a'), 'pandas' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1.0", "False"]


def test_unknown_columns_are_refused():
    with pytest.raises(TypeError, match="no column"):
        row(identity="a")

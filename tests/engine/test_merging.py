import errno
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_work import TIMES, attempt

from tmbench.engine import shards
from tmbench.engine.compaction import compact
from tmbench.engine.records import Records, write_shard
from tmbench.engine.shards import SINCE_2, Reader
from tmbench.files import StoreError


@st.composite
def attempts(draw):
    """Attempts, each with a (id, run, time) of its own; what a run comes to at a time is a function of these."""
    identities = draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(["r0", "r1"]), st.sampled_from(TIMES)),
            unique=True,
            max_size=12,
        )
    )
    found = []
    for id, run, finished in identities:
        failure = draw(st.sampled_from(["", "", "bug", "killed"]))
        measures, numbers = st.sampled_from(["", "accuracy", "loss"]), st.sampled_from([None, 0.0, 1.0])
        values = draw(st.dictionaries(measures, numbers, min_size=1))
        found.append(attempt(id, run, finished, values, failure))
    return found


def said(records):
    """All that records say, in a form to compare."""
    return (
        {id: [dict(one) for one in rows] for id, rows in records.results.items()},
        {id: dict(one) for id, one in records.failures.items()},
        records.attempts,
        sorted(records.differing),
        {id: records.value(id, "accuracy") for id in "abc"},
        len(records.attempted()) if records.shards else 0,
    )


def expected(found):
    """The rules, written down plainly."""
    results, failures, counts, values = {}, {}, {}, {}
    for rows in sorted(found, key=lambda rows: (rows[0]["finished"], rows[0]["run"])):
        id = rows[0]["id"]
        if rows[0]["status"] == "failed":
            failures[id] = rows[0]
            counts[id] = counts.get(id, 0) + 1
        else:
            results[id] = sorted(rows, key=lambda one: one["measure"])
            for one in rows:
                values.setdefault((id, one["measure"]), set()).add(one["value"])
    differing = sorted(place for place, found in values.items() if len(found) > 1)
    return results, {id: one for id, one in failures.items() if id not in results}, counts, differing


@settings(max_examples=60, deadline=None)
@given(attempts(), st.randoms(use_true_random=False))
def test_any_split_order_and_repetition_of_shards_says_the_same(tmp_path_factory, found, chance):
    folder = tmp_path_factory.mktemp("records")
    rows = [one for rows in found for one in rows]
    rows += chance.sample(rows, chance.randint(0, len(rows)))  # as from a shard and the file it was folded into
    chance.shuffle(rows)
    records = Records()
    while rows:
        count = chance.randint(1, len(rows))
        write_shard(folder, "r", rows[:count])
        rows = rows[count:]
        if chance.random() < 0.3:
            records.merge(folder)  # some of it now, the rest later
        if chance.random() < 0.2:
            compact(folder)
    assert said(records.merge(folder))[:4] == expected(found)
    assert said(Records().merge(folder)) == said(records)
    compact(folder)
    assert said(Records().merge(folder)) == said(records)
    assert said(records.merge(folder)) == said(Records().merge(folder))


def test_values_that_differ_within_a_repeated_identity_are_reported(tmp_path):
    one, other = (attempt("a", "r", TIMES[0], {"accuracy": value}) for value in (1.0, 0.0))
    for order in ([one, other], [other, one]):
        folder = tmp_path / str(order[0][0]["value"])
        for rows in order:
            write_shard(folder, "r", rows)
        records = Records().merge(folder)
        assert records.differing == [("a", "accuracy")]
        assert records.value("a", "accuracy") == 0.0


def test_a_failure_between_two_successes_hides_no_difference(tmp_path):
    write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"accuracy": 1.0}))
    write_shard(tmp_path, "r", attempt("a", "r", TIMES[1], {}, "bug"))
    write_shard(tmp_path, "r", attempt("a", "r", TIMES[2], {"accuracy": 0.0}))
    assert Records().merge(tmp_path).differing == [("a", "accuracy")]


def test_a_shard_of_the_first_schema_is_read_with_the_new_columns_empty(tmp_path):
    path = write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"accuracy": 1.0}))
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(sorted(SINCE_2)), path)
    write_shard(tmp_path, "r", attempt("b", "r", TIMES[0], {"accuracy": 1.0}))
    for _ in range(2):
        (old,) = Records().merge(tmp_path).results["a"]
        assert (old["gpu"], old["gpus"], old["versions"], old["job"]) == ("", None, "", "")
        assert old["key"] == '"a"'
        compact(tmp_path)


def test_a_table_with_nulls_for_text_is_read(tmp_path):
    path = write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"": 1.0}))
    table = pq.read_table(path)
    nulls = pa.array([None], pa.string())
    pq.write_table(table.set_column(table.column_names.index("measure"), "measure", nulls), path)
    assert Records().merge(tmp_path).value("a") == 1.0


def test_what_is_asked_for_after_a_compaction_is_found_in_the_new_file(tmp_path):
    for id in "ab":
        write_shard(tmp_path, "r", attempt(id, "r", TIMES[0], {"accuracy": 1.0}))
    write_shard(tmp_path, "r", attempt("c", "r", TIMES[0], {}, "bug"))
    records = Records().merge(tmp_path)
    compact(tmp_path)
    write_shard(tmp_path, "r", attempt("d", "r", TIMES[0], {"accuracy": 1.0}))
    assert records.results["b"][0]["key"] == '"b"'
    assert records.failures["c"]["message"] == "bug r"
    assert records.details("a") == {"run": "r"}


def test_records_that_are_deleted_by_hand_are_missed(tmp_path):
    path = write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"accuracy": 1.0}))
    records = Records().merge(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match="are gone from"):
        records.details("a")


def test_a_shard_that_is_folded_while_others_are_read_is_not_missed(tmp_path, monkeypatch):
    for number in range(6):
        write_shard(tmp_path, f"r{number}", attempt(f"id{number}", "r", TIMES[0], {"accuracy": 1.0}))
    read, real = [], shards.read_shard

    def reading(path, columns):
        read.append(path)
        if len(read) == 3:
            monkeypatch.setattr(shards, "read_shard", real)
            compact(tmp_path)  # deletes four shards that are not read yet
        return real(path, columns)

    monkeypatch.setattr(shards, "read_shard", reading)
    records = Records().merge(tmp_path)
    assert set(records.results) == {f"id{number}" for number in range(6)}


def test_a_listing_that_passes_by_a_shard_and_its_successor_is_repeated(tmp_path, monkeypatch):
    for number in range(2):
        write_shard(tmp_path, "r", attempt(f"id{number}", "r", TIMES[0], {"accuracy": 1.0}))
    real, listings = shards.shard_names, []

    def listed(folder):
        listings.append(1)
        return [] if len(listings) == 1 else real(folder)

    monkeypatch.setattr(shards, "shard_names", listed)
    assert len(Records().merge(tmp_path).results) == 2


def test_attempts_are_there_once_each_and_counted_by_class(tmp_path):
    failed = [attempt("a", "r", time, {}, failure) for time, failure in zip(TIMES, ["bug", "nan", "bug"], strict=False)]
    done = attempt("b", "r", TIMES[1], {"x": 1.0, "y": 2.0})
    for _ in range(2):
        write_shard(tmp_path, "r", [*(one for rows in failed for one in rows), *done])
    records = Records().merge(tmp_path)
    assert records.attempted()["id"].to_pylist() == ["a", "a", "a", "b"]
    assert [records.failed_of("a", failure) for failure in ("bug", "nan", "killed")] == [2, 1, 0]
    assert records.failed_of("b", "bug") == 0


def busy(folder, monkeypatch):
    """Listings of ``folder``, to each of which writers add a shard meanwhile: 200 of them."""
    real, listings = shards.shard_names, []

    def listed(there):
        listings.append(1)
        if len(listings) <= 200:
            write_shard(folder, "w", attempt(f"new{len(listings)}", "w", TIMES[0], {"x": 1.0}))
        return real(there)

    monkeypatch.setattr(shards, "shard_names", listed)
    return listings


def test_a_reader_comes_back_while_writers_are_busy(tmp_path, monkeypatch):
    for number in range(3):
        write_shard(tmp_path, "r", attempt(f"id{number}", "r", TIMES[0], {"x": 1.0}))
    listings = busy(tmp_path, monkeypatch)
    records = Records().merge(tmp_path)
    assert {"id0", "id1", "id2"} <= records.done.keys()
    assert len(listings) == 2


def test_a_reader_comes_back_while_shards_are_folded_all_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PAUSE_SECONDS", 0.0)
    write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"x": 1.0}))
    real, listings = shards.shard_names, busy(tmp_path, monkeypatch)
    adding = shards.shard_names

    def listed(folder):
        names = adding(folder)
        monkeypatch.setattr(shards, "shard_names", real)
        compact(folder)
        monkeypatch.setattr(shards, "shard_names", listed)
        return names

    monkeypatch.setattr(shards, "shard_names", listed)
    Reader(("id",)).new(tmp_path)
    assert 2 <= len(listings) <= shards.ROUNDS


def stale(real, path, times=1):
    """A way of reading that fails as a network file system does after another host deleted the file."""
    left = [times]

    def read(self, *arguments):
        if self == path and left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(self, *arguments)

    return read


def test_a_stale_handle_is_a_shard_that_is_gone(tmp_path, monkeypatch):
    path = write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"x": 1.0}))
    monkeypatch.setattr(Path, "read_bytes", stale(Path.read_bytes, path))
    records = Records().merge(tmp_path)
    assert set(records.results) == {"a"}
    monkeypatch.setattr(Path, "read_bytes", stale(Path.read_bytes, path))
    assert records.details("a") == {"run": "r"}
    assert not records.broken


def test_a_reader_takes_only_what_is_new(tmp_path):
    write_shard(tmp_path, "r", attempt("a", "r", TIMES[0], {"x": 1.0}))
    reader = Reader(("id",))
    reader.skip(tmp_path)
    assert reader.new(tmp_path) == []
    write_shard(tmp_path, "r", attempt("b", "r", TIMES[0], {"x": 1.0}))
    ((_, table),) = reader.new(tmp_path)
    assert table.to_pylist() == [{"id": "b"}]
    assert reader.new(Path(tmp_path, "nowhere")) == []


def test_random_shards_merge_alike_in_one_go_and_one_by_one(tmp_path):
    chance = random.Random(0)
    found = [
        attempt(
            f"id{chance.randrange(50)}",
            f"r{chance.randrange(3)}",
            f"2026-01-01T00:00:{second:02d}",
            {"": chance.random()},
        )
        for second in range(60)
    ]
    step = Records()
    for rows in found:
        write_shard(tmp_path, "r", rows)
        step.merge(tmp_path)
    whole = Records().merge(tmp_path)
    assert {id: [dict(one) for one in rows] for id, rows in step.results.items()} == {
        id: [dict(one) for one in rows] for id, rows in whole.results.items()
    }
    assert step.differing == whole.differing

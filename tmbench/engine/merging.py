"""Merging: which of many rows count, found on whole columns; 100,000 rows take some hundredths of a second.

Rows are sorted by their identity, so that the rows of an attempt, and the attempts at an id, stand together in the
order of time. What is left is comparing each row with the one before. A file that ``compact`` wrote is sorted already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmbench.engine.shards import IDENTITY

if TYPE_CHECKING:
    import pyarrow as pa

PLACE = "place"
"""A column of our own: where the row stood in the shards, in the order in which they were read."""


@dataclass(frozen=True)
class Merged:
    """Rows in the order of their identity, each there once.

    Attributes:
        rows: the columns that were read, and ``PLACE``.
        read: how many rows the shards had.
        starts: the first row of each attempt, and the number of rows at the end.
        done: id → its last success, as a number of ``starts``.
        failed: id → its last failure, where there is no success.
        attempts: id → how many times it failed.
        differing: (id, measure) with two successes of different values.
    """

    rows: "pa.Table"
    read: int
    starts: list[int]
    done: dict[str, int]
    failed: dict[str, int]
    attempts: dict[str, int]
    differing: list[tuple[str, str]]

    def attempts_table(self) -> "pa.Table":
        """The first row of each attempt."""
        return self.rows.take(_places(np.array(self.starts[:-1], dtype=np.int64)))

    def align(self, shards: Iterable[tuple["pa.Table", int]]) -> list[list[object]]:
        """The values of further columns, read from all shards in their order, in the order of ``rows``.

        Raises:
            FileNotFoundError: when a shard has not as many rows as it had.
        """
        import pyarrow as pa

        tables = []
        for table, rows in shards:
            if len(table) != rows:
                raise FileNotFoundError("a shard is not the one that was read")
            tables.append(table)
        return [column.to_pylist() for column in pa.concat_tables(tables).take(self.rows[PLACE]).columns]


def merged(earlier: Merged | None, tables: Sequence["pa.Table"]) -> Merged:
    """What ``earlier`` and ``tables``, which were read after it, say together."""
    import pyarrow as pa

    read = earlier.read if earlier else 0
    new = pa.concat_tables(tables)
    new = new.append_column(PLACE, _places(np.arange(read, read + len(new))))
    rows = in_order(pa.concat_tables([earlier.rows, new]) if earlier else new).combine_chunks()
    rows = without_repeated(rows, (*IDENTITY, "value"))
    same_id = _like_before(rows, IDENTITY[:1])
    starts = np.flatnonzero(~_like_before(rows, IDENTITY[:4]))
    ids = rows["id"].take(_places(starts)).to_pylist()
    is_done = _is(rows["status"], "done")
    done_attempt = is_done[starts]
    group = np.cumsum(~same_id)[starts] - 1  # of each attempt, the number of its id
    succeeded = np.zeros(group[-1] + 1 if len(group) else 0, dtype=bool)
    succeeded[group[done_attempt]] = True
    failures = np.flatnonzero(~done_attempt)
    counts: dict[str, int] = {}
    for number in failures.tolist():
        counts[ids[number]] = counts.get(ids[number], 0) + 1
    # Later attempts come later, so that the last one stays in the dictionary.
    return Merged(
        rows=rows,
        read=read + len(new),
        starts=[*starts.tolist(), len(rows)],
        done={ids[number]: number for number in np.flatnonzero(done_attempt).tolist()},
        failed={ids[number]: number for number in failures[~succeeded[group[failures]]].tolist()},
        attempts=counts,
        differing=_differing(rows, is_done, np.cumsum(~same_id) - 1),
    )


def in_order(rows: "pa.Table") -> "pa.Table":
    """``rows`` sorted by identity, then by value; as they are where they are sorted."""
    import pyarrow.compute as pc

    names = (*IDENTITY, "value")
    keys = rows.select(names).combine_chunks()
    if _is_sorted(keys):
        return rows
    return rows.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names]))


def _is_sorted(rows: "pa.Table") -> bool:
    """Whether each row stands behind the one before, and is another."""
    import pyarrow.compute as pc

    sorted_by_now = np.zeros(max(len(rows) - 1, 0), dtype=bool)
    for name in reversed(IDENTITY):
        before, after = rows[name].slice(0, max(len(rows) - 1, 0)), rows[name].slice(1)
        sorted_by_now = _bools(pc.less(before, after)) | (_bools(pc.equal(before, after)) & sorted_by_now)
    return bool(sorted_by_now.all())


def without_repeated(rows: "pa.Table", names: Sequence[str]) -> "pa.Table":
    """Sorted ``rows`` less those that have the same in all of these columns as the row before."""
    repeated = _like_before(rows, names)
    return rows.filter(_mask(~repeated)) if repeated.any() else rows


def _like_before(rows: "pa.Table", names: Iterable[str]) -> NDArray[np.bool_]:
    """(n,) whether the row has the same values in these columns as the row before; False for the first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    same = np.ones(len(rows), dtype=bool)
    same[:1] = False
    for name in names:
        if pa.types.is_floating(rows[name].type):
            numbers = _numbers(rows[name])
            empty = np.isnan(numbers)
            same[1:] &= (numbers[1:] == numbers[:-1]) | (empty[1:] & empty[:-1])
        else:
            same[1:] &= _bools(pc.equal(rows[name].slice(1), rows[name].slice(0, max(len(rows) - 1, 0))))
    return same


def _differing(rows: "pa.Table", done: NDArray[np.bool_], group: NDArray[np.int64]) -> list[tuple[str, str]]:
    """(id, measure) of which two successes have different values; ``group`` is the number of each row's id."""
    successes = np.bincount(group[done], minlength=group[-1] + 1 if len(group) else 0)
    several = done & (successes > 1)[group]
    some = rows.select(["id", "measure", "value"]).filter(_mask(several))
    first: dict[tuple[str, str], float | None] = {}
    differing: dict[tuple[str, str], None] = {}
    columns = (some[name].to_pylist() for name in ("id", "measure", "value"))
    for id, measure, value in zip(*columns, strict=True):
        if first.setdefault((id, measure), value) != value:
            differing[id, measure] = None
    return list(differing)


def _is(column: "pa.ChunkedArray", text: str) -> NDArray[np.bool_]:
    """Where ``column`` is ``text``; found in its dictionary, because Arrow imports pandas to compare with a scalar."""
    import pyarrow as pa

    found = np.zeros(0, dtype=bool)
    for array in column.dictionary_encode().chunks:
        codes = _content(pa.chunked_array([array.indices]), np.dtype(np.int32))
        words = array.dictionary.to_pylist()
        found = np.concatenate([found, codes == (words.index(text) if text in words else -1)])
    return found


def _bools(array: "pa.ChunkedArray") -> NDArray[np.bool_]:
    """As NumPy's, without the detour by which Arrow imports pandas; no null may be in it."""
    import pyarrow as pa

    return _content(array.cast(pa.uint8()), np.dtype(np.uint8)).astype(bool)


def _numbers(array: "pa.ChunkedArray") -> NDArray[np.float64]:
    """As float64, null being NaN, which no record holds."""
    numbers = _content(array, np.dtype(np.float64))
    return np.where(_bools(array.is_null()), np.nan, numbers) if array.null_count else numbers


def _content(array: "pa.ChunkedArray", kind: np.dtype[Any]) -> NDArray[Any]:
    parts = [np.frombuffer(a.buffers()[1], dtype=kind)[a.offset : a.offset + len(a)] for a in array.chunks if len(a)]
    return np.concatenate([np.zeros(0, dtype=kind), *parts])


def _places(numbers: NDArray[np.int64]) -> "pa.Array":
    """As an Arrow array; ``pa.array`` would import pandas for it."""
    import pyarrow as pa

    content = np.ascontiguousarray(numbers, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(content), [None, pa.py_buffer(content)])


def _mask(chosen: NDArray[np.bool_]) -> "pa.Array":
    import pyarrow as pa

    bits = np.packbits(chosen, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(chosen), [None, pa.py_buffer(bits)])

"""Records: what units came to, merged from the shards of a store.

A success outlives a failure, the last success wins, and two successes that differ are reported, because they mean
that the work is not deterministic. An attempt is told by its id, its run and its time: whoever reads a shard and the
file that it was folded into counts it once. The order in which shards are read never matters.

The columns that decide are read at once and merged as columns; the others (keys, messages, details) are read when one
of them is asked for.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.engine.merging import Merged, merged
from tmbench.engine.shards import (
    COLUMNS,
    IDENTITY,
    Reader,
    now,
    read_shard,
    row,
)
from tmbench.engine.shards import set_aside as rename_broken
from tmbench.engine.writer import RecordWriter, write_shard
from tmbench.files import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RecordWriter", "Records", "now", "row", "set_aside", "write_shard"]

FIRST_READ = (*IDENTITY, "unit", "stage", "value", "failure", "seconds", "gpus", "cpus")
"""The columns that are read at once."""

READ_TOGETHER = (("name", "message", "log"), ("name", "key"), ("flags", "details"), ("job", "memory_mb"))
"""Columns that are wanted together: each shard is opened once for all of them."""


class Row(Mapping[str, Any]):
    """A record; what it holds beside the columns that are read at once is read when it is asked for."""

    __slots__ = ("_number", "_records")

    def __init__(self, records: "Records", number: int) -> None:
        """Row ``number`` of the merged rows."""
        self._records = records
        self._number = number

    def __getitem__(self, name: str) -> Any:
        return self._records.column(name)[self._number]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


class Results(Mapping[str, list[Row]]):
    """id → the rows of its last success, one a measure."""

    def __init__(self, records: "Records") -> None:
        """Those of ``records``."""
        self._records = records

    def __contains__(self, id: object) -> bool:
        return id in self._records.done

    def __getitem__(self, id: str) -> list[Row]:
        number = self._records.done[id]
        first, end = self._records.rows_of(number)
        return [Row(self._records, at) for at in range(first, end)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records.done)

    def __len__(self) -> int:
        return len(self._records.done)


class Failures(Mapping[str, Row]):
    """id → its last failure, where there is no success."""

    def __init__(self, records: "Records") -> None:
        """Those of ``records``."""
        self._records = records

    def __contains__(self, id: object) -> bool:
        return id in self._records.failed

    def __getitem__(self, id: str) -> Row:
        return Row(self._records, self._records.rows_of(self._records.failed[id])[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self._records.failed)

    def __len__(self) -> int:
        return len(self._records.failed)


class Records:
    """The merged content of a store's shards.

    Attributes:
        done: id → the number of the attempt that was its last success.
        failed: id → the number of its last failed attempt, where there is no success.
        attempts: id → how many times it failed.
        differing: (id, measure) with two successes of different values.
    """

    def __init__(self) -> None:
        """Nothing, until shards are merged."""
        self._reader = Reader(FIRST_READ)
        self._parts: list[tuple[Path, int]] = []
        self._take(None)

    def _take(self, merge: Merged | None) -> None:
        self._merged = merge
        self.done: dict[str, int] = merge.done if merge else {}
        self.failed: dict[str, int] = merge.failed if merge else {}
        self.attempts: dict[str, int] = merge.attempts if merge else {}
        self.differing: list[tuple[str, str]] = merge.differing if merge else []
        self._columns: dict[str, list[Any]] = {}

    def merge(self, folder: Path) -> "Records":
        """Read the shards of ``folder`` that were not read yet.

        Raises:
            StoreError: for an error of the file system.
        """
        new = self._reader.new(folder)
        if new:
            self._parts += [(path, len(table)) for path, table in new]
            self._take(merged(self._merged, [table for _, table in new]))
        return self

    @property
    def shards(self) -> set[str]:
        """Names of the shards merged so far."""
        return self._reader.names

    @property
    def broken(self) -> list[Path]:
        """Shards that cannot be read."""
        return self._reader.broken

    @cached_property
    def results(self) -> Results:
        """Id → the rows of its last success, one a measure."""
        return Results(self)

    @cached_property
    def failures(self) -> Failures:
        """Id → its last failure, where there is no success."""
        return Failures(self)

    def value(self, id: str, measure: str = "") -> float | None:
        """The value of ``id``, or None."""
        number = self.done.get(id)
        if number is None:
            return None
        measures, values = self.column("measure"), self.column("value")
        for at in range(*self.rows_of(number)):
            if measures[at] == measure:
                return values[at]
        return None

    def failure(self, id: str) -> str | None:
        """The class of the last failure of ``id``; None where there is none, or a success."""
        attempt = self.failed.get(id)
        if attempt is None:
            return None
        failure: str = self.column("failure")[self.rows_of(attempt)[0]]
        return failure

    def failed_of(self, id: str, failure: str) -> int:
        """How many attempts at ``id`` failed of this class; 0 once it has succeeded."""
        attempt = self.failed.get(id)
        if attempt is None:
            return 0
        failures = self.column("failure")
        # The attempts at an id stand together, and this is the last of them.
        return sum(failures[self.rows_of(attempt - back)[0]] == failure for back in range(self.attempts[id]))

    def details(self, id: str) -> dict[str, Any]:
        """What stands beside the value of ``id``, such as the parts of a score; empty where there is nothing."""
        rows = self.results.get(id)
        found: dict[str, Any] = json.loads(rows[0]["details"]) if rows else {}
        return found

    def rows_of(self, attempt: int) -> tuple[int, int]:
        """The first row of an attempt, and the one after its last."""
        assert self._merged is not None
        return self._merged.starts[attempt], self._merged.starts[attempt + 1]

    def column(self, name: str) -> list[Any]:
        """One column of all merged rows, as Python values.

        Raises:
            StoreError: for an error of the file system, and when rows that were read are gone.
        """
        if name not in self._columns and self._merged is None:
            return []
        if name not in self._columns and name in FIRST_READ:
            assert self._merged is not None
            self._columns[name] = self._merged.rows[name].to_pylist()
        if name not in self._columns:
            together = next((names for names in READ_TOGETHER if name in names), (name,))
            self._columns.update(self._read([one for one in together if one not in self._columns]))
        return self._columns[name]

    def attempted(self) -> "pa.Table":
        """The columns that are read at once, one row an attempt: its first."""
        assert self._merged is not None
        return self._merged.attempts_table()

    def _read(self, names: list[str]) -> dict[str, list[Any]]:
        assert self._merged is not None
        try:
            columns = self._merged.align([(read_shard(path, names), rows) for path, rows in self._parts])
        except FileNotFoundError:  # folded meanwhile: the rows are in another file, under the same identity
            columns = self._found_again(names)
        return dict(zip(names, columns, strict=True))

    def _found_again(self, names: list[str]) -> list[list[Any]]:
        reader = Reader((*IDENTITY, *names))
        known: dict[tuple[str, ...], tuple[Any, ...]] = {}
        for folder in dict.fromkeys(path.parent for path, _ in self._parts):
            for _, table in reader.new(folder):
                rows = list(zip(*(table[column].to_pylist() for column in reader.columns), strict=True))
                known.update((row[: len(IDENTITY)], row[len(IDENTITY) :]) for row in rows)
        wanted = zip(*(self.column(column) for column in IDENTITY), strict=True)
        try:
            found = [known[identity] for identity in wanted]
        except KeyError as error:
            raise StoreError(
                f"records that were read a moment ago are gone from {self._parts[0][0].parent}: somebody deletes files "
                "there. Stop that, then try again."
            ) from error
        return [list(column) for column in zip(*found, strict=True)]


def set_aside(records: Records) -> list[Path]:
    """Rename unreadable shards to ``*.broken``, so that they are reported once and never read again."""
    return rename_broken(records.broken)

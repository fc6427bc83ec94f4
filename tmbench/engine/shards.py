"""Shards: the Parquet files that records are written to, and how they are read while others write, fold and rename.

A shard has a name of its own, is written under a temporary name and renamed. So no writer waits for another, no
reader sees half a shard, and nothing is ever changed. ``compact`` (compaction.py) folds shards into one, which says
the same.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tmbench.files import StoreError, whole_file

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "string"),  # of the unit, or of the score
    ("unit", "string"),  # the unit that made it
    ("stage", "string"),  # pretrain, features, truth or score
    ("name", "string"),  # for people
    ("status", "string"),  # done or failed
    ("measure", "string"),  # of a truth: accuracy, …; "" elsewhere
    ("value", "float64"),  # null where a row has none; never NaN
    ("flags", "string"),  # JSON list
    ("details", "string"),  # JSON object
    ("failure", "string"),  # class of the failure, "" when done
    ("message", "string"),
    ("log", "string"),
    ("seconds", "float64"),
    ("memory_mb", "float64"),  # the process's peak until then
    ("gpu_memory_mb", "float64"),  # the same on the graphics processor
    ("host", "string"),
    ("gpu", "string"),  # model of the graphics processor in use, "" on a CPU
    ("gpus", "float64"),  # how many were held for the unit
    ("job", "string"),  # SLURM's id of the job, of an array element ARRAY_INDEX
    ("raw_job", "string"),  # SLURM's id of the element itself
    ("versions", "string"),  # JSON object: Python and the libraries that results depend on
    ("commit", "string"),  # of tmbench, with + when the tree was dirty
    ("version", "string"),  # of tmbench
    ("run", "string"),
    ("finished", "string"),  # UTC, ISO 8601 with microseconds
    ("key", "string"),  # canonical JSON of what the id hashes
)
IDENTITY = ("id", "finished", "run", "status", "measure")
"""What tells a row from all others, in the order by which rows are sorted. An attempt at an id is told by the first
three: the rows of one attempt have one time."""
EMPTY: dict[str, Any] = {name: None if kind == "float64" else "" for name, kind in COLUMNS}
SINCE_2 = frozenset({"gpu_memory_mb", "gpu", "gpus", "job", "raw_job", "versions"})
FIRST_COLUMNS = frozenset(EMPTY) - SINCE_2
"""What a shard of any schema version has; what it lacks of the rest is read as empty."""


def schema() -> "pa.Schema":
    """The columns of a shard, and the version of their schema."""
    import pyarrow as pa

    fields = [pa.field(name, pa.float64() if kind == "float64" else pa.string()) for name, kind in COLUMNS]
    return pa.schema(fields, metadata={"tmbench_schema": str(SCHEMA_VERSION)})


class BrokenShard(Exception):
    """A file that is cut short, or that tmbench did not write."""


def row(**values: Any) -> dict[str, Any]:
    """A record with every column; those not given are empty. ``flags`` and ``details`` become JSON."""
    surplus = set(values) - set(EMPTY)
    if surplus:
        raise TypeError(f"a record has no column {sorted(surplus)}")
    for name in ("flags", "details"):
        values[name] = json.dumps(values.get(name) or ([] if name == "flags" else {}), sort_keys=True)
    values.setdefault("finished", datetime.now(UTC).isoformat(timespec="microseconds"))
    return {**EMPTY, **values}


class RecordWriter:
    """Collects records of one chunk and writes them as shards, at least every ``every`` seconds.

    A thread of its own flushes while a long unit computes. When the store cannot be written, the next ``add`` or
    ``flush`` raises :class:`StoreError`; the records stay in memory until a flush succeeds. At the end the shards of
    the chunk are folded into one.
    """

    def __init__(self, folder: Path, name: str, every: float = 5.0) -> None:
        """Write into ``folder``; ``name`` (run and chunk) enters the shards' names."""
        self.folder = folder
        self.name = name
        self.every = every
        self._rows: list[dict[str, Any]] = []
        self._written: list[dict[str, Any]] = []
        self._shards: list[Path] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._problem: StoreError | None = None
        self._thread = threading.Thread(target=self._flush_regularly, daemon=True)

    def __enter__(self) -> "RecordWriter":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.flush()
        self._fold()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take records over.

        Raises:
            StoreError: when an earlier flush failed.
        """
        with self._lock:
            self._rows.extend(rows)
        if self._problem:
            raise self._problem

    def flush(self) -> None:
        """Write what is pending as one shard.

        Raises:
            StoreError: when it cannot be written.
        """
        with self._lock:
            if self._rows:
                self._shards.append(write_shard(self.folder, self.name, self._rows))
                self._written += self._rows
                self._rows = []

    def _fold(self) -> None:
        """One shard in place of many; readers count a row once that they find twice."""
        if len(self._shards) > 1:
            with contextlib.suppress(StoreError, OSError):  # then many hold what one would
                write_shard(self.folder, self.name, self._written)
                for shard in self._shards:
                    shard.unlink(missing_ok=True)

    def _flush_regularly(self) -> None:
        while not self._stop.wait(self.every):
            try:
                self.flush()
                self._problem = None
            except StoreError as error:
                self._problem = error


def write_shard(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Write ``rows`` as one shard: under a temporary name, synced, renamed.

    Raises:
        StoreError: when the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{name}-{uuid.uuid4().hex[:8]}.parquet"
    table = pa.Table.from_pylist(list(rows), schema=schema())
    with whole_file(path, f"the {len(rows)} results not yet written are computed anew, all others are kept.") as stream:
        pq.write_table(table, stream, compression="zstd")
    return path


def read_shard(path: Path, columns: Sequence[str]) -> "pa.Table":
    """Some columns of a shard, in this order; what its schema version lacks is empty.

    Raises:
        FileNotFoundError: when it is not there any more: folded, or set aside.
        BrokenShard: when it is cut short, or not tmbench's.
        StoreError: for an error of the file system, which is no reason to give the shard up.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pa.py_buffer(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}. Mend that, then try again.") from error
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        stored = frozenset(file.schema_arrow.names)
        if not stored >= FIRST_COLUMNS:
            raise BrokenShard(path)
        # Arrow's threads can outlive the reading and abort the process at its exit (apache/arrow#34314).
        table = file.read(columns=[name for name in columns if name in stored], use_threads=False)
        wanted = pa.schema([schema().field(name) for name in columns])
        arrays = [_column(table, name) for name in columns]
        return pa.table(arrays, names=list(columns)).cast(wanted)
    except (OSError, pa.ArrowException) as error:
        raise BrokenShard(path) from error


def is_newer(path: Path) -> bool:
    """Whether a later version of tmbench wrote the shard, with columns that this one does not know.

    Raises:
        FileNotFoundError: when it is not there any more.
        BrokenShard: when it is cut short.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_schema(path)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise BrokenShard(path) from error
    return not frozenset(EMPTY).issuperset(stored.names)


def _column(table: "pa.Table", name: str) -> Any:
    """A column of a shard; empty where the shard's schema version lacks it, and never null where it holds text."""
    import pyarrow as pa

    rows, is_text = len(table), EMPTY[name] == ""
    if name not in table.column_names and is_text:  # built by hand: Arrow's own way imports pandas
        return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(bytes(4 * (rows + 1))), pa.py_buffer(b"")])
    if name not in table.column_names:
        return pa.nulls(rows, pa.float64())
    return table[name].fill_null("") if is_text and table[name].null_count else table[name]


class Reader:
    """Reads the shards of a store, each once, while runs add some and ``compact`` folds others into one.

    A folded shard's rows come a second time with the file that it was folded into: a reader must drop what it has.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        """Read these columns."""
        self.columns = tuple(columns)
        self.names: set[str] = set()
        """Of the shards read so far."""
        self.broken: list[Path] = []
        """Those that cannot be read."""

    def new(self, folder: Path) -> list[tuple[Path, "pa.Table"]]:
        """The shards of ``folder`` that were not read yet.

        Raises:
            StoreError: for an error of the file system.
        """
        found: list[tuple[Path, pa.Table]] = []
        listed: list[str] | None = None
        # A shard can be folded before it is read, and a listing can pass by both it and the new file. So until two
        # listings agree; by then every row that was there at the start was seen under one name or the other.
        while listed != (now_there := shard_names(folder)):
            for name in now_there:
                if name not in self.names:
                    self._read(folder / name, found)
            listed = now_there
        return found

    def skip(self, folder: Path) -> None:
        """Take what is there now as read."""
        self.names.update(shard_names(folder))

    def _read(self, path: Path, found: list[tuple[Path, "pa.Table"]]) -> None:
        try:
            found.append((path, read_shard(path, self.columns)))
        except FileNotFoundError:
            return
        except BrokenShard:
            self.broken.append(path)
        self.names.add(path.name)


def shard_names(folder: Path) -> list[str]:
    """The names of the shards in ``folder``, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".parquet") and entry.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror or error}. Mend that, then try again.") from error


def set_aside(paths: Iterable[Path]) -> list[Path]:
    """Rename unreadable shards to ``*.broken``, so that they are reported once and never read again."""
    moved = []
    for path in paths:
        try:
            moved.append(path.rename(path.with_suffix(".broken")))
        except FileNotFoundError:  # another run was faster
            continue
        except OSError as error:
            raise StoreError(f"cannot set {path} aside: {error.strerror or error}. Mend the folder first.") from error
    return moved


def now() -> float:
    """Seconds of a clock that never goes back, for durations."""
    return time.perf_counter()

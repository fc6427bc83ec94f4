"""Shards: the Parquet files that hold records, and how they are read while others write, fold and rename.

A shard has a name of its own, is written under a temporary name and renamed (writer.py). So no writer waits for
another, no reader sees half a shard, and nothing is ever changed. ``compact`` (compaction.py) folds shards into one,
which says the same.
"""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.files import StoreError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    ("cpus", "float64"),  # processor cores, likewise
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
SINCE_2 = frozenset({"gpu_memory_mb", "gpu", "gpus", "cpus", "job", "raw_job", "versions"})
FIRST_COLUMNS = frozenset(EMPTY) - SINCE_2
"""What a shard of any schema version has; what it lacks of the rest is read as empty."""

ROUNDS = 20
"""Listings of a folder at most, before a reader is content with what it has found."""
PAUSE_SECONDS = 0.05
"""Between two of them when a file was gone; network file systems show a name for a while after the file."""


def schema() -> "pa.Schema":
    """The columns of a shard, and the version of their schema."""
    import pyarrow as pa

    fields = [pa.field(name, pa.float64() if kind == "float64" else pa.string()) for name, kind in COLUMNS]
    return pa.schema(fields, metadata={"tmbench_schema": str(SCHEMA_VERSION)})


class BrokenShard(Exception):
    """A file that is cut short, or that tmbench did not write."""


class NewerShard(Exception):
    """A shard of a later version of tmbench, with columns that this one does not know."""


def row(**values: Any) -> dict[str, Any]:
    """A record with every column; those not given are empty. ``flags`` and ``details`` become JSON.

    What no UTF-8 can hold, such as the name of a file from another system, is spelled with backslashes.
    """
    surplus = set(values) - set(EMPTY)
    if surplus:
        raise TypeError(f"a record has no column {sorted(surplus)}")
    values = {name: _spelled(value) for name, value in values.items()}
    for name in ("flags", "details"):
        values[name] = json.dumps(values.get(name) or ([] if name == "flags" else {}), sort_keys=True)
    values.setdefault("finished", datetime.now(UTC).isoformat(timespec="microseconds"))
    return {**EMPTY, **values}


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelled(name): _spelled(one) for name, one in value.items()}
    return [_spelled(one) for one in value] if isinstance(value, list | tuple) else value


def read_shard(path: Path, columns: Sequence[str]) -> "pa.Table":
    """Some columns of a shard, in this order; what its schema version lacks is empty.

    Raises:
        FileNotFoundError: when it is not there any more: folded, or set aside.
        BrokenShard: when it is cut short, or not tmbench's.
        StoreError: for an error of the file system, which is no reason to give the shard up.
    """
    return _columns(_opened(path), columns, path)


def read_whole(path: Path) -> "pa.Table":
    """All columns of a shard.

    Raises:
        NewerShard: when there are some that this version does not know.
        FileNotFoundError, BrokenShard, StoreError: as :func:`read_shard`.
    """
    file = _opened(path)
    if not frozenset(EMPTY).issuperset(file.schema_arrow.names):
        raise NewerShard(path)
    return _columns(file, tuple(EMPTY), path)


def is_gone(error: OSError) -> bool:
    """Whether a file is not there (any more); ESTALE says so of one that another host deleted on a network share."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def _opened(path: Path) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pa.py_buffer(path.read_bytes())
    except OSError as error:
        if is_gone(error):
            raise FileNotFoundError(f"{path} is not there any more") from error
        raise StoreError(f"cannot read {path}: {error.strerror or error}. Mend that, then try again.") from error
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except (OSError, pa.ArrowException) as error:
        raise BrokenShard(path) from error
    if not FIRST_COLUMNS.issubset(file.schema_arrow.names):
        raise BrokenShard(path)
    return file


def _columns(file: "pq.ParquetFile", columns: Sequence[str], path: Path) -> "pa.Table":
    import pyarrow as pa

    stored = frozenset(file.schema_arrow.names)
    try:
        # Arrow's threads can outlive the reading and abort the process at its exit (apache/arrow#34314).
        table = file.read(columns=[name for name in columns if name in stored], use_threads=False)
        wanted = pa.schema([schema().field(name) for name in columns])
        arrays = [_column(table, name) for name in columns]
        return pa.table(arrays, names=list(columns)).cast(wanted)
    except (OSError, pa.ArrowException) as error:
        raise BrokenShard(path) from error


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
        for path in unread(folder, self.names):
            try:
                found.append((path, read_shard(path, self.columns)))
            except FileNotFoundError:
                continue
            except BrokenShard:
                self.broken.append(path)
            self.names.add(path.name)
        return found

    def skip(self, folder: Path) -> None:
        """Take what is there now as read."""
        self.names.update(shard_names(folder))


def unread(folder: Path, read: set[str]) -> Iterator[Path]:
    """The shards of ``folder`` whose names are not in ``read``; whoever takes one reads it and adds its name.

    A shard can be folded before it is read, and a listing can pass by both it and the new file. So the folder is
    listed again until nothing has vanished: then every row that was there at the start was seen under one name or
    the other. New shards do not count, or busy writers would keep a reader for ever; neither do those that vanish
    for ``ROUNDS`` listings on end, and what is missed then is found at the next reading.
    """
    listed: list[str] | None = None
    for _ in range(ROUNDS):
        there = shard_names(folder)
        yield from (folder / name for name in there if name not in read)
        gone = not read.issuperset(there)
        if listed is not None and not gone and set(listed).issubset(there):
            return
        listed = there
        if gone:
            time.sleep(PAUSE_SECONDS)


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

"""Records: what units came to, as Parquet shards that only grow in number.

A shard has a name of its own, is written under a temporary name and renamed. So no writer waits for another, no
reader sees half a shard, and nothing is ever changed. Readers merge: a success outlives a failure, the last success
wins, and two successes that differ are reported, because they mean that the work is not deterministic.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
EMPTY: dict[str, Any] = {name: None if kind == "float64" else "" for name, kind in COLUMNS}
SINCE_2 = frozenset({"gpu_memory_mb", "gpu", "gpus", "job", "raw_job", "versions"})
FIRST_COLUMNS = frozenset(EMPTY) - SINCE_2
"""What a shard of any schema version has; what it lacks of the rest is read as empty."""


def _schema() -> "pa.Schema":
    import pyarrow as pa

    fields = [pa.field(name, pa.float64() if kind == "float64" else pa.string()) for name, kind in COLUMNS]
    return pa.schema(fields, metadata={"tmbench_schema": str(SCHEMA_VERSION)})


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
    ``flush`` raises :class:`StoreError`; the records stay in memory until a flush succeeds.
    """

    def __init__(self, folder: Path, name: str, every: float = 5.0) -> None:
        """Write into ``folder``; ``name`` (run and chunk) enters the shards' names."""
        self.folder = folder
        self.name = name
        self.every = every
        self._rows: list[dict[str, Any]] = []
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
                write_shard(self.folder, self.name, self._rows)
                self._rows = []

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
    table = pa.Table.from_pylist(list(rows), schema=_schema())
    with whole_file(path, f"the {len(rows)} results not yet written are computed anew, all others are kept.") as stream:
        pq.write_table(table, stream, compression="zstd")
    return path


@dataclass
class Records:
    """The merged content of a store's shards."""

    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """id → its rows of the winning success, one a measure."""
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """id → its last failure, where there is no success."""
    attempts: dict[str, int] = field(default_factory=dict)
    """id → how many times it failed."""
    broken: list[Path] = field(default_factory=list)
    """Shards that cannot be read."""
    differing: list[tuple[str, str]] = field(default_factory=list)
    """(id, measure) with two successes of different values."""
    shards: set[str] = field(default_factory=set)
    """Names of the shards merged so far."""

    def value(self, id: str, measure: str = "") -> float | None:
        """The value of ``id``, or None."""
        for record in self.results.get(id, ()):
            if record["measure"] == measure:
                return record["value"]
        return None

    def details(self, id: str) -> dict[str, Any]:
        """What stands beside the value of ``id``, such as the parts of a score; empty where there is nothing."""
        rows = self.results.get(id)
        found: dict[str, Any] = json.loads(rows[0]["details"]) if rows else {}
        return found

    def merge(self, folder: Path) -> "Records":
        """Read the shards of ``folder`` that were not read yet.

        Order of reading does not matter: ``finished`` decides which success is the last.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not folder.is_dir():
            return self
        for path in sorted(folder.glob("*.parquet")):
            if path.name in self.shards:
                continue
            self.shards.add(path.name)
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # set aside by another run
                continue
            except OSError as error:  # a passing error of the file system is no reason to give a shard up
                raise StoreError(
                    f"cannot read {path}: {error.strerror or error}. Mend that, then try again."
                ) from error
            try:
                # Arrow's threads can outlive the reading and abort the process at its exit (apache/arrow#34314).
                table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
            except (OSError, pa.ArrowException):
                table = None
            if table is None or FIRST_COLUMNS.difference(table.column_names):
                self.broken.append(path)  # cut short, or nothing that tmbench wrote
                continue
            self._add([{**EMPTY, **record} for record in table.to_pylist()])
        return self

    def _add(self, rows: list[dict[str, Any]]) -> None:
        attempts: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for record in rows:
            attempts.setdefault((record["id"], record["finished"], record["status"]), []).append(record)
        for (id, finished, status), attempt in attempts.items():
            if status != "done":
                self.attempts[id] = self.attempts.get(id, 0) + 1
                if id not in self.results and finished >= self.failures.get(id, attempt[0])["finished"]:
                    self.failures[id] = attempt[0]
                continue
            self.failures.pop(id, None)
            earlier = self.results.get(id)
            if earlier is None:
                self.results[id] = attempt
                continue
            self._compare(id, earlier, attempt)
            if finished > earlier[0]["finished"]:
                self.results[id] = attempt

    def _compare(self, id: str, one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
        values = {record["measure"]: record["value"] for record in one}
        for record in other:
            measure = record["measure"]
            if measure in values and values[measure] != record["value"] and (id, measure) not in self.differing:
                self.differing.append((id, measure))


def set_aside(records: Records) -> list[Path]:
    """Rename unreadable shards to ``*.broken``, so that they are reported once and never read again."""
    moved = []
    for path in records.broken:
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

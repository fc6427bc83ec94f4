"""The writer of records: a worker's rows on their way into shards (shards.py)."""

import contextlib
import threading
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.engine.shards import COLUMNS, schema
from tmbench.files import StoreError, whole_file

if TYPE_CHECKING:
    import pyarrow as pa


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
                self._shards.append(self._shard(self._rows))
                self._written += self._rows
                self._rows = []

    def _shard(self, rows: Sequence[dict[str, Any]]) -> Path:
        try:
            return write_shard(self.folder, self.name, rows)
        except StoreError:
            raise
        except Exception as error:  # in the flushing thread it would end that without a word
            raise StoreError(
                f"cannot write {len(rows)} results of {self.name} into {self.folder}: {type(error).__name__}: {error}. "
                "They are computed anew by the next run; report this."
            ) from error

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
    arrays = [(_texts if kind == "string" else _numbers)([row.get(column) for row in rows]) for column, kind in COLUMNS]
    table = pa.Table.from_arrays(arrays, schema=schema())
    with whole_file(path, f"the {len(rows)} results not yet written are computed anew, all others are kept.") as stream:
        pq.write_table(table, stream, compression="zstd")
    return path


# Both are built by hand: Arrow imports pandas, most of a second, to look whether a list is of its kind.


def _texts(values: Sequence[str | None]) -> "pa.Array":
    """As an Arrow array; what no UTF-8 can hold is spelled with backslashes, None is empty."""
    import pyarrow as pa

    builder = pa.lib.StringBuilder()
    for value in values:
        builder.append((value or "").encode(errors="backslashreplace"))
    return builder.finish()


def _numbers(values: Sequence[float | None]) -> "pa.Array":
    """As an Arrow array; None is null."""
    import pyarrow as pa

    there = np.packbits([value is not None for value in values], bitorder="little")
    content = np.array([value or 0.0 for value in values], dtype=np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [pa.py_buffer(there), pa.py_buffer(content)])

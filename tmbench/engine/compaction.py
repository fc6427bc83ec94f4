"""Compaction: many shards into one sorted file that says the same.

The new file is whole and on disk before the first shard is deleted, so that a compaction cut at any point leaves rows
twice at worst, and readers count a row once. Only what was read into the new file is deleted: shards that appear
meanwhile stay, and of two compactions at once each may delete what the other has in its own file as well.
"""

import contextlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tmbench.engine.shards import COLUMNS, BrokenShard, NewerShard, is_gone, read_whole, shard_names
from tmbench.errors import TmbenchError
from tmbench.files import StoreError, whole_file

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = tuple(name for name, _ in COLUMNS)
ROW_GROUP = 1 << 15
"""Rows of a group of the new file."""


class CompactionFailed(TmbenchError):
    """What was written is not what was read; the shards were left."""


@dataclass
class Compaction:
    """What came of a compaction.

    Attributes:
        shards: how many were folded; none where there is nothing to fold.
        rows: how many rows the new file has.
        repeated: rows that stood in several shards in the same words, and stand in it once.
        path: the new file.
        megabytes: its size.
        unreadable: shards that were left because they cannot be read.
        newer: shards that were left because a later version of tmbench wrote them.
    """

    shards: int = 0
    rows: int = 0
    repeated: int = 0
    path: Path | None = None
    megabytes: float = 0.0
    unreadable: list[Path] = field(default_factory=list)
    newer: list[Path] = field(default_factory=list)


def compact(folder: Path) -> Compaction:
    """Fold the shards of ``folder`` into one file.

    Raises:
        StoreError: when the folder cannot be read or written.
        CompactionFailed: when the new file does not hold what was read; nothing is deleted then.
    """
    done = Compaction()
    read: list[Path] = []
    tables: list[pa.Table] = []
    for name in shard_names(folder):
        path = folder / name
        try:
            tables.append(read_whole(path))
            read.append(path)
        except FileNotFoundError:  # another compaction was faster
            continue
        except NewerShard:
            done.newer.append(path)
        except BrokenShard:
            done.unreadable.append(path)
    if len(read) < 2:
        return done
    rows = _folded(tables)
    repeated = sum(map(len, tables)) - len(rows)
    tables.clear()  # at a million rows they are gigabytes
    # The time, for people; the name is unique, so that two compactions never write one file.
    path = folder / f"compacted-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.parquet"
    try:
        megabytes = _write(rows, path)
    except FileNotFoundError:  # another compaction has folded the new file already, and the shards with it
        return done
    for shard in read:
        _delete(shard)
    done.shards, done.rows, done.repeated, done.path, done.megabytes = len(read), len(rows), repeated, path, megabytes
    return done


def _folded(tables: "Sequence[pa.Table]") -> "pa.Table":
    """All rows in the order of their identity; those that are equal in every column once."""
    import pyarrow as pa

    from tmbench.engine.merging import in_order, without_repeated

    return without_repeated(in_order(pa.concat_tables(tables)), NAMES)


def _write(rows: "pa.Table", path: Path) -> float:
    """Write the new file and read it again; its megabytes.

    Raises:
        FileNotFoundError: when it is gone again.
        CompactionFailed: when it does not hold ``rows``.
        StoreError: for an error of the file system.
    """
    import pyarrow.parquet as pq

    with whole_file(path, "no shard was deleted.") as stream:
        pq.write_table(rows, stream, compression="zstd", row_group_size=ROW_GROUP)
    _sync_folder(path.parent)
    try:
        megabytes = path.stat().st_size / 1e6
        whole = _holds(path, rows)
    except OSError as error:
        if is_gone(error):
            raise FileNotFoundError(f"{path} is not there any more") from error
        raise StoreError(
            f"cannot read {path}: {error.strerror or error}. No shard was deleted; mend that, then compact again."
        ) from error
    if not whole:
        raise CompactionFailed(f"{path} does not hold what was read; no shard was deleted. Report this.")
    return megabytes


def _holds(path: Path, rows: "pa.Table") -> bool:
    """Whether the file holds just these rows; read group by group."""
    import pyarrow.parquet as pq

    file, start = pq.ParquetFile(path), 0
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, use_threads=False)
        if not group.equals(rows.slice(start, len(group))):
            return False
        start += len(group)
    return start == len(rows)


def _sync_folder(folder: Path) -> None:
    """See to it that the new file's name is on disk before a shard's name is taken away."""
    with contextlib.suppress(OSError):  # some network file systems refuse it
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        if is_gone(error):
            return
        raise StoreError(
            f"cannot delete {path}, whose rows are in the new file as well: {error.strerror or error}. Nothing is lost "
            "or counted twice; mend the folder, then compact again."
        ) from error

"""Holding stored keys to the plan's: an id that stands for two keys must stop whoever is about to use a result.

Keys are most of a store's bytes, and counting needs none. So they are read by those who use results or add some, a
few thousand at a time.
"""

from collections.abc import Iterator
from pathlib import Path

from tmbench.engine.batches import Batch, Units
from tmbench.engine.shards import FIRST_COLUMNS, is_gone, unread
from tmbench.errors import TmbenchError
from tmbench.files import StoreError
from tmbench.identity import OpenKey, canonical

AT_ONCE = 4096


class KeyCollision(TmbenchError):
    """A stored id stands for another key than the plan's: never go on with either."""


def check_keys(units: Units, folder: Path) -> None:
    """Hold the keys of all successes in ``folder`` to those of ``units``.

    Raises:
        KeyCollision: when an id stands for another key there.
        StoreError: for an error of the file system.
    """
    planned = {id: (batch, number) for batch in units.batches for number, id in enumerate(batch.ids)}
    owing = {score: place for place in planned.values() for score in place[0].score_ids(place[1])}
    spelling = _Spelling()
    for id, key, name in _successes(folder):
        if (place := planned.get(id)) is not None:
            expected = spelling.unit(*place)
        elif (place := owing.get(id)) is not None:
            expected = spelling.score(*place, id)
        else:
            continue
        if key != expected:
            raise KeyCollision(
                f"the store holds another key under the id {id} ({name}) than the plan ({place[0].name}). Use another "
                "store (paths.store=DIR) and report this."
            )


class _Spelling:
    """The canonical JSON of the plan's keys; what the units of a batch share is spelled once."""

    def __init__(self) -> None:
        self._open: dict[int, OpenKey] = {}

    def unit(self, batch: Batch, number: int) -> str:
        if batch.seeds is None:
            return canonical(batch.key)
        key = self._open.get(id(batch))
        if key is None:
            key = self._open[id(batch)] = OpenKey(batch.key, "seed")
        return key.spelled(str(batch.seeds[number]))

    def score(self, batch: Batch, number: int, score: str) -> str:
        return batch.spelled_scores(number)[batch.score_ids(number).index(score)]


def _successes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(id, key, name) of every success, some perhaps twice."""
    seen: set[str] = set()
    for path in unread(folder, seen):
        try:
            yield from _of_shard(path)
        except FileNotFoundError:
            continue
        seen.add(path.name)


def _of_shard(path: Path) -> Iterator[tuple[str, str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["id", "key", "name", "status"]
    try:
        file = pq.ParquetFile(path)
        if not FIRST_COLUMNS.issubset(file.schema_arrow.names):
            return
        # Arrow's threads can outlive the reading and abort the process at its exit (apache/arrow#34314).
        for group in file.iter_batches(AT_ONCE, columns=columns, use_threads=False):
            rows = zip(*(group.column(name).to_pylist() for name in columns), strict=True)
            yield from ((id, key, name) for id, key, name, status in rows if status == "done")
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and is_gone(error):
            raise FileNotFoundError(f"{path} is not there any more") from error
        if isinstance(error, OSError) and error.errno:
            raise StoreError(f"cannot read {path}: {error.strerror or error}. Mend that, then try again.") from error
        return  # cut short, say: whoever reads its results names it as broken

"""Chunks: pending units put in an order that loads each source once, cut into jobs, frozen in one file.

The file holds the resolved options of every unit. A worker gets its path and a range of rows, so that editing
``conf/`` later never changes queued work and a job's own pickle stays below a kilobyte.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tmbench.engine.units import Score, Unit
from tmbench.files import whole_file
from tmbench.sources.resources import Resources


@dataclass(frozen=True)
class Chunk:
    """Rows [first, last) of the frozen file."""

    path: str
    number: int
    first: int
    last: int

    def units(self) -> list[Unit]:
        """Read the chunk's units."""
        import pyarrow.parquet as pq

        units = pq.ParquetFile(self.path).read(columns=["unit"], use_threads=False)["unit"]  # see records.py on threads
        return [_from_json(text) for text in units.slice(self.first, self.last - self.first).to_pylist()]


def freeze(units: Sequence[Unit], path: Path, parts: int, chunk_minutes: float) -> list[Chunk]:
    """Cut ``units`` into chunks and write them to ``path``.

    Args:
        units: what is to be done in this wave.
        path: the Parquet file to write.
        parts: never fewer chunks than this (the free workers), as long as there are units.
        chunk_minutes: the estimated length of a chunk where there is more work than that.

    Raises:
        StoreError: when the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = sum(unit.minutes for unit in units)
    count = min(len(units), max(parts, round(total / chunk_minutes)))
    shares = _deal(units, count)
    rows = [unit for share in shares for unit in share]
    columns = {"id": [u.id for u in rows], "name": [u.name for u in rows], "unit": [_to_json(u) for u in rows]}
    with whole_file(path) as stream:
        pq.write_table(pa.table(columns), stream, compression="zstd")
    chunks, first = [], 0
    for number, share in enumerate(shares):
        chunks.append(Chunk(str(path), number, first, first + len(share)))
        first += len(share)
    return chunks


def _deal(units: Sequence[Unit], count: int) -> list[list[Unit]]:
    """Cut the units, sorted by source and target, into ``count`` runs of about equal cost."""
    ordered = sorted(units, key=lambda unit: (unit.source, unit.target, unit.stage, unit.recipe, unit.seed))
    # A floor keeps units without an estimate from all landing in one chunk.
    costs = [max(unit.minutes, 1e-3) for unit in ordered]
    total, spent = sum(costs), 0.0
    shares: list[list[Unit]] = [[] for _ in range(count)]
    for unit, cost in zip(ordered, costs, strict=True):
        # The middle of the unit's span decides, so that rounding cannot leave the last chunk empty.
        shares[min(int((spent + cost / 2) / total * count), count - 1)].append(unit)
        spent += cost
    return [share for share in shares if share]


def _to_json(unit: Unit) -> str:
    return json.dumps(asdict(unit), sort_keys=True, default=lambda resources: resources.model_dump())


def _from_json(text: str) -> Unit:
    content = json.loads(text)
    content["resources"] = Resources(**content["resources"])
    content["scores"] = tuple(Score(**score) for score in content["scores"])
    return Unit(**content)

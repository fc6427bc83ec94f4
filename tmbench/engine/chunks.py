"""Chunks: pending units put in an order that loads each source once, cut into jobs, frozen in one file.

The file holds the resolved options of every unit. A worker gets its path and a range of rows, so that editing
``conf/`` later never changes queued work and a job's own pickle stays below a kilobyte.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tmbench.engine.units import Score, Unit
from tmbench.files import whole_file
from tmbench.sources.resources import Resources

ROWS = 500
"""Rows of a group in the frozen file: what a worker reads beside its own is at most twice so many."""

Config = Callable[[dict[str, Any]], dict[str, Any]]


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

        file = pq.ParquetFile(self.path)
        groups = list(range(self.first // ROWS, math.ceil(self.last / ROWS)))
        # Arrow's threads can outlive the reading and abort the process at its exit (apache/arrow#34314).
        units = file.read_row_groups(groups, columns=["unit"], use_threads=False)["unit"]
        return [_from_json(text) for text in units.slice(self.first % ROWS, self.last - self.first).to_pylist()]


def read_units(path: Path, ids: Collection[str]) -> dict[str, Unit]:
    """Those of ``ids`` that the frozen file ``path`` has; only their groups of rows are read as a whole."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        return {}
    places = enumerate(file.read(columns=["id"], use_threads=False)["id"].to_pylist())
    groups = sorted({place // ROWS for place, id in places if id in ids})
    rows = (file.read_row_group(group, columns=["id", "unit"], use_threads=False) for group in groups)
    pairs = (pair for table in rows for pair in zip(table["id"].to_pylist(), table["unit"].to_pylist(), strict=True))
    return {id: _from_json(text) for id, text in pairs if id in ids}


def cut(units: Sequence[Unit], parts: int, chunk_minutes: float, shortest: float = 0.0) -> list[list[Unit]]:
    """Sort ``units`` by source and target and cut them into runs of about equal cost.

    Args:
        units: what is to be done.
        parts: never fewer chunks than this (the workers), as long as there are units and ``shortest`` admits it.
        chunk_minutes: the estimated length of a chunk where there is more work than that.
        shortest: minutes of a chunk below which its start costs too much to have more of them.
    """
    total = sum(unit.minutes for unit in units)
    wanted = parts if shortest == 0.0 else min(parts, math.ceil(total / shortest))
    return _deal(units, min(len(units), max(1, wanted, round(total / chunk_minutes))))


def freeze(shares: Sequence[Sequence[Unit]], path: Path, frozen_config: Config | None = None) -> list[Chunk]:
    """Write the units of each share to ``path``.

    Args:
        shares: what :func:`cut` gave.
        path: the Parquet file to write.
        frozen_config: what to make of each unit's ``config``, such as naming frozen copies of a user's files.

    Raises:
        StoreError: when the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in ("id", "name", "unit")])
    text = _Texts(frozen_config)
    units = [unit for share in shares for unit in share]
    # Group by group: 100,000 units are half a gigabyte of JSON.
    with whole_file(path) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for start in range(0, len(units), ROWS):
            rows = units[start : start + ROWS]
            columns = [[unit.id for unit in rows], [unit.name for unit in rows], [text(unit) for unit in rows]]
            writer.write_table(pa.table(columns, schema=schema))
    return list(_numbered(shares, path))


def _numbered(shares: Sequence[Sequence[Unit]], path: Path) -> Iterator[Chunk]:
    first = 0
    for number, share in enumerate(shares):
        yield Chunk(str(path), number, first, first + len(share))
        first += len(share)


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


class _Texts:
    """Units as JSON. What many units share (a source, a recipe) is written once and pasted."""

    def __init__(self, frozen_config: Config | None) -> None:
        self._frozen_config = frozen_config
        self._pasted: dict[tuple[int, bool], str] = {}

    def __call__(self, unit: Unit) -> str:
        plain = {field.name: getattr(unit, field.name) for field in fields(unit)}
        plain["resources"] = unit.resources.model_dump()
        for name in ("key", "config", "scores"):
            del plain[name]
        parts = [json.dumps(plain)[1:-1], *self._key_and_config(unit)]
        scores = ", ".join(self._score(score) for score in unit.scores)
        return "{" + ", ".join([*parts, f'"scores": [{scores}]']) + "}"

    def _score(self, score: Score) -> str:
        plain = {name: getattr(score, name) for name in ("id", "name", "level", "metric")}
        return "{" + ", ".join([json.dumps(plain)[1:-1], *self._key_and_config(score)]) + "}"

    def _key_and_config(self, of: Unit | Score) -> tuple[str, str]:
        return f'"key": {self._object(of.key, False)}', f'"config": {self._object(of.config, True)}'

    def _object(self, value: Mapping[str, Any], is_config: bool) -> str:
        if is_config and self._frozen_config is not None and "function" in value:
            value = self._frozen_config(dict(value))
        items = (f"{json.dumps(name)}: {self._value(item, is_config)}" for name, item in value.items())
        return "{" + ", ".join(items) + "}"

    def _value(self, value: Any, is_config: bool) -> str:
        if not isinstance(value, dict):
            return json.dumps(value)
        place = (id(value), is_config)  # the units hold the object, so that no other takes its place
        if place not in self._pasted:
            frozen = self._frozen_config(value) if is_config and self._frozen_config is not None else value
            self._pasted[place] = json.dumps(frozen)
        return self._pasted[place]


def _from_json(text: str) -> Unit:
    content = json.loads(text)
    content["resources"] = Resources(**content["resources"])
    after = content["after"]  # one id in plans frozen before sources could be joined
    content["after"] = tuple(after) if isinstance(after, list) else (after,) * bool(after)
    content["scores"] = tuple(Score(**score) for score in content["scores"])
    return Unit(**content)

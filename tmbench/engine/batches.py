"""Batches: the units of a plan by what they share, so that 100,000 of them take little time and memory.

Fine-tunings of one cell by one recipe differ in their seeds alone, and passes owe the same scores. A batch holds what
is alike once, with the ids of all; a :class:`Unit` is made when one is asked for.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, overload

from tmbench.engine.units import VERSIONS, Score, Stage, Unit
from tmbench.identity import OpenKey, canonical
from tmbench.sources.resources import Resources


@dataclass(frozen=True)
class Owed:
    """A score as every pass may owe it.

    Attributes:
        level: name of the level.
        metric: name of the metric.
        key: the score's key without the pass, portable already.
        config: as that of a :class:`Score`; one object for all of its scores.
        source: the source that it is of, where several share the pass; else "".
        target: the same of the target.
    """

    level: str
    metric: str
    key: dict[str, Any]
    config: dict[str, Any]
    source: str = ""
    target: str = ""

    @cached_property
    def open_key(self) -> OpenKey:
        """The key, open for the id of the pass."""
        return OpenKey({"stage": "score", "version": VERSIONS["score"], **self.key}, "features")

    def of(self, features: str, name: str, id: str) -> Score:
        """The score of a pass, by the pass's id and name and its own id."""
        key = {"stage": "score", "version": VERSIONS["score"], "features": features, **self.key}
        if self.target:
            name = f"{self.source} → {self.target}"
        return Score(id, f"{name}  {self.metric} at {self.level}", self.level, self.metric, key, self.config)


@dataclass(frozen=True)
class Batch:
    """Units that are alike but for their seeds.

    Attributes:
        stage: of all of them.
        name: what their names begin with.
        key: portable, without a seed.
        config: without a seed; what it holds is shared by all of its units.
        ids: of the units.
        source: as a :class:`Unit` has it; ``target``, ``recipe``, ``minutes``, ``resources``, ``after`` too.
        seeds: one a unit; None for a single unit that has none.
        owed: the scores that each of them owes.
        scores: their ids, for each unit.
        made: the unit itself where it did not come from a plan.
    """

    stage: Stage
    name: str
    key: dict[str, Any]
    config: dict[str, Any]
    ids: tuple[str, ...]
    source: str
    target: str = ""
    recipe: str = ""
    minutes: float = 0.0
    resources: Resources = field(default_factory=Resources)
    after: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    owed: tuple[Owed, ...] = ()
    scores: tuple[tuple[str, ...], ...] = ()
    made: Unit | None = None

    @classmethod
    def of(cls, unit: Unit) -> "Batch":
        """A batch of one unit that is there already."""
        alike = ("stage", "name", "key", "config", "source", "target", "recipe", "minutes", "resources", "after")
        shared = {name: getattr(unit, name) for name in alike}
        return cls(**shared, ids=(unit.id,), scores=(tuple(score.id for score in unit.scores),), made=unit)

    @property
    def kind(self) -> tuple[str, str, str]:
        """Units of one kind take about as long: stage, recipe and the family of the source."""
        return (self.stage, self.recipe, str(self.config.get("source", {}).get("family", "")))

    def score_ids(self, number: int) -> tuple[str, ...]:
        """Ids of the scores that the unit ``number`` owes."""
        return self.scores[number] if self.scores else ()

    def spelled(self) -> list[str]:
        """The canonical JSON of each unit's key."""
        if self.seeds is None:
            return [canonical(self.key)]
        key = OpenKey(self.key, "seed")
        return [key.spelled(str(seed)) for seed in self.seeds]

    def spelled_scores(self, number: int) -> list[str]:
        """The canonical JSON of the key of each score that the unit ``number`` owes."""
        if self.made is not None:
            return [canonical(score.key) for score in self.made.scores]
        return [owed.open_key.spelled(f'"{self.ids[number]}"') for owed in self.owed]

    def unit(self, number: int) -> Unit:
        """The unit ``number``."""
        if self.made is not None:
            return self.made if self.made.minutes == self.minutes else replace(self.made, minutes=self.minutes)
        id, seed, name, key, config = self.ids[number], 0, self.name, self.key, self.config
        if self.seeds is not None:
            seed = self.seeds[number]
            name, key, config = f"{name} seed={seed}", {**key, "seed": seed}, {**config, "seed": seed}
        owed = zip(self.owed, self.score_ids(number), strict=True)
        return Unit(
            id,
            self.stage,
            name,
            key,
            config,
            self.source,
            self.target,
            self.recipe,
            seed,
            self.minutes,
            self.resources,
            self.after,
            tuple([score.of(id, name, score_id) for score, score_id in owed]),
        )


class Units(Sequence[Unit]):
    """Units, in batches; each is made when it is asked for and not kept."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        """The units of ``batches``, in their order."""
        self.batches = tuple(batches)
        self._firsts = list(accumulate((len(batch.ids) for batch in self.batches), initial=0))

    @classmethod
    def of(cls, units: Iterable[Unit]) -> "Units":
        """``units``, whatever holds them."""
        return units if isinstance(units, Units) else cls(Batch.of(unit) for unit in units)

    def __len__(self) -> int:
        return self._firsts[-1]

    @overload
    def __getitem__(self, index: int) -> Unit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Unit, ...]: ...
    def __getitem__(self, index: int | slice) -> Unit | tuple[Unit, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        batch = bisect_right(self._firsts, place) - 1
        return self.batches[batch].unit(place - self._firsts[batch])

    def __iter__(self) -> Iterator[Unit]:
        for batch in self.batches:
            for number in range(len(batch.ids)):
                yield batch.unit(number)

    def all_ids(self) -> Iterator[str]:
        """The ids of all units and scores, each unit before its scores."""
        for batch in self.batches:
            if not batch.scores:
                yield from batch.ids
                continue
            for number, id in enumerate(batch.ids):
                yield id
                yield from batch.score_ids(number)

    def with_minutes(self, minutes: Mapping[tuple[str, str, str], float]) -> "Units":
        """The same units, with the minutes of their kinds where these are known."""
        return Units(
            replace(batch, minutes=minutes[batch.kind]) if batch.kind in minutes else batch for batch in self.batches
        )

"""Setups: scenario × recipe × level × query × pool × measure as a lazy, columnar table.

Counting needs no enumeration, and setup number i is computed from i. The order is scenario, recipe, level, query, pool
rule, pool, measure, the last changing fastest; so the setups of one (scenario, recipe, level, query, pool rule) are one
block.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmbench.identity import content_id
from tmbench.study.options import PoolOption
from tmbench.study.pools.lists import Members, PoolList, Subsets
from tmbench.study.pools.space import PoolSpace
from tmbench.study.pools.subsets import Numbers, number_array, number_range
from tmbench.study.scenario import Scenario

__all__ = ["Block", "PoolSpace", "Scenario", "Setup", "SetupTable", "Setups", "pool_id"]

AXES = ("scenario", "recipe", "level", "query", "rule", "measure")
"""The axes of a setup that bear names; the seventh, the pool, is a set of candidates."""


def pool_id(names: Sequence[str]) -> str:
    """16 hexadecimal digits that name a pool by its members, whatever query, scenario or study it is of."""
    return content_id(["pool", sorted(names)])[:16]


@dataclass(frozen=True)
class Block:
    """All setups that share scenario, recipe, level, query and pool rule: pools × measures of them."""

    scenario: Scenario
    recipe: str
    level: str
    query: str
    rule: str
    members: PoolList
    first: int
    """The number of its first setup."""

    @property
    def pools(self) -> int:
        """How many pools there are."""
        return self.members.count

    @property
    def mean_size(self) -> float:
        """How many candidates a pool has."""
        if isinstance(self.members, Subsets):
            return self.members.size
        return float(self.members.members(number_range(0, self.pools, self.pools)).sum(axis=1).mean())


@dataclass(frozen=True)
class Setup:
    """One setup by names.

    Attributes:
        number: its place in the study.
        pool: the members of the pool, as the scenario orders them.
        ranked: those of them that the query has; all of them unless the pool is formed among the whole study.
        pool_id: names the pool, equal between queries and studies.
        id: names the setup: a hash of the resolved fields that define it.
        overrides: Hydra overrides of the primary config that compose it.
        config: what ``hydra.compose("config", overrides)`` gives, less the settings of the machine.
    """

    number: int
    scenario: str
    direction: str
    recipe: str
    level: str
    query: str
    rule: str
    pool: tuple[str, ...]
    ranked: tuple[str, ...]
    measure: str
    pool_id: str = ""
    id: str = ""
    overrides: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetupTable:
    """Some setups, column by column.

    Attributes:
        numbers: (S,) their places in the study.
        columns: axis → (S,) int32, positions in ``labels``.
        labels: axis → names; ``candidate`` names the columns of ``members``.
        members: (S, N) bool, the pools as subsets of the candidates of all scenarios.
    """

    numbers: Numbers
    columns: dict[str, NDArray[np.int32]]
    labels: dict[str, tuple[str, ...]]
    members: Members

    def __len__(self) -> int:
        return len(self.numbers)


class Setups:
    """The setups of a study."""

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        rules: Mapping[str, PoolOption],
        measures: Sequence[str],
        resolved: Callable[[Setup], Setup] | None = None,
    ) -> None:
        """Lay the table out.

        Args:
            scenarios: in their order. Two of one name must differ in recipe or level.
            rules: pool rules by name, the same for all scenarios.
            measures: names of measures.
            resolved: fills id, overrides and config of a setup; without it the id is that of the names.

        Raises:
            ConfigError: for rules that form the same pools, or leave a query nothing to rank.
        """
        self.scenarios = tuple(scenarios)
        self.measures = tuple(measures)
        self.spaces = tuple(PoolSpace(scenario, rules) for scenario in scenarios)
        self.blocks: list[Block] = []
        self._resolved = resolved or _named
        total = 0
        for space in self.spaces:
            scenario = space.scenario
            for recipe in scenario.recipes:
                for level in scenario.levels:
                    for query in scenario.queries:
                        for formed in space.formed(query):
                            if formed.pools.count:
                                block = Block(scenario, recipe, level, query, formed.rule, formed.pools, total)
                                self.blocks.append(block)
                                total += block.pools * len(self.measures)
        self.total = total
        """How many there are; exact, however many (``len`` ends at 2^63)."""
        self._firsts = [block.first for block in self.blocks]

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Block]:
        """The blocks, in order."""
        return iter(self.blocks)

    def pools(self, scenario: str | Scenario) -> PoolSpace:
        """The pools of a scenario, by its name or itself.

        Raises:
            KeyError: for a name that none has, or several parts of one scenario (``exclude`` can divide it) have.
        """
        found = [s for s in self.spaces if s.scenario is scenario or s.scenario.name == scenario]
        if len(found) != 1:
            raise KeyError(f"{len(found)} scenarios are named {scenario!r}; take them from Setups.spaces.")
        return found[0]

    def counts(self) -> dict[tuple[str, str], int]:
        """(scenario, recipe) → number of setups; none of a recipe that has no setup."""
        out: dict[tuple[str, str], int] = {}
        for block in self.blocks:
            key = (block.scenario.name, block.recipe)
            out[key] = out.get(key, 0) + block.pools * len(self.measures)
        return out

    def at(self, number: int) -> Setup:
        """Setup ``number``.

        Raises:
            IndexError: outside 0..total-1.
        """
        self._check(number, self.total - 1)
        block = self.blocks[bisect_right(self._firsts, number) - 1]
        pool, measure = divmod(number - block.first, len(self.measures))
        members = block.members.members(number_array([pool], block.pools))[0]
        scenario = block.scenario
        names = tuple(scenario.candidates[i] for i in np.flatnonzero(members))
        ranked = members & scenario.eligible[scenario.queries.index(block.query)]
        setup = Setup(
            number=number,
            scenario=scenario.name,
            direction=scenario.direction,
            recipe=block.recipe,
            level=block.level,
            query=block.query,
            rule=block.rule,
            pool=names,
            ranked=tuple(scenario.candidates[i] for i in np.flatnonzero(ranked)),
            measure=self.measures[measure],
            pool_id=pool_id(names),
        )
        return self._resolved(setup)

    def slice(self, start: int, stop: int) -> SetupTable:
        """The setups from ``start`` to ``stop`` (not with it) as columns; the others are never made.

        Raises:
            IndexError: when one of them does not exist.
        """
        if stop > start:
            self._check(start, self.total - 1)
            self._check(stop - 1, self.total - 1)
        labels = self._labels()
        place = {axis: {name: i for i, name in enumerate(names)} for axis, names in labels.items()}
        columns: dict[str, list[NDArray[np.int32]]] = {axis: [] for axis in AXES}
        members: list[Members] = []
        first = max(bisect_right(self._firsts, start) - 1, 0)
        for block in self.blocks[first : bisect_right(self._firsts, stop - 1)] if stop > start else ():
            begin = max(start - block.first, 0)
            end = min(stop - block.first, block.pools * len(self.measures))
            lowest = begin // len(self.measures)
            pools = block.members.members(number_range(lowest, (end - 1) // len(self.measures) + 1, block.pools))
            rows = begin - lowest * len(self.measures) + np.arange(end - begin)
            wide = np.zeros((len(pools), len(labels["candidate"])), dtype=bool)
            wide[:, [place["candidate"][name] for name in block.scenario.candidates]] = pools
            members.append(wide[rows // len(self.measures)])
            names = {"scenario": block.scenario.name, **{axis: getattr(block, axis) for axis in AXES[1:5]}}
            for axis, name in names.items():
                columns[axis].append(np.full(len(rows), place[axis][name], dtype=np.int32))
            columns["measure"].append((rows % len(self.measures)).astype(np.int32))
        nothing = np.zeros(0, dtype=np.int32)
        return SetupTable(
            number_range(start, max(start, stop), self.total),
            {axis: np.concatenate([nothing, *parts]) for axis, parts in columns.items()},
            labels,
            np.concatenate([np.zeros((0, len(labels["candidate"])), dtype=bool), *members]),
        )

    def _labels(self) -> dict[str, tuple[str, ...]]:
        every = self.scenarios
        names: dict[str, list[str]] = {
            "scenario": [scenario.name for scenario in every],
            "recipe": [name for scenario in every for name in scenario.recipes],
            "level": [name for scenario in every for name in scenario.levels],
            "query": [name for scenario in every for name in scenario.queries],
            "rule": [name for space in self.spaces for name in space.rules],
            "measure": list(self.measures),
            "candidate": [name for scenario in every for name in scenario.candidates],
        }
        return {axis: tuple(dict.fromkeys(found)) for axis, found in names.items()}

    def _check(self, number: int, last: int) -> None:
        if not 0 <= number <= last:
            reach = f" (0 to {last:,})" if self.total else ""
            raise IndexError(f"setup {number} does not exist: the study has {self.total:,}{reach}")


def _named(setup: Setup) -> Setup:
    """The setup with an id made of its names."""
    names = [setup.scenario, setup.direction, setup.recipe, setup.level, setup.query, sorted(setup.pool), setup.measure]
    return replace(setup, id=content_id(["setup", *names]))

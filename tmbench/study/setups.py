"""Setups: query × pool × level × recipe × measure as a lazy, columnar table.

Counting needs no enumeration, and setup number i is computed from i. The order is recipe, level, query, pool rule,
pool, measure, the last changing fastest; so the setups of one (recipe, level, query, pool rule) are one block.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.study.options import PoolOption
from tmbench.study.pools import count_pools, pool_members


@dataclass(frozen=True)
class Block:
    """All setups that share recipe, level, query and pool rule: ``pools`` × ``measures`` of them."""

    recipe: str
    level: str
    query: str
    rule: PoolOption
    candidates: NDArray[np.int64]
    """(n,) positions in the study's list of candidates, ascending."""
    first: int
    pools: int

    def members(self, numbers: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(P, k) the pools with the given numbers; all of them by default."""
        if numbers is None:
            numbers = np.arange(self.pools, dtype=np.int64)
        return pool_members(self.rule, self.candidates, numbers)


@dataclass(frozen=True)
class Setup:
    """One setup by names."""

    number: int
    recipe: str
    level: str
    query: str
    pool: tuple[str, ...]
    measure: str


class Setups:
    """The setups of a study."""

    def __init__(
        self,
        recipes: tuple[str, ...],
        levels: tuple[str, ...],
        candidates: dict[str, NDArray[np.int64]],
        rules: dict[str, PoolOption],
        measures: tuple[str, ...],
        names: tuple[str, ...],
    ) -> None:
        """Lay the table out.

        Args:
            recipes: names of recipes.
            levels: names of levels.
            candidates: query → (n,) positions in ``names`` of the candidates that all compared metrics can score.
            rules: pool rules by name.
            measures: names of measures.
            names: the candidates of the study.
        """
        self.measures = measures
        self.names = names
        self.blocks: list[Block] = []
        total = 0
        for recipe in recipes:
            for level in levels:
                for query, positions in candidates.items():
                    for rule in rules.values():
                        pools = count_pools(rule, len(positions))
                        if pools:
                            self.blocks.append(Block(recipe, level, query, rule, positions, total, pools))
                            total += pools * len(measures)
        self._total = total
        self._firsts = [block.first for block in self.blocks]

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[Block]:
        """The blocks, in order."""
        return iter(self.blocks)

    def pools(self, query: str) -> list[NDArray[np.int64]]:
        """The pools of a query, one array (P, k) a pool rule; they are the same for every recipe and level."""
        mine = [block for block in self.blocks if block.query == query]
        return [block.members() for block in mine if (block.recipe, block.level) == (mine[0].recipe, mine[0].level)]

    def at(self, number: int) -> Setup:
        """Setup ``number``.

        Raises:
            IndexError: outside 0..len-1.
        """
        if not 0 <= number < self._total:
            raise IndexError(f"setup {number} does not exist: the study has {self._total:,} (0 to {self._total - 1:,})")
        block = self.blocks[bisect_right(self._firsts, number) - 1]
        pool, measure = divmod(number - block.first, len(self.measures))
        members = block.members(np.array([pool]))[0]
        return Setup(
            number,
            block.recipe,
            block.level,
            block.query,
            tuple(self.names[i] for i in members),
            self.measures[measure],
        )

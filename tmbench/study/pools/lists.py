"""Lists of pools: what one rule forms from one set of candidates, read by number and asked for membership."""

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tmbench.study.pools.subsets import Numbers, Shuffle, subset_numbers, subsets

Members = NDArray[np.bool_]
"""(P, N) bool: P subsets of a scenario's N candidates."""


class PoolList(Protocol):
    """Different subsets of a scenario's candidates, numbered from 0."""

    @property
    def count(self) -> int:
        """How many there are; exact, however many."""
        ...

    def members(self, numbers: Numbers) -> Members:
        """(P, N) the pools with the given numbers."""
        ...

    def holds(self, members: Members, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(P,) which of the sets ``members``, of the given sizes, are pools of the list."""
        ...


@dataclass(frozen=True)
class Subsets:
    """All subsets of one size, or some of them drawn at random without repetition.

    Attributes:
        base: (N,) bool, the candidates that they are subsets of.
        size: how many each holds.
        most: at most so many are drawn; all of them, in lexicographic order, where None or where there are fewer.
        seed: of the draw.
        names: (N,) the candidates, for the draw: equal candidates have equal draws.
    """

    base: NDArray[np.bool_]
    size: int
    most: int | None = None
    seed: int = 0
    names: tuple[str, ...] = ()

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """(n,) the positions of the candidates."""
        return np.flatnonzero(self.base)

    @cached_property
    def every(self) -> int:
        """How many subsets of this size there are."""
        return comb(len(self.places), self.size)

    @property
    def count(self) -> int:
        """How many pools there are."""
        return self.every if self.most is None else min(self.every, self.most)

    @property
    def drawn(self) -> bool:
        """Whether they are drawn at random: there are more than wanted."""
        return self.count < self.every

    @cached_property
    def _draw(self) -> Shuffle | None:
        if not self.drawn:
            return None
        return Shuffle(self.every, [self.seed, self.size, [self.names[i] for i in self.places]])

    def members(self, numbers: Numbers) -> Members:
        """(P, N) the pools with the given numbers."""
        drawn = numbers if self._draw is None else self._draw.forward(numbers)
        out = np.zeros((len(numbers), len(self.base)), dtype=bool)
        out[:, self.places] = subsets(len(self.places), self.size, drawn)
        return out

    def holds(self, members: Members, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(P,) which of ``members`` are pools of the list."""
        held = (sizes == self.size) & ~members[:, ~self.base].any(axis=1)
        if self._draw is not None and held.any():
            numbers = self._draw.backward(subset_numbers(members[held][:, self.places], self.size))
            held[held] = np.asarray(numbers < self.count, dtype=bool)
        return held


@dataclass(frozen=True)
class Listed:
    """A few pools, one by one.

    Attributes:
        pools: (count, N) bool, all different.
    """

    pools: Members

    @property
    def count(self) -> int:
        """How many pools there are."""
        return len(self.pools)

    def members(self, numbers: Numbers) -> Members:
        """(P, N) the pools with the given numbers."""
        return self.pools[np.asarray(numbers, dtype=np.int64)]

    def holds(self, members: Members, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(P,) which of ``members`` are pools of the list."""
        return np.isin(_packed(members), self._packed)

    @cached_property
    def _packed(self) -> NDArray[np.void]:
        return _packed(self.pools)


def _packed(members: Members) -> NDArray[np.void]:
    """(P,) each set as one opaque value, to be compared."""
    packed = np.ascontiguousarray(np.packbits(members, axis=1))
    return packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]


def family_pools(base: NDArray[np.bool_], families: tuple[str, ...]) -> Listed:
    """One pool for each family among ``base``: all candidates but that family's; none of fewer than two."""
    names = [name for name in dict.fromkeys(families) if name]
    pools = [base & (np.array(families) != name) for name in names]
    return Listed(_listed([pool for pool in pools if pool.sum() >= 2 and (pool != base).any()], len(base)))


def neighbour_pools(base: NDArray[np.bool_], sizes: NDArray[np.float64], size: int) -> Listed:
    """With the candidates in order of ``sizes`` (N,), equal ones in their own order: every ``size`` neighbours."""
    places = np.flatnonzero(base)
    order = places[np.argsort(sizes[places], kind="stable")]
    pools = []
    for start in range(len(order) - size + 1):
        pool = np.zeros(len(base), dtype=bool)
        pool[order[start : start + size]] = True
        pools.append(pool)
    return Listed(_listed(pools, len(base)))


def _listed(pools: list[NDArray[np.bool_]], candidates: int) -> Members:
    return np.array(pools, dtype=bool).reshape(len(pools), candidates)

"""The pools of a scenario: which there are, which queries use each, counted and read without a list of all.

A pool is a set of candidates of the scenario, the same pool for every query that uses it, so that setups of different
queries on one pool can be compared. Each query uses each of its pools once, whichever rules form it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.stats.outcomes import PoolChunk
from tmbench.study.options import PoolOption
from tmbench.study.pools.lists import Listed, Members, PoolList, Subsets, family_pools, neighbour_pools
from tmbench.study.pools.subsets import Numbers, number_array, number_range, pool_size
from tmbench.study.scenario import Scenario

CHUNK = 2000
"""Pools at a time."""


@dataclass(frozen=True)
class Formed:
    """What one rule forms for one query.

    Attributes:
        rule: its name.
        pools: the list; pools that an earlier rule forms for the query are not in it.
    """

    rule: str
    pools: PoolList


class PoolSpace:
    """The pools that some rules form in a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        rules: Mapping[str, PoolOption],
        kept: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Lay the lists of pools out.

        Args:
            scenario: the candidates of each query. A query with fewer than two has no pools.
            rules: by name.
            kept: for a part of a scenario, (rule, query) → the size of its pools in the whole. They keep it, or hold
                all there is where that is less; pools that the whole could have and the part cannot are left out.

        Raises:
            ConfigError: for two rules that form the same pools, a rule whose pools leave a query fewer than two
                candidates, a rule by size or by family where these are not known; none of these with ``kept``.
        """
        self.scenario = scenario
        self.rules = dict(rules)
        self._kept = kept
        self._everybody: NDArray[np.bool_] = np.asarray(scenario.eligible.any(axis=0))
        self._sizes: dict[tuple[str, str], int] = {}
        self._of: dict[str, list[Formed]] = {query: [] for query in scenario.queries}
        self._lists: list[tuple[PoolList, NDArray[np.bool_]]] = []
        for name, rule in self.rules.items():
            if rule.rule in ("all", "subsets"):
                self._add_subsets(name, rule)
        for name, rule in self.rules.items():
            if rule.rule not in ("all", "subsets"):
                self._add_listed(name, rule)
        order = {name: place for place, name in enumerate(self.rules)}
        for formed in self._of.values():
            formed.sort(key=lambda one: order[one.rule])

    def formed(self, query: str) -> list[Formed]:
        """The lists of pools of ``query``, in the order of the rules; no pool is in two of them."""
        return self._of[query]

    def count(self, query: str) -> int:
        """How many pools ``query`` has; exact, however many."""
        return sum(formed.pools.count for formed in self._of[query])

    def members(self, query: str, numbers: Numbers) -> Members:
        """(P, N) bool, the pools of ``query`` with the given numbers (P,), each in 0..count-1.

        For pools ``among: study`` these include what the query has not; it is left out when they are ranked.

        Raises:
            IndexError: for a number outside.
        """
        total = self.count(query)
        wanted = number_array(numbers, total)
        if ((wanted < 0) | (wanted >= total)).any():
            raise IndexError(f"'{query}' has {total:,} pools (0 to {total - 1:,}).")
        out = np.zeros((len(wanted), len(self.scenario.candidates)), dtype=bool)
        first = 0
        for formed in self._of[query]:
            mine = np.asarray((wanted >= first) & (wanted < first + formed.pools.count), dtype=bool)
            if mine.any():
                out[mine] = formed.pools.members(wanted[mine] - first)
            first += formed.pools.count
        return out

    def chunks(self, size: int = CHUNK) -> Iterator[PoolChunk]:
        """Every pool of the scenario exactly once, with all queries that use it; in constant memory.

        Args:
            size: pools in a chunk; the last one may have fewer.
        """
        yield from _joined(self._parts(size), size)

    def without_family(self, family: str) -> "PoolSpace":
        """The same space with the candidates of one family taken out, for the delete-one-family jackknife.

        Pools keep their size where the rest is large enough, else the whole rest is the pool. The candidates are those
        of ``Cells.without_family``, in that order.
        """
        return PoolSpace(self.scenario.without_family(family), self.rules, self._sizes)

    def _parts(self, size: int) -> Iterator[PoolChunk]:
        """The pools list by list; those that an earlier list gave are left out."""
        for place, (pools, _) in enumerate(self._lists):
            for start in range(0, pools.count, size):
                members = pools.members(number_range(start, min(start + size, pools.count), pools.count))
                held = self._held(members)
                fresh = ~held[:, :place].any(axis=1)
                serves = (held[fresh].astype(np.float32) @ self._uses) > 0
                yield PoolChunk(members[fresh], serves)

    def _held(self, members: Members) -> NDArray[np.bool_]:
        """(P, lists) which of the pools each list holds."""
        sizes = members.sum(axis=1)
        present = np.unique(sizes)
        held = np.zeros((len(members), len(self._lists)), dtype=bool)
        everything, wanted, others = self._by_inclusion
        if len(everything):
            inside = members.astype(np.float32) @ others.T == 0
            held[:, everything] = inside & (sizes[:, None] == wanted)
        for place, (pools, _) in enumerate(self._lists):
            if isinstance(pools, Listed) or (isinstance(pools, Subsets) and pools.drawn and pools.size in present):
                held[:, place] = pools.holds(members, sizes)
        return held

    @cached_property
    def _uses(self) -> NDArray[np.float32]:
        """(lists, Q) which queries use each list."""
        return np.array([queries for _, queries in self._lists], dtype=np.float32)

    @cached_property
    def _by_inclusion(self) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float32]]:
        """The lists of all subsets of a size: which they are, their sizes, (…, N) what their pools do not hold."""
        found = [
            (place, pools.size, ~pools.base)
            for place, (pools, _) in enumerate(self._lists)
            if isinstance(pools, Subsets) and not pools.drawn
        ]
        places, sizes, others = zip(*found, strict=True) if found else ((), (), np.zeros((0, 0)))
        return np.array(places, dtype=np.intp), np.array(sizes, dtype=np.int64), np.array(others, dtype=np.float32)

    def _base(self, rule: PoolOption, query: int) -> NDArray[np.bool_]:
        """(N,) the candidates from which a rule forms the pools of a query; none where it has nothing to rank."""
        own: NDArray[np.bool_] = self.scenario.eligible[query]
        if own.sum() < 2:
            return np.zeros_like(own)
        return own if rule.among == "query" else self._everybody

    def _size(self, name: str, rule: PoolOption, query: str, candidates: int) -> int:
        """How many candidates a pool of the rule holds; remembered for ``without_family``."""
        if self._kept is None or rule.rule == "all":
            size = pool_size(rule, candidates)
        else:
            size = min(self._kept[name, query], candidates)
        self._sizes[name, query] = size
        return size if size >= 2 else 0

    def _refuse(self, why: str) -> None:
        """Stop at pools that cannot be; return where they are to be left out, as in a part of a scenario.

        Raises:
            ConfigError: for the whole.
        """
        if self._kept is None:
            raise ConfigError(why)

    def _add_subsets(self, name: str, rule: PoolOption) -> None:
        lists: dict[tuple[bytes, int], tuple[Subsets, NDArray[np.bool_]]] = {}
        for q, query in enumerate(self.scenario.queries):
            base = self._base(rule, q)
            size = self._size(name, rule, query, int(base.sum()))
            if not size:
                continue
            own = int(self.scenario.eligible[q].sum())
            if twin := self._twin(query, size):
                self._refuse(
                    f"pool '{name}' and pool '{twin}' are the same for {self.scenario.query_axis} '{query}': {size} of "
                    f"its {own} candidates. Leave one of them out."
                )
                continue
            if size - (int(base.sum()) - own) < 2:
                self._refuse(self._too_few(name, query, f"{size} of all {base.sum()}", own))
                continue
            new = (Subsets(base, size, rule.most, rule.seed, self.scenario.candidates), self._nobody())
            pools, queries = lists.setdefault((base.tobytes(), size), new)
            queries[q] = True
            self._of[query].append(Formed(name, pools))
        self._lists += lists.values()

    def _add_listed(self, name: str, rule: PoolOption) -> None:
        lists: dict[tuple[bytes, int, tuple[int, ...]], tuple[Listed, NDArray[np.bool_]]] = {}
        for q, query in enumerate(self.scenario.queries):
            base = self._base(rule, q)
            size = self._size(name, rule, query, int(base.sum())) if rule.rule == "size_matched" else 0
            others = self._of[query]
            key = (base.tobytes(), size, tuple(id(formed.pools) for formed in others))
            if key not in lists:
                lists[key] = (self._distinct(name, self._listed(name, rule, base, size), query), self._nobody())
            pools, queries = lists[key]
            own = self.scenario.eligible[q]
            if not pools.count:
                continue
            if (pools.pools & own).sum(axis=1).min() < 2:
                self._refuse(self._too_few(name, query, f"some of all {base.sum()}", int(own.sum())))
                continue
            queries[q] = True
            self._of[query].append(Formed(name, pools))
        self._lists += [(pools, queries) for pools, queries in lists.values() if queries.any()]

    def _listed(self, name: str, rule: PoolOption, base: NDArray[np.bool_], size: int) -> Listed:
        names, what = self.scenario.candidates, self.scenario.candidate_axis
        if rule.rule == "without_family":
            if not any(self.scenario.families):
                self._refuse(
                    f"pool '{name}' leaves out one family at a time, and no {what} of {self.scenario.name} has a "
                    f"family. Give 'family' (a table: 'families'), or leave the pool out."
                )
            return family_pools(base, self.scenario.families)
        unknown = [names[i] for i in np.flatnonzero(base & np.isnan(self.scenario.sizes))]
        if unknown:
            raise ConfigError(
                f"pool '{name}' puts candidates in order of size, and the size of {what} '{unknown[0]}'"
                + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
                + f" is not known in {self.scenario.name}. Give a column 'size' or 'sizes', or leave the pool out."
            )
        return neighbour_pools(base, self.scenario.sizes, size) if size else Listed(np.zeros((0, len(base)), bool))

    def _distinct(self, name: str, listed: Listed, query: str) -> Listed:
        """``listed`` without what other rules form for the query: each pool counts once."""
        sizes = listed.pools.sum(axis=1)
        rest = np.ones(listed.count, dtype=bool)
        twin = ""
        for formed in self._of[query]:
            rest &= ~formed.pools.holds(listed.pools, sizes)
            twin = twin or ("" if rest.any() else formed.rule)
        if listed.count and twin:
            self._refuse(
                f"pool '{name}' forms no pool for {self.scenario.query_axis} '{query}' that pool '{twin}' does not "
                "form. Leave one of them out."
            )
        return Listed(listed.pools[rest])

    def _twin(self, query: str, size: int) -> str:
        """The earlier rule that forms pools of this size for the query: each setup counts once."""
        formed = (one for one in self._of[query] if isinstance(one.pools, Subsets) and one.pools.size == size)
        return next((one.rule for one in formed), "")

    def _too_few(self, name: str, query: str, what: str, own: int) -> str:
        axis = self.scenario.query_axis
        return (
            f"pool '{name}' leaves {axis} '{query}' fewer than two candidates: its pools are {what} candidates of "
            f"{self.scenario.name}, and '{query}' has {own} of these. Leave this {axis} out, or form pools from each "
            f"{axis}'s own candidates (among: query)."
        )

    def _nobody(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.scenario.queries), dtype=bool)


def _joined(parts: Iterable[PoolChunk], size: int) -> Iterator[PoolChunk]:
    """Chunks of ``size`` from chunks of any size up to it."""
    held: list[PoolChunk] = []
    for part in parts:
        held.append(part)
        if sum(len(chunk.members) for chunk in held) >= size:
            whole = _concatenated(held)
            yield PoolChunk(whole.members[:size], whole.serves[:size])
            held = [PoolChunk(whole.members[size:], whole.serves[size:])]
    if any(len(chunk.members) for chunk in held):
        yield _concatenated(held)


def _concatenated(chunks: list[PoolChunk]) -> PoolChunk:
    return PoolChunk(np.concatenate([c.members for c in chunks]), np.concatenate([c.serves for c in chunks]))

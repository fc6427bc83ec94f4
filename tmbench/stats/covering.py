"""Covering: which few sources serve all targets, exactly, by integer programming.

What costs is a *member*: a task that has to be learned. A source of two members (second order: joined features) costs
both, and each member is paid for once, whatever the number of sources that it serves.

Zamir et al., Taskonomy, CVPR 2018, whose transfer policy is such a program.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Array = NDArray[np.float64]

NOTHING = -1
"""The source of a target that no chosen source can serve."""

ROUNDING = 1e-9
"""Values that differ by so small a part are equal."""


@dataclass(frozen=True)
class Cover:
    """Chosen sources, and which of them serves each target.

    Attributes:
        members: the members that are paid for, by their number.
        sources: (T,) the best source that these make, for each target; ``NOTHING`` where there is none.
        values: (T,) how well it serves; 0 where there is none.
    """

    members: tuple[int, ...]
    sources: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def cost(self) -> int:
        """How many tasks have to be learned."""
        return len(self.members)

    @property
    def mean(self) -> float:
        """How well the targets are served."""
        return float(np.mean(self.values))


def best_within(values: Array, members: Sequence[Sequence[int]], budget: int) -> Cover:
    """At most ``budget`` members, chosen so that the sum over targets of their best source's value is largest.

    Of sets that serve equally well, one of the fewest members.

    Args:
        values: (S, T), higher is better, how well each source serves each target; NaN where it cannot. 0 is what a
            target has without any source.
        members: for each source the members it takes; none for one that costs nothing.
        budget: how many members are paid for at most.
    """
    best = _solved(values, members, largest=budget)
    fewest = _solved(values, members, largest=best.cost, at_least=sum(best.values))
    return fewest if sum(fewest.values) >= sum(best.values) * (1 - ROUNDING) else best


def best_covers(values: Array, members: Sequence[Sequence[int]], budgets: Sequence[int]) -> dict[int, Cover]:
    """:func:`best_within` each of the ascending ``budgets``; that of a smaller one where more serves no better."""
    found: dict[int, Cover] = {}
    for budget in budgets:
        cover = best_within(values, members, budget)
        before = next(reversed(found.values()), cover)
        found[budget] = cover if sum(cover.values) > sum(before.values) * (1 + ROUNDING) else before
    return found


def cheapest(values: Array, members: Sequence[Sequence[int]], share: float) -> Cover:
    """The fewest members from which every target has ``share`` of the value of its best source.

    Of sets of equal cost, one of those that serve best.

    Args:
        values: as in :func:`best_within`; the best of each target must be positive for a share of it to mean anything.
        members: as there.
        share: in 0..1.

    Raises:
        ValueError: when the best value of a target is not positive, or it has none.
    """
    best = np.max(np.where(np.isnan(values), -np.inf, values), axis=0)
    if (best <= 0).any():
        raise ValueError("a share of the best needs values whose best is above 0 for every target.")
    # So that the best itself is enough at share=1.
    enough = np.where(values >= share * best * (1 - ROUNDING), values, np.nan)
    fewest = _solved(enough, members, every=True).cost
    return _solved(enough, members, largest=fewest, every=True)


def _solved(
    values: Array,
    members: Sequence[Sequence[int]],
    largest: int | None = None,
    every: bool = False,
    at_least: float | None = None,
) -> Cover:
    """The best cover by at most ``largest`` members; without it, or with ``at_least``, the one of fewest members.

    ``every`` target must be served, and all of them together by ``at_least``, where these are said.

    The variables are whether each member is paid for, then whether each possible pair of source and target is used. A
    target uses one source at most, and a source all of whose members are paid for.
    """
    count = max((member for each in members for member in each), default=-1) + 1
    pairs = np.argwhere(~np.isnan(values))
    gains = values[pairs[:, 0], pairs[:, 1]]
    rows, columns, entries = [], [], []
    row = 0
    for place, (source, _) in enumerate(pairs):
        for member in members[source]:  # used - paid ≤ 0
            rows += [row, row]
            columns += [count + place, member]
            entries += [1.0, -1.0]
            row += 1
    targets = np.arange(values.shape[1])
    served = csr_array(
        (np.ones(len(pairs)), (pairs[:, 1], count + np.arange(len(pairs)))), shape=(len(targets), count + len(pairs))
    )
    constraints = [LinearConstraint(served, lb=float(every), ub=1.0)]
    if row:
        affordable = csr_array((entries, (rows, columns)), shape=(row, count + len(pairs)))
        constraints.append(LinearConstraint(affordable, ub=0.0))
    cost, gain = np.concatenate([np.ones(count), np.zeros(len(pairs))]), np.concatenate([np.zeros(count), gains])
    if largest is not None:
        constraints.append(LinearConstraint(cost[None], ub=largest))
    if at_least is not None:
        constraints.append(LinearConstraint(gain[None], lb=at_least * (1 - ROUNDING)))
    aim = cost if largest is None or at_least is not None else -gain
    exact = {"mip_rel_gap": 0.0}
    found = milp(aim, integrality=np.ones(len(aim)), bounds=Bounds(0, 1), constraints=constraints, options=exact)
    if found.x is None:
        raise ValueError(f"no set of sources serves every target: {found.message}")
    paid = {int(member) for member in np.flatnonzero(found.x[:count] > 0.5)}
    return _cover(values, members, paid)


def _cover(values: Array, members: Sequence[Sequence[int]], paid: set[int]) -> Cover:
    """What ``paid`` members give: each target has the best of the sources that these make, or nothing."""
    made = np.array([paid.issuperset(each) for each in members])
    open_ = np.where(made[:, None] & ~np.isnan(values), values, -np.inf)
    best = open_.argmax(axis=0)
    value = open_[best, np.arange(values.shape[1])]
    sources = tuple(int(source) if top > 0 else NOTHING for source, top in zip(best, value, strict=True))
    needed = {member for source in sources if source != NOTHING for member in members[source]}
    return Cover(tuple(sorted(needed)), sources, tuple(float(max(top, 0.0)) for top in value))

"""Task-transfer curricula: from who transfers to whom, the order in which to learn tasks.

Tasks are sources and targets at once. Learning one well (from much data) makes a source for those that are learned
later (from little); the first ones begin from scratch. All matrices have a row for each task as a source and a last
row for scratch, and a column for each task as a target; higher is better, and NaN says that there is no such transfer.

Bao et al., An information-theoretic approach to transferability in task transfer learning, ICIP 2019, whose
task-transfer curriculum is built on the H-score.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.arborescence import spanning_arborescence

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_PERMUTED = 7
"""So many tasks have few enough orders (5,040) that all are evaluated."""

RANDOM_ORDERS = 1000
"""Of more tasks so many orders are drawn; and so many assignments of random parents, always."""


def normalised(values: Array, own: Array) -> Array:
    """``values`` (…, T) as shares of what the feature reaches that was learned on the target itself, ``own`` (T,).

    H(source's feature) / H(feature tuned on the target): the normalised transferability of Bao et al. (2019). It is
    about 1 where a source serves as well as the target's own.

    Raises:
        ValueError: when the own value of a target is missing or not positive: of a score that may be negative
            (log-likelihoods, say) a ratio means nothing.
    """
    if not (own > 0).all():
        raise ValueError("normalised transferability needs a positive score of each target's own source.")
    return values / own


def ranged(values: Array) -> Array:
    """``values`` (S, T) as shares of the way from the worst to the best source of each target: 0 to 1.

    What has another scale on each target becomes comparable, and no target outweighs others. NaN where all sources of
    a target are equal: there is nothing to choose.
    """
    return _between(values, values)


def _between(values: Array, ends: Array) -> Array:
    """``values`` (S, T) as shares of the way from the lowest to the highest of ``ends`` for each target."""
    lowest = np.min(np.where(np.isnan(ends), np.inf, ends), axis=0)
    width = np.max(np.where(np.isnan(ends), -np.inf, ends), axis=0) - lowest
    return np.divide(values - lowest, width, out=np.full(values.shape, np.nan), where=width > 0)


@dataclass(frozen=True)
class Curriculum:
    """An order in which to learn tasks.

    Attributes:
        order: (T,) the tasks by number, the first to learn first.
        parents: (T,) for each task the one that it is learned from; T for scratch.
    """

    order: tuple[int, ...]
    parents: tuple[int, ...]


def curriculum(values: Array) -> Curriculum:
    """The order in which the tasks' best-scored earlier sources are best in sum.

    Any order, each task learned from the best of those before it, is a tree that leads from scratch to all tasks. The
    best is the maximum spanning arborescence. A transfer that is missing is used for no task that another one reaches.
    Of tasks whose parent is learned, the one comes next on which most others build.

    Args:
        values: (T + 1, T), on one scale for all targets.
    """
    tasks = values.shape[1]
    known = values[~np.isnan(values)]
    # No tree of known transfers is worse than one with a missing link more.
    missing = float(known.min() - (tasks + 1) * (np.ptp(known) + 1)) if known.size else -1.0
    edges = np.full((tasks + 1, tasks + 1), np.nan)
    edges[:, :tasks] = values
    edges[tasks, :tasks] = np.where(np.isnan(values[tasks]), missing, values[tasks])
    parents = spanning_arborescence(edges, tasks)[:tasks]
    return Curriculum(tuple(_in_order(parents)), tuple(int(parent) for parent in parents))


def _in_order(parents: Integers) -> Iterator[int]:
    """The tasks, each after its parent, first those that most others descend from."""
    tasks = len(parents)
    descendants = np.zeros(tasks + 1, dtype=np.int64)
    for task in range(tasks):
        above = parents[task]
        while above != tasks:
            descendants[above] += 1
            above = parents[above]
    learned, left = {tasks}, set(range(tasks))
    while left:
        ready = (task for task in left if int(parents[task]) in learned)
        task = min(ready, key=lambda each: (-descendants[each], each))
        yield task
        learned.add(task)
        left.remove(task)


def parents_in(order: tuple[int, ...] | Integers, values: Array) -> Integers:
    """(T,) for each task the best-scored source among those before it in ``order`` and scratch (T).

    The first of equal ones. Where no score is known, scratch.
    """
    tasks = values.shape[1]
    place = np.empty(tasks + 1, dtype=np.int64)
    place[list(order)] = np.arange(tasks)
    place[tasks] = -1
    earlier = place[:, None] < place[None, :tasks]
    usable = np.where(earlier & ~np.isnan(values), values, -np.inf)
    best = usable.argmax(axis=0)
    return np.where(usable.max(axis=0) == -np.inf, tasks, best)


def worth(parents: Integers, truth: Array) -> float:
    """The mean over tasks of what each really reaches from its parent; tasks without a truth there are left out.

    Args:
        parents: (T,) each task's parent.
        truth: (T + 1, T) as shares (:func:`ranged`).
    """
    reached = truth[parents, np.arange(len(parents))]
    there = ~np.isnan(reached)
    return float(reached[there].mean()) if there.any() else float("nan")


@dataclass(frozen=True)
class Comparison:
    """How good an order really is, held against chance. All values are means over tasks, 0 to 1 (:func:`ranged`).

    Attributes:
        value: of the order.
        by_seed: the same by each seed of the truths.
        orders: of the random orders, each task again learned from the best-scored one before it.
        parents: of random orders with a random parent, of those before and scratch, for each task. Of both, those are
            left out in which no task has a truth.
        best: of the best order that there is, made from the truths themselves.
        scratch: of learning every task from scratch; NaN where that has no truths.
        every_order: whether ``orders`` are all that there are.
    """

    value: float
    by_seed: tuple[float, ...]
    orders: Array
    parents: Array
    best: float
    scratch: float
    every_order: bool

    @property
    def spread(self) -> float:
        """Standard deviation of the value over seeds; NaN for a single one."""
        known = [value for value in self.by_seed if not np.isnan(value)]
        return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")

    def z(self, drawn: Array) -> float:
        """How many standard deviations of ``drawn`` the value lies above its mean; NaN where all are equal."""
        deviation = float(np.std(drawn)) if drawn.size else 0.0
        return float((self.value - drawn.mean()) / deviation) if deviation > 1e-12 else float("nan")

    def percentile(self, drawn: Array) -> float:
        """The share of ``drawn`` that the value beats; equal ones count half. NaN without truths."""
        if np.isnan(self.value) or not drawn.size:
            return float("nan")
        same = np.abs(drawn - self.value) <= 1e-12
        return float(((drawn < self.value) & ~same).mean() + same.mean() / 2)


def compared(order: Curriculum, values: Array, truths: Array, generator: np.random.Generator) -> Comparison:
    """Hold ``order`` against random ones, by truths that were really trained.

    Truths of different tasks are on scales of their own, so each becomes its share of the way from the worst to the
    best source of its target, scratch being one of them.

    Args:
        order: from :func:`curriculum`.
        values: (T + 1, T) the scores that it is made from; they choose parents in random orders too.
        truths: (T + 1, T, seeds); NaN where none is there.
        generator: draws orders and parents.
    """
    mean = _mean(truths)
    truth = ranged(mean)
    tasks = truth.shape[1]
    every = tasks <= MOST_PERMUTED
    orders = list(permutations(range(tasks))) if every else [generator.permutation(tasks) for _ in range(RANDOM_ORDERS)]
    chosen = parents_in(order.order, values)
    return Comparison(
        worth(chosen, truth),
        tuple(worth(chosen, _between(one, mean)) for one in np.moveaxis(truths, -1, 0)),
        _known(worth(parents_in(each, values), truth) for each in orders),
        _known(worth(_random_parents(tasks, generator), truth) for _ in range(RANDOM_ORDERS)),
        worth(parents_in(curriculum(truth).order, truth), truth),
        worth(np.full(tasks, tasks), truth),
        every,
    )


def _known(values: Iterable[float]) -> Array:
    """Those that are no NaN."""
    found = np.array(list(values))
    return found[~np.isnan(found)]


def _mean(truths: Array) -> Array:
    """The mean over the seeds that are there."""
    there = ~np.isnan(truths)
    total, count = np.where(there, truths, 0.0).sum(axis=-1), there.sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _random_parents(tasks: int, generator: np.random.Generator) -> Integers:
    """For each task one of those before it in a random order, or scratch (``tasks``), all with equal chance."""
    order = generator.permutation(tasks)
    parents = np.empty(tasks, dtype=np.int64)
    for place, task in enumerate(order):
        drawn = generator.integers(place + 1)
        parents[task] = tasks if drawn == place else order[drawn]
    return parents

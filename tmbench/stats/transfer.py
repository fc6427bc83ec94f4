"""Transfer between tasks: the scores and truths of a study whose targets are what its sources were trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.covering import Cover, best_covers, cheapest
from tmbench.stats.curriculum import Comparison, Curriculum, compared, curriculum, normalised, ranged

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """Who transfers to whom, by one metric at one level, and by one recipe: S sources, N targets.

    Attributes:
        metric, level, recipe: their names.
        sources: (S,) names.
        targets: (N,) names.
        tasks: for each task its source and its target, by their numbers.
        scratch: the source of random weights, by its number; None where there is none.
        members: (S,) what each source is made of, as numbers in ``units``; nothing for scratch.
        units: names of what can be learned and is paid for.
        own: (S, N) whether the source, or one of its parts, was trained on the target.
        scores: (S, N) higher is better, those of own targets too; NaN where there is none.
        truths: (S, N, seeds); NaN where there is none.
        truth_measure: what they are.
    """

    metric: str
    level: str
    recipe: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    tasks: tuple[tuple[int, int], ...]
    scratch: int | None
    members: tuple[tuple[int, ...], ...]
    units: tuple[str, ...]
    own: NDArray[np.bool_]
    scores: Array
    truths: Array
    truth_measure: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, by their targets."""
        return tuple(self.targets[target] for _, target in self.tasks)

    @cached_property
    def scale(self) -> Literal["normalised", "ranged"]:
        """How scores of different targets are made comparable.

        ``normalised`` by that of the target's own source, where each target has one and no score is negative; else
        ``ranged``, from the worst source of a target to the best.
        """
        whole = len({target for _, target in self.tasks}) == len(self.targets)
        known = self.scores[~np.isnan(self.scores)]
        return "normalised" if whole and (known >= 0).all() and (self._own_scores > 0).all() else "ranged"

    @property
    def _own_scores(self) -> Array:
        """(N,) the score of each target's own source; NaN where it has none."""
        found = np.full(len(self.targets), np.nan)
        for source, target in self.tasks:
            found[target] = self.scores[source, target]
        return found

    @cached_property
    def values(self) -> Array:
        """(S, N) the scores on ``scale``; NaN on own targets."""
        foreign = np.where(self.own, np.nan, self.scores)
        return normalised(foreign, self._own_scores) if self.scale == "normalised" else ranged(foreign)

    @cached_property
    def covering(self) -> Array:
        """(S, N) the same, and 1 for a task's source on its own target: what is learned needs no transfer."""
        found = self.values.copy()
        for source, target in self.tasks:
            found[source, target] = 1.0
        return found

    def between_tasks(self, matrix: Array) -> Array:
        """(T + 1, T, …) of an (S, N, …) ``matrix``: the tasks and scratch as sources, the tasks as targets."""
        rows = [source for source, _ in self.tasks]
        columns = [target for _, target in self.tasks]
        found = np.full((len(rows) + 1, len(columns), *matrix.shape[2:]), np.nan)
        found[:-1] = matrix[np.ix_(rows, columns)]
        if self.scratch is not None:
            found[-1] = matrix[self.scratch, columns]
        return found


@dataclass(frozen=True)
class Evaluation:
    """What follows from a transfer matrix.

    Attributes:
        transfer: the matrix.
        curriculum: in which order to learn its tasks.
        comparison: how good that order really is; None without truths.
        covers: the best sources for each budget asked for.
        fewest: the fewest sources from which each target has ``share`` of its best value; None where that is not
            positive.
        share: the share.
    """

    transfer: Transfer
    curriculum: Curriculum
    comparison: Comparison | None
    covers: dict[int, Cover]
    fewest: Cover | None
    share: float


def evaluated(transfer: Transfer, budgets: Sequence[int], share: float, generator: np.random.Generator) -> Evaluation:
    """The curriculum of a transfer matrix, what it is worth, and the sources that cover all targets."""
    values = transfer.between_tasks(transfer.values)
    truths = transfer.between_tasks(np.where(transfer.own[..., None], np.nan, transfer.truths))
    order = curriculum(values)
    comparison = None if np.isnan(truths).all() else compared(order, values, truths, generator)
    covering = transfer.covering
    best = np.max(np.where(np.isnan(covering), -np.inf, covering), axis=0)
    return Evaluation(
        transfer,
        order,
        comparison,
        best_covers(covering, transfer.members, budgets),
        cheapest(covering, transfer.members, share) if (best > 0).all() else None,
        share,
    )

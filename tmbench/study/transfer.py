"""From a study's cells to the matrix of transfer between tasks: which source is which target's own, what is missing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.sources.options import RandomWeights, Source
from tmbench.stats.cells import MISSING, OK, Cells
from tmbench.stats.transfer import Transfer
from tmbench.study.names import source_parts
from tmbench.study.plan import Plan


@dataclass(frozen=True)
class Gaps:
    """Cells between tasks that the study owes and that have no value yet, by their names."""

    scores: tuple[str, ...]
    truths: tuple[str, ...]


@dataclass(frozen=True)
class Tasks:
    """What of a study's sources and targets are tasks.

    Attributes:
        pairs: for each task its source and its target, by name.
        scratch: the source of random weights; "" where there is none.
        own: every (source, target) whose source, or a part of it, was trained on the target.
        parts: source → the options that it is made of; none for scratch.
    """

    pairs: tuple[tuple[str, str], ...]
    scratch: str
    own: frozenset[tuple[str, str]]
    parts: dict[str, tuple[str, ...]]


def tasks_of(plan: Plan) -> Tasks:
    """The tasks of a plan: targets of which one source is trained on that very data set.

    Raises:
        ConfigError: when fewer than two targets have a source of their own, or one has several, or there are several
            random starts.
    """
    sources, own = plan.options.source, frozenset(plan.own)
    alone = [name for name, source in sources.items() if not source.beside]
    pairs = []
    for target in plan.options.target:
        trained = [name for name in alone if (name, target) in own]
        if len(trained) > 1:
            raise _several(f"{' and '.join(trained)} are all trained on {target}; a task is one source and one target")
        pairs += [(name, target) for name in trained]
    if len(pairs) < 2:
        found = f"only {pairs[0][1]} has" if pairs else "no target has"
        raise ConfigError(
            f"{plan.sweep.name}: a curriculum is an order of tasks that are sources and targets, and {found} a source "
            "that is trained on it. Name sources and the targets that they are pretrained on, as demo_tasks does."
        )
    random = [name for name in alone if isinstance(sources[name].weights, RandomWeights)]
    if len(random) > 1:
        raise _several(f"{' and '.join(random)} are random starts, and learning from scratch is one of them")
    scratch = random[0] if random else ""
    parts = {name: _paid(name, source) for name, source in sources.items()}
    return Tasks(tuple(pairs), scratch, own, parts)


def _several(what: str) -> ConfigError:
    return ConfigError(f"{what}. Leave out all but one: source=[A,B,…].")


def _paid(name: str, source: Source) -> tuple[str, ...]:
    """The options that have to be learned for a source: its parts, less those of random weights."""
    parts = zip(source_parts(name), source.parts, strict=True)
    return tuple(option for (option, _), part in parts if not isinstance(part.weights, RandomWeights))


def transfers(tasks: Tasks, cells: Cells) -> tuple[Transfer, ...]:
    """One matrix for each recipe, level and competing metric of ``cells``, variants after metrics.

    Raises:
        ConfigError: when the candidates are parts of data sets, or no metric has scores of its own.
    """
    sources, targets = _axes(tasks, cells)
    swap = cells.direction == "target_selection"
    ranking = [m for m, kind in enumerate(cells.kinds) if kind != "baseline"]
    ranking.sort(key=lambda m: cells.kinds[m] != "metric")
    if not ranking:
        inside = [one.name for one in cells.combined]
        why = f"{', '.join(inside)} compares the candidates of a pool" if inside else "only baselines are named"
        raise ConfigError(f"{why}: a matrix of transfer needs a metric with scores of its own, such as hscore.")
    units = tuple(dict.fromkeys(part for name in sources for part in tasks.parts[name]))
    own = np.array([[(s, t) in tasks.own for t in targets] for s in sources])
    truth = np.swapaxes(cells.truth, 1, 2) if not swap else cells.truth  # sources before targets
    scores = np.swapaxes(cells.scores, 2, 3) if not swap else cells.scores
    return tuple(
        Transfer(
            metric=cells.metrics[m],
            level=level,
            recipe=recipe,
            sources=sources,
            targets=targets,
            tasks=tuple((sources.index(s), targets.index(t)) for s, t in tasks.pairs),
            scratch=sources.index(tasks.scratch) if tasks.scratch else None,
            members=tuple(tuple(units.index(part) for part in tasks.parts[name]) for name in sources),
            units=units,
            own=own,
            scores=scores[v, m],
            truths=truth[r],
            truth_measure=cells.truth_measure,
        )
        for r, recipe in enumerate(cells.recipes)
        for v, level in enumerate(cells.levels)
        for m in ranking
    )


def without_scores(cells: Cells, scored: Collection[str]) -> dict[str, str]:
    """For each metric of ``cells`` that is not among ``scored``, and no baseline, why nothing follows from it."""
    found = {}
    for m, (metric, kind) in enumerate(zip(cells.metrics, cells.kinds, strict=True)):
        if kind == "baseline" or metric in scored:
            continue
        states = cells.state[:, m][:, cells.eligible]  # not on own targets
        why = "is inapplicable between these tasks"
        if (states == MISSING).any():
            why = "has no score between these tasks yet"
        elif (states == OK).any():
            why = "scores one source of each target, or all alike: there is nothing to choose"
        found[metric] = f"{metric} {why}"
    for one in cells.combined:
        found[one.name] = f"{one.name} compares the candidates of a pool: it has no scores of its own between tasks"
    return found


def gaps(tasks: Tasks, cells: Cells, scored_own: bool) -> Gaps:
    """What is owed and not there. Scores on own targets count where the sweep asks for them."""
    sources, targets = _axes(tasks, cells)
    swap = cells.direction == "target_selection"
    metrics = [m for m, kind in enumerate(cells.kinds) if kind != "baseline"]
    missing = (cells.state[:, metrics] == MISSING).any(axis=(0, 1))
    absent = np.isnan(cells.truth).any(axis=(0, 3)) & cells.eligible
    own = np.array([[(s, t) in tasks.own for t in targets] for s in sources])
    missing, absent = (missing, absent) if swap else (missing.T, absent.T)
    if not scored_own:
        missing = missing & ~own
    return Gaps(_named(missing, sources, targets), _named(absent & ~own, sources, targets))


def _axes(tasks: Tasks, cells: Cells) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sources and targets, by name, whichever of them is ranked."""
    swap = cells.direction == "target_selection"
    sources, targets = (cells.queries, cells.candidates) if swap else (cells.candidates, cells.queries)
    if strange := [name for name in sources if name not in tasks.parts]:
        raise ConfigError(f"'{strange[0]}' ranks parts of one data set, which are no tasks with a source of their own.")
    return sources, targets


def _named(where: NDArray[np.bool_], sources: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{sources[s]} → {targets[t]}" for s, t in np.argwhere(where))

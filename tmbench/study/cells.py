"""From records to cells: the arrays that the statistics work on, with each gap named for what it is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.engine.records import Records
from tmbench.engine.units import Unit
from tmbench.sources.options import Source
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells
from tmbench.study.plan import Plan
from tmbench.targets.options import Target


@dataclass(frozen=True)
class Gaps:
    """What of the plan has no value yet."""

    truths: int
    scores: int
    inapplicable: int


def collect(plan: Plan, records: Records) -> tuple[Cells, Gaps]:
    """The plan's truths and scores from ``records``.

    A value that is not there is NaN and its state says why: missing (not run, or failed) or inapplicable (the source
    has not what the metric needs, or the sweep leaves the cell out). Nothing becomes 0.
    """
    recipes, levels, seeds = plan.sweep.recipe, plan.sweep.level, plan.sweep.seed
    targets, sources, metrics = tuple(plan.options.target), tuple(plan.options.source), tuple(plan.metrics)
    truth = np.full((len(recipes), len(targets), len(sources), len(seeds)), np.nan)
    scores = np.full((len(levels), len(metrics), len(targets), len(sources)), np.nan)
    state = np.full(scores.shape, INAPPLICABLE, dtype=np.int8)
    present = np.zeros((len(targets), len(sources)), dtype=bool)
    for source, target in plan.cells:
        present[targets.index(target), sources.index(source)] = True
    missing_truths = 0
    for unit in plan.units:
        if unit.stage == "truth":
            place = (recipes.index(unit.recipe), *_cell(unit, targets, sources), seeds.index(unit.seed))
            truth[place] = _number(records.value(unit.id, _measure(plan, unit)))
            missing_truths += int(np.isnan(truth[place]))
        for score in unit.scores:
            at = (levels.index(score.level), metrics.index(score.metric), *_cell(unit, targets, sources))
            scores[at] = _number(records.value(score.id))
            state[at] = MISSING if np.isnan(scores[at]) else OK
    cells = _oriented(plan, truth, scores, state, present)
    in_cells = len(plan.cells) * len(levels) * len(metrics)
    gaps = Gaps(missing_truths, int((state == MISSING).sum()), in_cells - int((state != INAPPLICABLE).sum()))
    return cells, gaps


def _oriented(
    plan: Plan,
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    state: NDArray[np.int8],
    present: NDArray[np.bool_],
) -> Cells:
    """The cells as queries x candidates, from arrays that are targets x sources."""
    sources, targets = plan.options.source, plan.options.target
    tests = np.array([_test_size(plan, target) for target in targets.values()], dtype=np.float64)
    test_sizes = np.broadcast_to(tests[:, None], present.shape)
    ranked: Mapping[str, Source | Target]
    if plan.sweep.scenario == "source_selection":
        queries, ranked = tuple(targets), sources
        families, query_families = [s.family for s in sources.values()], [t.family for t in targets.values()]
        random_start = np.array([_is_random(source) for source in sources.values()])
    else:
        queries, ranked = tuple(sources), targets
        families, query_families = [t.family for t in targets.values()], [s.family for s in sources.values()]
        random_start = np.zeros(len(targets), dtype=bool)
        truth = truth.swapaxes(1, 2)
        scores, state = scores.swapaxes(-1, -2), state.swapaxes(-1, -2)
        present, test_sizes = present.T, test_sizes.T
    return Cells(
        scenario=plan.sweep.name,
        direction=plan.sweep.scenario,
        recipes=plan.sweep.recipe,
        levels=plan.sweep.level,
        queries=queries,
        candidates=tuple(ranked),
        metrics=tuple(plan.metrics),
        kinds=tuple(metric.kind for metric in plan.metrics.values()),
        truth=truth,
        scores=scores,
        state=state,
        families=tuple(families),
        random_start=random_start,
        present=present,
        query_families=tuple(query_families),
        test_sizes=test_sizes.copy(),
        truth_measure=" or ".join(dict.fromkeys(recipe.measure for recipe in plan.options.recipe.values())),
        seeds=tuple(str(seed) for seed in plan.sweep.seed),
    )


def _test_size(plan: Plan, target: Target) -> float:
    """The images behind a truth that is a proportion, whose noise is then binomial; NaN for other truths."""
    measures = {recipe.measure for (task, _), recipe in plan.options.recipe.items() if task == target.task}
    return float(target.sizes.test) if measures == {"accuracy"} else np.nan


def _cell(unit: Unit, targets: tuple[str, ...], sources: tuple[str, ...]) -> tuple[int, int]:
    return targets.index(unit.target), sources.index(unit.source)


def _measure(plan: Plan, unit: Unit) -> str:
    """The measure of a truth that its recipe calls the primary one."""
    return plan.options.recipe[plan.options.target[unit.target].task, unit.recipe].measure


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _is_random(source: Source) -> bool:
    return source.pretrained_on is None

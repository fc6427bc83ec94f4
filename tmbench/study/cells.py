"""From records to cells: the arrays that the statistics work on, with each gap named for what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tmbench.engine.batches import Batch
from tmbench.engine.records import Records
from tmbench.metrics.registry import Pooled
from tmbench.sources.options import RandomWeights, Source
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells, Combined
from tmbench.stats.combine import weighted_sum
from tmbench.study.plan import Plan
from tmbench.targets.options import ClassificationTarget, Target


@dataclass(frozen=True)
class Gaps:
    """What of the plan has no value yet."""

    truths: int
    scores: int
    inapplicable: int


def collect(plan: Plan, records: Records) -> tuple[Cells, Gaps]:
    """The plan's truths and scores from ``records``.

    A value that is not there is NaN and its state says why: missing (not run, or failed) or inapplicable (the source
    has not what the metric needs, or the sweep leaves the cell out). Nothing becomes 0. Of a metric that compares the
    candidates of a pool with each other the parts are taken, which become scores inside each pool.
    """
    recipes, levels, seeds = plan.sweep.recipe, plan.sweep.level, plan.sweep.seed
    targets, sources = tuple(plan.options.target), tuple(plan.options.source)
    pooled = {name: _Parts(rule, (len(levels), len(targets), len(sources))) for name, rule in plan.pooled.items()}
    metrics = tuple(name for name in plan.metrics if name not in pooled)
    truth = np.full((len(recipes), len(targets), len(sources), len(seeds)), np.nan)
    scores = np.full((len(levels), len(metrics), len(targets), len(sources)), np.nan)
    state = np.full(scores.shape, INAPPLICABLE, dtype=np.int8)
    present = np.zeros((len(targets), len(sources)), dtype=bool)
    for source, target in plan.cells:
        present[targets.index(target), sources.index(source)] = True
    places = {name: i for i, name in enumerate(targets)}, {name: i for i, name in enumerate(sources)}
    for batch in plan.units.batches:
        cell = places[0].get(batch.target, -1), places[1][batch.source]
        if batch.stage == "truth" and batch.recipe in recipes:  # and no point of a grid
            measure = _measure(plan, batch)
            found = [_number(records.value(id, measure)) for id in batch.ids] if records.done else np.nan
            truth[(recipes.index(batch.recipe), *cell)] = found
        for owed, id in zip(batch.owed, batch.score_ids(0), strict=True):
            level = levels.index(owed.level)
            if owed.metric in pooled:
                pooled[owed.metric].take((level, *cell), records.details(id))
                continue
            at = (level, metrics.index(owed.metric), *cell)
            scores[at] = _number(records.value(id))
            state[at] = MISSING if np.isnan(scores[at]) else OK
    truths = [batch for batch in plan.units.batches if batch.stage == "truth" and batch.recipe in recipes]
    planned = sum(len(batch.ids) for batch in truths)
    missing_truths = planned - int((~np.isnan(truth)).sum())
    combined = tuple(parts.combined(name, plan.kinds[name]) for name, parts in pooled.items())
    cells = _oriented(plan, metrics, truth, scores, state, combined, present)
    states = np.concatenate([state.ravel(), *(one.state.ravel() for one in combined)])
    in_cells = len(plan.cells) * len(levels) * len(plan.metrics)
    gaps = Gaps(missing_truths, int((states == MISSING).sum()), in_cells - int((states != INAPPLICABLE).sum()))
    return cells, gaps


class _Parts:
    """The parts of a pool-relative metric as they are found, in arrays that are targets x sources."""

    def __init__(self, rule: Pooled, shape: tuple[int, int, int]) -> None:
        """Expect the parts of ``rule`` for ``shape``: levels, targets, sources."""
        weights = dict(zip(rule.parts, rule.weights, strict=True))
        self.names = rule.names
        self.combine = partial(
            weighted_sum,
            weights=tuple(float(weights.get(name, 1)) for name in self.names),
            scaling=tuple("none" if name in rule.unscaled else rule.scaling for name in self.names),
        )
        self.values = np.full((shape[0], len(self.names), *shape[1:]), np.nan)
        self.state = np.full(shape, INAPPLICABLE, dtype=np.int8)

    def take(self, at: tuple[int, int, int], details: Mapping[str, float]) -> None:
        """The parts of one score; missing where any of them is."""
        found = [details.get(name, np.nan) for name in self.names]
        self.state[at] = MISSING if np.isnan(found).any() else OK
        if self.state[at] == OK:
            level, target, source = at
            self.values[level, :, target, source] = found

    def combined(self, name: str, kind: str) -> Combined:
        """The metric that is combined from them."""
        return Combined(name, kind, self.combine, self.names, self.values, self.state)


def _oriented(
    plan: Plan,
    metrics: tuple[str, ...],
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    state: NDArray[np.int8],
    combined: tuple[Combined, ...],
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
        combined = tuple(
            replace(one, parts=one.parts.swapaxes(-1, -2), state=one.state.swapaxes(-1, -2)) for one in combined
        )
        present, test_sizes = present.T, test_sizes.T
    return Cells(
        scenario=plan.sweep.name,
        direction=plan.sweep.scenario,
        recipes=plan.sweep.recipe,
        levels=plan.sweep.level,
        queries=queries,
        candidates=tuple(ranked),
        metrics=metrics,
        kinds=tuple(plan.kinds[name] for name in metrics),
        truth=truth,
        scores=scores,
        state=state,
        families=tuple(families),
        random_start=random_start,
        present=present,
        query_families=tuple(query_families),
        test_sizes=test_sizes.copy(),
        combined=combined,
        truth_measure=" or ".join(dict.fromkeys(recipe.measure for recipe in plan.options.recipe.values())),
        seeds=tuple(str(seed) for seed in plan.sweep.seed),
    )


def _test_size(plan: Plan, target: Target) -> float:
    """The images behind a truth that is a proportion, whose noise is then binomial; NaN for other truths."""
    measures = {recipe.measure for (task, _), recipe in plan.options.recipe.items() if task == target.task}
    if isinstance(target, ClassificationTarget) and measures == {"accuracy"}:
        return float(target.sizes.test)
    return np.nan


def _measure(plan: Plan, batch: Batch) -> str:
    """The measure of truths that their recipe calls the primary one."""
    return plan.options.recipe[plan.options.target[batch.target].task, batch.recipe].measure


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _is_random(source: Source) -> bool:
    return isinstance(source.weights, RandomWeights)

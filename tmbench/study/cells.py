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
from tmbench.study.names import query_name
from tmbench.study.plan import Plan
from tmbench.targets.options import ClassificationTarget, Target


@dataclass(frozen=True)
class Gaps:
    """What of the plan has no value yet."""

    truths: int
    scores: int
    inapplicable: int


def collect(plan: Plan, records: Records, own: bool = False) -> tuple[Cells, Gaps]:
    """The plan's truths and scores from ``records``.

    Args:
        plan: the study.
        records: of its store.
        own: whether the scores of sources on their own targets are told too; these are cells of no setup.

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
    places = {name: i for i, name in enumerate(targets)}, {name: i for i, name in enumerate(sources)}
    for source, target in plan.cells:
        present[places[0][target], places[1][source]] = True
    for batch in plan.units.batches:
        if batch.stage == "pretrain":
            continue
        cell = places[0][batch.target], places[1][batch.source]
        if batch.stage == "truth" and batch.recipe in recipes:  # and no point of a grid
            measure = _measure(plan, batch)
            found = [_number(records.value(id, measure)) for id in batch.ids] if records.done else np.nan
            truth[(recipes.index(batch.recipe), *cell)] = found
        for owed, id in zip(batch.owed, batch.score_ids(0), strict=True):
            level = levels.index(owed.level)
            if owed.target:
                cell = places[0][owed.target], places[1][owed.source]
            if not own and not present[cell]:
                continue
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
    groups: tuple[str, ...] = ()
    if plan.sweep.scenario == "source_selection":
        queries, ranked = tuple(targets), sources
        families, query_families = [s.family for s in sources.values()], [t.family for t in targets.values()]
        random_start = np.array([_is_random(source) for source in sources.values()])
    else:
        asked = _target_queries(plan)
        queries, ranked, query_families = tuple(asked), targets, [one.family for one in asked.values()]
        # What an option stands for is of one data set: to leave its family out leaves nothing.
        families = ["" if name in plan.options.groups else t.family for name, t in targets.items()]
        random_start = np.zeros(len(targets), dtype=bool)
        groups = tuple(one.rule for one in asked.values()) if plan.options.groups else ()
        rows = np.array([one.source for one in asked.values()])
        asks = np.stack([one.asks for one in asked.values()])  # (Q, N)
        truth = np.where(asks[..., None], truth.swapaxes(1, 2)[:, rows], np.nan)
        scores = np.where(asks, scores.swapaxes(-1, -2)[:, :, rows], np.nan)
        state = np.where(asks, state.swapaxes(-1, -2)[:, :, rows], INAPPLICABLE).astype(np.int8)
        combined = tuple(
            replace(
                one,
                parts=np.where(asks, one.parts.swapaxes(-1, -2)[:, :, rows], np.nan),
                state=np.where(asks, one.state.swapaxes(-1, -2)[:, rows], INAPPLICABLE).astype(np.int8),
            )
            for one in combined
        )
        present, test_sizes = present.T[rows] & asks, test_sizes.T[rows]
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
        query_groups=groups,
        test_sizes=test_sizes.copy(),
        combined=combined,
        truth_measure=plan.sweep.truth
        or " or ".join(dict.fromkeys(recipe.measure for recipe in plan.options.recipe.values())),
        seeds=tuple(str(seed) for seed in plan.sweep.seed),
    )


@dataclass(frozen=True)
class _TargetQuery:
    """A source for which the targets of one option, or all that stand for themselves, are ranked."""

    source: int
    rule: str
    """By which the targets were drawn."""
    family: str
    asks: NDArray[np.bool_]
    """(N,) which of the targets."""


def _target_queries(plan: Plan) -> dict[str, _TargetQuery]:
    """The queries of target selection by name.

    Targets of one option are ranked among themselves: how many classes are drawn is a rule of the option, and the
    number of classes alone tells much of the truth. Queries over one data set are of one family.
    """
    targets, of_option = plan.options.target, plan.options.groups
    groups = [of_option.get(name, "") for name in targets]
    found = {}
    for number, (name, source) in enumerate(plan.options.source.items()):
        for group in dict.fromkeys(groups):
            asks = np.array([own == group for own in groups])
            families = {target.family for target, asked in zip(targets.values(), asks, strict=True) if asked}
            family = families.pop() if group and len(families) == 1 else source.family
            rules = {target.rule for target, asked in zip(targets.values(), asks, strict=True) if asked}
            found[query_name(name, group)] = _TargetQuery(number, " or ".join(sorted(rules)), family, asks)
    return found


def _test_size(plan: Plan, target: Target) -> float:
    """The images behind a truth that is a proportion, whose noise is then binomial; NaN for other truths."""
    recipes = [recipe for (task, _), recipe in plan.options.recipe.items() if task == target.task]
    measures = {plan.sweep.truth or recipe.measure for recipe in recipes}
    if isinstance(target, ClassificationTarget) and target.subset is None and measures == {"accuracy"}:
        return float(target.sizes.test)
    return np.nan


def _measure(plan: Plan, batch: Batch) -> str:
    """The measure of truths that ranks: what the sweep says, else what their recipe calls the primary one."""
    return plan.sweep.truth or plan.options.recipe[plan.options.target[batch.target].task, batch.recipe].measure


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _is_random(source: Source) -> bool:
    return all(isinstance(part.weights, RandomWeights) for part in source.parts)

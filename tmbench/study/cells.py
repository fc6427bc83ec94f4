"""From records to cells: the arrays that the statistics work on, with each gap named for what it is."""

from dataclasses import dataclass

import numpy as np

from tmbench.engine.records import Records
from tmbench.engine.units import Unit
from tmbench.sources.options import Source
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells
from tmbench.study.plan import Plan


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
    recipes, levels = plan.sweep.recipe, plan.sweep.level
    queries, candidates = tuple(plan.options.target), tuple(plan.options.source)
    metrics = tuple(plan.metrics)
    truth = np.full((len(recipes), len(queries), len(candidates), len(plan.sweep.seed)), np.nan)
    scores = np.full((len(levels), len(metrics), len(queries), len(candidates)), np.nan)
    state = np.full(scores.shape, INAPPLICABLE, dtype=np.int8)
    for unit in plan.units:
        if unit.stage == "truth":
            place = (recipes.index(unit.recipe), *_cell(unit, queries, candidates), plan.sweep.seed.index(unit.seed))
            truth[place] = _number(records.value(unit.id, _measure(plan, unit)))
        for score in unit.scores:
            at = (levels.index(score.level), metrics.index(score.metric), *_cell(unit, queries, candidates))
            scores[at] = _number(records.value(score.id))
            state[at] = MISSING if np.isnan(scores[at]) else OK
    sources = list(plan.options.source.values())
    cells = Cells(
        scenario=plan.sweep.name,
        direction=plan.sweep.scenario,
        recipes=recipes,
        levels=levels,
        queries=queries,
        candidates=candidates,
        metrics=metrics,
        kinds=tuple(metric.kind for metric in plan.metrics.values()),
        truth=truth,
        scores=scores,
        state=state,
        families=tuple(source.family for source in sources),
        random_start=np.array([_is_random(source) for source in sources]),
    )
    missing_truths = sum(1 for u in plan.units if u.stage == "truth" and records.value(u.id, _measure(plan, u)) is None)
    in_cells = len(plan.cells) * len(levels) * len(metrics)
    gaps = Gaps(missing_truths, int((state == MISSING).sum()), in_cells - int((state != INAPPLICABLE).sum()))
    return cells, gaps


def _cell(unit: Unit, queries: tuple[str, ...], candidates: tuple[str, ...]) -> tuple[int, int]:
    return queries.index(unit.target), candidates.index(unit.source)


def _measure(plan: Plan, unit: Unit) -> str:
    """The measure of a truth that its recipe calls the primary one."""
    return plan.options.recipe[plan.options.target[unit.target].task, unit.recipe].measure


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _is_random(source: Source) -> bool:
    return source.pretrained_on is None

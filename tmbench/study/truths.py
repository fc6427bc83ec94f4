"""From records to the table of truths: what was recorded of each fine-tuning, with what the options say of it."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from tmbench.engine.batches import Batch
from tmbench.engine.records import Records
from tmbench.functions import portable
from tmbench.identity import canonical
from tmbench.sources.recipe import Recipe
from tmbench.stats.truths import Runs
from tmbench.study.plan import Plan
from tmbench.targets.options import Split

BESIDE: dict[str, tuple[str, ...]] = {"detection": ("box_ap", "mask_ap")}
"""The measures of a task that stand in the table wherever they were recorded, beside the recipe's own."""

OF_EPOCHS = frozenset({"epochs", "warm_up", "curve_every"})
"""What schedules of one protocol may differ in: a warm-up of so many epochs is another share of another schedule, and
a longer one is looked at less often."""


def runs_of(plan: Plan, records: Records) -> list[Runs]:
    """The truths of the plan by every measure of the table, the recipe's own first; NaN where none is recorded."""
    sizes = _sizes(plan, records)
    return [
        runs
        for batch in plan.units.batches
        if batch.stage == "truth" and batch.recipe in plan.sweep.recipe
        for runs in _of_batch(plan, batch, records, sizes)
    ]


def _of_batch(plan: Plan, batch: Batch, records: Records, sizes: dict[str, float]) -> Iterator[Runs]:
    source, task = plan.options.source[batch.source], plan.options.target[batch.target].task
    recipe = plan.options.recipe[task, batch.recipe]
    for measure in dict.fromkeys((recipe.measure, *BESIDE.get(task, ()))):
        found = [records.value(id, measure) for id in batch.ids]
        if measure != recipe.measure and all(value is None for value in found):
            continue
        yield Runs(
            target=batch.target,
            recipe=batch.recipe,
            source=batch.source,
            initialisation=source.initialised_by,
            family=source.family,
            size=sizes.get(batch.source, np.nan),
            schedule=float(getattr(recipe, "epochs", np.nan)),
            protocol=_protocol(recipe),
            measure=measure,
            values=np.array([np.nan if value is None else value for value in found], dtype=np.float64),
        )


def dropped_rows(plan: Plan, records: Records) -> list[dict[str, Any]]:
    """What the truths of each detection target left out as broken, by split; of one truth, for it is the same for all.

    The last truth of a target that is done tells: an option's data may have been mended meanwhile.
    """
    finished = {
        batch.target: id
        for batch in plan.units.batches
        if batch.stage == "truth" and plan.options.target[batch.target].task == "detection"
        for id in batch.ids
        if id in records.done
    }
    told = {target: records.details(id).get("problems", {}) for target, id in finished.items()}
    return [
        {"target": target, "split": split, "problem": problem}
        for target, problems in told.items()
        for split in get_args(Split)
        for problem in problems.get(split, ())
    ]


def _protocol(recipe: Recipe) -> str:
    """The same text for recipes that differ in their epochs alone."""
    return canonical(portable({name: value for name, value in recipe.key().items() if name not in OF_EPOCHS}))


def _sizes(plan: Plan, records: Records) -> dict[str, float]:
    """The number of parameters of each source: as a pass has counted it, else as its option says it."""
    sizes = {name: float(source.size) for name, source in plan.options.source.items() if source.size}
    counted: set[str] = set()
    for batch in plan.units.batches:
        if batch.stage == "features" and batch.source not in counted and batch.ids[0] in records.done:
            size = records.details(batch.ids[0]).get("size")
            if size is not None:
                sizes[batch.source] = float(size)
                counted.add(batch.source)
    return sizes

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

BESIDE: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "accuracy_over_chance"),
    "detection": ("box_ap", "mask_ap"),
    "regression": ("negative_mse", "negative_mse_over_variance", "pck"),
    "segmentation": ("miou", "pixel_accuracy"),
}
"""The measures of a task that stand in the table wherever they were recorded, beside the one that ranks."""

BROKEN, HIDDEN = "broken", "hidden"
"""Why something of a target was left out: it cannot be used, or does not show what is predicted."""

OF_EPOCHS = frozenset({"epochs", "warm_up", "curve_every"})
"""What schedules of one protocol may differ in: a warm-up of so many epochs is another share of another schedule, and
a longer one is looked at less often."""


def runs_of(plan: Plan, records: Records) -> list[Runs]:
    """The truths of the plan by every measure of the table, the one that ranks first; NaN where none is recorded."""
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
    ranks = plan.sweep.truth or recipe.measure
    for measure in dict.fromkeys((ranks, recipe.measure, *BESIDE.get(task, ()))):
        found = [records.value(id, measure) for id in batch.ids]
        if measure != ranks and all(value is None for value in found):
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


def output_rows(plan: Plan, records: Records) -> list[dict[str, Any]]:
    """The truths by class or output, where a measure was recorded for each (``iou/CLASS``): mean, deviation, seeds.

    Of a class that a run has no value of (no test image shows it), the other runs tell.
    """
    found = []
    for batch in plan.units.batches:
        if batch.stage != "truth" or batch.recipe not in plan.sweep.recipe:
            continue
        values: dict[tuple[str, str], list[float]] = {}
        for id in batch.ids:
            for row in records.results.get(id, ()):
                measure, _, output = str(row["measure"]).partition("/")
                if output and row["value"] is not None and not np.isnan(row["value"]):
                    values.setdefault((measure, output), []).append(float(row["value"]))
        for (measure, output), runs in values.items():
            deviation = float(np.std(runs, ddof=1)) if len(runs) > 1 else np.nan
            head = {"target": batch.target, "recipe": batch.recipe, "source": batch.source, "measure": measure}
            found.append({**head, "output": output, "mean": float(np.mean(runs)), "sd": deviation, "seeds": len(runs)})
    return found


def dropped_rows(plan: Plan, records: Records) -> list[dict[str, Any]]:
    """What the truths of each target left out, by split: what is broken, and images that do not show what is predicted.

    Of one truth, for it is the same for all; the last truth of a target that is done tells: an option's data may have
    been mended meanwhile. Images are counted where the truth gives their number alone.
    """
    finished = {
        batch.target: id
        for batch in plan.units.batches
        if batch.stage == "truth"
        for id in batch.ids
        if id in records.done
    }
    return [
        {"target": target, "split": split, "reason": reason, "count": count, "problem": problem}
        for target, id in finished.items()
        for split in get_args(Split)
        for reason, count, problem in _left_out(records.details(id), split)
    ]


def _left_out(details: dict[str, Any], split: str) -> Iterator[tuple[str, int, str]]:
    """The reason, how many, and what is said of them."""
    for problem in _of_split(details, "problems", split) or ():
        yield BROKEN, 1, str(problem)
    if hidden := _of_split(details, "hidden", split):
        yield HIDDEN, int(hidden), "a point that is predicted is hidden"


def _of_split(details: dict[str, Any], name: str, split: str) -> Any:
    """What ``details`` say of a split; nothing where the truths of a task do not tell."""
    told = details.get(name)
    return told.get(split) if isinstance(told, dict) else None


def _protocol(recipe: Recipe) -> str:
    """The same text for recipes that differ in their epochs alone."""
    return canonical(portable({name: value for name, value in recipe.key().items() if name not in OF_EPOCHS}))


def _sizes(plan: Plan, records: Records) -> dict[str, float]:
    """The number of parameters of each source: as a pass has counted it, else as its option says it.

    Nobody counts those of a network up to where it is cut.
    """
    whole = {name: source for name, source in plan.options.source.items() if not source.cut_at}
    sizes = {name: float(source.size) for name, source in whole.items() if source.size}
    counted: set[str] = set(plan.options.source) - set(whole)
    for batch in plan.units.batches:
        if batch.stage == "features" and batch.source not in counted and batch.ids[0] in records.done:
            size = records.details(batch.ids[0]).get("size")
            if size is not None:
                sizes[batch.source] = float(size)
                counted.add(batch.source)
    return sizes

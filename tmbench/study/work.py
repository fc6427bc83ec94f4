"""The work of a study: the units that give its cells their truths and scores."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tmbench.engine.batches import Batch
from tmbench.engine.records import Records
from tmbench.engine.units import VERSIONS
from tmbench.functions import portable
from tmbench.identity import OpenKey
from tmbench.sources.recipe import Recipe
from tmbench.study.passes import passes
from tmbench.study.shares import SourceParts, TargetParts, included
from tmbench.study.tuned import tuned_truths
from tmbench.study.tuning import Setting, Stage, applied

if TYPE_CHECKING:
    from tmbench.study.plan import Plan


def batches(plan: "Plan", records: Records) -> Iterator[Batch]:
    """All work of the plan's cells, pretraining first; of a sweep that tunes, as far as ``records`` have come."""
    truths = truth_work(plan)
    made: set[str] = set()
    for source in truths.sources.values():
        for batch in source.pretraining():
            if batch.ids[0] not in made:  # which sources that are cut or joined may share
                made.add(batch.ids[0])
                yield batch
    if plan.sweep.metric:
        yield from passes(plan, truths.sources, truths.targets)
    if plan.sweep.tuning:
        yield from tuned_truths(plan, records, truths)
        return
    for cell in plan.cells:
        yield from truths.final(*cell, {})


class TruthWork:
    """Fine-tunings: one unit for each cell, recipe and seed."""

    def __init__(self, plan: "Plan", sources: Mapping[str, SourceParts], targets: Mapping[str, TargetParts]) -> None:
        """Make those of ``plan``, with the parts that the units of its sources and targets share."""
        self._plan, self.sources, self.targets = plan, sources, targets
        self._levels = plan.sweep.level or ("",)
        recipes = plan.options.recipe.items()
        self._recipes = {place: (portable(r.key()), r.model_dump(mode="json")) for place, r in recipes}

    def final(self, source: str, target: str, chosen: Setting) -> Iterator[Batch]:
        """The truths of a cell by the sweep's recipes, with the values that a tuning has ``chosen``."""
        plan = self._plan
        for name in plan.sweep.recipe:
            if not any(included(plan, source, target, name, level) for level in self._levels):
                continue
            place = self.targets[target].target.task, name
            recipe = applied(plan.options.recipe[place], chosen) if chosen else plan.options.recipe[place]
            parts = None if chosen else self._recipes[place]
            yield self._batch(source, target, name, recipe, plan.sweep.seed, f"recipe={name}", parts)

    def tuning(self, source: str, target: str, stage: Stage, recipe: Recipe, point: Setting) -> Batch:
        """One point of a stage's grid, with the sweep's first seed."""
        said = " ".join(f"{axis}={value:g}" for axis, value in point.items())
        name = f"{stage.recipe} ({stage.name})"
        return self._batch(source, target, name, recipe, self._plan.sweep.seed[:1], f"recipe={name} {said}")

    def _batch(
        self,
        source_name: str,
        target_name: str,
        name: str,
        recipe: Recipe,
        seeds: tuple[int, ...],
        said: str,
        parts: tuple[Any, dict[str, Any]] | None = None,
    ) -> Batch:
        """``parts`` are the recipe's key and config, where they are made already."""
        source, target = self.sources[source_name], self.targets[target_name]
        recipe_key, recipe_config = parts or (portable(recipe.key()), recipe.model_dump(mode="json"))
        key = {
            "stage": "truth",
            "version": VERSIONS["truth"],
            "source": source.key,
            "target": target.key,
            "recipe": recipe_key,
        }
        return Batch(
            "truth",
            f"{source.name} → {target.name}  {said}",
            key,
            {"source": source.config, "target": target.config, "recipe": recipe_config},
            tuple(map(OpenKey(key, "seed").id, [str(seed) for seed in seeds])),
            source.name,
            target.name,
            name,
            minutes=recipe.minutes,
            resources=source.source.resources | recipe.resources,
            after=source.after,
            seeds=seeds,
        )


def truth_work(plan: "Plan") -> TruthWork:
    """The fine-tunings of a plan."""
    cells = plan.scored_cells
    sources = {name: SourceParts(name, plan.options.source[name]) for name, _ in cells}
    targets = {name: TargetParts(name, plan.options.target[name]) for _, name in cells}
    return TruthWork(plan, sources, targets)

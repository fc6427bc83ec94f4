"""The work of a study: the units that give its cells their truths and scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tmbench.engine.batches import Batch, Owed
from tmbench.engine.passes import is_own, more_read
from tmbench.engine.records import Records
from tmbench.engine.units import VERSIONS, key_id, pretrain_key
from tmbench.functions import portable
from tmbench.identity import OpenKey
from tmbench.metrics.registry import READS
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.recipe import Recipe
from tmbench.study.tuned import tuned_truths
from tmbench.study.tuning import Setting, Stage, applied
from tmbench.targets.options import Target

if TYPE_CHECKING:
    from tmbench.study.plan import Plan


def batches(plan: "Plan", records: Records) -> Iterator[Batch]:
    """All work of the plan's cells, pretraining first; of a sweep that tunes, as far as ``records`` have come."""
    sources = {name: _SourceParts(name, plan.options.source[name]) for name, _ in plan.cells}
    targets = {name: _TargetParts(name, plan.options.target[name]) for _, name in plan.cells}
    for source in sources.values():
        yield from source.pretraining()
    cells = [(sources[source], targets[target]) for source, target in plan.cells]
    if plan.sweep.metric:
        yield from _passes(plan, cells)
    truths = TruthWork(plan, sources, targets)
    if plan.sweep.tuning:
        yield from tuned_truths(plan, records, truths)
        return
    for cell in plan.cells:
        yield from truths.final(*cell, {})


class _SourceParts:
    """What every unit of a source shares: each part is made once, whatever the number of units."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.source = source
        self.config = source.model_dump(mode="json")
        plain = source.key()
        key: dict[str, Any] = pretrain_key(plain)
        self._pretrain_key = key
        self.after = key_id(key) if source.pretrained_on is not None else ""
        # With the id of its pretraining: weights of another version of that are another source.
        self.key = portable({**plain, "pretraining": self.after})

    def pretraining(self) -> Iterator[Batch]:
        """The unit that trains its weights, where the study trains them itself."""
        source = self.source
        if isinstance(source.weights, Pretraining):
            yield Batch(
                "pretrain",
                self.name,
                self._pretrain_key,
                {"source": self.config},
                (self.after,),
                self.name,
                minutes=source.minutes,
                resources=source.resources | source.weights.recipe.resources,
            )


class _TargetParts:
    """The same of a target."""

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self.target = target
        self.config = target.model_dump(mode="json")
        self.key = portable(target.key())


Cells = Sequence[tuple[_SourceParts, _TargetParts]]


def _passes(plan: "Plan", cells: Cells) -> Iterator[Batch]:
    """One unit for each cell: a forward pass, with the scores that are made from it."""
    scores = _Scores(plan)
    for source, target in cells:
        key = {"stage": "features", "version": VERSIONS["features"], "source": source.key, "target": target.key}
        id = key_id(key)
        owed = scores.owed(source.name, target.name)
        yield Batch(
            "features",
            f"{source.name} → {target.name}",
            key,
            {"source": source.config, "target": target.config, "layers": owed.layers, "own_layers": owed.own_layers},
            (id,),
            source.name,
            target.name,
            minutes=0.02,
            resources=source.source.resources,
            after=source.after,
            owed=owed.scores,
            scores=(tuple([score.open_key.id(f'"{id}"') for score in owed.scores]),),
        )


class TruthWork:
    """Fine-tunings: one unit for each cell, recipe and seed."""

    def __init__(self, plan: "Plan", sources: Mapping[str, _SourceParts], targets: Mapping[str, _TargetParts]) -> None:
        """Make those of ``plan``, with the parts that its sources and targets share."""
        self._plan, self._sources, self._targets = plan, sources, targets
        self._levels = plan.sweep.level or ("",)
        recipes = plan.options.recipe.items()
        self._recipes = {place: (portable(r.key()), r.model_dump(mode="json")) for place, r in recipes}

    def final(self, source: str, target: str, chosen: Setting) -> Iterator[Batch]:
        """The truths of a cell by the sweep's recipes, with the values that a tuning has ``chosen``."""
        plan = self._plan
        for name in plan.sweep.recipe:
            if not any(_included(plan, source, target, name, level) for level in self._levels):
                continue
            place = self._targets[target].target.task, name
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
        source, target = self._sources[source_name], self._targets[target_name]
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
    sources = {name: _SourceParts(name, plan.options.source[name]) for name, _ in plan.cells}
    targets = {name: _TargetParts(name, plan.options.target[name]) for _, name in plan.cells}
    return TruthWork(plan, sources, targets)


@dataclass(frozen=True)
class _OwedByPass:
    """The scores that a pass owes, and what the pass has to keep for them."""

    scores: tuple[Owed, ...]
    layers: dict[str, str]
    """What of the features is kept at each layer, of ``registry.READS``: all, or what these scores read."""

    @cached_property
    def own_layers(self) -> list[str]:
        """The layers at which the source's own data are read."""
        return sorted({score.config["layer"] for score in self.scores if any(map(is_own, score.config["facts"]))})


class _Scores:
    """The scores that passes owe: passes of which the same metrics apply at the same levels share them."""

    def __init__(self, plan: "Plan") -> None:
        self._plan = plan
        self._every = {(v, m): _owed(plan, v, m) for v in plan.options.level for m in plan.options.metric}
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], _OwedByPass] = {}

    def owed(self, source: str, target: str) -> _OwedByPass:
        """What the pass of a cell owes."""
        plan = self._plan
        levels = tuple(
            level
            for level in plan.options.level
            if any(_included(plan, source, target, recipe, level) for recipe in plan.sweep.recipe)
        )
        metrics = tuple(metric for metric in plan.options.metric if (source, metric) not in plan.inapplicable)
        if (levels, metrics) not in self._known:
            scores = tuple(self._every[level, metric] for level in levels for metric in metrics)
            self._known[levels, metrics] = _OwedByPass(scores, _kept(plan, scores))
        return self._known[levels, metrics]


def _owed(plan: "Plan", level_name: str, metric_name: str) -> Owed:
    """The score of a metric at a level."""
    level, option, metric = plan.options.level[level_name], plan.options.metric[metric_name], plan.metrics[metric_name]
    facts = metric.facts_of(option.parameters)
    key: dict[str, Any] = {"metric": metric.key(option.parameters)}
    config = {
        "function": option.function,
        "parameters": dict(option.parameters),
        "layer": "",
        "rows": "object",
        "reads": metric.reads_of(option.parameters),
        "facts": sorted(facts),
    }
    # What reads no features does not depend on where they are read.
    if "features" in metric.needs_of(option.parameters) or any(map(is_own, facts)):
        key["level"] = level.key()
        config["layer"] = level.place
        config["rows"] = level.rows
    return Owed(level_name, metric_name, portable(key), config)


def _kept(plan: "Plan", scores: Sequence[Owed]) -> dict[str, str]:
    asked = READS[0] if plan.options.store.features == "moments" else READS[-1]
    kept = {level.place: asked for level in sorted(plan.options.level.values(), key=lambda level: level.place)}
    for score in scores:
        if layer := score.config["layer"]:
            kept[layer] = more_read(kept[layer], score.config["reads"])
    return kept


def _included(plan: "Plan", source: str, target: str, recipe: str, level: str) -> bool:
    """Whether the sweep's ``exclude`` rules leave this combination; what none needs is not computed."""
    scenario = plan.sweep.name
    return not plan.sweep.excludes(scenario=scenario, source=source, target=target, recipe=recipe, level=level)

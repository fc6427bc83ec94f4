"""The work of a study: the units that give its cells their truths and scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tmbench.engine.passes import is_own, more_read, reads_own_data
from tmbench.engine.units import Score, Unit, key_id, pretrain_key, unit_key
from tmbench.metrics.registry import READS
from tmbench.sources.options import Pretraining, Source
from tmbench.study.compose import Options

if TYPE_CHECKING:
    from tmbench.study.plan import Plan


def pretrain_units(options: Options, cells: Sequence[tuple[str, str]]) -> list[Unit]:
    """One unit for each source that the study trains itself."""
    units = []
    for name in dict.fromkeys(source for source, _ in cells):
        source = options.source[name]
        if isinstance(source.weights, Pretraining):
            key = pretrain_key(source.key())
            id = key_id(key)
            config = {"source": source.model_dump(mode="json")}
            needs = source.resources | source.weights.recipe.resources
            units.append(Unit(id, "pretrain", name, key, config, name, minutes=source.minutes, resources=needs))
    return units


def _after(source: Source) -> str:
    return key_id(pretrain_key(source.key())) if source.pretrained_on is not None else ""


def _trained(source: Source) -> dict[str, Any]:
    """The source's key with the id of its pretraining: weights of another version of that are another source."""
    return {**source.key(), "pretraining": _after(source)}


def features_units(plan: "Plan") -> list[Unit]:
    """One unit for each cell: a forward pass, with the scores that are made from it."""
    units = []
    for source_name, target_name in plan.cells:
        source, target = plan.options.source[source_name], plan.options.target[target_name]
        key = unit_key("features", source=_trained(source), target=target.key())
        id = key_id(key)
        name = f"{source_name} → {target_name}"
        scores = _scores(plan, id, name, source_name, target_name)
        units.append(
            Unit(
                id,
                "features",
                name,
                key,
                {
                    "source": source.model_dump(mode="json"),
                    "target": target.model_dump(mode="json"),
                    "layers": _kept(plan, scores),
                    "own_layers": sorted({score.config["layer"] for score in scores if reads_own_data(score)}),
                },
                source_name,
                target_name,
                minutes=0.02,
                resources=source.resources,
                after=_after(source),
                scores=tuple(scores),
            )
        )
    return units


def _kept(plan: "Plan", scores: Sequence[Score]) -> dict[str, str]:
    """What of the features is kept at each layer, of ``registry.READS``: all, or what these scores read."""
    asked = READS[0] if plan.options.store.features == "moments" else READS[-1]
    kept = {level.layer: asked for level in sorted(plan.options.level.values(), key=lambda level: level.layer)}
    for score in scores:
        if layer := score.config["layer"]:
            kept[layer] = more_read(kept[layer], score.config["reads"])
    return kept


def _scores(plan: "Plan", features: str, name: str, source: str, target: str) -> list[Score]:
    scores = []
    for level_name, level in plan.options.level.items():
        if not any(_included(plan, source, target, recipe, level_name) for recipe in plan.sweep.recipe):
            continue
        for metric_name, option in plan.options.metric.items():
            if (source, metric_name) in plan.inapplicable:
                continue
            metric = plan.metrics[metric_name]
            facts = metric.facts_of(option.parameters)
            parts: dict[str, Any] = {"features": features, "metric": metric.key(option.parameters)}
            config = {
                "function": option.function,
                "parameters": dict(option.parameters),
                "layer": "",
                "reads": metric.reads_of(option.parameters),
                "facts": sorted(facts),
            }
            # What reads no features does not depend on where they are read.
            if "features" in metric.needs_of(option.parameters) or any(map(is_own, facts)):
                parts["level"] = level.key()
                config["layer"] = level.layer
            key = unit_key("score", **parts)
            full = f"{name}  {metric_name} at {level_name}"
            scores.append(Score(key_id(key), full, level_name, metric_name, key, config))
    return scores


def truth_units(plan: "Plan") -> list[Unit]:
    """One unit for each cell, recipe and seed: a fine-tuning."""
    units = []
    for source_name, target_name in plan.cells:
        source, target = plan.options.source[source_name], plan.options.target[target_name]
        for recipe_name in plan.sweep.recipe:
            if not any(_included(plan, source_name, target_name, recipe_name, level) for level in plan.sweep.level):
                continue
            recipe = plan.options.recipe[target.task, recipe_name]
            for seed in plan.sweep.seed:
                key = unit_key("truth", source=_trained(source), target=target.key(), recipe=recipe.key(), seed=seed)
                units.append(
                    Unit(
                        key_id(key),
                        "truth",
                        f"{source_name} → {target_name}  recipe={recipe_name} seed={seed}",
                        key,
                        {
                            "source": source.model_dump(mode="json"),
                            "target": target.model_dump(mode="json"),
                            "recipe": recipe.model_dump(mode="json"),
                            "seed": seed,
                        },
                        source_name,
                        target_name,
                        recipe_name,
                        seed,
                        minutes=recipe.minutes,
                        resources=source.resources | recipe.resources,
                        after=_after(source),
                    )
                )
    return units


def _included(plan: "Plan", source: str, target: str, recipe: str, level: str) -> bool:
    """Whether the sweep's ``exclude`` rules leave this combination; what none needs is not computed."""
    scenario = plan.sweep.name
    return not plan.sweep.excludes(scenario=scenario, source=source, target=target, recipe=recipe, level=level)

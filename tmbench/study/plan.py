"""The plan: from a sweep's options to cells, setups and units, with everything refused that cannot work.

Knows no torch: what a metric needs is declared, so that a metric that does not fit is refused here and not on a node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmbench.engine.units import Score, Unit, key_id, pretrain_key, unit_key
from tmbench.errors import ConfigError, NothingMatched, unknown
from tmbench.functions import check_parameters, find_function, portable
from tmbench.identity import canonical
from tmbench.metrics.registry import Metric, metric_of
from tmbench.sources.options import Source
from tmbench.study.compose import Options
from tmbench.study.pools import pool_size
from tmbench.study.setups import Setups
from tmbench.study.sweep import Sweep
from tmbench.targets.options import Target


@dataclass(frozen=True)
class Plan:
    """A study, resolved.

    Attributes:
        sweep: what was asked for.
        options: the resolved options.
        metrics: what each metric declares, by option name.
        cells: the (source, target) pairs of the study.
        units: all work, ``pretrain`` first.
        setups: the lazy table of setups.
        inapplicable: (source, metric) pairs for which the source has not what the metric needs.
        own: the (source, target) pairs left out because the source was pretrained on that very target.
    """

    sweep: Sweep
    options: Options
    metrics: dict[str, Metric]
    cells: tuple[tuple[str, str], ...]
    units: tuple[Unit, ...]
    setups: Setups
    inapplicable: frozenset[tuple[str, str]]
    own: tuple[tuple[str, str], ...]

    @property
    def compared(self) -> list[str]:
        """The metrics that compete; baselines stand beside them."""
        return [name for name, metric in self.metrics.items() if metric.kind == "metric"]

    @property
    def why_no_setups(self) -> str:
        """What to change when no pool has two candidates that all compared metrics can score."""
        most = max(len(positions) for positions in common_candidates(self).values())
        rules = ", ".join(self.options.pool)
        return (
            f"at most {most} candidates of a target can be scored by all compared metrics, and pool={rules} forms no "
            "pool of two or more from them. Add sources, leave out a metric, or say pool=all."
        )

    def estimated(self, minutes: Mapping[str, float]) -> "Plan":
        """This plan with better estimates of the units' cost."""
        return replace(
            self, units=tuple(replace(unit, minutes=minutes.get(unit.id, unit.minutes)) for unit in self.units)
        )


def build(sweep: Sweep, options: Options) -> Plan:
    """Resolve a sweep.

    Raises:
        ConfigError: for a metric that does not fit a target's task, a recipe that a task does not have.
        NothingMatched: when no cell is left.
    """
    _check_parameters(options)
    metrics = {name: _declared(options, name) for name in options.metric}
    _check_tasks(options, metrics)
    _check_twins(options, metrics)
    own = tuple(
        (s, t)
        for s, source in options.source.items()
        for t, target in options.target.items()
        if _is_own(source, target)
    )
    cells = tuple(
        (s, t)
        for t in options.target
        for s in options.source
        if (s, t) not in own and not sweep.excludes(source=s, target=t)
    )
    if not cells:
        raise NothingMatched(f"sweep {sweep.name}: no (source, target) pair is left after its 'exclude' rules.")
    inapplicable = frozenset(
        (s, m) for s, source in options.source.items() for m, metric in metrics.items() if not _fits(metric, source)
    )
    plan = Plan(sweep, options, metrics, cells, (), _no_setups(sweep), inapplicable, own)
    units = (*_pretrain_units(options, cells), *_features_units(plan), *_truth_units(plan))
    return replace(plan, units=units, setups=_setups(plan))


def _check_parameters(options: Options) -> None:
    """Refuse parameters that a target's or an architecture's function does not have."""
    for name, target in options.target.items():
        check_parameters(target.function, target.parameters, 3, str(options.files["target", name]))
    for name, source in options.source.items():
        where = str(options.files["source", name])
        check_parameters(source.architecture.function, source.architecture.parameters, 2, where)
        if source.pretrained_on is not None:
            check_parameters(source.pretrained_on.function, source.pretrained_on.parameters, 3, where)


def _declared(options: Options, name: str) -> Metric:
    """What a metric declares, its parameters checked."""
    option = options.metric[name]
    try:
        metric = metric_of(find_function(option.function))
        metric.bind(option.parameters)
    except ConfigError as error:
        raise ConfigError(f"{options.files['metric', name]}: {error}") from error
    return metric


def _check_tasks(options: Options, metrics: Mapping[str, Metric]) -> None:
    from tmbench.metrics import names

    for target_name, target in options.target.items():
        for name, metric in metrics.items():
            if target.task not in metric.tasks:
                raise ConfigError(
                    f"metric '{name}' serves {' and '.join(metric.tasks)}, but target '{target_name}' is a "
                    f"{target.task} data set. Metrics for {target.task}: {', '.join(names(target.task)) or 'none'}."
                )
        for recipe in {name for _, name in options.recipe}:
            if (target.task, recipe) not in options.recipe:
                known = [name for task, name in options.recipe if task == target.task]
                raise unknown(f"recipe for {target.task}", recipe, known, where=f"target {target_name}")


def _check_twins(options: Options, metrics: Mapping[str, Metric]) -> None:
    """Refuse two names for one thing: they would be counted as two candidates, queries or voters."""
    keys: dict[str, dict[str, Any]] = {
        "source": {name: source.key() for name, source in options.source.items()},
        "target": {name: target.key() for name, target in options.target.items()},
        "metric": {name: metrics[name].key(option.parameters) for name, option in options.metric.items()},
        "level": {name: level.key() for name, level in options.level.items()},
        "measure": {name: measure.function for name, measure in options.measure.items()},
    }
    for task in {task for task, _ in options.recipe}:
        of_task = {name: recipe.key() for (of, name), recipe in options.recipe.items() if of == task}
        keys[f"{task} recipe"] = of_task
    for group, named in keys.items():
        first: dict[str, str] = {}
        for name, key in named.items():
            twin = first.setdefault(canonical(portable(key)), name)
            if twin != name:
                raise ConfigError(f"{group} '{name}' is the same as {group} '{twin}'. Leave one of them out.")


def _is_own(source: Source, target: Target) -> bool:
    """Whether the source was pretrained on the target itself; another size of the same set is still that set."""
    own = source.pretrained_on
    return own is not None and _data_set(own) == _data_set(target)


def _data_set(target: Target) -> str:
    return canonical(portable([target.function, target.parameters, target.seed, target.version]))


def _fits(metric: Metric, source: Source) -> bool:
    """Whether a pass of ``source`` can offer all that ``metric`` reads: a random start has no head and no accuracy."""
    needs_head = "posteriors" in metric.needs or "accuracy" in metric.facts
    return source.has_head or not needs_head


def _pretrain_units(options: Options, cells: Sequence[tuple[str, str]]) -> list[Unit]:
    """One unit for each source that the study trains itself."""
    units = []
    for name in dict.fromkeys(source for source, _ in cells):
        source = options.source[name]
        if source.pretrained_on is not None:
            key = pretrain_key(source.key())
            id = key_id(key)
            config = {"source": source.model_dump(mode="json")}
            units.append(Unit(id, "pretrain", name, key, config, name, minutes=source.minutes))
    return units


def _after(source: Source) -> str:
    return key_id(pretrain_key(source.key())) if source.pretrained_on is not None else ""


def _trained(source: Source) -> dict[str, Any]:
    """The source's key with the id of its pretraining: weights of another version of that are another source."""
    return {**source.key(), "pretraining": _after(source)}


def _features_units(plan: Plan) -> list[Unit]:
    units = []
    for source_name, target_name in plan.cells:
        source, target = plan.options.source[source_name], plan.options.target[target_name]
        key = unit_key("features", source=_trained(source), target=target.key())
        id = key_id(key)
        name = f"{source_name} → {target_name}"
        units.append(
            Unit(
                id,
                "features",
                name,
                key,
                {
                    "source": source.model_dump(mode="json"),
                    "target": target.model_dump(mode="json"),
                    "layers": sorted({level.layer for level in plan.options.level.values()}),
                },
                source_name,
                target_name,
                minutes=0.02,
                after=_after(source),
                scores=tuple(_scores(plan, id, name, source_name)),
            )
        )
    return units


def _scores(plan: Plan, features: str, name: str, source: str) -> list[Score]:
    scores = []
    for level_name, level in plan.options.level.items():
        for metric_name, option in plan.options.metric.items():
            if (source, metric_name) in plan.inapplicable:
                continue
            metric = plan.metrics[metric_name]
            parts: dict[str, Any] = {"features": features, "metric": metric.key(option.parameters)}
            config = {"function": option.function, "parameters": dict(option.parameters), "layer": ""}
            if "features" in metric.needs:  # what reads no features does not depend on where they are read
                parts["level"] = level.key()
                config["layer"] = level.layer
            key = unit_key("score", **parts)
            full = f"{name}  {metric_name} at {level_name}"
            scores.append(Score(key_id(key), full, level_name, metric_name, key, config))
    return scores


def _truth_units(plan: Plan) -> list[Unit]:
    units = []
    for source_name, target_name in plan.cells:
        source, target = plan.options.source[source_name], plan.options.target[target_name]
        for recipe_name in plan.sweep.recipe:
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
                        after=_after(source),
                    )
                )
    return units


def common_candidates(plan: Plan) -> dict[str, NDArray[np.int64]]:
    """Query → positions of the candidates that every competing metric can score.

    A metric that fits no source at all does not empty the comparison; it is reported as inapplicable throughout.
    """
    names = list(plan.options.source)
    fitting = [m for m in plan.compared if any((s, m) not in plan.inapplicable for s in names)]
    scored = {s for s in names if all((s, m) not in plan.inapplicable for m in fitting)}
    cells = set(plan.cells)
    return {
        query: np.array([i for i, s in enumerate(names) if s in scored and (s, query) in cells], dtype=np.int64)
        for query in plan.options.target
    }


def _check_pools(options: Options, candidates: Mapping[str, NDArray[np.int64]]) -> None:
    """Refuse two pool rules that form the same pools for a query: each setup counts once."""
    for query, positions in candidates.items():
        first: dict[int, str] = {}
        for name, rule in options.pool.items():
            size = pool_size(rule, len(positions))
            twin = first.setdefault(size, name)
            if size and twin != name:
                raise ConfigError(
                    f"pool '{name}' and pool '{twin}' are the same for target '{query}': {size} of its "
                    f"{len(positions)} candidates. Leave one of them out."
                )


def _setups(plan: Plan) -> Setups:
    candidates = common_candidates(plan)
    _check_pools(plan.options, candidates)
    return Setups(
        plan.sweep.recipe,
        plan.sweep.level,
        candidates,
        plan.options.pool,
        plan.sweep.measure,
        tuple(plan.options.source),
    )


def _no_setups(sweep: Sweep) -> Setups:
    return Setups((), (), {}, {}, sweep.measure, ())

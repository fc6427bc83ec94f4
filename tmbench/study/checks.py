"""What is refused before anything runs: parameters that no function has, metrics that no target can feed, twins.

Knows no torch: what a metric needs is declared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tmbench.errors import ConfigError, unknown
from tmbench.features.options import PREDICTION
from tmbench.functions import check_parameters, find_function, portable
from tmbench.identity import canonical
from tmbench.metrics.registry import Metric, metric_of, offered
from tmbench.sources.options import Source
from tmbench.study.compose import Options
from tmbench.study.sweep import Sweep
from tmbench.targets.options import RegressionTarget

OFFERED = {
    "classification": frozenset({"features", "labels", "posteriors", "source"}),
    "detection": frozenset({"features", "labels", "targets", "boxes", "image_sizes", "posteriors", "source"}),
    "segmentation": frozenset({"features", "labels", "posteriors", "source"}),
    "regression": frozenset({"features", "targets", "predictions", "source"}),
}
"""What the pass over a target of each task gives to metrics."""

READINGS = {
    "classification": frozenset({"global", "prediction"}),
    "detection": frozenset({"global", "local"}),
    "segmentation": frozenset({"pixel", "prediction"}),
    "regression": frozenset({"global", "prediction"}),
}
"""How features of a target of each task can be read."""

TRUTHS = {
    "classification": ("accuracy", "accuracy_over_chance"),
    "detection": ("box_ap", "mask_ap"),
    "segmentation": ("miou", "pixel_accuracy", "iou/CLASS"),
    "regression": ("negative_mse", "negative_mse_over_variance", "pck", "negative_mse/OUTPUT"),
}
"""The measures that truths of each task record, of which a sweep may choose one by ``truth``."""


def check_options(options: Options) -> None:
    """Refuse parameters that a target's or an architecture's function does not have."""
    for name, target in options.target.items():
        check_parameters(target.function, target.arguments, 3, str(options.files["target", name]))
    for name, source in options.source.items():
        where = str(options.files["source", name])
        check_parameters(source.architecture.function, source.architecture.parameters, 2, where)
        for data in (part.pretrained_on for part in source.parts):
            if data is None:
                continue
            check_parameters(data.function, data.arguments, 3, where)
            if "" not in data.members():
                raise ConfigError(
                    f"{where}: source '{name}' is pretrained on an option that stands for many targets. Say which: "
                    f"weights.target.{data.drawn_by}.number."
                )


def declared(options: Options, name: str) -> Metric:
    """What a metric declares, its parameters checked."""
    option = options.metric[name]
    try:
        metric = metric_of(find_function(option.function))
        # What a metric declares as functions of its parameters is looked at before anything runs.
        for says in (
            metric.bind, metric.needs_of, metric.facts_of, metric.reads_of, metric.with_one_class, metric.pool_rule,
        ):  # fmt: skip
            says(option.parameters)
    except ConfigError as error:
        raise ConfigError(f"{options.files['metric', name]}: {error}") from error
    return metric


def check_levels(options: Options, metrics: Mapping[str, Metric]) -> None:
    """Refuse a level that a target has not, and a metric that reads features as a level of the sweep does not."""
    for level_name, level in options.level.items():
        for target_name, target in options.target.items():
            if level.on(target.task).reading not in READINGS[target.task]:
                raise ConfigError(
                    f"level '{level_name}' is {level.reading}, and target '{target_name}' is a {target.task} data set, "
                    f"whose features are read {' or '.join(sorted(READINGS[target.task]))}. Leave one of them out."
                )
    readings = {
        (name, level.on(target.task).reading): target.task
        for name, level in options.level.items()
        for target in options.target.values()
    }
    for name, metric in metrics.items():
        for level_name, reading in readings:
            if "features" in metric.needs_of(options.metric[name].parameters) and not _reads(metric, reading):
                raise ConfigError(
                    f"metric '{name}' reads features that are {' or '.join(metric.levels)}, but level "
                    f"'{level_name}' is {reading}. Leave one of them out."
                )


def _reads(metric: Metric, reading: str) -> bool:
    """Whether a metric of features takes those of a reading: predictions of images are one vector an image as well."""
    return reading in metric.levels or (reading == PREDICTION and not {"global", "pixel"}.isdisjoint(metric.levels))


def check_tasks(options: Options, metrics: Mapping[str, Metric]) -> None:
    """Refuse metrics that a target's task does not suit, or whose input no pass gives; recipes that a task lacks."""
    for target_name, target in options.target.items():
        for name, metric in metrics.items():
            if target.task not in metric.tasks:
                raise ConfigError(
                    f"metric '{name}' serves {_listed(metric.tasks)}, but target '{target_name}' is a "
                    f"{target.task} data set. {_others(target.task)}"
                )
            if lacks := _never_given(metric, options.metric[name].parameters, target.task):
                raise ConfigError(
                    f"metric '{name}' needs {' and '.join(lacks)}, which a pass over target '{target_name}' "
                    f"({target.task}) does not give. {_others(target.task)}"
                )
        for recipe in {name for _, name in options.recipe}:
            if (target.task, recipe) not in options.recipe:
                known = options.recipes.get(target.task, ())
                raise unknown(f"recipe for {target.task}", recipe, known, where=f"target {target_name}")


def check_truth(sweep: Sweep, options: Options) -> None:
    """Refuse a measure of truths that a target's task does not record."""
    for name, target in options.target.items():
        known = TRUTHS[target.task]
        families = [one.partition("/")[0] + "/" for one in known if "/" in one]
        if isinstance(target, RegressionTarget):  # whose outputs have names beforehand
            outputs = [f"negative_mse/{output}" for output in target.output_names]
            known = (*(one for one in known if "/" not in one and (one != "pck" or target.points)), *outputs)
            families = []
        if sweep.truth and sweep.truth not in known and not sweep.truth.startswith(tuple(families)):
            raise unknown("measure of truths", sweep.truth, known, where=f"truth, target {name} ({target.task})")


def check_cuts(options: Options) -> None:
    """Refuse what networks that are cut or joined cannot do: be read inside, or be made a detector."""
    inside = [level for level, option in options.level.items() if option.layer != "penultimate"]
    detection = [target for target, option in options.target.items() if option.task == "detection"]
    for name in (name for name, source in options.source.items() if source.layer or source.beside):
        if detection:
            raise ConfigError(
                f"source '{name}' is a network that is cut or joined with another, and target '{detection[0]}' is a "
                "detection data set, whose detectors are built around whole networks. Leave one of them out."
            )
        if inside:
            raise ConfigError(
                f"source '{name}' is read at its end, and level '{inside[0]}' reads '{options.level[inside[0]].layer}' "
                "of whole networks. Leave one of them out."
            )


def check_detectors(options: Options, cells: Iterable[tuple[str, str]]) -> None:
    """Refuse sources that are detectors on targets of another task: they have no features but those of regions."""
    for source, target in cells:
        task, parts = options.target[target].task, options.source[source].parts
        published = any(part.start is not None and part.start.layout == "torchvision_detection" for part in parts)
        if task != "detection" and (published or options.source[source].detector is not None):
            raise ConfigError(
                f"source '{source}' is a detector, and target '{target}' is a {task} data set. Leave one of them out."
            )


def _listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


def _others(task: str) -> str:
    """The metrics to use in place of one that is refused."""
    from tmbench.metrics import find_metric, names

    served = [name for name in names(task) if not _never_given(find_metric(name), {}, task)]
    return f"Metrics for {task}: {', '.join(served) or 'none'}."


def _never_given(metric: Metric, parameters: Mapping[str, Any], task: str) -> list[str]:
    """What ``metric`` needs that no pass over a target of this task gives, whatever the source."""
    return [need.replace("|", " or ") for need in metric.needs_of(parameters) if not offered(need, OFFERED[task])]


def _keys(source: Source) -> Iterator[dict[str, Any]]:
    """The keys of the sources that one is made of."""
    return (portable(part.key()) for part in source.parts)


def check_twins(options: Options, metrics: Mapping[str, Metric]) -> None:
    """Refuse two names for one thing: they would be counted as two candidates, queries or voters.

    Two options that stand for many targets may have some in common: the targets of each are ranked apart.
    """
    tasks = sorted({target.task for target in options.target.values()})
    keys: dict[str, dict[str, Any]] = {
        # Joined in another order, features are the same.
        "source": {name: sorted(map(canonical, _keys(source))) for name, source in options.source.items()},
        "target": {
            name: [target.key_of_passes(), options.groups.get(name, "")] for name, target in options.target.items()
        },
        "metric": {name: metrics[name].key(option.parameters) for name, option in options.metric.items()},
        # As they are read: ``task`` is one of the others on targets of one task.
        "level": {name: [level.on(task).key() for task in tasks] for name, level in options.level.items()},
        "measure": {name: o.model_dump(mode="json", exclude={"title"}) for name, o in options.measure.items()},
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

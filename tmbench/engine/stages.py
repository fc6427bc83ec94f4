"""What each kind of unit does: the bridge from the engine to the vision part and the metrics.

Only workers import this module; it is the one place where torch comes in.
"""

import math
import traceback
from typing import Any

import numpy as np
import torch
from torch import nn

from tmbench.engine.artifacts import Artifact, CorruptArtifact, read_artifact, write_artifact
from tmbench.engine.passes import OWN, OWN_LABELS, ROWS, Content
from tmbench.engine.records import now, row
from tmbench.engine.samples import Samples
from tmbench.engine.units import Score, Unit
from tmbench.engine.workbench import Rows, Workbench, failure_row
from tmbench.errors import TmbenchError
from tmbench.features import extract, has_place, keep, read
from tmbench.features.extraction import has_layer
from tmbench.features.options import layer_of
from tmbench.functions import find_function
from tmbench.identity import Seeds, canonical
from tmbench.metrics import evaluate
from tmbench.metrics.registry import metric_of
from tmbench.sources import build
from tmbench.sources.network import parameter_count, weight_layers
from tmbench.sources.options import FileWeights, Source
from tmbench.sources.pretrain import pretrain
from tmbench.sources.recipes import recipe_of
from tmbench.sources.views import joined_weights
from tmbench.targets import LabelledImages, load
from tmbench.targets.options import target_of
from tmbench.truth import fine_tune

# One thread a worker: faster on shared cores, and sums come out in one order, hence results equal bit for bit.
torch.set_num_threads(1)
# On a GPU that is too much to ask; at least its convolutions shall not be picked by how fast they ran this time.
torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False

OWN_SAMPLES = 1000
"""At most so many of a source's own training images are read for the metrics that compare them with the target."""


def perform(unit: Unit, bench: Workbench) -> Rows:
    """Do a unit and return its records."""
    return {"pretrain": _pretrain, "features": _features, "truth": _truth}[unit.stage](unit, bench)


def _pretrain(unit: Unit, bench: Workbench) -> Rows:
    checkpoints = bench.checkpoints(unit)  # first, because it measures the time
    result = pretrain(Source.model_validate(unit.config["source"]), Seeds(unit.id), checkpoints)
    facts = {name: float(value) for name, value in result.measures.items()}
    # The records first: they refuse what is not finite, and weights in the store are there to be used.
    rows = [_done(unit, measure, value, result.details) for measure, value in facts.items()]
    write_artifact(bench.artifact("pretrain", unit.id), result.weights, facts)
    return rows


def _truth(unit: Unit, bench: Workbench) -> Rows:
    checkpoints = bench.checkpoints(unit)  # first, because it measures the time
    source, weights, _ = _source(unit, bench)
    target = target_of(unit.config["target"])
    recipe = recipe_of(unit.config["recipe"])
    result = fine_tune(source, weights, target, recipe, Seeds(unit.id), checkpoints)
    return [_done(unit, measure, value, result.details) for measure, value in result.measures.items()]


def _features(unit: Unit, bench: Workbench) -> Rows:
    stored = _stored_pass(unit, bench)
    owed = {score.id: score for score in unit.scores}  # two levels may ask for one score
    wanted = Content.read_by(owed.values()) if owed else Content.planned(unit)
    if stored is None or not Content.held_by(stored) >= wanted:
        stored = _pass(unit, bench, stored, wanted)
    kept = {f"kept at {layer}": reads for layer, reads in Content.held_by(stored).layers.items()}
    done = _done(unit, "", None, {"samples": len(stored.arrays["labels"]), **stored.facts, **kept})
    samples = Samples(unit, stored)  # which the metrics share, with all that one of them has computed
    by_place = sorted(owed.values(), key=lambda score: str(score.config["layer"]))
    return [done, *(_score(unit, score, samples, bench) for score in by_place)]


def _stored_pass(unit: Unit, bench: Workbench) -> Artifact | None:
    """The pass as stored, where it is there and whole."""
    try:
        return read_artifact(bench.artifact("features", unit.id))
    except (FileNotFoundError, CorruptArtifact):
        return None  # the pass is this unit's own to repeat


def _pass(unit: Unit, bench: Workbench, stored: Artifact | None, wanted: Content) -> Artifact:
    """Run the source over the target and store what was asked for, by this sweep or by an earlier one.

    What is stored already is made again only where a layer lacks something.
    """
    source, weights, facts = _source(unit, bench)
    target = target_of(unit.config["target"])
    network = _network(source, weights, target.task, bench)
    held = Content.held_by(stored)
    goal = held | Content.planned(unit) | wanted
    places = {place: goal.layers[place] for place in sorted(goal.layers) if has_place(network, target.task, place)}
    arrays = dict(stored.arrays) if stored else {}
    if not held.covers(places) or "labels" not in arrays:
        own = {name: array for name, array in arrays.items() if name.startswith("source/")}
        arrays = keep(network, source, target, read(target), places) | own
    if own_places := sorted(place for place in goal.own - held.own if has_layer(network, layer_of(place))):
        slot = f"{' '.join(unit.after)} {own_places}"  # the same for every target of the source
        arrays |= bench.once("own data", slot, lambda: _own_data(unit, source, network, own_places))
    known = {"size": parameter_count(network), "layers": weight_layers(network)}
    artifact = Artifact(arrays, {name: float(value) for name, value in known.items()} | facts)
    write_artifact(bench.artifact("features", unit.id), artifact.arrays, artifact.facts)
    return artifact


def _network(source: Source, weights: dict[str, np.ndarray] | None, task: str, bench: Workbench) -> nn.Module:
    """The source's network; one that reads a file is built once for all of its passes, which leave it as it was."""
    if not isinstance(source.weights, FileWeights) or source.beside:
        return build(source, weights, task)
    slot = f"{task} {source.model_dump_json()}"
    network: nn.Module = bench.once("network", slot, lambda: build(source, task=task))
    return network


def _own_data(unit: Unit, source: Source, network: nn.Module, places: list[str]) -> dict[str, np.ndarray]:
    """The features of some of the source's own training images, drawn at random, and their labels.

    They have no boxes: for a place that is read locally, each image is read as a whole at the same layer.
    """
    if not source.has_own_data or source.pretrained_on is None:
        return {}
    data = load(source.pretrained_on, "train")
    chosen = Seeds("".join(unit.after)).generator("own data").permutation(len(data))[:OWN_SAMPLES]
    arrays = extract(
        network, source, LabelledImages(data.images[chosen], data.labels[chosen], data.classes), map(layer_of, places)
    )
    return {f"{OWN}/{place}": arrays[f"{ROWS}/{layer_of(place)}"] for place in places} | {OWN_LABELS: arrays["labels"]}


def _source(unit: Unit, bench: Workbench) -> tuple[Source, dict[str, np.ndarray] | None, dict[str, float]]:
    """The unit's source, the weights it was pretrained to (None for others), and facts of its pretraining."""
    source = Source.model_validate(unit.config["source"])
    ids = iter(unit.after)
    trained = [_weights(unit, next(ids), bench) if part.pretrained_on is not None else None for part in source.parts]
    if source.beside:
        return source, joined_weights([None if one is None else one.arrays for one in trained]), {}
    if isinstance(source.weights, FileWeights):
        told = source.weights.accuracy
        return source, None, {} if told is None else {"accuracy": told}
    (stored,) = trained
    return (source, None, {}) if stored is None else (source, stored.arrays, stored.facts)


def _weights(unit: Unit, id: str, bench: Workbench) -> Artifact:
    """What the unit ``id`` has trained, read once for all that follow it."""

    def read_weights() -> Artifact:
        try:
            return read_artifact(bench.artifact("pretrain", id))
        except FileNotFoundError as error:  # an earlier unit found them damaged and set them aside
            raise CorruptArtifact(f"the weights of {unit.source} are gone; `run` makes them again.") from error

    found: Artifact = bench.once("weights", id, read_weights)
    return found


def _score(unit: Unit, score: Score, samples: Samples, bench: Workbench) -> dict[str, Any]:
    """One metric at one level; what goes wrong is this score's failure and no other's."""
    start = now()
    identity = {"id": score.id, "stage": "score", "name": score.name, "key": canonical(score.key)}
    try:
        metric = metric_of(find_function(score.config["function"]))
        result = evaluate(metric, samples.of(score.config), score.config["parameters"])
    except (Exception, SystemExit) as error:  # a user's code may call sys.exit
        log = bench.log(unit, f"{score.name}\n{traceback.format_exc()}")
        return failure_row(unit, error, log, **identity)
    return row(
        **identity,
        unit=unit.id,
        status="done",
        value=result.value,
        flags=list(result.flags),
        details=dict(result.parts),
        seconds=now() - start,
    )


class NotFiniteResult(TmbenchError):
    """A training came to NaN or infinity, which is a failure and never a result."""

    failure = "nan"


def _done(unit: Unit, measure: str, value: float | None, details: dict[str, Any]) -> dict[str, Any]:
    if value is not None and not math.isfinite(value):
        raise NotFiniteResult(f"{measure} is {value}.")
    return row(
        id=unit.id,
        unit=unit.id,
        stage=unit.stage,
        name=unit.name,
        status="done",
        measure=measure,
        value=value,
        details=details,
        key=canonical(unit.key),
    )

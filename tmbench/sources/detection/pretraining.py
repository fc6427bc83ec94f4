"""Pretraining a source as a detector: on a detection data set, by a detection recipe, from its start."""

from tmbench.identity import Seeds
from tmbench.sources import network
from tmbench.sources.checkpoints import Checkpoints
from tmbench.sources.detection.detector import detector
from tmbench.sources.detection.evaluation import detections, evaluated
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.detection.training import Judge, train
from tmbench.sources.network import load_weights
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.pretrain import Pretrained
from tmbench.targets.detection import load
from tmbench.targets.options import DetectionTarget


def pretrain(source: Source, plan: Pretraining, seeds: Seeds, checkpoints: Checkpoints) -> Pretrained:
    """Train the detector of ``source`` from its start, or from where ``checkpoints`` have it.

    The validation split is read only for a recipe that reports the best epoch.

    Returns:
        The whole detector's weights; as measures COCO's numbers on the test split; details ``curve``, one dict an
        epoch, ``epoch``, the reported one, ``classes``, COCO's numbers of each class, ``published_weights``, what was
        read from a file, and ``problems``, what of the data had to be left out.
    """
    recipe, target = plan.recipe, plan.target
    assert isinstance(recipe, DetectionRecipe)
    assert isinstance(target, DetectionTarget)
    images = load(target, "train")
    start = network.start_of(source, seeds)
    model = detector(source, start, recipe, target.classes, seeds)
    (rate,) = recipe.learning_rates
    judge = _judge(target) if recipe.report == "best" else None
    trained = train(model, images, recipe, rate, seeds, checkpoints, judge)
    load_weights(model, trained.weights)
    held_out = load(target, "test")
    evaluation = evaluated(held_out, detections(model, held_out))
    return Pretrained(
        weights=trained.weights,
        measures=evaluation.numbers,
        details={
            "curve": trained.curve,
            "epoch": trained.epoch,
            "classes": evaluation.classes,
            "published_weights": network.published_weights(start),
            "problems": [*images.problems, *held_out.problems],
        },
    )


def _judge(target: DetectionTarget) -> Judge:
    validation = load(target, "validation")
    return lambda model: evaluated(validation, detections(model, validation)).numbers

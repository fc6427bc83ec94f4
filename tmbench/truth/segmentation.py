"""Fine-tuning a source to segment images; the learning rate is chosen on validation, the truth read on test."""

import numpy as np
from torch import nn

from tmbench.identity import Seeds
from tmbench.sources import network as networks
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.network import published_weights
from tmbench.sources.options import Source
from tmbench.sources.recipe import SegmentationRecipe
from tmbench.sources.resizing import at_size
from tmbench.sources.segmentation.evaluation import Evaluation, evaluated
from tmbench.sources.segmentation.pictures import LabelMaps, Pictures
from tmbench.sources.segmentation.segmenter import segmenter
from tmbench.sources.segmentation.training import Images, images_of, learner, train
from tmbench.targets.options import SegmentationTarget, Split
from tmbench.targets.segmentation import SegmentationImages, load
from tmbench.truth import Truth
from tmbench.truth.search import Judged, search


def fine_tune(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: SegmentationTarget,
    recipe: SegmentationRecipe,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
) -> Truth:
    """Fine-tune ``source`` on ``target`` by ``recipe`` with each learning rate; measure the best one on test.

    The best is the one of highest ``recipe.measure`` on validation, of equal ones the first. The test split is loaded
    after the choice is made. Images become squares of ``target.image_size``, and predictions are measured there. With
    ``trainable=head`` the decoder is trained on maps that the trunk computes once.

    Args:
        source: the source's option.
        weights: its weights; None for a source that the study did not pretrain.
        target: the target's option.
        recipe: the recipe's option.
        seeds: draws the new layers, the order of the batches and the augmentation.
        checkpoints: where the search goes on from, and is saved together with the training in progress.

    Returns:
        Measures on the test split: ``miou``, ``pixel_accuracy`` and ``iou/CLASS`` of each class that has one (see
        :class:`~tmbench.sources.segmentation.evaluation.Evaluation`); and ``validation_MEASURE`` of the chosen learning
        rate. Details: ``learning_rate``, the chosen one; ``rates``, one dict a learning rate with ``learning_rate``,
        ``validation_miou``, ``validation_pixel_accuracy`` and ``loss`` (one value an epoch), or ``diverged`` with the
        reason; ``classes``, IoU and pixels of each; ``fresh``, the parts that did not come with the source;
        ``published_weights``, what was read from a file; ``images`` and ``problems`` of each split.

    Raises:
        ConfigError: for a source that gives no maps, or cannot take images of the target's size.
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    splits: dict[Split, SegmentationImages] = {split: load(target, split) for split in ("train", "validation")}
    network = networks.build(source, weights, task="segmentation")
    read = published_weights(network)
    size = target.image_size
    model = segmenter(at_size(network, source, size), recipe, target.classes, size, seeds)

    def prepared(split: Split) -> tuple[Images, LabelMaps]:
        pictures = Pictures(splits[split], source.input, size)
        return images_of(model, recipe, pictures, training=split == "train"), LabelMaps(pictures)

    images, labels = prepared("train")
    validation = prepared("validation")

    def fit(trained: nn.Module, rate: float, saved: Checkpoints) -> list[float]:
        return train(trained, images, labels, recipe, rate, seeds, saved)

    def judge(trained: nn.Module) -> Judged:
        reached = evaluated(trained, *validation, target.classes).numbers
        return Judged((reached[recipe.measure],), {f"validation_{name}": value for name, value in reached.items()})

    best, tried = search(recipe, lambda: learner(model, recipe, images), fit, judge, seeds, checkpoints)
    splits["test"] = load(target, "test")
    evaluation = evaluated(best.network, *prepared("test"), target.classes)
    return Truth(
        measures=_measures(evaluation, splits["test"]) | {f"validation_{recipe.measure}": best.order[0]},
        details={
            "learning_rate": best.rate,
            "rates": tried,
            "classes": evaluation.told(splits["test"].classes),
            "fresh": list(model.fresh),
            "published_weights": read,
            "images": {split: len(data) for split, data in splits.items()},
            "problems": {split: list(data.problems) for split, data in splits.items()},
        },
    )


def _measures(evaluation: Evaluation, data: SegmentationImages) -> dict[str, float]:
    by_class = evaluation.by_class(data.classes)
    return evaluation.numbers | {f"iou/{name}": value for name, value in by_class.items()}

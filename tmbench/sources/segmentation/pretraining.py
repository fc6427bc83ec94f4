"""Pretraining by segmentation: trunk and decoder, by the classes of the pixels of the source's own images."""

from tmbench.identity import Seeds
from tmbench.sources.checkpoints import Checkpoints
from tmbench.sources.network import published_weights, start_of, weights_of
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.pretrain import Pretrained
from tmbench.sources.recipe import SegmentationRecipe
from tmbench.sources.segmentation.evaluation import evaluated
from tmbench.sources.segmentation.pictures import LabelMaps, Pictures
from tmbench.sources.segmentation.segmenter import segmenter
from tmbench.sources.segmentation.training import train
from tmbench.targets.options import SegmentationTarget
from tmbench.targets.segmentation import load


def pretrain(source: Source, plan: Pretraining, seeds: Seeds, checkpoints: Checkpoints) -> Pretrained:
    """Train ``source`` and a decoder from the source's start, or go on from where ``checkpoints`` have them.

    Images become squares of the source's own size. Nothing is chosen here (one learning rate, the last epoch), so the
    validation split is not read.

    Returns:
        The weights of trunk and decoder; measures ``miou`` and ``pixel_accuracy`` on the test split, and
        ``train_loss`` of the last epoch; details ``loss``, one value an epoch, ``classes``, IoU and pixels of each,
        ``problems``, what of the data had to be left out, and ``start``, what was read from the file that it starts
        from, where it does.

    Raises:
        ConfigError: for a network that gives no maps.
        Diverged: when the loss is no longer finite.
    """
    recipe, target = plan.recipe, plan.target
    assert isinstance(recipe, SegmentationRecipe)
    assert isinstance(target, SegmentationTarget)
    data, held_out = load(target, "train"), load(target, "test")
    size = source.input.size
    network = start_of(source, seeds)
    start = published_weights(network)
    model = segmenter(network, recipe, target.classes, size, seeds)
    pictures, others = Pictures(data, source.input, size), Pictures(held_out, source.input, size)
    (rate,) = recipe.learning_rates
    curve = train(model, pictures, LabelMaps(pictures), recipe, rate, seeds, checkpoints)
    evaluation = evaluated(model, others, LabelMaps(others), target.classes)
    return Pretrained(
        weights=weights_of(model),
        measures=evaluation.numbers | {"train_loss": curve[-1]},
        details={
            "loss": curve,
            "classes": evaluation.told(data.classes),
            "problems": [*data.problems, *held_out.problems],
        }
        | ({"start": start} if start else {}),
    )

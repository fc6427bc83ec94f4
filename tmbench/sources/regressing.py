"""Pretraining by regression: every weight, down the squared error of the numbers that come with the images."""

import torch

from tmbench.identity import Seeds
from tmbench.sources.augmentation import augmentation_of
from tmbench.sources.checkpoints import Checkpoints
from tmbench.sources.network import in_batches, published_weights, start_of, weights_of
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.pretrain import Pretrained
from tmbench.sources.recipe import RegressionRecipe
from tmbench.sources.regression import Units, measures
from tmbench.sources.stacks import Stack
from tmbench.sources.training import train
from tmbench.targets.options import RegressionTarget
from tmbench.targets.regression import RegressionImages, load

PROBLEMS = 20
"""So many sentences a split, about what was left out, are kept in a record."""


def pretrain(source: Source, plan: Pretraining, seeds: Seeds, checkpoints: Checkpoints) -> Pretrained:
    """Train ``source`` from random weights or those of a file, or go on from where ``checkpoints`` have it.

    Nothing is chosen here (one learning rate, the last epoch), so the validation split is not read.

    Returns:
        The weights, whose head predicts in the data's own units. Measures: those of
        :func:`tmbench.sources.regression.measures`, and ``train_loss`` of the last epoch. Details ``loss``, one value
        an epoch, relative to the mean variance of the outputs; ``outputs``, their names; ``hidden``, how many images
        each split lost because they lack a point; ``problems``, what else was left out; and ``start``, what was read
        from the file it starts from, where it does.

    Raises:
        ConfigError: for an augmentation that the numbers cannot follow.
        Diverged: when the loss is no longer finite.
    """
    recipe, target = plan.recipe, plan.target
    assert isinstance(recipe, RegressionRecipe)
    assert isinstance(target, RegressionTarget)
    data, held_out = load(target, "train"), load(target, "test")
    network = start_of(source, seeds)
    start = published_weights(network)
    columns = list(target.columns)
    values = data.values[:, columns]
    units = Units.of(values)
    (rate,) = recipe.learning_rates
    curve = train(
        network,
        _inputs(data, source, target),
        torch.from_numpy(values),
        recipe,
        rate,
        seeds,
        checkpoints,
        loss=units.loss,
        augmentation=augmentation_of(recipe, source.input, data.is_points),
    )
    units.put_into(network)
    predicted = in_batches(network, _inputs(held_out, source, target)).double().numpy()
    lengths = held_out.lengths if held_out.is_points else None
    reached = measures(held_out.values[:, columns], predicted, target.output_names, lengths, recipe.tolerance)
    details = {
        "loss": curve,
        "outputs": list(target.output_names),
        "hidden": {"train": data.hidden, "test": held_out.hidden},
        "problems": {"train": list(data.problems[:PROBLEMS]), "test": list(held_out.problems[:PROBLEMS])},
    }
    return Pretrained(
        weights=weights_of(network),
        measures=reached | {"train_loss": curve[-1]},
        details=details | ({"start": start} if start else {}),
    )


def _inputs(data: RegressionImages, source: Source, target: RegressionTarget) -> Stack:
    return Stack(data.image, len(data), target.image_size, source.input)

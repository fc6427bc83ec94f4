"""Pretraining by classification: every weight, by the labels of the source's own images."""

import numpy as np
import torch

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.checkpoints import Checkpoints
from tmbench.sources.network import as_input, in_batches, published_weights, start_of, weights_of
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.pretrain import Pretrained
from tmbench.sources.recipe import ClassificationRecipe
from tmbench.sources.training import accuracy, train
from tmbench.targets.classification import load
from tmbench.targets.options import ClassificationTarget


def pretrain(source: Source, plan: Pretraining, seeds: Seeds, checkpoints: Checkpoints) -> Pretrained:
    """Train ``source`` from random weights or those of a file, or go on from where ``checkpoints`` have it.

    Nothing is chosen here (one learning rate, the last epoch), so the validation split is not read.

    Raises:
        ConfigError: for a recipe that trains the head alone, which would make no other source.

    Returns:
        Measures ``accuracy``, and ``train_loss`` of the last epoch; details ``loss``, one value an epoch,
        ``classes``, and ``start``, what was read from the file it starts from, where it does.
    """
    recipe, target = plan.recipe, plan.target
    assert isinstance(recipe, ClassificationRecipe)
    assert isinstance(target, ClassificationTarget)
    if not recipe.trains_everything:
        raise ConfigError("pretraining by classification trains every weight: give its recipe trainable=full.")
    data, held_out = load(target, "train"), load(target, "test")
    network = start_of(source, seeds)
    start = published_weights(network)
    labels = torch.from_numpy(data.labels)
    (rate,) = recipe.learning_rates
    curve = train(network, as_input(np.asarray(data.images), source.input), labels, recipe, rate, seeds, checkpoints)
    logits = in_batches(network, as_input(np.asarray(held_out.images), source.input))
    return Pretrained(
        weights=weights_of(network),
        measures={"accuracy": accuracy(logits, torch.from_numpy(held_out.labels)), "train_loss": curve[-1]},
        details={"loss": curve, "classes": target.outputs} | ({"start": start} if start else {}),
    )

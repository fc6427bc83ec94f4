"""Pretraining on images with objects by a pretext task: the loop; the tasks are in :mod:`.objectives`."""

import math

import numpy as np
import torch

from tmbench.identity import Seeds
from tmbench.sources.checkpoints import Checkpoints
from tmbench.sources.network import as_input, drawing, place_of, published_weights, start_of, weights_of
from tmbench.sources.objectives import Objective, objective_of
from tmbench.sources.options import Input, Pretraining, Source
from tmbench.sources.pretext import PretextRecipe
from tmbench.sources.pretrain import Pretrained
from tmbench.sources.training import Diverged, TrainingState, schedule
from tmbench.targets.detection import DetectionImages, load
from tmbench.targets.options import DetectionTarget


def pretrain(source: Source, plan: Pretraining, seeds: Seeds, checkpoints: Checkpoints) -> Pretrained:
    """Train ``source`` by its pretext task from its start, or go on from where ``checkpoints`` have it.

    Images become squares of the source's own size; half of them, at random, are mirrored. AdamW, with a warm-up and
    half a cosine. What the task needs beside the network is trained along and left behind.

    Returns:
        Measures ``negative_loss``, minus the mean loss on the test images, and ``train_loss`` of the last epoch;
        details ``loss``, one value an epoch, and ``start``, what was read from the file it starts from, where it does.

    Raises:
        ConfigError: for a task that the network does not suit.
        Diverged: when the loss is no longer finite.
    """
    recipe, target = plan.recipe, plan.target
    assert isinstance(recipe, PretextRecipe)
    assert isinstance(target, DetectionTarget)
    data, held_out = load(target, "train"), load(target, "test")
    network = start_of(source, seeds)
    start = published_weights(network)
    with drawing(seeds.integer("initial weights of the task")):
        objective = objective_of(recipe, network, target.classes, source.input.size).to(place_of(network))
    curve = _fit(objective, data, source.input, recipe, seeds, checkpoints)
    loss = _held_out_loss(objective, held_out, source.input, recipe, seeds)
    return Pretrained(
        weights=weights_of(network),
        measures={"negative_loss": -loss, "train_loss": curve[-1]},
        details={"loss": curve} | ({"start": start} if start else {}),
    )


def _fit(
    objective: Objective,
    data: DetectionImages,
    expected: Input,
    recipe: PretextRecipe,
    seeds: Seeds,
    checkpoints: Checkpoints,
) -> list[float]:
    """Train ``objective`` and the network in it; the mean loss of each epoch."""
    count = max(1, round(len(data) / recipe.batch_size))
    factor = schedule(count * recipe.epochs, recipe.warm_up)
    (rate,) = recipe.learning_rates
    place = place_of(objective)
    state = TrainingState(objective, recipe, rate, seeds, len(data))
    state.resume(checkpoints.saved())
    objective.train()
    for epoch in range(len(state.curve), recipe.epochs):
        order = seeds.generator("order of images", epoch).permutation(len(data))
        for rows in np.array_split(order, count)[state.steps :]:
            step = epoch * count + state.steps
            mirrored = state.augment.random(len(rows)) < 0.5
            answers = objective.answers(data, rows, mirrored, state.augment).to(place)
            inputs = _inputs(data, rows, expected, mirrored).to(place)
            with drawing(seeds.integer("draws of the network", step), place):
                loss = objective(inputs, answers)
            if not math.isfinite(loss.item()):
                raise Diverged(f"the loss is {loss.item()} in epoch {epoch + 1} at learning rate {rate:g}.")
            state.step(loss, rate * factor(step), len(rows))
            if checkpoints.due():
                checkpoints.save(state.saved())
        state.end_epoch()
    if not all(bool(torch.isfinite(value).all()) for value in objective.state_dict().values()):
        raise Diverged(f"the weights are not finite after the last step at learning rate {rate:g}.")
    objective.eval()
    return state.curve


def _held_out_loss(
    objective: Objective, data: DetectionImages, expected: Input, recipe: PretextRecipe, seeds: Seeds
) -> float:
    """The mean loss over ``data``, as they are."""
    generator = seeds.generator("held-out images")
    place = place_of(objective)
    total = 0.0
    with torch.inference_mode():
        for rows in np.array_split(np.arange(len(data)), math.ceil(len(data) / recipe.batch_size)):
            mirrored = np.zeros(len(rows), dtype=bool)
            answers = objective.answers(data, rows, mirrored, generator).to(place)
            inputs = _inputs(data, rows, expected, mirrored).to(place)
            total += objective(inputs, answers).item() * len(rows)
    return total / len(data)


def _inputs(data: DetectionImages, rows: np.ndarray, expected: Input, mirrored: np.ndarray) -> torch.Tensor:
    """(m, 3, size, size) float32, normalised; those ``mirrored`` (m,) with left and right exchanged."""
    images = [
        np.flip(data.image(row), 1) if flip else data.image(row) for row, flip in zip(rows, mirrored, strict=True)
    ]
    return torch.cat([as_input(image[None], expected) for image in images])

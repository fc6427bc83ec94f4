"""The training loop of pretraining and of fine-tuning, for heads and for whole networks."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import TmbenchError
from tmbench.identity import Seeds
from tmbench.sources.recipe import Recipe

SHIFT = 2
"""Pixels by which ``augment: shift`` moves an image at most."""


class Diverged(TmbenchError):
    """The training loss is no longer finite."""

    failure = "nan"


def train(network: nn.Module, inputs: Tensor, labels: Tensor, recipe: Recipe, rate: float, seeds: Seeds) -> list[float]:
    """Train all of ``network`` on (inputs, labels) with cross-entropy; left in evaluation mode.

    The order of the images and their augmentation depend on ``seeds`` and the epoch alone, so that learning rates
    are compared on the same batches.

    Args:
        network: gives (n, C) logits for a batch of ``inputs``.
        inputs: (n, …) float32.
        labels: (n,) int64.
        recipe: optimiser, schedule, epochs and batch size.
        rate: the highest learning rate.
        seeds: the random streams.

    Returns:
        The mean loss of each epoch.

    Raises:
        Diverged: as soon as a loss is not finite.
    """
    count = max(1, round(len(labels) / recipe.batch_size))
    optimizer = _optimizer(network, recipe, rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(recipe, count * recipe.epochs))
    network.train()
    curve = []
    for epoch in range(recipe.epochs):
        order = seeds.generator("order of images", epoch).permutation(len(labels))
        augment = seeds.generator("augmentation", epoch)
        total = 0.0
        for batch in np.array_split(order, count):
            index = torch.from_numpy(batch)
            chosen = inputs[index]
            if recipe.augment == "shift":
                chosen = _shifted(chosen, augment)
            loss = nn.functional.cross_entropy(network(chosen), labels[index])
            if not math.isfinite(loss.item()):
                raise Diverged(f"the loss is {loss.item()} in epoch {epoch + 1} at learning rate {rate:g}.")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(batch)
        curve.append(total / len(labels))
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise Diverged(f"the weights are not finite after the last step at learning rate {rate:g}.")
    network.eval()
    return curve


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest logit is the label's."""
    return float((logits.argmax(dim=1) == labels).double().mean())


def _optimizer(network: nn.Module, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    from timm.optim import param_groups_weight_decay

    groups = param_groups_weight_decay(network, recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def _schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """The factor on the learning rate at each step: a linear rise, then a cosine to 0 or a constant."""
    rise = math.ceil(recipe.warm_up * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return factor


def _shifted(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Each image moved by up to ``SHIFT`` pixels, its edge repeated."""
    n, _, height, width = images.shape
    moves = torch.from_numpy(generator.integers(-SHIFT, SHIFT + 1, (2, n, 1)))
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1)
    # Two index arrays with a slice between them put the channels last in the result; moved back without a copy.
    moved = images[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)

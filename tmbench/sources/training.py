"""The training loop of pretraining and of fine-tuning, for heads and for whole networks.

A training that was cut and goes on from its saved state ends where the uninterrupted one ends, bit for bit on a CPU:
each random draw comes from a stream that the step's number names, and the rest of what a step depends on is saved.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import TmbenchError
from tmbench.identity import Seeds, content_id
from tmbench.sources.checkpoints import FORMAT, UNSAVED, Arrays, Checkpoints, Saved, prefixed, share
from tmbench.sources.freezing import training_mode
from tmbench.sources.network import as_array, drawing, load_weights, place_of, weights_of
from tmbench.sources.pretext import PretextRecipe
from tmbench.sources.recipe import ClassificationRecipe, EpochRecipe

SHIFT = 2
"""Pixels by which ``augment: shift`` moves an image at most."""


Loss = Callable[[Tensor, Tensor], Tensor]
"""What is minimised: (what the network gives for a batch, its labels) → the mean over the batch."""

Augmentation = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]
"""(a batch of inputs, its labels, the epoch's random stream) → what is trained on; labels may follow the images."""


class Diverged(TmbenchError):
    """The training loss is no longer finite."""

    failure = "nan"


class Rows(Protocol):
    """n inputs, or answers, of which some are asked for at a time; a tensor of all is its simplest form."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Those at ``rows`` (m,) int64: (m, …), on the CPU."""


def train(
    network: nn.Module,
    inputs: Rows,
    labels: Rows,
    recipe: EpochRecipe,
    rate: float,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
    *,
    loss: Loss = nn.functional.cross_entropy,
    augmentation: Augmentation | None = None,
) -> list[float]:
    """Train what of ``network`` is not frozen on (inputs, labels); left in evaluation mode.

    The order of the images, their augmentation and what the network draws (dropout) depend on ``seeds`` and the step
    alone, so that learning rates are compared on the same batches.

    Args:
        network: gives logits, or what else ``loss`` takes, for a batch of ``inputs``; trained where it lies.
        inputs: n of them, float32, on the CPU.
        labels: (n, …), on the CPU; (n,) int64 for the default loss.
        recipe: optimiser, schedule, epochs and batch size.
        rate: the highest learning rate.
        seeds: the random streams.
        checkpoints: where the training goes on from, and is saved after each step at which that is due.
        loss: what is minimised.
        augmentation: changes each batch; that of a classification recipe where None.

    Returns:
        The mean loss of each epoch.

    Raises:
        Diverged: as soon as a loss is not finite.
    """
    count = max(1, round(len(labels) / recipe.batch_size))
    factor = schedule(count * recipe.epochs, recipe.warm_up, recipe.schedule)
    place = place_of(network)
    state = TrainingState(network, recipe, rate, seeds, len(labels))
    state.resume(checkpoints.saved())
    if augmentation is None and isinstance(recipe, ClassificationRecipe) and recipe.augment == "shift":
        augmentation = _shifted
    training_mode(network)
    for epoch in range(len(state.curve), recipe.epochs):
        order = seeds.generator("order of images", epoch).permutation(len(labels))
        for batch in np.array_split(order, count)[state.steps :]:
            step = epoch * count + state.steps
            index = torch.from_numpy(batch)
            chosen, answers = inputs[index], labels[index]
            if augmentation is not None:
                chosen, answers = augmentation(chosen, answers, state.augment)
            with drawing(seeds.integer("draws of the network", step), place):
                error = loss(network(chosen.to(place)), answers.to(place))
            if not math.isfinite(error.item()):
                raise Diverged(f"the loss is {error.item()} in epoch {epoch + 1} at learning rate {rate:g}.")
            state.step(error, rate * factor(step), len(batch))
            if checkpoints.due():
                checkpoints.save(state.saved())
        state.end_epoch()
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise Diverged(f"the weights are not finite after the last step at learning rate {rate:g}.")
    network.eval()
    return state.curve


class TrainingState:
    """A training between two steps: all that the next step depends on, beside the data and the step's number.

    Attributes:
        curve: the mean loss of each finished epoch.
        steps: steps done in the epoch at hand.
        augment: the epoch's augmentation is drawn from it.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: EpochRecipe | PretextRecipe,
        rate: float,
        seeds: Seeds,
        images: int,
    ) -> None:
        """``network`` before the first step on ``images`` images."""
        self.curve: list[float] = []
        self.steps = 0
        self.augment = seeds.generator("augmentation", 0)
        self._loss = 0.0  # the sum over the epoch's images so far
        self._network = network
        self._optimizer = _optimizer(network, recipe, rate)
        self._seeds = seeds
        self._images = images
        shapes = [[name, list(value.shape)] for name, value in network.state_dict().items()]
        self._signature = content_id([FORMAT, recipe.key(), rate, seeds.unit, images, shapes])

    def step(self, loss: Tensor, rate: float, images: int) -> None:
        """One step of the optimiser, down the gradient of the mean loss of a batch of ``images``."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.steps += 1
        self._loss += loss.item() * images

    def end_epoch(self) -> None:
        """Note the epoch's mean loss; the next step is the first of another."""
        self.curve.append(self._loss / self._images)
        self.steps, self._loss = 0, 0.0
        self.augment = self._seeds.generator("augmentation", len(self.curve))

    def saved(self) -> Saved:
        """The state, copied to the CPU."""
        moments = moments_of(self._network, self._optimizer)
        facts = {
            "signature": self._signature,
            "curve": list(self.curve),
            "steps": self.steps,
            "loss": self._loss,
            "augment": self.augment.bit_generator.state,
        }
        return Saved(prefixed("network", weights_of(self._network)) | prefixed("optimizer", moments), facts)

    def resume(self, saved: Saved | None) -> None:
        """Go on from ``saved``; a state of another training, or of an older form, is passed over."""
        if saved is None or saved.facts.get("signature") != self._signature:
            return
        load_weights(self._network, share(saved.arrays, "network"))
        load_moments(self._network, self._optimizer, share(saved.arrays, "optimizer"))
        self.curve = list(saved.facts["curve"])
        self.steps, self._loss = saved.facts["steps"], saved.facts["loss"]
        self.augment.bit_generator.state = saved.facts["augment"]


def moments_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> Arrays:
    """What ``optimizer`` keeps of each parameter of ``network``, as ``KEY/PARAMETER``, copied to the CPU."""
    return {
        f"{key}/{name}": as_array(value)
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_moments(network: nn.Module, optimizer: torch.optim.Optimizer, moments: Arrays) -> None:
    """Give ``optimizer`` what :func:`moments_of` told of it."""
    parameters = dict(network.named_parameters())
    for path, array in moments.items():
        key, _, name = path.partition("/")
        optimizer.state[parameters[name]][key] = _laid_out(array, parameters[name])


def _laid_out(array: np.ndarray, parameter: Tensor) -> Tensor:
    """``array`` where ``parameter`` lies, its numbers in the same order in memory, as fused optimisers expect."""
    values = torch.from_numpy(array)
    if values.shape != parameter.shape:
        return values.to(parameter.device)
    return torch.empty_like(parameter, dtype=values.dtype, requires_grad=False).copy_(values)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest logit is the label's."""
    return float((logits.argmax(dim=1) == labels).double().mean())


def _optimizer(network: nn.Module, recipe: EpochRecipe | PretextRecipe, rate: float) -> torch.optim.Optimizer:
    from timm.optim import param_groups_weight_decay

    groups = param_groups_weight_decay(network, recipe.weight_decay)
    if isinstance(recipe, EpochRecipe) and recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def schedule(
    steps: int, warm_up: float = 0.0, shape: str = "cosine", milestones: Sequence[float] = ()
) -> Callable[[int], float]:
    """The factor on the learning rate at each of ``steps`` steps.

    Args:
        steps: of the whole training.
        warm_up: share of all steps in which it rises from 0.
        shape: what follows: half a ``cosine`` to 0, ``steps``, or ``constant``.
        milestones: shares of all steps; from each on, ``steps`` divides by ten.
    """
    rise = math.ceil(warm_up * steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if shape == "constant":
            return 1.0
        if shape == "steps":
            return 0.1 ** sum(step >= share * steps for share in milestones)
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return factor


def _shifted(images: Tensor, labels: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image moved by up to ``SHIFT`` pixels, its edge repeated."""
    n, _, height, width = images.shape
    moves = torch.from_numpy(generator.integers(-SHIFT, SHIFT + 1, (2, n, 1)))
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1)
    # Two index arrays with a slice between them put the channels last in the result; moved back without a copy.
    moved = images[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2), labels

"""Training a detector by its recipe: for the truth, and for sources that are detectors.

A training that was cut and goes on from its saved state ends where the uninterrupted one ends, bit for bit on a CPU:
each random draw (order, augmentation, proposals that are sampled, dropped paths) comes from a stream that the epoch,
the image or the step names, and the rest of what a step depends on is saved.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds, content_id
from tmbench.sources.checkpoints import FORMAT, UNSAVED, Arrays, Checkpoints, Saved, prefixed, share
from tmbench.sources.detection.batches import Batch, batches
from tmbench.sources.detection.optimization import optimizer_of, set_training
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.network import drawing, load_weights, place_of, weights_of
from tmbench.sources.training import Diverged, load_moments, moments_of, schedule
from tmbench.targets.detection import DetectionImages

Judge = Callable[[nn.Module], dict[str, float]]
"""Measures a detector in evaluation mode on validation; the recipe's ``measure`` is among what it gives."""

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        weights: every parameter and buffer by name, of the epoch that the recipe reports.
        epoch: that epoch, counted from 1.
        curve: one dict an epoch with ``epoch``, ``losses`` (means by name) and, where it was measured, ``validation``.
    """

    weights: Arrays
    epoch: int
    curve: list[dict[str, Any]]

    @property
    def validation(self) -> dict[str, float]:
        """What the reported epoch reached on validation; empty where that was not measured."""
        numbers: dict[str, float] = self.curve[self.epoch - 1].get("validation", {})
        return numbers


def train(
    model: nn.Module,
    images: DetectionImages,
    recipe: DetectionRecipe,
    rate: float,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
    judge: Judge | None = None,
) -> Trained:
    """Train ``model`` on ``images`` by ``recipe``; it is left with the last epoch's weights, in evaluation mode.

    With ``accumulate`` the gradient is the mean of those of the parts, as in data-parallel training: where each image
    counts alike in the loss and norms do not look across images, it is that of the whole batch up to rounding.

    Args:
        model: in training it takes images and targets and gives a dict of losses, as torchvision's detectors do; the
            source's own part is ``model.backbone.body``.
        images: the training set; crowd regions are left out, images without objects are trained on.
        recipe: everything but the detector's form.
        rate: the highest learning rate.
        seeds: the random streams; with the epoch, the image and the step alone they fix what is drawn, so that
            learning rates are compared on the same batches.
        checkpoints: where the training goes on from, and is saved after each step at which that is due.
        judge: called every ``curve_every`` epochs and after the last; needed for ``report: best``.

    Raises:
        ConfigError: for a mask head and a set without masks, ``precision: float16`` without a GPU, and a layer decay
            on a source without blocks.
        Diverged: as soon as a loss is not finite.
    """
    if recipe.heads.masks and not images.has_masks:
        raise ConfigError(
            "the recipe has a mask head, and the data set has no masks: say masks: false under heads in the "
            "recipe's option file."
        )
    count = steps_an_epoch(len(images), recipe)
    factor = schedule(count * recipe.epochs, recipe.warm_up, recipe.schedule, recipe.milestones)
    training = Training(model, recipe, rate, seeds, len(images))
    training.resume(checkpoints.saved())
    for epoch in range(len(training.curve), recipe.epochs):
        set_training(model, recipe)
        order = seeds.generator("order of images", epoch).permutation(len(images))
        left = np.array_split(order, count)[training.steps :]
        for batch in batches(images, left, epoch, model, recipe, seeds):
            step = epoch * count + training.steps
            training.step(batch, step, factor(step))
            if checkpoints.due():
                checkpoints.save(training.saved())
        measured = judge is not None and _is_measured(epoch + 1, recipe)
        training.end_epoch(judge if measured else None)
        if measured and checkpoints.due():
            checkpoints.save(training.saved())
    return training.ended()


def steps_an_epoch(images: int, recipe: DetectionRecipe) -> int:
    """Steps in which ``images`` images are seen once: equally large ones, of ``batch_size`` at most."""
    return math.ceil(images / recipe.batch_size)


def _advice(recipe: DetectionRecipe) -> str:
    clip = "" if recipe.clip is not None and recipe.clip <= 1 else " or clip the gradient (clip: 1.0)"
    return f"lower learning_rates{clip}"


def _is_measured(epoch: int, recipe: DetectionRecipe) -> bool:
    return epoch == recipe.epochs or (recipe.curve_every > 0 and epoch % recipe.curve_every == 0)


class Training:
    """A training between two steps: all that the next step depends on, beside the data and the step's number.

    Attributes:
        curve: what is known of each finished epoch.
        steps: steps done in the epoch at hand.
    """

    def __init__(self, model: nn.Module, recipe: DetectionRecipe, rate: float, seeds: Seeds, images: int) -> None:
        """``model`` before the first step on ``images`` images."""
        self.curve: list[dict[str, Any]] = []
        self.steps = 0
        self._model, self._recipe, self._rate, self._seeds = model, recipe, rate, seeds
        self._place = place_of(model)
        if recipe.precision == "float16" and self._place.type != "cuda":
            raise ConfigError("precision=float16 needs a GPU; on a CPU use float32 or bfloat16.")
        set_training(model, recipe)
        self._optimizer = optimizer_of(model, recipe, rate)
        # Gradients of half precision underflow unless the loss is scaled up.
        self._scaler = torch.amp.GradScaler(self._place.type, enabled=recipe.precision == "float16")
        self._average = {name: value.clone() for name, value in model.state_dict().items()} if recipe.average else {}
        self._losses: dict[str, float] = {}  # sums over the epoch's images so far
        self._seen = 0  # images of the epoch so far
        self._best: tuple[int, float, Arrays] | None = None  # epoch, measure, weights
        shapes = [[name, list(value.shape)] for name, value in model.state_dict().items()]
        steps = steps_an_epoch(images, recipe)
        self._signature = content_id([FORMAT, recipe.key(), rate, seeds.unit, images, steps, shapes])

    def step(self, batch: Batch, number: int, factor: float) -> None:
        """Step ``number`` of the training, on ``batch``, at ``factor`` times the highest learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * factor * group["factor"]
        self._optimizer.zero_grad()
        parts = self._recipe.accumulate
        for part in range(parts):
            members = batch[len(batch) * part // parts : len(batch) * (part + 1) // parts]
            # torchvision samples anchors and proposals from torch's own stream; a backward pass that recomputes draws.
            with drawing(self._seeds.integer("draws of the network", number * parts + part), self._place):
                if members:
                    self._descend(members, len(members) / len(batch))
        if self._recipe.clip is not None:
            self._scaler.unscale_(self._optimizer)
            trained = (parameter for group in self._optimizer.param_groups for parameter in group["params"])
            nn.utils.clip_grad_norm_(trained, self._recipe.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.steps += 1
        self._follow()

    def _descend(self, members: Batch, weight: float) -> None:
        """Add the gradient of the loss on ``members``, times ``weight``."""
        images = [image.to(self._place) for image, _ in members]
        targets = [{name: value.to(self._place) for name, value in target.items()} for _, target in members]
        kind = TYPES[self._recipe.precision]
        with torch.autocast(self._place.type, kind, enabled=kind != torch.float32):
            losses: dict[str, Tensor] = self._model(images, targets)
        values = dict(
            zip(losses, torch.stack([loss.detach().float() for loss in losses.values()]).tolist(), strict=True)
        )
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{name} is {value} in step {self.steps + 1} of epoch {len(self.curve) + 1} "
                    f"at learning rate {self._rate:g}; {_advice(self._recipe)}."
                )
            self._losses[name] = self._losses.get(name, 0.0) + value * len(members)
        self._seen += len(members)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        self._scaler.scale(total * weight).backward()

    def _follow(self) -> None:
        """Move the average of the weights; counters are copied."""
        with torch.no_grad():
            for name, value in self._model.state_dict().items() if self._average else ():
                if value.is_floating_point():
                    self._average[name].lerp_(value, 1 - self._recipe.average)
                else:
                    self._average[name].copy_(value)

    @contextmanager
    def _measured_weights(self) -> Iterator[None]:
        """A context in which the model has the weights that are measured: the average where there is one."""
        if not self._average:
            yield
            return
        kept = {name: value.clone() for name, value in self._model.state_dict().items()}
        self._model.load_state_dict(self._average)
        yield
        self._model.load_state_dict(kept)

    def end_epoch(self, judge: Judge | None) -> None:
        """Note the epoch's mean losses and what ``judge`` says; the next step is the first of another."""
        epoch = len(self.curve) + 1
        entry: dict[str, Any] = {"epoch": epoch, "losses": {n: v / self._seen for n, v in self._losses.items()}}
        if judge is not None:
            self._model.eval()
            with self._measured_weights():
                entry["validation"] = judge(self._model)
                reached = entry["validation"][self._recipe.measure]
                if self._recipe.report == "best" and (self._best is None or reached > self._best[1]):
                    self._best = epoch, reached, weights_of(self._model)
        self.curve.append(entry)
        self.steps, self._losses, self._seen = 0, {}, 0

    def ended(self) -> Trained:
        """The finished training."""
        values = self._average or self._model.state_dict()
        if not all(bool(torch.isfinite(value).all()) for value in values.values()):
            raise Diverged(
                f"the weights are not finite after the last step at learning rate {self._rate:g}; "
                f"{_advice(self._recipe)}."
            )
        if self._average:
            self._model.load_state_dict(self._average)
        self._model.eval()
        if self._best is not None:
            return Trained(self._best[2], self._best[0], self.curve)
        return Trained(weights_of(self._model), len(self.curve), self.curve)

    def saved(self) -> Saved:
        """The state, copied to the CPU."""
        arrays = prefixed("network", weights_of(self._model))
        arrays |= prefixed("optimizer", moments_of(self._model, self._optimizer))
        arrays |= prefixed("average", {name: np.array(value.cpu().numpy()) for name, value in self._average.items()})
        facts = {
            "signature": self._signature,
            "curve": list(self.curve),
            "steps": self.steps,
            "losses": dict(self._losses),
            "seen": self._seen,
            "scaler": self._scaler.state_dict(),
            "best": None if self._best is None else list(self._best[:2]),
        }
        return Saved(arrays | (prefixed("best", self._best[2]) if self._best else {}), facts)

    def resume(self, saved: Saved | None) -> None:
        """Go on from ``saved``; a state of another training, or of an older form, is passed over."""
        if saved is None or saved.facts.get("signature") != self._signature:
            return
        load_weights(self._model, share(saved.arrays, "network"))
        load_moments(self._model, self._optimizer, share(saved.arrays, "optimizer"))
        for name, array in share(saved.arrays, "average").items():
            self._average[name].copy_(torch.from_numpy(array))
        facts = saved.facts
        self.curve, self.steps = list(facts["curve"]), facts["steps"]
        self._losses, self._seen = dict(facts["losses"]), facts["seen"]
        if facts["scaler"]:
            self._scaler.load_state_dict(facts["scaler"])
        if facts["best"] is not None:
            self._best = facts["best"][0], facts["best"][1], share(saved.arrays, "best")

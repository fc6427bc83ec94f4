"""Fine-tuning a source as a detector; rate and epoch are chosen on validation, the truth read on test.

torchvision's and detectron2's layers stand behind one function, :func:`backend`, that builds a detector of
torchvision's interface; its training, its recipe and its evaluation are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds, content_id
from tmbench.sources import build
from tmbench.sources.checkpoints import FORMAT, UNSAVED, Arrays, Checkpoints, PartOf, Saved, prefixed, share
from tmbench.sources.detection.detector import Detector, detector, new_parts
from tmbench.sources.detection.evaluation import detections, evaluated
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.detection.training import Trained, train
from tmbench.sources.network import load_weights, published_weights
from tmbench.sources.options import Source
from tmbench.sources.training import Diverged
from tmbench.targets.detection import DetectionImages, load
from tmbench.targets.options import DetectionTarget, Split
from tmbench.truth import Truth

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Backend = Callable[[Source, nn.Module, DetectionRecipe, int, Seeds], nn.Module]
"""Builds a detector around a source's network, which stays as it is, for so many classes.

In training the detector takes a list of (3, h, w) images in 0..1 and a list of targets (``boxes``, ``labels`` with 0
for the background, ``masks``) and gives a dict of losses; in evaluation it takes images and gives a dict of
``boxes``, ``labels``, ``scores``, ``masks`` for each. ``backbone.body`` is what of it is the source's,
``transform.image_mean`` the colour of padding.
"""


def fine_tune(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: DetectionTarget,
    recipe: DetectionRecipe,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
) -> Truth:
    """Fine-tune ``source`` on ``target`` by ``recipe`` with each learning rate; measure the best one on test.

    The best is the one of highest ``recipe.measure`` on validation at the epoch that the recipe reports; of equal
    ones the first. All splits are loaded first, so that what is wrong with one is found before anything is trained;
    of the test split no image is decoded before the choice is made, and it is measured once.

    Args:
        source: the source's option.
        weights: its weights; None for a random source.
        target: the target's option.
        recipe: the recipe's option.
        seeds: draws the new layers, the order of the images, their augmentation and what the detector samples.
        checkpoints: where the search goes on from, and is saved together with the training in progress.

    Returns:
        Measures: all of COCO's numbers on the test split by name (``box_ap``, ``mask_ap50``, …), and
        ``validation_MEASURE`` of what was chosen. Details: ``learning_rate`` and ``epoch``, the chosen ones;
        ``rates``, one dict a learning rate with ``learning_rate``, ``epoch``, ``validation`` and ``curve`` (one dict an
        epoch: ``epoch``, ``losses``, ``validation``), or ``diverged`` with the reason; ``classes``, COCO's
        numbers of each; ``fresh``, the parts of the detector that did not come with the source;
        ``published_weights``, what was read from a file; ``images`` and ``problems`` of each split (what was dropped,
        a sentence each).

    Raises:
        ConfigError: where recipe and target or source do not fit, or the backend is not installed.
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    built = backend(recipe)
    splits = {split: _split(target, split, recipe) for split in SPLITS}

    network = build(source, weights)

    def learner() -> nn.Module:
        return built(source, network, recipe, target.classes, seeds)

    search = Search(content_id([FORMAT, recipe.key(), seeds.unit]), recipe.measure)
    search.resume(checkpoints.saved())
    for rate in recipe.learning_rates[len(search.tried) :]:
        part = PartOf(checkpoints, search.saved)
        try:
            trained = train(
                learner(),
                splits["train"],
                recipe,
                rate,
                seeds,
                part,
                lambda model: _numbers(model, splits["validation"]),
            )
        except Diverged as problem:
            search.tried.append({"learning_rate": rate, "diverged": str(problem)})
        else:
            search.note(rate, trained)
        if checkpoints.due():
            checkpoints.save(search.saved())
    best = search.best
    if best is None:
        raise Diverged(
            f"every learning rate diverged; the last one: {search.tried[-1]['diverged']} "
            "Lower learning_rates in the recipe."
        )
    model = learner()
    load_weights(model, best.weights)
    evaluation = evaluated(splits["test"], detections(model, splits["test"]))
    return Truth(
        measures=evaluation.numbers | {f"validation_{recipe.measure}": best.reached},
        details={
            "learning_rate": best.rate,
            "epoch": best.epoch,
            "rates": search.tried,
            "classes": evaluation.classes,
            "fresh": _parts(model),
            "published_weights": published_weights(network),
            "images": {split: len(images) for split, images in splits.items()},
            "problems": {split: list(images.problems) for split, images in splits.items()},
        },
    )


def backend(recipe: DetectionRecipe) -> Backend:
    """What builds the detectors of ``recipe``.

    Raises:
        ConfigError: for detectron2 where it is not installed.
    """
    if recipe.backend == "torchvision":
        return detector
    if find_spec("detectron2") is None:
        raise ConfigError(
            "backend=detectron2 needs detectron2, which no package index offers: install it from its source (pip "
            "install --no-build-isolation git+https://github.com/facebookresearch/detectron2), or use "
            "backend=torchvision."
        )
    built: Backend = import_module("tmbench.truth.detectron2").detector
    return built


def _split(target: DetectionTarget, split: Split, recipe: DetectionRecipe) -> DetectionImages:
    """A split that the recipe's measure can be taken on."""
    images = load(target, split)
    if recipe.measure.startswith("mask") and not images.has_masks:
        raise ConfigError(
            f"the recipe measures {recipe.measure}, and the split '{split}' of the data set has no masks: set "
            "measure=box_ap."
        )
    return images


def _parts(model: nn.Module) -> list[str]:
    """The parts of a detector that did not come with the source: ``roi_heads.box_head``, ..."""
    names = new_parts(model) if isinstance(model, Detector) else ()
    return sorted({".".join(name.split(".")[:2]) for name in names})


def _numbers(model: nn.Module, images: DetectionImages) -> dict[str, float]:
    return evaluated(images, detections(model, images)).numbers


@dataclass(frozen=True)
class Best:
    """The best learning rate so far: what it reached on validation, at which epoch, and that epoch's weights."""

    rate: float
    reached: float
    epoch: int
    weights: Arrays


@dataclass
class Search:
    """The choice of a learning rate, as far as it has come.

    Attributes:
        name: tells the search from others.
        measure: what it chooses by.
        tried: for each learning rate that is done, what :class:`Truth` tells of it.
        best: the best of them; None as long as all have diverged.
    """

    name: str
    measure: str
    tried: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None

    def note(self, rate: float, trained: Trained) -> None:
        """Keep what ``rate`` reached, and its weights if it is the best."""
        reached = trained.validation[self.measure]
        self.tried.append(
            {"learning_rate": rate, "epoch": trained.epoch, "validation": trained.validation, "curve": trained.curve}
        )
        if self.best is None or reached > self.best.reached:
            self.best = Best(rate, reached, trained.epoch, trained.weights)

    def saved(self) -> Saved:
        """The state between two learning rates."""
        facts: dict[str, Any] = {"search": self.name, "tried": list(self.tried), "best": None}
        if self.best is None:
            return Saved({}, facts)
        facts["best"] = {"rate": self.best.rate, "reached": self.best.reached, "epoch": self.best.epoch}
        return Saved(prefixed("best", self.best.weights), facts)

    def resume(self, saved: Saved | None) -> None:
        """Go on from ``saved``; the state of another search is passed over."""
        if saved is None or saved.facts.get("search") != self.name:
            return
        if (best := saved.facts["best"]) is not None:
            self.best = Best(best["rate"], best["reached"], best["epoch"], share(saved.arrays, "best"))
        self.tried = list(saved.facts["tried"])

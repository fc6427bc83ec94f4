"""Fine-tuning a source on images with numbers; the learning rate is chosen on validation, the truth read on test."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.augmentation import augmentation_of
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.freezing import freeze
from tmbench.sources.network import Inputs, in_batches, penultimate
from tmbench.sources.options import Source
from tmbench.sources.recipe import RegressionRecipe
from tmbench.sources.regression import Units, measures
from tmbench.sources.stacks import Stack
from tmbench.sources.training import Diverged, train
from tmbench.targets.options import RegressionTarget, Split
from tmbench.targets.regression import load
from tmbench.truth import Truth
from tmbench.truth.heads import new_head, with_new_head
from tmbench.truth.search import Judged, search

PROBLEMS = 20
"""So many sentences a split, about what was left out, are kept in a record."""


@dataclass(frozen=True)
class Prepared:
    """A split, as it is trained on.

    Attributes:
        inputs: the network's inputs, or the frozen features of a head that is trained alone.
        values: (n, k) float64.
        lengths: (n,) reference lengths where the values are points, else None.
        hidden: how many images were left out because they lack a point.
        problems: what else was left out, a sentence each.
    """

    inputs: Inputs
    values: np.ndarray
    lengths: np.ndarray | None
    hidden: int
    problems: tuple[str, ...]


def fine_tune(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: RegressionTarget,
    recipe: RegressionRecipe,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
) -> Truth:
    """Fine-tune ``source`` on ``target`` by ``recipe`` with each learning rate; measure the best one on test.

    The best is the one of least mean squared error on validation, of equal ones the first. The test split is loaded
    after the choice is made. A head that is trained alone, on images as they are, sees features computed once.

    Args:
        source: the source's option.
        weights: its weights; None for a random source.
        target: the target's option.
        recipe: the recipe's option.
        seeds: draws the new head, the order of the batches and the augmentation.
        checkpoints: where the search goes on from, and is saved together with the training in progress.

    Returns:
        Measures: those of :func:`tmbench.sources.regression.measures` on the test split; ``validation_negative_mse`` of
        the chosen learning rate, and ``validation_`` of the recipe's own measure. Details ``learning_rate``, the chosen
        one; ``rates``, one dict a learning rate with ``learning_rate``, what validation told and ``loss`` (one value an
        epoch, relative to the mean variance of the outputs), or ``diverged`` with the reason; ``hidden``, how many
        images each split lost because they lack a point; ``problems``, what else each left out, the first sentences.

    Raises:
        ConfigError: for ``half`` of a network without stages, and an augmentation that the numbers cannot follow.
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    splits = {split: _prepared(source, weights, target, recipe, split) for split in ("train", "validation")}
    given = splits["train"]
    units = Units.of(given.values)
    augmentation = augmentation_of(recipe, source.input, bool(target.points))

    def learner() -> nn.Module:
        if _is_head_alone(recipe):
            assert isinstance(given.inputs, torch.Tensor)
            return new_head(given.inputs.shape[1], target.outputs, seeds)
        network = with_new_head(build(source, weights), target.outputs, seeds)
        freeze(network, recipe.trainable)
        return network

    def fit(network: nn.Module, rate: float, saved: Checkpoints) -> list[float]:
        values = torch.from_numpy(given.values)
        return train(
            network, given.inputs, values, recipe, rate, seeds, saved, loss=units.loss, augmentation=augmentation
        )

    def reached(network: nn.Module, split: Prepared) -> dict[str, float]:
        predicted = units.predicted(network, split.inputs)
        return measures(split.values, predicted, target.output_names, split.lengths, recipe.tolerance)

    def judge(network: nn.Module) -> Judged:
        found = reached(network, splits["validation"])
        error = found["negative_mse"]
        if not np.isfinite(error):
            raise Diverged(f"the mean squared error on validation is {-error}.")
        told = {f"validation_{name}": found[name] for name in ("negative_mse", recipe.measure) if name in found}
        return Judged((error,), told)

    best, tried = search(recipe, learner, fit, judge, seeds, checkpoints)
    splits["test"] = _prepared(source, weights, target, recipe, "test")
    chosen = next(rate for rate in tried if rate["learning_rate"] == best.rate and "diverged" not in rate)
    told = {name: value for name, value in chosen.items() if name.startswith("validation_")}
    return Truth(
        measures=reached(best.network, splits["test"]) | told,
        details={
            "learning_rate": best.rate,
            "rates": tried,
            "hidden": {name: split.hidden for name, split in splits.items()},
            "problems": {name: list(split.problems[:PROBLEMS]) for name, split in splits.items()},
        },
    )


def _is_head_alone(recipe: RegressionRecipe) -> bool:
    """Whether the features never change, so that they are computed once."""
    return recipe.trainable == "head" and recipe.augment == "none"


def _prepared(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: RegressionTarget,
    recipe: RegressionRecipe,
    split: Split,
) -> Prepared:
    data = load(target, split)
    inputs: Inputs = Stack(data.image, len(data), target.image_size, source.input)
    if _is_head_alone(recipe):
        inputs = in_batches(build(source, weights), inputs, penultimate)
    values = data.values[:, list(target.columns)]
    return Prepared(inputs, values, data.lengths if data.is_points else None, data.hidden, tuple(data.problems))

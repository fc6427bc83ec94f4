"""Fine-tuning a source on labelled images; the learning rate is chosen on validation, the truth read on test."""

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.freezing import freeze
from tmbench.sources.network import as_input, in_batches, penultimate
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe
from tmbench.sources.training import accuracy, train
from tmbench.targets.classification import load
from tmbench.targets.options import ClassificationTarget, Split
from tmbench.truth import Truth
from tmbench.truth.frozen import frozen_features
from tmbench.truth.heads import new_head, with_new_head
from tmbench.truth.search import Judged, search


def fine_tune(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: ClassificationTarget,
    recipe: ClassificationRecipe,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
) -> Truth:
    """Fine-tune ``source`` on ``target`` by ``recipe`` with each learning rate; measure the best one on test.

    The best is the one of highest validation accuracy, of two equal ones that of lower validation loss, then the
    first. The test split is loaded after the choice is made.

    Args:
        source: the source's option.
        weights: its weights; None for a random source.
        target: the target's option.
        recipe: the recipe's option.
        seeds: draws the new head, the order of the batches and the augmentation.
        checkpoints: where the search goes on from, and is saved together with the training in progress.

    Returns:
        Measures ``accuracy`` on the test split; ``accuracy_over_chance``, which is 0 for guesses and 1 at best
        however many classes there are; and ``validation_accuracy`` of the chosen learning rate. Details
        ``learning_rate``, the chosen one; ``rates``, one dict a learning rate with ``learning_rate``,
        ``validation_accuracy`` and ``loss`` (one value an epoch), or ``diverged`` with the reason.

    Raises:
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    inputs, labels = _prepared(source, weights, target, recipe, "train")
    validation = _prepared(source, weights, target, recipe, "validation")

    def learner() -> nn.Module:
        if recipe.trainable == "head":
            return new_head(inputs.shape[1], target.outputs, seeds)
        network = with_new_head(build(source, weights), target.outputs, seeds)
        freeze(network, recipe.trainable)
        return network

    def fit(network: nn.Module, rate: float, saved: Checkpoints) -> list[float]:
        return train(network, inputs, labels, recipe, rate, seeds, saved)

    def judge(network: nn.Module) -> Judged:
        logits = in_batches(network, validation[0])
        reached = accuracy(logits, validation[1])
        loss = float(nn.functional.cross_entropy(logits, validation[1]))
        return Judged((reached, -loss), {"validation_accuracy": reached})

    best, tried = search(recipe, learner, fit, judge, seeds, checkpoints)
    test = _prepared(source, weights, target, recipe, "test")
    reached = accuracy(in_batches(best.network, test[0]), test[1])
    return Truth(
        measures={
            "accuracy": reached,
            "accuracy_over_chance": over_chance(reached, target.outputs),
            "validation_accuracy": best.order[0],
        },
        details={"learning_rate": best.rate, "rates": tried},
    )


def over_chance(accuracy: float, classes: int) -> float:
    """How far ``accuracy`` is from the 1 / ``classes`` of guesses towards 1; below 0 where guesses do better."""
    return (accuracy - 1 / classes) / (1 - 1 / classes)


def _prepared(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: ClassificationTarget,
    recipe: ClassificationRecipe,
    split: Split,
) -> tuple[Tensor, Tensor]:
    """What is trained on: the network's input, or for ``head`` the frozen features, computed once; and labels."""
    if recipe.trainable == "head" and target.subset is not None:
        return frozen_features(source, weights, target, split)
    data = load(target, split)
    inputs, labels = as_input(np.asarray(data.images), source.input), torch.from_numpy(data.labels)
    if recipe.trainable == "head":
        inputs = in_batches(build(source, weights), inputs, penultimate)
    return inputs, labels

"""Fine-tuning a source on labelled images; the learning rate is chosen on validation, the truth read on test."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.network import as_input, drawing, in_batches, penultimate
from tmbench.sources.options import Source
from tmbench.sources.recipe import Recipe
from tmbench.sources.training import Diverged, accuracy, train
from tmbench.targets import load
from tmbench.targets.options import Split, Target


@dataclass(frozen=True)
class Truth:
    """What fine-tuning reached.

    Attributes:
        measures: ``accuracy`` on the test split, and ``validation_accuracy`` of the chosen learning rate.
        details: ``learning_rate``, the chosen one; ``rates``, one dict a learning rate with ``learning_rate``,
            ``validation_accuracy`` and ``loss`` (one value an epoch), or ``diverged`` with the reason.
    """

    measures: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


def fine_tune(
    source: Source, weights: dict[str, np.ndarray] | None, target: Target, recipe: Recipe, seeds: Seeds
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

    Raises:
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    inputs, labels = _prepared(source, weights, target, recipe, "train")
    validation = _prepared(source, weights, target, recipe, "validation")
    best: tuple[tuple[float, float], float, nn.Module] | None = None
    tried: list[dict[str, Any]] = []
    for rate in recipe.learning_rates:
        if recipe.trainable == "head":
            learner: nn.Module = new_head(inputs.shape[1], target.classes, seeds)
        else:
            learner = with_new_head(build(source, weights), target.classes, seeds)
        try:
            curve = train(learner, inputs, labels, recipe, rate, seeds)
        except Diverged as problem:
            tried.append({"learning_rate": rate, "diverged": str(problem)})
            continue
        logits = in_batches(learner, validation[0])
        reached = accuracy(logits, validation[1])
        order = (reached, -float(nn.functional.cross_entropy(logits, validation[1])))
        tried.append({"learning_rate": rate, "validation_accuracy": reached, "loss": curve})
        if best is None or order > best[0]:
            best = (order, rate, learner)
    if best is None:
        raise Diverged(f"every learning rate diverged; the last one: {tried[-1]['diverged']}")
    (reached, _), rate, learner = best
    test = _prepared(source, weights, target, recipe, "test")
    return Truth(
        measures={"accuracy": accuracy(in_batches(learner, test[0]), test[1]), "validation_accuracy": reached},
        details={"learning_rate": rate, "rates": tried},
    )


def new_head(width: int, classes: int, seeds: Seeds) -> nn.Linear:
    """A linear classifier of ``width`` features with torch's usual initialisation, drawn from ``seeds``."""
    with drawing(seeds.integer("head")):
        return nn.Linear(width, classes)


def with_new_head(network: nn.Module, classes: int, seeds: Seeds) -> nn.Module:
    """``network`` with the head of :func:`new_head` for ``classes`` in place of its own."""
    network.reset_classifier(classes)  # type: ignore[operator]
    head: nn.Linear = network.get_classifier()  # type: ignore[operator]
    head.load_state_dict(new_head(head.in_features, classes, seeds).state_dict())
    return network


def _prepared(
    source: Source, weights: dict[str, np.ndarray] | None, target: Target, recipe: Recipe, split: Split
) -> tuple[Tensor, Tensor]:
    """What is trained on: the network's input, or for ``head`` the frozen features, computed once; and labels."""
    data = load(target, split)
    inputs, labels = as_input(data.images, source.input), torch.from_numpy(data.labels)
    if recipe.trainable == "head":
        network = build(source, weights)
        inputs = in_batches(lambda batch: penultimate(network, batch), inputs)
    return inputs, labels

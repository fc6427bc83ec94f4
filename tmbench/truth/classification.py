"""Fine-tuning a source on labelled images; the learning rate is chosen on validation, the truth read on test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import Seeds, content_id
from tmbench.sources import BadWeights, build
from tmbench.sources.checkpoints import FORMAT, UNSAVED, Checkpoints, PartOf, Saved, prefixed, share
from tmbench.sources.network import (
    as_input,
    device,
    drawing,
    in_batches,
    load_weights,
    penultimate,
    place_of,
    weights_of,
)
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe
from tmbench.sources.training import Diverged, accuracy, train
from tmbench.targets.classification import load
from tmbench.targets.options import ClassificationTarget, Split
from tmbench.truth import Truth


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
        Measures ``accuracy`` on the test split, and ``validation_accuracy`` of the chosen learning rate. Details
        ``learning_rate``, the chosen one; ``rates``, one dict a learning rate with ``learning_rate``,
        ``validation_accuracy`` and ``loss`` (one value an epoch), or ``diverged`` with the reason.

    Raises:
        Diverged: when the loss becomes infinite or NaN at every learning rate.
    """
    inputs, labels = _prepared(source, weights, target, recipe, "train")
    validation = _prepared(source, weights, target, recipe, "validation")

    def learner() -> nn.Module:
        if recipe.trainable == "head":
            return new_head(inputs.shape[1], target.classes, seeds)
        return with_new_head(build(source, weights), target.classes, seeds)

    search = Search(content_id([FORMAT, recipe.key(), seeds.unit]))
    search.resume(checkpoints.saved(), learner)
    for rate in recipe.learning_rates[len(search.tried) :]:
        network = learner()
        try:
            curve = train(network, inputs, labels, recipe, rate, seeds, PartOf(checkpoints, search.saved))
        except Diverged as problem:
            search.tried.append({"learning_rate": rate, "diverged": str(problem)})
        else:
            search.note(rate, curve, network, *validation)
        if checkpoints.due():
            checkpoints.save(search.saved())
    best = search.best
    if best is None:
        raise Diverged(f"every learning rate diverged; the last one: {search.tried[-1]['diverged']}")
    test = _prepared(source, weights, target, recipe, "test")
    return Truth(
        measures={
            "accuracy": accuracy(in_batches(best.network, test[0]), test[1]),
            "validation_accuracy": best.order[0],
        },
        details={"learning_rate": best.rate, "rates": search.tried},
    )


@dataclass(frozen=True)
class Best:
    """The best learning rate so far, what it is chosen by (largest first), and the network that it trained."""

    rate: float
    order: tuple[float, float]
    network: nn.Module


@dataclass
class Search:
    """The choice of a learning rate, as far as it has come.

    Attributes:
        name: tells the search from others.
        tried: for each learning rate that is done, what :class:`Truth` tells of it.
        best: the best of them; None as long as all have diverged.
    """

    name: str
    tried: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None

    def note(self, rate: float, curve: list[float], network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
        """Measure the ``network`` that ``rate`` trained on the validation split; keep it if it is the best."""
        logits = in_batches(network, inputs)
        reached = accuracy(logits, labels)
        order = (reached, -float(nn.functional.cross_entropy(logits, labels)))
        self.tried.append({"learning_rate": rate, "validation_accuracy": reached, "loss": curve})
        if self.best is None or order > self.best.order:
            self.best = Best(rate, order, network)

    def saved(self) -> Saved:
        """The state between two learning rates."""
        facts: dict[str, Any] = {"search": self.name, "tried": list(self.tried), "best": None}
        if self.best is None:
            return Saved({}, facts)
        facts["best"] = {"rate": self.best.rate, "order": list(self.best.order)}
        return Saved(prefixed("best", weights_of(self.best.network)), facts)

    def resume(self, saved: Saved | None, learner: Callable[[], nn.Module]) -> None:
        """Go on from ``saved``; passed over where it is another search's, or its weights do not fit a ``learner``."""
        if saved is None or saved.facts.get("search") != self.name:
            return
        if (best := saved.facts["best"]) is not None:
            network = learner().eval()
            try:
                load_weights(network, share(saved.arrays, "best"))
            except BadWeights:
                return
            self.best = Best(best["rate"], (best["order"][0], best["order"][1]), network)
        self.tried = list(saved.facts["tried"])


def new_head(width: int, classes: int, seeds: Seeds) -> nn.Linear:
    """A linear classifier of ``width`` features with torch's usual initialisation, drawn from ``seeds``."""
    with drawing(seeds.integer("head")):
        return nn.Linear(width, classes).to(device())


def with_new_head(network: nn.Module, classes: int, seeds: Seeds) -> nn.Module:
    """``network`` with the head of :func:`new_head` for ``classes`` in place of its own."""
    place = place_of(network)
    network.reset_classifier(classes)  # type: ignore[operator]
    head: nn.Linear = network.get_classifier()  # type: ignore[operator]
    head.load_state_dict(new_head(head.in_features, classes, seeds).state_dict())
    return network.to(place)  # a new head may lie on the CPU


def _prepared(
    source: Source,
    weights: dict[str, np.ndarray] | None,
    target: ClassificationTarget,
    recipe: ClassificationRecipe,
    split: Split,
) -> tuple[Tensor, Tensor]:
    """What is trained on: the network's input, or for ``head`` the frozen features, computed once; and labels."""
    data = load(target, split)
    inputs, labels = as_input(data.images, source.input), torch.from_numpy(data.labels)
    if recipe.trainable == "head":
        inputs = in_batches(build(source, weights), inputs, penultimate)
    return inputs, labels

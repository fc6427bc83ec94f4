"""Pretraining: a source's weights, from scratch, on the data set that its option names."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.network import as_input, fresh, in_batches, weights_of
from tmbench.sources.options import Pretraining, Source
from tmbench.sources.training import accuracy, train
from tmbench.targets import load


@dataclass(frozen=True)
class Pretrained:
    """What pretraining gives.

    Attributes:
        weights: every parameter and buffer by name, for :func:`tmbench.sources.build`.
        measures: ``accuracy`` on the data set's held-out test split, and ``train_loss`` of the last epoch.
        details: the loss of each epoch and the number of classes.
    """

    weights: dict[str, np.ndarray]
    measures: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


def pretrain(source: Source, seeds: Seeds, checkpoints: Checkpoints = UNSAVED) -> Pretrained:
    """Train ``source`` from scratch, or from where ``checkpoints`` have it.

    Nothing is chosen here (one learning rate, the last epoch), so the validation split is not read.

    Raises:
        ConfigError: for a source that is not pretrained by the study.
        Diverged: when the loss is no longer finite.
    """
    plan = source.weights
    if not isinstance(plan, Pretraining):
        raise ConfigError("a source of random weights is not pretrained.")
    data, held_out = load(plan.target, "train"), load(plan.target, "test")
    network = fresh(source, seeds)
    labels = torch.from_numpy(data.labels)
    (rate,) = plan.recipe.learning_rates
    curve = train(network, as_input(data.images, source.input), labels, plan.recipe, rate, seeds, checkpoints)
    logits = in_batches(network, as_input(held_out.images, source.input))
    reached = accuracy(logits, torch.from_numpy(held_out.labels))
    return Pretrained(
        weights=weights_of(network),
        measures={"accuracy": reached, "train_loss": curve[-1]},
        details={"loss": curve, "classes": plan.target.classes},
    )

"""Pretraining: a source's weights, on the data set and by the recipe that its option names; one module a task."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.options import Pretraining, Source

MODULES = {
    "classification": "tmbench.sources.classifying",
    "pretext": "tmbench.sources.pretexts",
    "detection": "tmbench.sources.detection.pretraining",
    "regression": "tmbench.sources.regressing",
    "segmentation": "tmbench.sources.segmentation.pretraining",
}
"""The module whose ``pretrain`` trains by a recipe of that task."""


@dataclass(frozen=True)
class Pretrained:
    """What pretraining gives.

    Attributes:
        weights: every parameter and buffer by name, for :func:`tmbench.sources.build`.
        measures: what it reached on the data set's held-out test split, by name.
        details: how it went, as plain JSON values.
    """

    weights: dict[str, np.ndarray]
    measures: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


def pretrain(source: Source, seeds: Seeds, checkpoints: Checkpoints = UNSAVED) -> Pretrained:
    """Train ``source``, or go on from where ``checkpoints`` have it.

    Raises:
        ConfigError: for a source that is not pretrained by the study.
        Diverged: when the loss is no longer finite.
    """
    if not isinstance(source.weights, Pretraining):
        raise ConfigError("a source of random weights, or of weights from a file, is not pretrained.")
    module = import_module(MODULES[source.weights.recipe.task])
    done: Pretrained = module.pretrain(source, source.weights, seeds, checkpoints)
    return done

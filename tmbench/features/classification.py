"""Passes over labelled images: one row an image, read globally."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from tmbench.features import keeping
from tmbench.features.extraction import has_layer
from tmbench.sources.options import Source
from tmbench.targets.classification import LabelledImages, load
from tmbench.targets.options import ClassificationTarget, Target


def keep(
    network: nn.Module, source: Source, target: Target, data: LabelledImages, places: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """See :func:`tmbench.features.keeping.keep`; images are resized to the source's own size."""
    return keeping.keep(network, source, data, places)


def read(target: ClassificationTarget) -> LabelledImages:
    """The images of a pass: the train split."""
    return load(target, "train")


def has_place(network: nn.Module, place: str) -> bool:
    """Whether the layer is there; labelled images have no objects to be read locally."""
    return has_layer(network, place)


def sample(arrays: Mapping[str, np.ndarray], place: str, rows: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Features, labels and logits of all images; there is one row an image whatever ``rows`` says."""
    return {"features": arrays.get(f"features/{place}"), "labels": arrays["labels"], "logits": arrays.get("logits")}

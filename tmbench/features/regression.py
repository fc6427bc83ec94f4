"""Passes over images with numbers: one row an image, read globally; which numbers count is chosen afterwards."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from tmbench.features.extraction import batches, has_layer
from tmbench.sources.network import BATCH
from tmbench.sources.options import Source
from tmbench.sources.stacks import Stack
from tmbench.targets import LabelledImages
from tmbench.targets.options import RegressionTarget
from tmbench.targets.regression import RegressionImages, load

OWN = "source/targets"
"""The array of what the source was pretrained to predict."""


def read(target: RegressionTarget) -> RegressionImages:
    """The images of a pass: the train split, with those that lack a number."""
    return load(target, "train", keep_hidden=True)


def keep(
    network: nn.Module, source: Source, target: RegressionTarget, data: RegressionImages, places: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data``, which is decoded as the pass comes to it.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``. Left as it was.
        source: for the input's size and normalisation, whether there is a head, and what it was pretrained on.
        target: for the size that its images are brought to first.
        data: all of the target's images, with all numbers.
        places: place → ``rows``, ``moments`` or ``class_moments``. Rows are kept always: which images count depends on
            the numbers that are predicted, and those of images that lack one cannot be taken out of moments.

    Returns:
        ``features/PLACE`` (n, d) float32; ``features/prediction``, where asked for, what the source's head gives;
        ``targets`` (n, K) float64, NaN where a number is missing; ``labels`` (n,) int64, zeros; ``predictions`` (n, k)
        float32 of a source that was pretrained on numbers; and ``source/targets`` (n, k) float64, the true values of
        what it was pretrained to predict, where it was pretrained on these very images.

    Raises:
        ConfigError: for a layer that the network does not have, and a prediction of a source without a head.
        BadData: for an image that does not decode.
    """
    parts = list(_parts(network, source, target, data, places))
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {"targets": data.values}
    own = source.pretrained_on
    if isinstance(own, RegressionTarget) and not source.beside and own.data_set() == target.data_set():
        arrays[OWN] = data.values[:, own.columns]
    return arrays


def has_place(network: nn.Module, place: str) -> bool:
    """Whether the layer, or the head, is there."""
    return has_layer(network, place)


def sample(arrays: Mapping[str, np.ndarray], place: str, rows: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics see: one row an image that has all numbers that are predicted.

    Args:
        arrays: what :func:`keep` gave.
        place: where; "" for no features.
        rows: there is one row an image whatever it says.
        part: ``columns``, which of all numbers are predicted; all without.

    Returns:
        ``features`` (None where there are none), ``targets`` (m, k), ``predictions`` (None where the source predicts no
        numbers) and ``source``, with the fact ``targets`` (m, k_s) where the source was pretrained on these images;
        it may hold NaN.
    """
    targets = arrays["targets"]
    targets = targets[:, list(part["columns"])] if "columns" in part else targets
    whole = np.isfinite(targets).all(axis=1)
    rest = {"features": arrays.get(f"features/{place}"), "predictions": arrays.get("predictions")}
    return {
        "targets": targets[whole],
        **{name: None if array is None else array[whole] for name, array in rest.items()},
        "source": {"targets": arrays[OWN][whole]} if OWN in arrays else {},
    }


def _parts(
    network: nn.Module, source: Source, target: RegressionTarget, data: RegressionImages, places: Iterable[str]
) -> Iterator[dict[str, np.ndarray]]:
    """What the network gives for some images at a time: a pass over their pixels, as over labelled images."""
    stack = Stack(data.image, len(data), target.image_size, source.input)
    for start in range(0, len(data), BATCH):
        rows = np.arange(start, min(start + BATCH, len(data)))
        images = LabelledImages(stack.pixels(rows), np.zeros(len(rows), dtype=np.int64), ("",))
        yield from batches(network, source, images, places)

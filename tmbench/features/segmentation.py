"""Passes over images with a class a pixel: the vectors of some pixels of each, of any layers, from one forward pass."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.features.extraction import PENULTIMATE
from tmbench.features.keeping import kept
from tmbench.features.options import PREDICTION, layer_of
from tmbench.features.pixels import PIXEL, PixelReader, balanced, layers_of
from tmbench.identity import Seeds, content_id
from tmbench.sources.network import as_input, place_of
from tmbench.sources.options import Source
from tmbench.sources.resizing import at_size
from tmbench.sources.segmentation.segmenter import Segmenter
from tmbench.targets import segmentation as images
from tmbench.targets.bad_data import BadData
from tmbench.targets.options import SegmentationTarget
from tmbench.targets.segmentation import SegmentationImages, load

IMAGES = 16
"""Images of one forward pass at most."""

PIXELS = 16 * 256 * 256
"""Pixels of one forward pass at most: an HRNet-W48 in float32 then takes some 3 GB."""


def read(target: SegmentationTarget) -> SegmentationImages:
    """The images of a pass: the train split, or as many of it as ``target.sampling`` says."""
    data = load(target, "train")
    generator = _seeds(target).generator("images of a pass")
    return data.drawn(None if target.sampling.images is None else min(target.sampling.images, len(data)), generator)


def keep(
    network: nn.Module, source: Source, target: SegmentationTarget, data: SegmentationImages, places: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data`` and keep the vectors of some pixels of each image.

    Images become squares of ``target.image_size`` pixels. The pixels are positions of the resized label map, drawn by
    ``target.sampling``, balanced over the classes of each image and the same for every source; ignored ones are never
    drawn. What a layer has at the position of its map that holds the pixel is the pixel's vector: a map is not brought
    to the resolution of the labels.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source`` and the task. Left as it was.
        source: for the normalisation, and whether it predicts classes of pixels.
        target: for the size of the images, and which pixels are read.
        data: the images, as :func:`read` gives them; decoded as the pass comes to them.
        places: place (``pixel/LAYER`` or ``prediction``) → ``rows``, ``moments`` or ``class_moments``.

    Returns:
        ``features/pixel/LAYER`` (m, d) float32, one row a pixel, or the moments in their place; ``labels`` (m,) int64,
        ``image`` (m,) int64 row of the pixel's image, ``logits`` (m, C of the source) float32 where the source
        predicts classes of pixels, and these as ``features/prediction`` where that place is asked for. Places at which
        the network gives no map are left out.

    Raises:
        ConfigError: for a layer that the network does not have, or a size that it cannot take.
        BadData: for an image that does not decode, and where no pixel is left to be read.
    """
    found = kept(batches(network, source, target, data, places), places, len(data.classes))
    if len(found["labels"]) == 0:
        side = target.image_size
        raise BadData(
            f"of {len(data)} images no labelled pixel is left at {side} × {side} pixels; raise image_size in the "
            "target's option file."
        )
    return found


def has_place(network: nn.Module, place: str) -> bool:
    """Whether ``place`` can be read: a layer that is there, or the predictions of a segmentation network."""
    if place == PREDICTION:
        return isinstance(network, Segmenter)
    return place.startswith(PIXEL) and layer_of(place) in {PENULTIMATE, *layers_of(network)}


def batches(
    network: nn.Module, source: Source, target: SegmentationTarget, data: SegmentationImages, places: Iterable[str]
) -> Iterator[dict[str, np.ndarray]]:
    """What :func:`keep` gives where rows are kept, some images at a time."""
    wanted = tuple(places)
    size = target.image_size
    fitting = at_size(network, source, size)
    place = place_of(fitting)
    logits = source.predicts == "segmentation" and isinstance(fitting, Segmenter)
    step = max(1, min(IMAGES, PIXELS // size**2))
    was_training = fitting.training
    fitting.eval()
    try:
        with PixelReader(fitting, wanted) as reader:
            for start in range(0, len(data), step):
                inputs, pixels = _batch(data, range(start, min(start + step, len(data))), source, target)
                image = torch.from_numpy(pixels["image"] - start).to(place)
                positions = torch.from_numpy(pixels.pop("positions")).to(place)
                found = reader.read(inputs.to(place), image, positions, logits=logits)
                yield _named(found, wanted) | pixels
    finally:
        fitting.train(was_training)


def _batch(
    data: SegmentationImages, rows: range, source: Source, target: SegmentationTarget
) -> tuple[Tensor, dict[str, np.ndarray]]:
    """The images at ``rows`` as the network sees them, and the pixels that are read: positions, labels and image."""
    size, sampling = target.image_size, target.sampling
    squares, labels, positions, image = [], [], [], []
    for row in rows:
        square, classes = images.at_size(data.image(row), data.labels(row), size)
        chosen = balanced(classes, sampling.pixels, _seeds(target).generator("pixels", row))
        squares.append(square)
        positions.append(chosen)
        labels.append(classes.reshape(-1)[chosen].astype(np.int64))
        image.append(np.full(len(chosen), row, dtype=np.int64))
    expected = source.input.model_copy(update={"size": size})
    pixels = {"positions": positions, "labels": labels, "image": image}
    return as_input(np.stack(squares), expected), {name: np.concatenate(parts) for name, parts in pixels.items()}


def _seeds(target: SegmentationTarget) -> Seeds:
    """The streams of the images and pixels that are read; they depend on the data set and on ``sampling.seed``."""
    return Seeds(content_id(["pixels", target.data_set(), target.sampling.seed]))


def _named(found: Mapping[str, Tensor], places: Iterable[str]) -> dict[str, np.ndarray]:
    arrays = {
        name if name == "logits" else f"features/{name}": np.array(
            tensor.float().cpu().numpy(), dtype=np.float32, order="C"
        )
        for name, tensor in found.items()
    }
    return arrays | ({"features/prediction": arrays["logits"]} if PREDICTION in places and "logits" in arrays else {})


def sample(arrays: Mapping[str, np.ndarray], place: str, rows: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Features, labels and logits of all pixels that were read; there is one row a pixel."""
    return {"features": arrays.get(f"features/{place}"), "labels": arrays["labels"], "logits": arrays.get("logits")}

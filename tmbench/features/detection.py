"""Passes over images with objects: one vector an image and one an object, of any layers, from one forward pass."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.features.keeping import kept
from tmbench.features.options import layer_of
from tmbench.features.reading import LOCAL, Reader, has_layer
from tmbench.identity import Seeds, content_id
from tmbench.sources.network import as_input, place_of
from tmbench.sources.options import Source
from tmbench.sources.resizing import at_size
from tmbench.targets.detection import DetectionImages, load
from tmbench.targets.options import DetectionTarget

IMAGES = 32
"""Images of one forward pass at most."""

PIXELS = 32 * 384 * 384
"""Pixels of one forward pass at most: a ResNet-50 in float32 then takes some 3 GB."""


def keep(
    network: nn.Module, source: Source, target: DetectionTarget, data: DetectionImages, places: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data``; images become squares of ``target.image_size`` pixels, boxes follow.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``: a network of timm's interface, or one of
            torchvision's detectors. Left as it was.
        source: for the normalisation, and whether there is a head.
        target: for the size of the images, and how many of them are read.
        data: the images, which are decoded as the pass comes to them; crowd regions are left out.
        places: place → ``rows``, ``moments`` or ``class_moments``. Of what is read globally the rows are kept always:
            they are one an image, and its objects share them.

    Returns:
        ``features/LAYER`` (n images, d) and ``features/local/LAYER`` (m objects, d) float32, or
        ``moments/local/LAYER/NAME`` with the boxes as targets; ``labels`` (m,) int64, ``boxes`` (m, 4) float32 in
        pixels of the resized image, ``image`` (m,) int64 row of the object's image, ``image_sizes`` (n, 2) int64 of
        the resized images, ``logits`` (n, C of the source) where the source has a head. Places at which the network
        gives no map are left out.

    Raises:
        ConfigError: for a layer that the network does not have, or a size that it cannot take.
        BadData: for an image that does not decode.
    """
    data = data.drawn(target.scored, Seeds(content_id(target.key())).generator("images of a pass"))
    wanted = {place: reads if place.startswith(LOCAL) else "rows" for place, reads in places.items()}
    return kept(batches(network, source, target, data, wanted), wanted, len(data.classes))


def read(target: DetectionTarget) -> DetectionImages:
    """The images of a pass: the train split."""
    return load(target, "train")


def has_place(network: nn.Module, place: str) -> bool:
    """Whether the layer of ``place`` is there."""
    return has_layer(network, layer_of(place))


def batches(
    network: nn.Module, source: Source, target: DetectionTarget, data: DetectionImages, places: Iterable[str]
) -> Iterator[dict[str, np.ndarray]]:
    """What :func:`keep` gives where rows are kept, some images at a time."""
    size, logits = target.image_size, source.has_head
    fitting = at_size(network, source, size)
    place = place_of(fitting)
    step = max(1, min(IMAGES, PIXELS // size**2))
    was_training = fitting.training
    fitting.eval()
    try:
        with Reader(fitting, places) as reader:
            for start in range(0, len(data), step):
                rows = range(start, min(start + step, len(data)))
                objects = _objects(data, rows, size)
                counts = np.bincount(objects["image"] - start, minlength=len(rows)).tolist()
                boxes = torch.from_numpy(objects["boxes"]).to(place).split(counts)
                found = reader.read(_inputs(data, rows, source, size).to(place), boxes, logits=logits)
                yield _named(found) | objects | {"image_sizes": np.full((len(rows), 2), size, dtype=np.int64)}
    finally:
        fitting.train(was_training)


def _inputs(data: DetectionImages, rows: range, source: Source, size: int) -> Tensor:
    """(n, 3, size, size) float32, normalised: each image alone, because they differ in size."""
    expected = source.input.model_copy(update={"size": size})
    return torch.cat([as_input(data.image(row)[None], expected) for row in rows])


def _objects(data: DetectionImages, rows: range, size: int) -> dict[str, np.ndarray]:
    """Labels, boxes and the image of each object that is no crowd."""
    labels, boxes, image = [], [], []
    for row in rows:
        objects = data.objects(row)
        single = ~objects.crowd
        height, width = data.sizes[row]
        scale = np.array([size / width, size / height] * 2)
        labels.append(objects.labels[single])
        boxes.append((objects.boxes[single] * scale).astype(np.float32))
        image.append(np.full(int(single.sum()), row, dtype=np.int64))
    return {"labels": np.concatenate(labels), "boxes": np.concatenate(boxes), "image": np.concatenate(image)}


def _named(found: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    arrays = {}
    for place, tensor in found.items():
        name = place if place == "logits" else f"features/{place}"
        arrays[name] = np.array(tensor.float().cpu().numpy(), dtype=np.float32, order="C")
    return arrays


def sample(arrays: Mapping[str, np.ndarray], place: str, rows: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """What metrics see: one row an object, or one an image with the class and the box of its largest object.

    Args:
        arrays: what :func:`keep` gave.
        place: where; the features of a global place are repeated for each object of an image.
        rows: ``object`` or ``image``; images without objects have no row.
        part: empty: a pass over objects has no parts.

    Returns:
        ``features``, ``labels``, ``boxes``, ``targets`` (the boxes, so that metrics of regression run),
        ``image_sizes`` and ``logits`` (both of the object's image).
    """
    boxes, image = arrays["boxes"], arrays["image"]
    chosen = _largest(boxes, image) if rows == "image" else np.arange(len(image))
    features, logits = arrays.get(f"features/{place}"), arrays.get("logits")
    if features is not None:
        features = features[chosen if place.startswith(LOCAL) else image[chosen]]
    return {
        "features": features,
        "labels": arrays["labels"][chosen],
        "boxes": boxes[chosen],
        "targets": boxes[chosen],
        "image_sizes": arrays["image_sizes"][image[chosen]],
        "logits": None if logits is None else logits[image[chosen]],
    }


def _largest(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The row of each image's largest object, the first of equals; images in their order."""
    area = (boxes[:, 2] - boxes[:, 0]).astype(np.float64) * (boxes[:, 3] - boxes[:, 1])
    order = np.lexsort((np.arange(len(area)), -area, image))
    return order[np.unique(image[order], return_index=True)[1]]

"""Images with objects as a detector trains on them: flipped, scaled, cropped.

What is drawn for an image depends on the generator given for it alone, so that neither the order of the images nor a
cut changes it. Scaling to fit and padding, where nothing is jittered, are the detector's own: it does the same to
images in training and in testing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tmbench.sources.detection.evaluation import as_tensor
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.targets.detection import DetectionImages

LEAST = 1e-2
"""Height and width in pixels below which a clipped box has vanished."""


@dataclass
class Sample:
    """An image and its objects as arrays; k objects, k may be 0.

    Attributes:
        image: (h, w, 3) uint8.
        boxes: (k, 4) float32, x1, y1, x2, y2 in pixels of the image.
        labels: (k,) int64 in 0..C-1.
        masks: (k, h, w) bool; None where the set has none or the detector predicts none.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None

    def tensors(self) -> tuple[Tensor, dict[str, Tensor]]:
        """What a torchvision detector trains on: (3, h, w) float32 in 0..1, and its objects, 0 being background."""
        target = {"boxes": torch.from_numpy(self.boxes), "labels": torch.from_numpy(self.labels) + 1}
        if self.masks is not None:
            target["masks"] = torch.from_numpy(self.masks.view(np.uint8))
        return as_tensor(self.image), target


def sample(images: DetectionImages, i: int, masks: bool) -> Sample:
    """Image ``i`` with its objects, those regions left out that are crowds; masks decoded if ``masks``."""
    objects = images.objects(i)
    objects = objects.part(~objects.crowd)
    bitmaps = None
    if masks:
        height, width = images.sizes[i]
        bitmaps = objects.bitmaps() if len(objects) else np.zeros((0, height, width), dtype=bool)
    return Sample(images.image(i), objects.boxes, objects.labels, bitmaps)


def augmented(one: Sample, recipe: DetectionRecipe, generator: np.random.Generator, fill: np.ndarray) -> Sample:
    """``one`` as ``recipe`` augments it, drawn from ``generator``.

    Args:
        one: as :func:`sample` gives it.
        recipe: ``augment``, ``image_size`` and ``scales`` are used.
        generator: of this image in this epoch.
        fill: (3,) the colour in 0..1 of what is padded; a detector's mean makes it 0 after normalisation.

    Returns:
        With ``jitter``, an image of ``image_size`` × ``image_size`` pixels; otherwise one of its own size.
    """
    if recipe.augment == "none":
        return one
    if recipe.augment == "jitter":
        one = jittered(one, recipe.image_size, recipe.scales, generator, fill)
    return flipped(one) if generator.random() < 0.5 else one


def flipped(one: Sample) -> Sample:
    """Left and right exchanged."""
    width = one.image.shape[1]
    boxes = one.boxes.copy()
    boxes[:, [0, 2]] = width - one.boxes[:, [2, 0]]
    masks = None if one.masks is None else np.ascontiguousarray(one.masks[:, :, ::-1])
    return Sample(np.ascontiguousarray(one.image[:, ::-1]), boxes, one.labels, masks)


def jittered(
    one: Sample, size: int, scales: tuple[float, float], generator: np.random.Generator, fill: np.ndarray
) -> Sample:
    """Large-scale jitter: a random scale relative to fitting ``size`` pixels, then a random crop, or padding.

    Padding is to the right and below. Objects are cut as the image is, boxes being drawn around what is left of a
    mask where there are masks; objects of which nothing is left are dropped.

    Ghiasi et al., Simple copy-paste is a strong data augmentation method for instance segmentation, CVPR 2021.
    """
    height, width = one.image.shape[:2]
    factor = generator.uniform(*scales) * size / max(height, width)
    scaled = np.maximum(1, np.round(np.array([height, width]) * factor)).astype(int)
    shown = np.minimum(scaled, size)
    start = [int(generator.integers(0, room + 1)) for room in scaled - shown]
    ratio = scaled / np.array([height, width])  # of heights, of widths: rounding makes them differ a little

    image = np.empty((size, size, 3), dtype=np.uint8)
    image[:] = np.round(np.asarray(fill) * 255)
    image[: shown[0], : shown[1]] = _scaled_crop(one.image, start, shown, ratio)
    if one.masks is not None:
        rows, columns = (_nearest(start[a], shown[a], ratio[a], one.image.shape[a]) for a in (0, 1))
        masks = np.zeros((len(one.masks), size, size), dtype=bool)
        masks[:, : shown[0], : shown[1]] = one.masks[:, rows[:, None], columns[None, :]]
        there = masks.any(axis=(1, 2))
        return Sample(image, boxes_around(masks[there]), one.labels[there], masks[there])
    boxes = one.boxes * np.tile(ratio[::-1], 2) - np.tile(start[::-1], 2)
    boxes = np.clip(boxes, 0, np.tile(shown[::-1], 2)).astype(np.float32)
    there = np.all(boxes[:, 2:] - boxes[:, :2] > LEAST, axis=1)
    return Sample(image, boxes[there], one.labels[there], None)


def boxes_around(masks: np.ndarray) -> np.ndarray:
    """(k, 4) float32: the box around each of (k, h, w) bool masks, none of which is empty; its far edges included."""
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for first, axis in ((0, 1), (1, 2)):  # columns of each mask, then rows
        lines = np.asarray(masks.any(axis=axis))
        boxes[:, first] = lines.argmax(axis=1)
        boxes[:, first + 2] = lines.shape[1] - lines[:, ::-1].argmax(axis=1)
    return boxes


def _scaled_crop(image: np.ndarray, start: list[int], shown: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The part of the scaled image that is shown, bilinear and antialiased; the rest of it is never made."""
    (top, left), (height, width) = np.array(start) / ratio, shown / ratio
    box = (left, top, min(left + width, image.shape[1]), min(top + height, image.shape[0]))
    size = (int(shown[1]), int(shown[0]))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=box))


def _nearest(start: int, count: int, ratio: float, length: int) -> np.ndarray:
    """The rows (or columns) of an image of ``length`` under ``count`` rows of its scaled form from ``start`` on."""
    centres = (np.arange(start, start + count) + 0.5) / ratio
    return np.minimum(centres.astype(int), length - 1)

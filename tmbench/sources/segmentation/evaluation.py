"""How good a segmentation is: intersection over union of each class, and their mean."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.sources.network import place_of
from tmbench.sources.segmentation.decoders import at_resolution
from tmbench.sources.segmentation.pictures import IMAGES, LabelMaps
from tmbench.sources.segmentation.training import Images
from tmbench.sources.training import Diverged
from tmbench.targets.bad_data import BadData
from tmbench.targets.segmentation import IGNORED

VALUES = 1 << 27
"""Logits at the label maps' resolution that are in memory at most."""


@dataclass(frozen=True)
class Evaluation:
    """What a network's predictions are worth.

    A class that neither a label nor a prediction names has no IoU and is left out of the mean; one that is only
    predicted, or only there, has IoU 0. That is the rule of torchmetrics' macro average with an ignored label.

    Attributes:
        confusion: (C, C) int64, pixels by true class (rows) and predicted class; ignored pixels are not counted.
    """

    confusion: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """(C,) intersection over union of each class; NaN where it has none."""
        hits = np.diag(self.confusion).astype(np.float64)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits
        return np.divide(hits, union, out=np.full(len(hits), math.nan), where=union > 0)

    @property
    def numbers(self) -> dict[str, float]:
        """``miou`` and ``pixel_accuracy``; NaN without a labelled pixel."""
        total = self.confusion.sum()
        if not total:
            return {"miou": math.nan, "pixel_accuracy": math.nan}
        return {"miou": float(np.nanmean(self.iou)), "pixel_accuracy": float(np.diag(self.confusion).sum() / total)}

    def by_class(self, classes: tuple[str, ...]) -> dict[str, float]:
        """The IoU of each class that has one, by name."""
        return {name: float(iou) for name, iou in zip(classes, self.iou, strict=True) if not math.isnan(iou)}

    def told(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        pixels = self.confusion.sum(axis=1).tolist()
        found = self.by_class(classes)
        return {name: {"iou": found.get(name), "pixels": count} for name, count in zip(classes, pixels, strict=True)}


def evaluated(network: nn.Module, images: Images, labels: LabelMaps, classes: int) -> Evaluation:
    """What ``network`` predicts for ``images``, at the resolution of their label maps, pixel by pixel.

    Args:
        network: gives (n, C, h, w) logits for what ``images`` gives.
        images: the pictures, or what a frozen trunk makes of them.
        labels: their label maps.
        classes: C.

    Raises:
        Diverged: when logits are infinite or NaN, as the last step of a training may leave them.
        BadData: when no pixel has a class: resizing has left none of those that do.
    """
    place = place_of(network)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    step = max(1, min(IMAGES, VALUES // (classes * labels.size**2)))
    with torch.inference_mode():
        for rows in torch.arange(len(labels)).split(step):
            logits = network(images[rows].to(place))
            if not torch.isfinite(logits).all():
                raise Diverged("the trained network's predictions are not finite.")
            truth = labels[rows]
            found = at_resolution(logits, truth.shape[-2:]).argmax(dim=1).cpu()
            confusion += confusion_of(found, truth, classes)
    if not confusion.any():
        raise BadData(
            f"of {len(labels)} images no labelled pixel is left at {labels.size} × {labels.size} pixels; raise "
            "image_size in the target's option file."
        )
    return Evaluation(confusion)


def confusion_of(predicted: Tensor, labels: Tensor, classes: int) -> np.ndarray:
    """(C, C) int64: pixels by true class (rows) and predicted class, those with the label 255 left out."""
    counted = labels != IGNORED
    pairs = labels[counted].long() * classes + predicted[counted]
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes).numpy()

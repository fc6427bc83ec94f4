"""What a detector does to images first: normalise them, scale them to fit a square, pad them to it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

COARSEST = 32
"""Stride of the coarsest map; the square is a multiple of it."""


def canvas_size(image_size: int) -> int:
    """Height and width in pixels of what the backbone sees: ``image_size``, or the next multiple of 32."""
    return math.ceil(image_size / COARSEST) * COARSEST


class Canvas(GeneralizedRCNNTransform):
    """torchvision's transform onto a fixed square, the image at its top left.

    Unlike torchvision's own it smooths when it shrinks, as the libraries do with which training images are augmented,
    and pads each batch to the same size. An image whose longer side is ``image_size`` stays as it is.
    """

    def __init__(self, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Scale images so that the longer side has ``image_size`` pixels; white is 1 in ``mean`` and ``std``."""
        super().__init__(image_size, image_size, list(mean), list(std), size_divisible=COARSEST)
        self.image_size = image_size

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """(3, h, w) float and its objects, scaled to fit; masks (k, h, w) uint8 by their nearest pixel."""
        before = list(image.shape[-2:])
        scale = self.image_size / max(before)
        if scale == 1:
            return image, target
        after = [max(1, round(side * scale)) for side in before]
        image = nn.functional.interpolate(image[None], after, mode="bilinear", align_corners=False, antialias=True)[0]
        if target is not None:
            target = {**target, "boxes": resize_boxes(target["boxes"], before, after)}
            if "masks" in target:
                target["masks"] = nn.functional.interpolate(target["masks"][:, None], after, mode="nearest-exact")[:, 0]
        return image, target

    def batch_images(self, images: list[Tensor], size_divisible: int = COARSEST) -> Tensor:
        """(3, h, w) images → (n, 3, square, square), 0 (the mean colour) right of and below each."""
        side = canvas_size(self.image_size)
        batch = images[0].new_zeros((len(images), images[0].shape[0], side, side))
        for place, image in zip(batch, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]].copy_(image)
        return batch.contiguous(memory_format=torch.channels_last)

"""Images of a data set as a network sees them, made when they are asked for."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.sources.network import as_input
from tmbench.sources.options import Input

HELD = 2 << 30
"""Bytes up to which the images of a split, brought to one size, are held in memory; else they are decoded each time."""


class Stack:
    """n images, brought to one size as they are first asked for.

    In place of a tensor of them all, which in float32 takes four times what they do and often more than there is.
    """

    def __init__(self, image: Callable[[int], np.ndarray], count: int, size: int, expected: Input) -> None:
        """Images of a data set.

        Args:
            image: row → (h, w, 3) uint8, of any size.
            count: n.
            size: height and width in pixels to which the data set brings its images.
            expected: what the network expects, another size among it.
        """
        self._image = image
        self._count = count
        self._size = size
        self._expected = expected
        self._held: np.ndarray | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """(m, 3, size, size) float32 as the network expects them."""
        chosen = np.arange(self._count)[rows] if isinstance(rows, slice) else rows.numpy()
        return as_input(self.pixels(chosen), self._expected)

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """(m, size, size, 3) uint8, of the data set's size."""
        if self._count * self._size**2 * 3 > HELD:
            return np.stack([squared(self._image(row), self._size) for row in rows.tolist()])
        if self._held is None:
            self._held = np.stack([squared(self._image(row), self._size) for row in range(self._count)])
        return self._held[rows]


def squared(image: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: an image (h, w, 3) uint8 stretched to a square."""
    if image.shape[:2] == (size, size):
        return image
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    resized = nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].round_().clamp_(0, 255).byte().permute(1, 2, 0).numpy()

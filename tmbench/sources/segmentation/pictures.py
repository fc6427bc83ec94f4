"""The images of a split as a network sees them, and their label maps: made when asked for, kept as far as they fit."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.sources.network import as_input, place_of
from tmbench.sources.options import Input
from tmbench.targets.segmentation import SegmentationImages, at_size

KEPT = 2 << 30
"""Bytes of decoded images, or of maps, that are kept at most."""

IMAGES = 16
"""Images of one forward pass when nothing is trained."""


class Pictures:
    """Images and label maps as squares; whatever is decoded is kept, as bytes, up to :data:`KEPT`.

    Attributes:
        size: height and width in pixels.
    """

    def __init__(self, data: SegmentationImages, expected: Input, size: int) -> None:
        """``data`` at ``size``, normalised as ``expected``."""
        self._data = data
        self._expected = expected.model_copy(update={"size": size})
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._room = KEPT // (4 * size**2)
        self.size = size

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(m, 3, size, size) float32, normalised: the images at ``rows`` (m,)."""
        return as_input(np.stack([self._at(row)[0] for row in rows.tolist()]), self._expected)

    def labels(self, rows: Tensor) -> Tensor:
        """(m, size, size) uint8: their label maps."""
        return torch.from_numpy(np.stack([self._at(row)[1] for row in rows.tolist()]))

    def _at(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        if row in self._kept:
            return self._kept[row]
        found = at_size(self._data.image(row), self._data.labels(row), self.size)
        if len(self._kept) < self._room:
            self._kept[row] = found
        return found


class LabelMaps:
    """The label maps of some pictures, by row.

    Attributes:
        size: height and width in pixels.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self.size = pictures.size

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(m, size, size) uint8 at ``rows`` (m,)."""
        return self._pictures.labels(rows)


class FrozenMaps:
    """What a decoder sees of pictures, from a trunk that stays as it is: one row an image, all maps end to end.

    They are computed once where they fit into :data:`KEPT` bytes, else each time that they are asked for.

    Attributes:
        shapes: of an image's maps, without the first dimension.
    """

    def __init__(
        self, maps: Callable[[Tensor], tuple[Tensor, ...]], trunk: nn.Module, pictures: Pictures, *, mirrored: bool
    ) -> None:
        """The ``maps`` of all ``pictures``; computed where ``trunk`` lies, which must be in evaluation mode.

        Args:
            maps: images → maps.
            trunk: what computes them.
            pictures: the images.
            mirrored: whether the maps of each image with left and right exchanged are wanted too.
        """
        self._maps = maps
        self._place = place_of(trunk)
        self._pictures = pictures
        self._turns = (False, True) if mirrored else (False,)
        with torch.no_grad():
            first = maps(pictures[torch.tensor([0])].to(self._place))
        self.shapes = tuple(tuple(each.shape[1:]) for each in first)
        self._width = sum(each[0].numel() for each in first)
        self._rows: Tensor | None = None
        if len(pictures) * len(self._turns) * self._width * 4 <= KEPT:
            self._rows = self._all()

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(m, 1 or 2, values of all maps) float32: as they are, and mirrored where that was wanted."""
        return self._computed(rows) if self._rows is None else self._rows[rows]

    def _all(self) -> Tensor:
        out = torch.empty(len(self), len(self._turns), self._width)
        for rows in torch.arange(len(self)).split(IMAGES):
            out[rows] = self._computed(rows)
        return out

    def _computed(self, rows: Tensor) -> Tensor:
        images = self._pictures[rows].to(self._place)
        with torch.no_grad():
            turned = [self._maps(images.flip(3) if turn else images) for turn in self._turns]
        return torch.stack([torch.cat([each.flatten(1) for each in maps], dim=1) for maps in turned], dim=1).cpu()

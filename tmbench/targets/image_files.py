"""Images on disk that stand for an array of them: decoded, and resized, when rows are taken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tmbench.targets.bad_data import BadData

POINTER = 8
"""Bytes that a file's place takes beside its text; about."""


class ImageFiles:
    """n image files as (n, size, size, 3) uint8; only the rows that are taken are in memory.

    Attributes:
        paths: n files.
        shape: (n, size, size, 3).
        dtype: uint8.
        ndim: 4.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        """The files, to be resized to ``size`` pixels in height and width, whatever their shape."""
        self.paths = tuple(paths)
        self.shape = (len(self.paths), size, size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def nbytes(self) -> int:
        """What it takes in memory: the names, and no image."""
        return sum(len(str(path)) + POINTER for path in self.paths)

    def part(self, rows: np.ndarray) -> "ImageFiles":
        """Some of the files, not decoded."""
        return ImageFiles([self.paths[row] for row in rows.tolist()], self.shape[1])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(m, size, size, 3) uint8: the chosen images.

        Raises:
            BadData: for a file that does not decode.
        """
        chosen = self.paths[rows] if isinstance(rows, slice) else [self.paths[row] for row in rows.tolist()]
        out = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for row, path in enumerate(chosen):
            out[row] = decoded(path, self.shape[1])
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def decoded(path: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8 of the file in the orientation in which it is stored, resized by antialiased bilinear.

    Raises:
        BadData: when it does not decode.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            colours = image.convert("RGB")
            return np.asarray(colours.resize((size, size), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadData(f"{path} does not decode ({error}); mend the file, or take it out of its folder.") from error

"""Run-length masks in the three forms in which COCO files write them, checked before pycocotools sees them.

pycocotools trusts what it is given: counts that do not fill the image are read beyond their end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tmbench.targets.detection import NO_MASK, RLE


class BadMask(Exception):
    """Why a mask cannot be used; the end of a sentence that begins with its object's id."""


def run_lengths(segmentation: Any, height: int, width: int, slack: float = 0.0) -> RLE:
    """The mask as compressed run lengths.

    Args:
        segmentation: a list of polygons [x, y, x, y, …] whose union is the mask; or ``{"size", "counts"}`` with
            counts as a list of numbers or as COCO's compressed text.
        height: of the image, in pixels.
        width: of the image, in pixels.
        slack: pixels by which a polygon may reach over the image's edge.

    Raises:
        BadMask: when it is none of these, or does not fit the image.
    """
    if not segmentation:
        raise BadMask(NO_MASK)
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, height, width)
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width, slack)
    raise BadMask(f"has a mask that is {type(segmentation).__name__}, neither polygons nor run lengths")


def encoded(bitmaps: np.ndarray) -> tuple[RLE, ...]:
    """Compressed run lengths of (k, h, w) bool."""
    from pycocotools import mask

    if len(bitmaps) == 0:
        return ()
    return tuple(mask.encode(np.asfortranarray(np.moveaxis(bitmaps, 0, 2).astype(np.uint8))))


def extents(bitmaps: np.ndarray) -> np.ndarray:
    """(k, 4) float32 boxes of (k, h, w) bool, x1, y1, x2, y2 half open; every bitmap must have a pixel."""
    _, height, width = bitmaps.shape
    columns = np.logical_or.reduce(bitmaps, axis=1)
    rows = np.logical_or.reduce(bitmaps, axis=2)
    ends = [columns.argmax(1), rows.argmax(1), width - columns[:, ::-1].argmax(1), height - rows[:, ::-1].argmax(1)]
    return np.stack(ends, axis=1).astype(np.float32)


def _from_polygons(polygons: Sequence[Any], height: int, width: int, slack: float) -> RLE:
    from pycocotools import mask

    parts = []
    for polygon in polygons:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise BadMask("has a polygon that is not a list of three or more x, y")
        over = max(-points.min(), points[0::2].max() - width, points[1::2].max() - height)
        if over > slack:
            raise BadMask(f"has a polygon {over:g} pixels outside the image of {width} × {height}")
        parts.append(points.tolist())
    return _compressed(mask.merge(mask.frPyObjects(parts, height, width)))


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> RLE:
    from pycocotools import mask

    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise BadMask(f"has a mask of size {size}, the image has {[height, width]} (height, width)")
    if isinstance(counts, str | bytes):
        text = counts.encode("latin-1", "replace") if isinstance(counts, str) else counts
        _fill(_expanded(text), height * width)
        return {"size": [height, width], "counts": text}
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise BadMask("has run lengths that are neither text nor a list of whole numbers")
    _fill(np.array(counts, dtype=np.float64), height * width)
    return _compressed(mask.frPyObjects({"size": [height, width], "counts": counts}, height, width))


def _compressed(runs: Any) -> RLE:
    return {"size": [int(side) for side in runs["size"]], "counts": bytes(runs["counts"])}


def _expanded(text: bytes) -> np.ndarray:
    """The run lengths in COCO's compressed text: five bits a character, lowest first, then differences.

    From the fourth on, a run is written as its difference to the run two before.
    """
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise BadMask("has run lengths that are not COCO's compressed text")
    last = (codes & 0x20) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > 7:
        raise BadMask("has run lengths that are not COCO's compressed text")
    place = np.arange(len(codes)) - np.repeat(starts, digits)
    values = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    values -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * digits), 0)
    # Run 0 stands for itself; 1, 3, 5 … and 2, 4, 6 … are each a sum of differences.
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def _fill(runs: np.ndarray, pixels: int) -> None:
    if (runs < 0).any() or runs.sum() != pixels:
        raise BadMask(f"has run lengths that cover {runs.sum():g} pixels, the image has {pixels}")

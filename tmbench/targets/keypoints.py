"""Images on disk with points or numbers of theirs: from what an annotation says to shares of the image or of a crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.targets.annotations import decode, header
from tmbench.targets.bad_data import BadData
from tmbench.targets.regression import SLACK, RegressionImages, Row

Occluded = Literal["count", "hide"]
"""Points of which an annotator has told the place although something is before them count as others, or are hidden."""

Window = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels, half open."""


@dataclass(frozen=True)
class Annotated:
    """One image, or one object of it, as a file tells it and not yet checked.

    Attributes:
        path: the image.
        source: the annotation's file and the image's or the object's id, for messages.
        values: (K, 2) pixels from the image's upper left corner, NaN where hidden; or (K,) other numbers.
        visible: (K,) bool, of points: one that is marked occluded is hidden where it lies outside the image, not wrong.
        box: x, y, width and height of the object in pixels, where known.
        relative: the points are shares of width and height already.
        problems: what is wrong with it, each the end of a sentence.
    """

    path: Path
    source: str
    values: np.ndarray
    visible: np.ndarray | None = None
    box: tuple[float, float, float, float] | None = None
    relative: bool = False
    problems: tuple[str, ...] = ()


def set_of(
    names: Sequence[str],
    found: Sequence[Annotated],
    *,
    is_points: bool = True,
    margin: float | None = None,
    problems: Sequence[str] = (),
) -> RegressionImages:
    """The set of the images ``found``; nothing is read yet.

    Args:
        names: of the points or numbers.
        found: the images, or the objects of images.
        is_points: whether the values are points.
        margin: crop to the object's box, widened on each side by this share of its width and height; null for none.
        problems: what is already known to be wrong.

    Raises:
        ConfigError: for a margin below 0.
    """
    if margin is not None and not margin >= 0:
        raise ConfigError(f"margin is a share of 0 or more of the box, or null for whole images, not {margin}.")
    outputs = [f"{name}.{axis}" for name in names for axis in "xy"] if is_points else list(names)
    files = [(one.path, one.source, one.box) for one in found]

    def look(i: int) -> Row:
        one = found[i]
        try:
            width, height = header(one.path)
            if not is_points:
                return Row(one.values, 1.0, _sentences(one))
            return _placed(one, names, width, height, margin)
        except BadData as error:
            return Row(None, 1.0, (f"{one.source}: {error}",))

    def picture(i: int) -> np.ndarray:
        path, source, box = files[i]
        image = decode(path, source)
        if margin is None or box is None:
            return image
        left, upper, right, lower = window_of(box, image.shape[1], image.shape[0], margin)
        return np.ascontiguousarray(image[upper:lower, left:right])

    labels = [f"{one.source} ({one.path.name})" for one in found]
    return RegressionImages(outputs, labels, look, picture, is_points=is_points, problems=problems)


def hold_to_occluded(occluded: str) -> None:
    """Refuse what is no :data:`Occluded`.

    Raises:
        ConfigError: for it.
    """
    if occluded not in ("count", "hide"):
        raise ConfigError(f"occluded is count or hide, not '{occluded}'.")


def _sentences(one: Annotated) -> tuple[str, ...]:
    return tuple(f"{one.source} {text}." for text in one.problems)


def _placed(one: Annotated, names: Sequence[str], width: int, height: int, margin: float | None) -> Row:
    """The points as shares of the image, or of the crop where there is a ``margin``; what neither shows is missing."""
    problems = list(_sentences(one))
    sides = np.array([width, height], dtype=np.float64)
    points = one.values * sides if one.relative else one.values.astype(np.float64)
    lost = ~np.isfinite(points).all(axis=1)
    infinite = np.flatnonzero(np.isinf(points).any(axis=1)).tolist()
    problems += [f"{one.source}: {names[row]} is infinite." for row in infinite]
    outside = ~lost & ((points < -SLACK * sides) | (points > (1 + SLACK) * sides)).any(axis=1)
    for row in np.flatnonzero(outside).tolist():
        if one.visible is None or one.visible[row]:
            x, y = points[row].tolist()
            where = f"outside {one.path.name} of {width} × {height} pixels"
            problems.append(f"{one.source}: {names[row]}, at ({x:g}, {y:g}), lies {where}.")
    length = 1.0
    left, upper = 0, 0
    if one.box is not None:
        window = window_of(one.box, width, height, margin or 0.0)
        if margin is not None:
            left, upper = window[:2]
            sides = np.array([window[2] - left, window[3] - upper], dtype=np.float64)
        length = float((np.array(one.box[2:]) / sides).max())
    elif margin is not None:
        raise BadData("there is no box to crop to; give margin: null for whole images.")
    shares = (points - [left, upper]) / sides
    # What the crop leaves out is not shown, and nothing wrong.
    cut = ((shares < -SLACK) | (shares > 1 + SLACK)).any(axis=1)
    shares[lost | outside | cut] = np.nan
    return Row(shares.reshape(-1), length, tuple(problems))


def window_of(box: Sequence[float], width: int, height: int, margin: float) -> Window:
    """The pixels of ``box`` (x, y, width, height), widened and cut to the image.

    Raises:
        BadData: when it is no box in the image.
    """
    x, y, across, down = box
    shown = f"the box at ({x:g}, {y:g}) of {across:g} × {down:g} pixels"
    if not np.isfinite(box).all() or across <= 0 or down <= 0:
        raise BadData(f"{shown} is no box.")
    if x >= width or y >= height or x + across <= 0 or y + down <= 0:
        raise BadData(f"{shown} lies outside the image of {width} × {height} pixels.")
    left, upper = max(0, int(np.floor(x - margin * across))), max(0, int(np.floor(y - margin * down)))
    right = min(width, int(np.ceil(x + (1 + margin) * across)))
    lower = min(height, int(np.ceil(y + (1 + margin) * down)))
    return left, upper, right, lower

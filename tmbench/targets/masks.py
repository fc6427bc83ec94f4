"""Label maps on disk: which class the numbers or colours of a mask's pixels mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.targets.annotations import decode, header
from tmbench.targets.bad_data import BadData
from tmbench.targets.segmentation import IGNORED, MOST_CLASSES, SegmentationImages

UNKNOWN = -1
"""In a table of labels: a number that is neither a class's nor ignored."""

Ignored = Sequence[int] | Literal["others"]


@dataclass(frozen=True)
class Pair:
    """An image and its mask on disk."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Labels:
    """What the pixels of masks mean.

    Attributes:
        table: (m,) int16: the label of each number that a pixel can have, :data:`IGNORED` or :data:`UNKNOWN`; its
            last entry stands for all higher numbers.
        colours: whether pixels are colours, numbered r + 256 g + 65536 b.
    """

    table: np.ndarray
    colours: bool = False

    def of(self, numbers: np.ndarray, path: Path) -> np.ndarray:
        """(h, w) uint8 labels of the pixels' ``numbers``; ``path`` is for the message.

        Raises:
            BadData: for a number that is neither a class's nor ignored.
        """
        found = self.table[np.clip(numbers, 0, len(self.table) - 1)]
        wrong = (found == UNKNOWN) | (numbers < 0)
        if wrong.any():
            row, column = (int(place[0]) for place in np.nonzero(wrong))
            number = int(numbers[row, column])
            shown = f"colour {[number & 255, number >> 8 & 255, number >> 16]}" if self.colours else f"id {number}"
            raise BadData(
                f"{path} has the {shown} at pixel {column}, {row} and {int(wrong.sum())} such pixels in all; it is "
                "neither a class's nor ignored."
            )
        return found.astype(np.uint8)


def labels_by_ids(ids: Sequence[int | Sequence[int]], ignored: Ignored) -> Labels:
    """The labels where pixels are numbers.

    Args:
        ids: of each class, in order, the number in the files, or several numbers.
        ignored: numbers of pixels that do not count, or ``others`` for all that are no class's.

    Raises:
        ConfigError: for a number of two classes, and one that cannot be in a file.
    """
    of_class = [_several(one) for one in ids]
    _held_to(of_class, "ids")
    skipped = [] if ignored == "others" else _several(ignored, "ignored", " or 'others'")
    numbers = [number for some in of_class for number in some] + skipped
    if min(numbers) < 0 or max(numbers) > 65535:
        raise ConfigError(f"ids: masks have numbers of 0 to 65535, not {min(numbers)} to {max(numbers)}.")
    if both := set(skipped) & {number for some in of_class for number in some}:
        raise ConfigError(f"ids: {min(both)} is a class's and ignored; take it out of one.")
    table = np.full(max(256, max(numbers) + 2), IGNORED if ignored == "others" else UNKNOWN, dtype=np.int16)
    for label, some in enumerate(of_class):
        table[some] = label
    table[skipped] = IGNORED
    return Labels(table)


def labels_by_colours(
    colours: Sequence[Sequence[int] | Sequence[Sequence[int]]], ignored: Sequence[Sequence[int]] | Literal["others"]
) -> Labels:
    """The labels where pixels are colours (r, g, b): of each class, in order, its colour or several colours.

    Raises:
        ConfigError: for what is no colour, and for a colour of two classes.
    """
    of_class = [
        [_number(colour) for colour in (one if isinstance(one, Sequence) and not _is_colour(one) else [one])]
        for one in colours
    ]
    _held_to(of_class, "colours")
    table = np.full(1 << 24, IGNORED if ignored == "others" else UNKNOWN, dtype=np.int16)
    for label, some in enumerate(of_class):
        table[some] = label
    table[[] if ignored == "others" else [_number(colour) for colour in ignored]] = IGNORED
    return Labels(table, colours=True)


def _several(given: object, what: str = "ids", more: str = "") -> list[int]:
    """The number or numbers."""
    several = [given] if isinstance(given, int) else given
    if not isinstance(several, Sequence) or not all(isinstance(number, int) for number in several):
        raise ConfigError(f"{what}: {given!r} is no whole number, no list of them{more}.")
    return list(several)


def _is_colour(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 3 and all(isinstance(part, int) for part in value)


def _number(colour: object) -> int:
    if not (isinstance(colour, Sequence) and _is_colour(colour) and all(0 <= part <= 255 for part in colour)):
        raise ConfigError(f"colours: {colour} is not three numbers of 0 to 255.")
    red, green, blue = colour
    return int(red) + 256 * int(green) + 65536 * int(blue)


def _held_to(of_class: Sequence[Sequence[int]], what: str) -> None:
    if not 2 <= len(of_class) <= MOST_CLASSES:
        raise ConfigError(f"{what}: a set has 2 to {MOST_CLASSES} classes, not {len(of_class)}.")
    flat = [number for some in of_class for number in some]
    if not all(of_class) or len(set(flat)) < len(flat):
        raise ConfigError(f"{what}: each class needs its own; one has none, or one stands twice.")


def numbers_in(path: Path, colours: bool = False) -> np.ndarray:
    """(h, w) int64: each pixel's number in a PNG of grey values or palette entries; of colours r + 256 g + 65536 b.

    Raises:
        BadData: when the file is not there, does not decode, or has colours where numbers are wanted.
    """
    from PIL import Image

    try:
        if not path.is_file():
            raise BadData(f"there is no mask {path}.")
        with Image.open(path) as mask:
            if colours:
                parts = np.asarray(mask.convert("RGB")).astype(np.int64)
                return np.asarray(parts @ np.array([1, 256, 65536]))
            mode, numbers = mask.mode, np.asarray(mask)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadData(f"{path} is not a mask that can be read ({type(error).__name__}: {error}).") from error
    if numbers.ndim != 2 or numbers.dtype.kind not in "bui":
        raise BadData(
            f"the pixels of {path} are no numbers (Pillow's mode {mode}); where they are colours, say by 'colours' in "
            "the target's parameters which is whose."
        )
    return numbers.astype(np.int64)


def set_of_pairs(
    classes: Sequence[str], pairs: Sequence[Pair], meaning: Labels, problems: Sequence[str] = ()
) -> SegmentationImages:
    """The set of ``pairs``; nothing is read yet."""

    def size(i: int) -> tuple[int, int]:
        width, height = header(pairs[i].image)
        return height, width

    return SegmentationImages(
        classes,
        [str(pair.image) for pair in pairs],
        lambda i: decode(pairs[i].image, str(pairs[i].image.parent)),
        lambda i: meaning.of(numbers_in(pairs[i].mask, meaning.colours), pairs[i].mask),
        size,
        problems=problems,
    )


def class_names(classes: int | Sequence[str]) -> tuple[str, ...]:
    """The names, or so many that count from 0."""
    return tuple(f"class {label}" for label in range(classes)) if isinstance(classes, int) else tuple(classes)

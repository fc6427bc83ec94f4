"""Images with a class for each pixel: what a segmentation target gives, and what it is held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tmbench.functions import find_function
from tmbench.identity import Seeds, content_id
from tmbench.targets.bad_data import BadData
from tmbench.targets.drawing import rows_drawn
from tmbench.targets.options import SegmentationTarget, Split

IGNORED = 255
"""The label of a pixel that neither training nor evaluation counts."""

MOST_CLASSES = 255
"""Classes that a label map can tell apart beside :data:`IGNORED`."""

NAMED = 3
"""Problems that a refusal spells out; the others are counted."""

LISTED = 10
"""Classes that a message names; of more, the first."""


@dataclass(frozen=True)
class Seen:
    """What a look at an image's header and at its mask has shown.

    Attributes:
        present: the classes that some pixel has, ascending; None where the image cannot be used.
        size: height and width in pixels.
        problem: what is wrong, a sentence with the file; empty where nothing is.
    """

    present: tuple[int, ...] | None
    size: tuple[int, int]
    problem: str = ""


class SegmentationImages:
    """One split of a segmentation target; images and masks are decoded when asked for, never held as a whole.

    Attributes:
        classes: the name of each class.
        names: each image's file name or number, for messages.
    """

    def __init__(
        self,
        classes: Sequence[str],
        names: Sequence[str],
        image: Callable[[int], np.ndarray],
        labels: Callable[[int], np.ndarray],
        size: Callable[[int], tuple[int, int]],
        *,
        problems: Sequence[str] = (),
    ) -> None:
        """A set of which nothing is read yet. All three functions raise :class:`BadData`, naming the file.

        Args:
            classes: the name of each class.
            names: one an image.
            image: row → (h, w, 3) uint8.
            labels: row → (h, w) uint8 in 0..C-1 or :data:`IGNORED`.
            size: row → the image's height and width, from its header.
            problems: what is already known to be wrong, a sentence each.
        """
        self.classes = tuple(classes)
        self.names = tuple(names)
        self._image = image
        self._labels = labels
        self._size = size
        self._known = tuple(problems)
        self._seen: dict[int, Seen] = {}

    @classmethod
    def of_arrays(
        cls,
        classes: Sequence[str],
        images: Sequence[np.ndarray] | np.ndarray,
        labels: Sequence[np.ndarray] | np.ndarray,
    ) -> "SegmentationImages":
        """A set that is in memory: images (h, w, 3) uint8, and each one's labels (h, w) uint8."""
        return cls(
            classes,
            [f"image {i}" for i in range(len(images))],
            lambda i: images[i],
            lambda i: labels[i],
            lambda i: (int(images[i].shape[0]), int(images[i].shape[1])),
        )

    def __len__(self) -> int:
        return len(self.names)

    def image(self, i: int) -> np.ndarray:
        """(h, w, 3) uint8, decoded now."""
        return self._image(i)

    def labels(self, i: int) -> np.ndarray:
        """(h, w) uint8 in 0..C-1 or :data:`IGNORED`, decoded now."""
        return self._labels(i)

    def seen(self, i: int) -> Seen:
        """What a look at image ``i`` shows; its mask is decoded once for that."""
        if i not in self._seen:
            self._seen[i] = self._look(i)
        return self._seen[i]

    def present(self, i: int) -> tuple[int, ...]:
        """The classes that image ``i`` shows, ascending; none where it cannot be used."""
        return self.seen(i).present or ()

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n, 2) int64 heights and widths in pixels."""
        return np.array([self.seen(i).size for i in range(len(self))], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What was left out, a sentence each with its file."""
        return self._known + tuple(text for i in range(len(self)) if (text := self.seen(i).problem))

    def part(self, rows: Sequence[int], problems: Sequence[str] = ()) -> "SegmentationImages":
        """The images at ``rows``, in that order; ``problems`` of images not among them go with it."""
        rows = list(rows)
        out = SegmentationImages(
            self.classes,
            [self.names[row] for row in rows],
            lambda i: self._image(rows[i]),
            lambda i: self._labels(rows[i]),
            lambda i: self._size(rows[i]),
            problems=(*self._known, *problems),
        )
        out._seen = {i: self._seen[row] for i, row in enumerate(rows) if row in self._seen}
        return out

    def drawn(self, size: int | None, generator: np.random.Generator) -> "SegmentationImages":
        """``size`` images at random, or all, in the set's order; images that cannot be used are passed over.

        A smaller draw of the same generator is a part of a larger one. Fewer where the set has fewer.
        """

        def broken(row: int) -> Sequence[str] | None:
            seen = self.seen(row)
            return (seen.problem,) if seen.present is None else None

        return self.part(*rows_drawn(len(self), size, generator, broken))

    def _look(self, i: int) -> Seen:
        size = (0, 0)
        try:
            size = self._size(i)
            labels = self._labels(i)
        except BadData as error:
            return Seen(None, size, str(error))
        if labels.shape != size:
            shown = " × ".join(str(side) for side in reversed(labels.shape))
            text = f"its mask has {shown} pixels, the image {size[1]} × {size[0]}"
            return Seen(None, size, f"{self.names[i]}: {text}.")
        if labels.dtype != np.uint8:
            return Seen(None, size, f"{self.names[i]}: labels must be uint8, not {labels.dtype}.")
        found = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=IGNORED + 1)[:IGNORED])
        if len(found) == 0:
            return Seen(None, size, f"{self.names[i]}: no pixel of its mask has a class; all are ignored.")
        if found[-1] >= len(self.classes):
            text = f"its mask has the label {found[-1]}; {len(self.classes)} classes count from 0"
            return Seen(None, size, f"{self.names[i]}: {text}.")
        return Seen(tuple(found.tolist()), size)


def load(target: SegmentationTarget, split: Split) -> SegmentationImages:
    """One split of ``target``, checked; every mask has been read, no image decoded.

    The target's function may give more images than were asked for: those that are used are drawn from them. The
    random streams depend on the target's seed and parameters alone. A class without a pixel in the train split is
    refused; with ``broken: drop`` it stays a class, and is among ``problems``.

    Raises:
        BadData: when the function's result is not what the option file declares, and for images and masks that
            cannot be used where the option says ``broken: refuse``.
    """
    function = find_function(target.function)
    seeds = Seeds(content_id({"target": target.parameters, "seed": target.seed, "version": target.version}))
    size: int | None = getattr(target.sizes, split)
    place = f"{target.function}, split '{split}'"
    data = function(split, size, seeds, **target.arguments)
    if not isinstance(data, SegmentationImages):
        raise BadData(f"{place}: it returned {type(data).__name__}, not SegmentationImages.")
    if len(data.classes) != target.classes:
        raise BadData(f"{place}: {_other_classes(data.classes)}, but the option file says classes={target.classes}.")
    data = data.drawn(size, seeds.generator(f"images of {split}"))
    if data.problems and target.broken == "refuse":
        raise BadData(f"{place}: {_refusal(data.problems)}")
    return _checked(data, target, split, size, place)


def at_size(image: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as ``size`` × ``size`` pixels: the image (h, w, 3) smoothly, the labels (h, w) by the nearest pixel."""
    from PIL import Image

    if image.shape[:2] == labels.shape == (size, size):
        return image, labels
    side = (size, size)
    smooth = np.array(Image.fromarray(image).resize(side, Image.Resampling.BILINEAR))
    return smooth, np.array(Image.fromarray(labels).resize(side, Image.Resampling.NEAREST))


def _refusal(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - NAMED} more)" if len(problems) > NAMED else ""
    count = "one image" if len(problems) == 1 else f"{len(problems)} images"
    return (
        f"{count} cannot be used: {' '.join(problems[:NAMED])}{more} Mend what is wrong, or leave it out with "
        "'broken: drop' in the target's option file."
    )


def _other_classes(classes: Sequence[str]) -> str:
    more = f", … {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
    return f"{count} ({', '.join(classes[:LISTED])}{more})"


def _checked(
    data: SegmentationImages, target: SegmentationTarget, split: str, size: int | None, place: str
) -> SegmentationImages:
    """``data``, held to what ``target`` declares; its ``problems`` tell classes that are missing."""
    lost = f" ({len(data.problems)} were left out as broken: {data.problems[0]})" if data.problems else ""
    if len(data) == 0:
        raise BadData(f"{place}: there are no images{lost}.")
    if size is not None and len(data) < size:
        raise BadData(
            f"{place}: {len(data)} images, but the option file asks for sizes.{split}={size}{lost}. "
            f"Lower it to {len(data)}, or give null for all."
        )
    if len(data) == 1:
        raise BadData(f"{place}: {data.names[0]} is the only image{lost}; a split needs two.")
    shown = sorted({label for i in range(len(data)) for label in data.present(i)})
    if len(shown) < 2:
        raise BadData(f"{place}: all labelled pixels are of class '{data.classes[shown[0]]}'; a set needs two classes.")
    absent = [name for label, name in enumerate(data.classes) if label not in shown]
    if split != "train" or not absent:
        return data
    text = f"no pixel of {len(data)} train images has the class {_listed(absent)}{lost}."
    if target.broken == "refuse":
        raise BadData(
            f"{place}: {text} Raise sizes.train, or allow it with 'broken: drop' in the target's option file."
        )
    return data.part(range(len(data)), [text])


def _listed(names: Sequence[str]) -> str:
    more = f" or {len(names) - LISTED} others" if len(names) > LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + more

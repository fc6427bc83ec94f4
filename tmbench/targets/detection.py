"""Images with objects: what a detection target gives, and what it is held to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict

import numpy as np

from tmbench.errors import unknown
from tmbench.functions import find_function
from tmbench.identity import Seeds, content_id
from tmbench.targets.bad_data import BadData
from tmbench.targets.drawing import rows_drawn
from tmbench.targets.options import DetectionTarget, Split

NAMED = 3
"""Problems that a refusal spells out; the others are counted."""

LISTED = 10
"""Classes that a message names; of more, the first."""

NO_MASK = "has no mask"
"""How a problem says that an object lacks its mask."""


class RLE(TypedDict):
    """A run-length mask as COCO compresses it: ``size`` is [height, width]."""

    size: list[int]
    counts: bytes


@dataclass(frozen=True)
class Objects:
    """The annotation of one image: k objects, k may be 0.

    Attributes:
        boxes: (k, 4) float32, x1, y1, x2, y2 in pixels of the image; a box of one pixel at the origin is 0, 0, 1, 1.
        labels: (k,) int64 in 0..C-1.
        crowd: (k,) bool, regions that evaluation ignores and training leaves out.
        areas: (k,) float64 square pixels: as annotated, else of the mask, else of the box.
        masks: k run-length masks of the image's size; () where the set has none.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: tuple[RLE, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def bitmaps(self) -> np.ndarray:
        """(k, h, w) bool, the masks decoded.

        Raises:
            ValueError: where there are objects without masks, or no object at all to tell h and w.
        """
        from pycocotools import mask

        if not self.masks:
            raise ValueError("there are no masks")
        return np.ascontiguousarray(np.moveaxis(mask.decode(list(self.masks)), 2, 0)).astype(bool)

    def part(self, rows: np.ndarray) -> "Objects":
        """The objects at ``rows``: (m,) indices, or (k,) bool."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        masks = tuple(self.masks[row] for row in rows) if self.masks else ()
        return Objects(self.boxes[rows], self.labels[rows], self.crowd[rows], self.areas[rows], masks)


@dataclass(frozen=True)
class Seen:
    """What a look at an image's annotation and at its file's header has shown.

    Attributes:
        objects: those that can be used; None where the image itself cannot.
        size: height and width in pixels.
        problems: what was wrong, a sentence each with file and id.
    """

    objects: Objects | None
    size: tuple[int, int]
    problems: tuple[str, ...] = ()


class DetectionImages:
    """One split of a detection target; images are decoded when asked for and never in memory as a whole.

    Attributes:
        classes: the name of each class.
        names: each image's file name or id, for messages.
        has_masks: whether every object has a mask.
        problems: what was left out, a sentence each with file and id.
    """

    def __init__(
        self,
        classes: Sequence[str],
        names: Sequence[str],
        look: Callable[[int], Seen],
        decode: Callable[[int], np.ndarray],
        *,
        has_masks: bool,
        present: Sequence[Iterable[int]] | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        """A set of which nothing is read yet; each image is looked at once.

        Args:
            classes: the name of each class.
            names: one an image.
            look: row → what its annotation and its file's header say.
            decode: row → (h, w, 3) uint8.
            has_masks: whether every object has a mask.
            present: the labels that occur in each image, where they are known without a look.
            problems: what is already known to be wrong.
        """
        self.classes = tuple(classes)
        self.names = tuple(names)
        self.has_masks = has_masks
        self._look = look
        self._decode = decode
        self._present = present
        self._known = tuple(problems)
        self._seen: dict[int, Seen] = {}

    @classmethod
    def of_arrays(
        cls, classes: Sequence[str], images: Sequence[np.ndarray] | np.ndarray, objects: Sequence[Objects]
    ) -> "DetectionImages":
        """A set that is in memory: images (h, w, 3) uint8, and the objects of each."""
        return cls(
            classes,
            [f"image {i}" for i in range(len(objects))],
            lambda i: Seen(objects[i], (int(images[i].shape[0]), int(images[i].shape[1]))),
            lambda i: images[i],
            has_masks=any(one.masks for one in objects),
        )

    def __len__(self) -> int:
        return len(self.names)

    def seen(self, i: int) -> Seen:
        """What a look at image ``i`` shows."""
        if i not in self._seen:
            self._seen[i] = self._look(i)
        return self._seen[i]

    def image(self, i: int) -> np.ndarray:
        """(h, w, 3) uint8, decoded now.

        Raises:
            BadData: when the file does not decode to an image of its annotation's size.
        """
        return self._decode(i)

    def objects(self, i: int) -> Objects:
        """The objects of image ``i``; none where the image cannot be used."""
        found = self.seen(i).objects
        return found if found is not None else no_objects()

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n, 2) int64 heights and widths in pixels."""
        return np.array([self.seen(i).size for i in range(len(self))], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What was left out of the images, a sentence each with file and id."""
        return self._known + tuple(text for i in range(len(self)) for text in self.seen(i).problems)

    def present(self, i: int) -> set[int]:
        """The labels that image ``i`` is said to show."""
        return set(self._present[i]) if self._present is not None else set(self.objects(i).labels.tolist())

    def part(self, rows: Sequence[int], problems: Sequence[str] = ()) -> "DetectionImages":
        """The images at ``rows``, in that order, looked at now; ``problems`` of images not among them go with it.

        It holds no more than that of the set: the annotations of a file of millions of objects can be let go.
        """
        rows = list(rows)
        decode = self._decode
        return DetectionImages(
            self.classes,
            [self.names[row] for row in rows],
            [self.seen(row) for row in rows].__getitem__,
            lambda i: decode(rows[i]),
            has_masks=self.has_masks,
            problems=(*self._known, *problems),
        )

    def only(self, names: Sequence[str]) -> "DetectionImages":
        """The images that show a class of ``names``, with the objects of those classes alone.

        The labels count from 0 again, in the set's order of classes.

        Raises:
            ConfigError: for a class that the set does not have.
        """
        for name in names:
            if name not in self.classes:
                raise unknown("class", name, self.classes, where="only_classes")
        kept = [label for label, name in enumerate(self.classes) if name in names]
        rows = [i for i in range(len(self)) if not self.present(i).isdisjoint(kept)]
        decode = self._decode
        new = np.full(len(self.classes), -1, dtype=np.int64)
        new[kept] = np.arange(len(kept))

        def look(i: int) -> Seen:
            seen = self.seen(rows[i])
            if seen.objects is None:
                return seen
            of_these = seen.objects.part(new[seen.objects.labels] >= 0)
            return replace(seen, objects=replace(of_these, labels=new[of_these.labels]))

        return DetectionImages(
            [self.classes[label] for label in kept],
            [self.names[row] for row in rows],
            look,
            lambda i: decode(rows[i]),
            has_masks=self.has_masks,
            present=[[int(new[label]) for label in self.present(row) if new[label] >= 0] for row in rows],
            problems=self._known,
        )

    def drawn(self, size: int | None, generator: np.random.Generator) -> "DetectionImages":
        """``size`` images at random, or all, in the set's order; images that cannot be used are passed over.

        A smaller draw of the same generator is a part of a larger one. Fewer where the set has fewer.
        """

        def broken(row: int) -> Sequence[str] | None:
            seen = self.seen(row)
            return seen.problems if seen.objects is None else None

        return self.part(*rows_drawn(len(self), size, generator, broken))


def no_objects() -> Objects:
    """The annotation of an image that shows nothing."""
    return Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0))


def load(target: DetectionTarget, split: Split) -> DetectionImages:
    """One split of ``target``, checked; every annotation and image header has been read, no image decoded.

    The target's function may give more images than were asked for: those that are used are drawn from them, after
    ``only_classes``. The random streams depend on the target's seed and parameters alone.

    Raises:
        BadData: when the function's result is not what the option file declares, and for annotations or images that
            cannot be used where the option says ``broken: refuse``.
        ConfigError: for a class in ``only_classes`` that the set does not have.
    """
    function = find_function(target.function)
    seeds = Seeds(content_id({"target": target.parameters, "seed": target.seed, "version": target.version}))
    size: int | None = getattr(target.sizes, split)
    place = f"{target.function}, split '{split}'"
    # Which images show the classes is known only when all are there.
    data = function(split, None if target.only_classes else size, seeds, **target.arguments)
    if not isinstance(data, DetectionImages):
        raise BadData(f"{place}: it returned {type(data).__name__}, not DetectionImages.")
    if target.only_classes:
        data = data.only(target.only_classes)
    data = data.drawn(size, seeds.generator(f"images of {split}"))
    if data.problems and target.broken == "refuse":
        raise BadData(f"{place}: {_refusal(data.problems)}")
    _check(data, target, split, size, place)
    return data


def _refusal(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - NAMED} more)" if len(problems) > NAMED else ""
    count = "one thing" if len(problems) == 1 else f"{len(problems)} things"
    boxes = ""
    if unmasked := sum(NO_MASK in text for text in problems):
        boxes = f" {unmasked} of them lack a mask: 'masks: false' in the target's parameters leaves masks unread."
    return (
        f"{count} cannot be used: {' '.join(problems[:NAMED])}{more} Mend what is wrong, or leave it out with "
        f"'broken: drop' in the target's option file.{boxes}"
    )


def _check(data: DetectionImages, target: DetectionTarget, split: str, size: int | None, place: str) -> None:
    """Hold ``data`` to what ``target`` declares."""
    lost = f" ({len(data.problems)} were left out as broken: {data.problems[0]})" if data.problems else ""
    if len(data.classes) != target.classes:
        raise BadData(f"{place}: {_other_classes(data.classes, target)}")
    if len(data) == 0:
        shown = f" that show {', '.join(target.only_classes)}" if target.only_classes else ""
        raise BadData(f"{place}: there are no images{shown}{lost}.")
    if size is not None and len(data) < size:
        raise BadData(
            f"{place}: {len(data)} images, but the option file asks for sizes.{split}={size}{lost}. "
            f"Lower it to {len(data)}, or give null for all."
        )
    counts = np.zeros(target.classes, dtype=np.int64)
    for i in range(len(data)):
        objects = data.objects(i)
        if wrong := _wrong(objects, data, i):
            raise BadData(f"{place}, {data.names[i]}: {wrong}")
        counts += np.bincount(objects.labels[~objects.crowd], minlength=target.classes)
    if not counts.any():
        regions = sum(len(data.objects(i)) for i in range(len(data)))
        why = (
            f"all {regions} are crowd regions or marked difficult, which evaluation ignores; count them as objects "
            "(Pascal VOC: 'difficult: count' in the target's parameters), or take other images"
            if regions
            else "check that the annotations belong to these images"
        )
        raise BadData(f"{place}: none of the {len(data)} images has an object{lost}: {why}.")
    if split == "train" and not counts.all():
        absent = data.classes[int(np.argmin(counts))]
        raise BadData(
            f"{place}: class '{absent}' has no object in {len(data)} images{lost}; raise sizes.train, or name the "
            "classes that are there in only_classes."
        )


def _other_classes(classes: Sequence[str], target: DetectionTarget) -> str:
    """That the set's classes are not as many as ``target`` says, and what to do."""
    more = f", … {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    choose = "" if target.only_classes or len(classes) < target.classes else ", or name those to keep in only_classes"
    count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
    return (
        f"{count} ({', '.join(classes[:LISTED])}{more}), but the option file says classes={target.classes}: set "
        f"classes: {len(classes)}{choose}."
    )


def _wrong(objects: Objects, data: DetectionImages, i: int) -> str:
    """What is wrong with the arrays of image ``i``; empty where nothing is."""
    k, (height, width) = len(objects.labels), data.seen(i).size
    expected = {"boxes": ((k, 4), np.float32), "labels": ((k,), np.int64), "crowd": ((k,), bool)}
    for name, (shape, dtype) in {**expected, "areas": ((k,), np.float64)}.items():
        array = getattr(objects, name)
        if array.shape != shape or array.dtype != dtype:
            return f"{name} must be {shape} {np.dtype(dtype)}, not {array.shape} {array.dtype}."
    if len(objects.masks) != (k if data.has_masks else 0):
        return f"{len(objects.masks)} masks of {k} objects; give every object one, or none in the whole set."
    if k == 0:
        return ""
    if objects.labels.min() < 0 or objects.labels.max() >= len(data.classes):
        return f"labels reach from {objects.labels.min()} to {objects.labels.max()}, not 0 to {len(data.classes) - 1}."
    x1, y1, x2, y2 = objects.boxes.T
    inside = (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height) & (x2 > x1) & (y2 > y1)
    if not inside.all():  # NaN is not inside either
        box = objects.boxes[int(np.argmin(inside))].tolist()
        return f"the box {box} is empty or not inside the image of {width} × {height} pixels."
    for mask in objects.masks:
        if list(mask["size"]) != [height, width]:
            return f"a mask has size {mask['size']}, the image {[height, width]}."
    return ""

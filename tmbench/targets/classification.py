"""Labelled images: what a classification target gives, and what it is held to."""

from dataclasses import dataclass

import numpy as np

from tmbench.functions import find_function
from tmbench.identity import Seeds, canonical, content_id
from tmbench.recent import Recent
from tmbench.targets.bad_data import BadData
from tmbench.targets.image_files import ImageFiles
from tmbench.targets.options import ClassificationTarget, Split


@dataclass(frozen=True)
class LabelledImages:
    """One split of a classification target.

    Attributes:
        images: (n, height, width, 3) uint8: an array, or files that are decoded when rows of it are taken.
        labels: (n,) int64 in 0..C-1, C being ``len(classes)``.
        classes: the name of each class.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


WHOLE_SETS: Recent[LabelledImages] = Recent(512 << 20, lambda data: data.images.nbytes + data.labels.nbytes)
"""The splits of whole data sets of which class subsets were taken last: two hundred subsets are one rendering."""


def load(target: ClassificationTarget, split: Split) -> LabelledImages:
    """One split of ``target``, checked; of a class subset the images of its classes, labels counted from 0 again.

    The random streams depend on the target's seed and parameters alone: neither the sizes of the splits nor where
    a user's file lies change an image. The sizes are those of the data set with all of its classes.

    Raises:
        BadData: when the function's result is not what the option file declares.
    """
    if target.subset is None:
        return _whole(target, split)
    kept = np.array(target.kept)  # which refuses an option that stands for many targets
    whole = target.whole()
    data = WHOLE_SETS.once(canonical([whole.key(), whole.folder, split]), lambda: _whole(whole, split))
    rows = np.flatnonzero(np.isin(data.labels, kept))
    part = LabelledImages(
        data.images.part(rows) if isinstance(data.images, ImageFiles) else data.images[rows],
        np.searchsorted(kept, data.labels[rows]).astype(np.int64),
        tuple(data.classes[label] for label in kept),
    )
    _check_classes(part, split, f"{target.function}, split '{split}', classes {', '.join(part.classes)}")
    return part


def _whole(target: ClassificationTarget, split: Split) -> LabelledImages:
    """One split of the whole data set, checked."""
    function = find_function(target.function)
    seeds = Seeds(content_id({"target": target.parameters, "seed": target.seed, "version": target.version}))
    size: int = getattr(target.sizes, split)
    data = function(split, size, seeds, **target.arguments)
    _check(data, target, split, size)
    checked: LabelledImages = data
    return checked


def _check(data: object, target: ClassificationTarget, split: str, size: int) -> None:
    """Hold ``data`` to what ``target`` declares."""
    place = f"{target.function}, split '{split}'"
    if not isinstance(data, LabelledImages):
        raise BadData(f"{place}: it returned {type(data).__name__}, not LabelledImages.")
    images, labels = data.images, data.labels
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] != 3:
        raise BadData(f"{place}: images must be (n, h, w, 3) uint8, not {images.shape} {images.dtype}.")
    if labels.shape != (len(images),) or labels.dtype != np.int64:
        raise BadData(f"{place}: labels must be ({len(images)},) int64, not {labels.shape} {labels.dtype}.")
    if len(images) == 0:
        raise BadData(f"{place}: there are no images.")
    if len(images) != size:
        raise BadData(f"{place}: {len(images)} images, but the option file asks for sizes.{split}={size}.")
    if images.shape[1:3] != (target.image_size, target.image_size):
        raise BadData(f"{place}: images of {images.shape[1:3]}, but image_size={target.image_size}.")
    if len(data.classes) != target.classes:
        raise BadData(f"{place}: {len(data.classes)} classes, but the option file says classes={target.classes}.")
    if labels.min() < 0 or labels.max() >= target.classes:
        raise BadData(f"{place}: labels reach from {labels.min()} to {labels.max()}, not 0 to {target.classes - 1}.")
    _check_classes(data, split, place)


def _check_classes(data: LabelledImages, split: str, place: str) -> None:
    """Two classes at least have images, in the train split all."""
    counts = np.bincount(data.labels, minlength=len(data.classes))
    if np.sum(counts > 0) < 2:
        raise BadData(f"{place}: its {len(data)} images are of one class at most; a classifier needs two.")
    if split == "train" and not counts.all():
        absent = data.classes[int(np.argmin(counts))]
        raise BadData(f"{place}: class '{absent}' has no image; raise sizes.train.")


def balanced_labels(size: int, classes: int, generator: np.random.Generator) -> np.ndarray:
    """(size,) int64 labels in random order, the classes' counts differing by one at most."""
    return generator.permutation(np.arange(size, dtype=np.int64) % classes)

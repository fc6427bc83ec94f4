"""Pascal VOC XML: boxes, the ``difficult`` flag and, where they are, the masks (Everingham et al., IJCV 2010)."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.annotations import Annotation, Picture, existing_file, existing_folder, set_of, share_of, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import NO_MASK, DetectionImages
from tmbench.targets.runs import BadMask, encoded

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The twenty classes of VOC2007 to VOC2012."""

PRESENCE = ("-1", "0", "1")
"""What the last column of a class's list says: the class is not there, only as difficult objects, or there."""

Difficult = Literal["ignore", "count", "drop"]


def voc(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    lists: Mapping[str, str],
    classes: Sequence[str] = CLASSES,
    difficult: Difficult = "ignore",
    validation_share: float = 0.0,
    test_share: float = 0.0,
    masks: bool = False,
) -> DetectionImages:
    """Images with objects from a folder as VOC's: ``Annotations``, ``JPEGImages``, ``ImageSets``.

    A box's corners are pixels counted from 1, both of them in the box: xmin..xmax is xmin - 1 to xmax here.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        folder: of the set; relative to the working directory where it is no absolute path.
        lists: for each split that has one, its list: a name in ``ImageSets/Main`` (``trainval``) or a path in
            ``folder`` ending in ``.txt``, one image a line.
        classes: the names of the classes in the order of their labels.
        difficult: objects marked so are regions that evaluation ignores, count as others, or are dropped.
        validation_share: the share of the train list's images that are the validation split, where it has no list.
        test_share: the same for the test split.
        masks: read ``SegmentationObject/NAME.png``, whose pixel value k + 1 is object k of the XML.

    Raises:
        BadData: for a missing file or folder, and images that are in two splits' lists.
        ConfigError: for a split with neither list nor share.
    """
    root = _root(folder)
    shares = {"validation": validation_share, "test": test_share}
    source = source_of(split, lists, shares, "lists")
    names = _names(root, lists[source])
    for other in lists:
        shared = set(names) & set(_names(root, lists[other])) if other != source and _exists(root, lists[other]) else ()
        if shared:
            raise BadData(f"{len(shared)} images are in both lists, {source} and {other}, such as {min(shared)}.")
    if source == "train":
        belongs = share_of(split, len(names), shares, seeds)
        names = [name for row, name in enumerate(names) if belongs[row]]
    pictures, problems = [], []
    for name in names:
        try:
            pictures.append(_picture(root, name, tuple(classes), difficult, masks))
        except BadData as error:
            problems.append(str(error))
    return set_of(classes, pictures, has_masks=masks, problems=problems)


def _root(text: str) -> Path:
    root = existing_folder(text, text)
    for name in ("Annotations", "JPEGImages"):
        existing_folder(str(root / name), text)
    return root


def _list(root: Path, text: str) -> Path:
    return root / text if text.endswith(".txt") else root / "ImageSets" / "Main" / f"{text}.txt"


def _exists(root: Path, text: str) -> bool:
    return _list(root, text).is_file()


def _names(root: Path, text: str) -> list[str]:
    """The images of a list; a last column of -1, 0 or 1 in every line is of another task. Names may have spaces."""
    path = existing_file(str(_list(root, text)), str(root))
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    columns = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(found) == 2 and found[1] in PRESENCE for found in columns):
        lines = [found[0] for found in columns]
    return list(dict.fromkeys(lines))


def _picture(root: Path, name: str, classes: tuple[str, ...], difficult: Difficult, masks: bool) -> Picture:
    path = root / "Annotations" / f"{name}.xml"
    try:
        tree = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise BadData(f"there is no file {path}.") from error
    except ElementTree.ParseError as error:
        raise BadData(f"{path} is not XML ({error}).") from error
    sides = [tree.findtext(f"size/{side}", "").strip() for side in ("height", "width")]
    size = (int(sides[0]), int(sides[1])) if all(side.isdigit() and int(side) > 0 for side in sides) else None
    of_object = _object_masks(root / "SegmentationObject" / f"{name}.png")
    annotations = []
    for k, one in enumerate(tree.iterfind("object")):
        hard = one.findtext("difficult", "0").strip() == "1"
        if hard and difficult == "drop":
            continue
        class_name = one.findtext("name", "").strip()
        label = classes.index(class_name) if class_name in classes else None
        crowd = hard and difficult == "ignore"
        segmentation = of_object(k) if masks else None
        annotations.append(
            Annotation(f"object {k + 1}", label, class_name, _corners(one), crowd, segmentation=segmentation)
        )
    return Picture(_image(root, name, tree), str(path), size, tuple(annotations))


def _image(root: Path, name: str, tree: ElementTree.Element) -> Path:
    """The image of the list's name; what the XML says itself is often left from before a file was renamed."""
    usual = root / "JPEGImages" / f"{name}.jpg"
    said = root / "JPEGImages" / (tree.findtext("filename", "").strip() or usual.name)
    return said if said.is_file() and not usual.is_file() else usual


def _corners(one: ElementTree.Element) -> tuple[float, ...]:
    """x1, y1, x2, y2 from pixels counted from 1; what is no number is NaN, and told later."""
    found = []
    for name in ("xmin", "ymin", "xmax", "ymax"):
        try:
            found.append(float(one.findtext(f"bndbox/{name}", "")))
        except ValueError:
            found.append(float("nan"))
    return found[0] - 1, found[1] - 1, found[2], found[3]


def _object_masks(path: Path) -> Callable[[int], Callable[[], Any]]:
    """For object k, a function that reads its mask."""
    return lambda k: lambda: encoded((_numbers(path) == k + 1)[None])[0]


@lru_cache(maxsize=4)
def _numbers(path: Path) -> np.ndarray:
    """(h, w) the pixels' object numbers, 0 for none and 255 for the border between objects."""
    from PIL import Image

    if not path.is_file():
        raise BadMask(f"{NO_MASK}, for there is no file {path}")
    try:
        with Image.open(path) as image:
            numbers = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadMask(f"{NO_MASK}, for {path} does not decode") from error
    if numbers.ndim != 2:
        raise BadMask(f"{NO_MASK}, for the pixels of {path} are colours and no objects' numbers")
    return numbers

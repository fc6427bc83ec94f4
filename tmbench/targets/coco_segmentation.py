"""COCO's panoptic PNGs, and its instance masks, as one class a pixel (Kirillov et al., CVPR 2019; cocodataset.org)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.annotations import decode, existing_file, existing_folder, file_in, header, share_of, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.coco import check_against_others, classes_of, coco, folder_of, read
from tmbench.targets.detection import DetectionImages
from tmbench.targets.masks import numbers_in
from tmbench.targets.segmentation import IGNORED, MOST_CLASSES, SegmentationImages

Stuff = Literal["classes", "merged", "ignored"]

MERGED = "stuff"
"""The one class of all stuff, where it is merged."""


@dataclass(frozen=True)
class Segments:
    """An image with its panoptic mask, and the label of each of its segments by their id."""

    image: Path
    mask: Path
    labels: dict[int, int]


def coco_panoptic(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
    masks: Mapping[str, str] | str,
    folder: str = "",
    stuff: Stuff = "classes",
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> SegmentationImages:
    """Images with a class for each pixel from COCO panoptic JSON files and their PNGs (id = r + 256 g + 65536 b).

    Classes are the file's categories in the order of their ids. Pixels of no segment, and of crowds, do not count.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        annotations: the JSON file of each split that has one, in ``folder``.
        images: the folder of each split's images, or one folder for all, in ``folder``.
        masks: the same of the PNGs.
        folder: of the set; without it paths are relative to the working directory.
        stuff: what becomes of categories that are not things (``isthing: 0``): classes, one class, or ignored.
        validation_share: the share of the train file's images that are the validation split, where it has no file.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file or folder, a file that is no COCO JSON, files with different categories, and
            images that are in two splits' files.
        ConfigError: for a split with neither file nor share.
    """
    if stuff not in ("classes", "merged", "ignored"):
        raise ConfigError(f"stuff is classes, merged or ignored, not '{stuff}'.")
    annotations = _in(folder, annotations)
    images, masks = (
        _in(folder, {"": one})[""] if isinstance(one, str) else _in(folder, one) for one in (images, masks)
    )
    shares = {"validation": validation_share, "test": test_share}
    source = source_of(split, annotations, shares, "annotations")
    path = existing_file(annotations[source], folder)
    content = read(path)
    names, label_of = _classes(path, content["categories"], stuff)
    check_against_others(path, content, source, annotations, images)
    of_images, of_masks = folder_of(images, source, folder), folder_of(masks, source, folder)
    segments, problems = _segments(path, content, label_of, of_images, of_masks)
    if source == "train":
        belongs = share_of(split, len(segments), shares, seeds)
        segments = [one for row, one in enumerate(segments) if belongs[row]]

    def size_of(i: int) -> tuple[int, int]:
        width, height = header(segments[i].image)
        return height, width

    return SegmentationImages(
        names,
        [str(one.image) for one in segments],
        lambda i: decode(segments[i].image, str(path)),
        lambda i: _labelled(segments[i], path),
        size_of,
        problems=problems,
    )


def coco_instances(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
    folder: str = "",
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> SegmentationImages:
    """Images with a class for each pixel, painted from a COCO file's instance masks.

    Class 0 is the background, the others are the file's categories in the order of their ids. Of masks that overlap
    the smaller one is on top; pixels of crowd regions that no object covers do not count. An image with an object
    that cannot be used cannot be used, for its pixels would become background.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        annotations: the JSON file of each split that has one, in ``folder``.
        images: the folder of each split's images, or one folder for all, in ``folder``.
        folder: of the set; without it paths are relative to the working directory.
        validation_share: the share of the train file's images that are the validation split, where it has no file.
        test_share: the same for the test split.

    Raises:
        BadData: as :func:`tmbench.targets.coco.coco`, and for a file without masks.
        ConfigError: for a split with neither file nor share.
    """
    objects = coco(
        split,
        size,
        seeds,
        annotations=annotations,
        images=images,
        folder=folder,
        validation_share=validation_share,
        test_share=test_share,
    )
    _hold_to_most(objects.classes)
    if not objects.has_masks:
        raise BadData(
            f"{', '.join(annotations.values())}: no object has a mask ('segmentation'); boxes label no pixel."
        )

    def size_of(i: int) -> tuple[int, int]:
        seen = objects.seen(i)
        if seen.problems:
            raise BadData(" ".join(seen.problems))
        return seen.size

    return SegmentationImages(
        ("background", *objects.classes),
        objects.names,
        objects.image,
        lambda i: painted(objects, i),
        size_of,
        problems=objects.part([]).problems,  # those of the file, not of its images
    )


def painted(objects: DetectionImages, i: int) -> np.ndarray:
    """(h, w) uint8: 0, or 1 + the class of the smallest object of image ``i`` that covers the pixel."""
    found = objects.objects(i)
    height, width = objects.seen(i).size
    labels = np.zeros((height, width), dtype=np.uint8)
    if len(found) == 0:
        return labels
    bitmaps = found.bitmaps()
    for k in np.lexsort((-bitmaps.sum(axis=(1, 2)), ~found.crowd)):  # crowds first, then from large to small
        labels[bitmaps[k]] = IGNORED if found.crowd[k] else 1 + found.labels[k]
    return labels


def _in(folder: str, places: Mapping[str, str]) -> dict[str, str]:
    if folder:
        existing_folder(folder, folder)
    return {name: str(Path(folder).expanduser() / text) for name, text in places.items()}


def _hold_to_most(names: tuple[str, ...]) -> None:
    if len(names) >= MOST_CLASSES:
        raise BadData(f"{len(names)} categories; label maps tell {MOST_CLASSES} classes apart at most.")


def _classes(path: Path, categories: list[Any], stuff: Stuff) -> tuple[tuple[str, ...], dict[Any, int]]:
    """The names of the classes, and the label of each category's id as the file writes it."""
    ids = classes_of(path, categories)
    things = {int(one["id"]) for one in categories if one.get("isthing", 1)}
    names = [name for name, number in ids.items() if stuff == "classes" or number in things]
    order = {ids[name]: label for label, name in enumerate(names)}
    if stuff == "merged" and len(names) < len(ids):
        names.append(MERGED)
        order |= {number: len(names) - 1 for number in ids.values() if number not in things}
    _hold_to_most(tuple(names))
    return tuple(names), {one["id"]: order.get(int(one["id"]), IGNORED) for one in categories}


def _segments(
    path: Path, content: dict[str, list[Any]], label_of: dict[Any, int], images: Path, masks: Path
) -> tuple[list[Segments], list[str]]:
    """The images in the file's order, and what cannot be read of the file."""
    problems: list[str] = []
    annotated: dict[Any, Any] = {}
    for row, one in enumerate(content["annotations"]):
        number = one.get("image_id") if isinstance(one, dict) else None
        if isinstance(number, (int, float, str)):
            if number in annotated:
                problems.append(f"{path}: image {number} has two annotations.")
            annotated[number] = one
        else:
            problems.append(f"{path}: entry {row} of 'annotations' has no 'image_id'.")
    found = []
    files: dict[Path, Any] = {}
    for row, image in enumerate(content["images"]):
        try:
            number, place = image["id"], file_in(images, str(image["file_name"]), path)
            if files.setdefault(place, number) != number:
                problems.append(f"{path}: the images {files[place]} and {number} are one file, {place}.")
                annotated.pop(number, None)
                continue
            if number not in annotated:
                problems.append(f"{path}: image {number} ({place}) has no annotation, or another has its id.")
                continue
            one = annotated.pop(number)
            mask = file_in(masks, str(one["file_name"]), path)
            labels = {
                int(part["id"]): IGNORED if part.get("iscrowd") else label_of[part["category_id"]]
                for part in one["segments_info"]
            }
            found.append(Segments(place, mask, labels))
        except BadData as error:
            problems.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"image {image.get('id', row)}" if isinstance(image, dict) else f"entry {row} of 'images'"
            problems.append(f"{path}: {what} or its annotation cannot be read ({type(error).__name__}: {error}).")
    problems += [f"{path}: an annotation is of image {number}, which is not listed." for number in annotated]
    return found, problems


def _labelled(segments: Segments, path: Path) -> np.ndarray:
    """(h, w) uint8 labels; the id 0 is no segment."""
    numbers = numbers_in(segments.mask, colours=True)
    ids, where = np.unique(numbers, return_inverse=True)
    unknown = [number for number in ids.tolist() if number and number not in segments.labels]
    if unknown:
        raise BadData(f"{segments.mask} has the segment {unknown[0]}, which {path} does not describe.")
    table = np.array([segments.labels.get(number, IGNORED) for number in ids.tolist()], dtype=np.uint8)
    return table[where].reshape(numbers.shape)

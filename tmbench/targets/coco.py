"""COCO JSON: boxes, polygons, run-length masks and crowd regions (Lin et al., ECCV 2014; cocodataset.org/#format-data).

The file is read here: the COCO class of pycocotools prints, trusts what it reads and keeps a second index of it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tmbench.identity import Seeds
from tmbench.targets.annotations import (
    Annotation,
    Picture,
    existing_file,
    existing_folder,
    file_in,
    set_of,
    share_of,
    source_of,
)
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import DetectionImages

Outline = tuple[tuple[tuple[str, str], ...], frozenset[str]]
"""The categories' ids and names, and the images' file names."""


def coco(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
    folder: str = "",
    validation_share: float = 0.0,
    test_share: float = 0.0,
    masks: bool = True,
) -> DetectionImages:
    """Images with objects from COCO JSON files.

    Classes are the file's categories in the order of their ids, which may have gaps. Masks are read where any
    object of the file has one; then every object must.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        annotations: the JSON file of each split that has one, in ``folder``.
        images: the folder of each split's images, or one folder for all, in ``folder``.
        folder: of the set; without it paths are relative to the working directory.
        validation_share: the share of the train file's images that are the validation split, where it has no file.
        test_share: the same for the test split.
        masks: False to leave masks unread, for boxes alone.

    Raises:
        BadData: for a missing file or folder, a file that is no COCO JSON, files with different categories, and
            images that are in two splits' files.
        ConfigError: for a split with neither file nor share.
    """
    if folder:
        existing_folder(folder, folder)
    annotations = {name: str(Path(folder).expanduser() / text) for name, text in annotations.items()}
    if isinstance(images, str):
        images = str(Path(folder).expanduser() / images)
    else:
        images = {name: str(Path(folder).expanduser() / text) for name, text in images.items()}
    shares = {"validation": validation_share, "test": test_share}
    source = source_of(split, annotations, shares, "annotations")
    path = existing_file(annotations[source], folder)
    content = read(path)
    place = folder_of(images, source, folder)
    classes = classes_of(path, content["categories"])
    check_against_others(path, content, source, annotations, images)
    has_masks = masks and any(isinstance(one, dict) and one.get("segmentation") for one in content["annotations"])
    pictures, problems = _pictures(path, content, classes, place)
    if source == "train":
        belongs = share_of(split, len(pictures), shares, seeds)
        pictures = [picture for row, picture in enumerate(pictures) if belongs[row]]
    return set_of(tuple(classes), pictures, has_masks=has_masks, problems=problems)


def read(path: Path) -> dict[str, list[Any]]:
    """A COCO file, which has images, annotations and categories.

    Raises:
        BadData: when it is none.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is not JSON ({error}); is it whole?") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise BadData(f"{path} has no list '{name}'; a COCO file has images, annotations and categories.")
    return dict(content)


def folder_of(images: Mapping[str, str] | str, split: str, root: str) -> Path:
    """The folder of the split's images; ``root``, the set's folder, is for the message.

    Raises:
        BadData: when there is none.
    """
    if isinstance(images, str):
        return existing_folder(images, root)
    if split not in images:
        raise BadData(f"images names no folder for the split '{split}', only for {', '.join(images) or 'none'}.")
    return existing_folder(images[split], root)


def classes_of(path: Path, categories: Iterable[Any]) -> dict[str, int]:
    """Each class's id in the file, by name, in the order of the ids."""
    try:
        ids = sorted((int(one["id"]), str(one["name"])) for one in categories)
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(f"{path}: every category needs a number 'id' and a 'name' ({error}).") from error
    for which, values in (("id", [str(number) for number, _ in ids]), ("name", [name for _, name in ids])):
        if twice := {value for value in values if values.count(value) > 1}:
            raise BadData(f"{path}: two categories have the {which} '{min(twice)}'.")
    return {name: number for number, name in ids}


def _pictures(
    path: Path, content: dict[str, list[Any]], classes: dict[str, int], place: Path
) -> tuple[list[Picture], list[str]]:
    """The images in the file's order with their annotations, and what belongs to none."""
    # By the ids as the file writes them: text is no number, though both files may write text.
    order = {number: label for label, number in enumerate(classes.values())}
    labels = {one["id"]: order[int(one["id"])] for one in content["categories"]}
    names = {one["id"]: str(one["name"]) for one in content["categories"]}
    problems: list[str] = []
    listed: dict[Any, dict[str, Any]] = {}
    files: dict[str, Any] = {}
    again: set[Any] = set()
    for row, image in enumerate(content["images"]):
        try:
            number, name = image["id"], str(image["file_name"])
            if number in listed:
                problems.append(f"{path}: a second image has the id {number} ({image['file_name']}).")
                continue
            if name in files:
                problems.append(
                    f"{path}: the file {name} has two ids, {files[name]} and {number}; the second is left out with "
                    "its objects."
                )
                again.add(number)
                continue
            file_in(place, name)
            listed[number], files[name] = image, number
        except BadData as error:
            problems.append(f"{path}, image {number}: {error}")
            again.add(number)
        except (KeyError, TypeError):
            problems.append(f"{path}: entry {row} of 'images' has no 'id' or no 'file_name'.")
    shown: dict[Any, list[Annotation]] = defaultdict(list)
    for row, one in enumerate(content["annotations"]):
        try:
            if one["image_id"] in again:
                continue
            if one["image_id"] not in listed:
                note = _other_type(one["image_id"], listed, "images")
                problems.append(
                    f"{path}: annotation {one.get('id', row)} is of image {one['image_id']}, not listed{note}."
                )
                continue
            shown[one["image_id"]].append(_annotation(one, row, labels, names))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            number = one.get("id", row) if isinstance(one, dict) else row
            problems.append(f"{path}: annotation {number} cannot be read ({type(error).__name__}: {error}).")
    return [_picture(path, image, place, shown[number]) for number, image in listed.items()], problems


def _annotation(one: dict[str, Any], row: int, labels: dict[Any, int], names: dict[Any, str]) -> Annotation:
    x, y, width, height = (float(value) for value in one["bbox"])
    category = one["category_id"]
    if category not in labels and (note := _other_type(category, labels, "categories")):
        raise ValueError(f"its category_id {category} is of no category{note}")
    area = one.get("area")
    return Annotation(
        f"annotation {one.get('id', row)}",
        labels.get(category),
        names.get(category, str(category)),
        (x, y, x + width, y + height),
        bool(one.get("iscrowd", 0)),
        float(area) if isinstance(area, int | float) else None,
        one.get("segmentation"),
    )


def _other_type(number: Any, known: Mapping[Any, Any], place: str) -> str:
    """What to add where an id is not among those of ``place``, but would be as text or as a number."""
    if not isinstance(number, str):
        return (
            f", for it is a number and the ids in '{place}' are text: write both as numbers"
            if str(number) in known
            else ""
        )
    digits = number.strip()
    if digits.isdecimal() and int(digits) in known:
        return f", for it is text and the ids in '{place}' are numbers: write both as numbers"
    return ""


def _picture(path: Path, image: dict[str, Any], place: Path, shown: list[Annotation]) -> Picture:
    sides = (image.get("height"), image.get("width"))
    known = all(isinstance(side, int | float) and side > 0 for side in sides)
    size = (int(sides[0] or 0), int(sides[1] or 0)) if known else None
    return Picture(place / str(image["file_name"]), f"{path}, image {image['id']}", size, tuple(shown))


def check_against_others(
    path: Path,
    content: dict[str, list[Any]],
    split: str,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
) -> None:
    """Hold the file to those of the other splits: equal categories, no image in two of them."""
    folders = {name: images if isinstance(images, str) else images.get(name) for name in annotations}
    own_categories, own_names = _outline(content["categories"], content["images"])
    for other, text in annotations.items():
        other_path = Path(text).expanduser()
        if other == split or not other_path.is_file():
            continue
        categories, names = _outline_of(other_path, other_path.stat().st_mtime_ns)
        if categories != own_categories:
            raise BadData(f"{path} and {other_path} have different categories; the splits of one set share them.")
        if folders[other] == folders[split] and (shared := own_names & names):
            raise BadData(
                f"{len(shared)} images are in both {path} ({split}) and {other_path} ({other}), such as "
                f"{min(shared)}; take them out of one."
            )


def _outline(categories: Iterable[Any], images: Iterable[Any]) -> Outline:
    return (
        tuple(sorted((str(one.get("id")), str(one.get("name"))) for one in categories)),
        frozenset(str(one["file_name"]) for one in images if isinstance(one, dict) and "file_name" in one),
    )


@lru_cache(maxsize=8)
def _outline_of(path: Path, changed: int) -> Outline:
    """The outline of another split's file. ``changed``, the file's time, keeps what is remembered true."""
    text = path.read_text(encoding="utf-8")
    return _outline(_section(text, "categories"), _section(text, "images"))


def _section(text: str, name: str) -> list[dict[str, Any]]:
    """The list of objects under ``name``; empty where the text has none. It need not be read as a whole for that."""
    start = text.find(f'"{name}"')
    while start >= 0:
        at = start + len(name) + 2
        while text[at : at + 1] in (" ", "\n", "\r", "\t", ":"):
            at += 1
        if text[at : at + 1] == "[":
            try:
                found, _ = json.JSONDecoder().raw_decode(text, at)
            except ValueError:
                return []
            return [one for one in found if isinstance(one, dict)]
        start = text.find(f'"{name}"', at)
    return []

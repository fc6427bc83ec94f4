"""COCO JSON with keypoints: each annotated object, cut out of its image, is an image of the set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmbench.errors import unknown
from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, file_in, share_of, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.coco import check_against_others, folder_of, read
from tmbench.targets.keypoints import Annotated, Occluded, hold_to_occluded, set_of
from tmbench.targets.regression import RegressionImages


def coco_keypoints(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
    folder: str = "",
    category: str = "person",
    validation_share: float = 0.0,
    test_share: float = 0.0,
    margin: float | None = 0.1,
    occluded: Occluded = "count",
    least: int = 1,
) -> RegressionImages:
    """Where are the keypoints of each object? Crowd regions, and objects with fewer than ``least``, are left out.

    Args:
        split: which objects.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        annotations: the JSON file of each split that has one, in ``folder``.
        images: the folder of each split's images, or one folder for all, in ``folder``.
        folder: of the set; without it paths are relative to the working directory.
        category: whose objects, by name; its ``keypoints`` name the points.
        validation_share: the share of the train file's images that are the validation split, where it has no file.
        test_share: the same for the test split.
        margin: crop to the object's box widened by this share of it on each side; null for whole images.
        occluded: what keypoints with v = 1 count as: labelled, but not visible. With v = 0 they are always hidden.
        least: keypoints with v > 0 that an object has at least.

    Raises:
        BadData: for a missing file or folder, a file that is no COCO JSON with keypoints, and images that are in two
            splits' files.
        ConfigError: for a split with neither file nor share, a category that there is none of, a word that
            ``occluded`` does not know, and a margin below 0.
    """
    hold_to_occluded(occluded)
    if folder:
        existing_folder(folder, folder)
    base = Path(folder).expanduser()
    paths = {name: str(base / text) for name, text in annotations.items()}
    folders = (
        str(base / images) if isinstance(images, str) else {name: str(base / text) for name, text in images.items()}
    )
    shares = {"validation": validation_share, "test": test_share}
    source = source_of(split, paths, shares, "annotations")
    path = existing_file(paths[source], folder)
    place = folder_of(folders, source, folder)
    content = read(path)
    number, names = _names(path, content["categories"], category)
    check_against_others(path, content, source, paths, folders)
    # People of one image belong to one split.
    listed, problems = listed_images(path, content["images"])
    ids = list(listed)
    if source == "train":
        belongs = share_of(split, len(ids), shares, seeds)
        ids = [image for image, here in zip(ids, belongs, strict=True) if here]
    mine = set(ids)
    found = []
    for row, one in enumerate(content["annotations"]):
        try:
            if one["image_id"] not in listed:
                raise BadData(f"it is of image {one['image_id']}, which 'images' does not list.")
            if one["image_id"] in mine and one["category_id"] == number and not one.get("iscrowd", 0):
                annotated = _annotated(one, row, path, place, listed[one["image_id"]], names, occluded, least)
                found.extend([annotated] if annotated is not None else [])
        except (BadData, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, BadData) else f"it cannot be read ({error})."
            reason = f"it has no {error}." if isinstance(error, KeyError) else reason
            said = one.get("id", row) if isinstance(one, dict) else row
            problems.append(f"{path}, annotation {said}: {reason}")
    return set_of(names, found, margin=margin, problems=problems)


def listed_images(path: Path, images: list[Any]) -> tuple[dict[Any, dict[str, Any]], list[str]]:
    """The images by their id, each file once, and what is wrong with others."""
    listed: dict[Any, dict[str, Any]] = {}
    files: dict[str, Any] = {}
    problems = []
    for row, one in enumerate(images):
        if not isinstance(one, dict) or not isinstance(one.get("id"), (int, float, str)):
            problems.append(f"{path}: entry {row} of 'images' has no 'id'.")
        elif one["id"] in listed:
            problems.append(f"{path}: two images have the id {one['id']}.")
        elif files.setdefault(str(one.get("file_name")), one["id"]) != one["id"]:
            same = files[str(one.get("file_name"))]
            problems.append(f"{path}: the images {same} and {one['id']} are one file, {one.get('file_name')}.")
        else:
            listed[one["id"]] = one
    return listed, problems


def _names(path: Path, categories: list[Any], category: str) -> tuple[Any, tuple[str, ...]]:
    """The category's id and its keypoints' names; spaces become underscores."""
    known = {one["name"]: one for one in categories if isinstance(one, dict) and "name" in one and "id" in one}
    if category not in known:
        raise unknown("category", category, map(str, known), where=str(path))
    names = known[category].get("keypoints")
    if not isinstance(names, list) or not names:
        raise BadData(
            f"{path}: the category '{category}' has no list 'keypoints'; a file of boxes alone has no points."
        )
    return known[category]["id"], tuple(str(name).replace(" ", "_") for name in names)


def _annotated(
    one: dict[str, Any],
    row: int,
    path: Path,
    place: Path,
    image: dict[str, Any],
    names: tuple[str, ...],
    occluded: Occluded,
    least: int,
) -> Annotated | None:
    triples = np.array(one.get("keypoints", []), dtype=np.float64)
    if triples.size == 0:
        return None
    if triples.shape != (3 * len(names),):
        raise BadData(f"{triples.size} numbers in 'keypoints', not three for each of {len(names)} points.")
    triples = triples.reshape(-1, 3)
    flag = triples[:, 2]
    if not np.isin(flag, (0, 1, 2)).all():
        raise BadData(f"a keypoint has v={flag[~np.isin(flag, (0, 1, 2))][0]:g}, not 0, 1 or 2.")
    if (flag > 0).sum() < least:
        return None
    shown = flag > (0 if occluded == "count" else 1)
    without = np.flatnonzero(shown & ~np.isfinite(triples).all(axis=1)).tolist()
    problems = tuple(f"has a {names[i]} without a place" for i in without)
    points = np.where(shown[:, None], triples[:, :2], np.nan)
    x, y, width, height = (float(value) for value in one["bbox"])
    source = f"{path}, annotation {one.get('id', row)}"
    return Annotated(
        file_in(place, str(image["file_name"])), source, points, flag == 2, (x, y, width, height), problems=problems
    )

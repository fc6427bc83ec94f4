"""OpenMonkeyChallenge: seventeen landmarks of a primate an image (Yao et al., IJCV 2023)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, file_in, share_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.keypoints import Annotated, Occluded, hold_to_occluded, set_of
from tmbench.targets.regression import RegressionImages

LANDMARKS = (
    "right_eye", "left_eye", "nose", "head", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
    "left_elbow", "left_wrist", "hip", "right_knee", "right_ankle", "left_knee", "left_ankle", "tail",
)  # fmt: skip
"""In the files' order."""


def openmonkey(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    validation_share: float = 0.05,
    margin: float | None = None,
    occluded: Occluded = "count",
) -> RegressionImages:
    """Where is each landmark?

    Reads ``train_annotation.json`` and ``val_annotation.json``, each a list ``data`` of entries with ``file``, ``bbox``
    (x, y, width, height), ``landmarks`` (x, y, x, y, … in pixels of the image) and ``visibility``, and the images in
    ``train/`` and ``val/``. The challenge keeps the landmarks of its own test images: the test split here is ``val``,
    the validation split a share of ``train``.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the validation images.
        folder: of the set.
        validation_share: the share of the train images that are the validation split.
        margin: crop to the animal's box widened by this share of it on each side; null for whole images.
        occluded: what landmarks count as whose place is annotated although they are not visible.

    Raises:
        BadData: for a missing file or folder, and a file that is not of this layout.
        ConfigError: for a word that ``occluded`` does not know, and a margin below 0.
    """
    hold_to_occluded(occluded)
    root = existing_folder(folder, folder)
    kind = "val" if split == "test" else "train"
    path = existing_file(str(root / f"{kind}_annotation.json"), folder)
    pictures = existing_folder(str(root / kind), folder)
    entries = _entries(path)
    if kind == "train":
        belongs = share_of(split, len(entries), {"validation": validation_share}, seeds)
        rows = np.flatnonzero(belongs).tolist()
    else:
        rows = list(range(len(entries)))
    found, problems = [], []
    first: dict[str, int] = {}
    for row, entry in enumerate(entries):
        name = str(entry["file"]) if isinstance(entry, dict) and "file" in entry else f"entry {row}"
        if first.setdefault(name, row) != row:
            problems.append(f"{path}, entry {row} of 'data': entry {first[name]} is of {name}, too.")
    again = set(range(len(entries))) - set(first.values())
    for row in rows:
        if row in again:
            continue
        try:
            found.append(_annotated(entries[row], path, row, pictures, occluded))
        except (BadData, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, BadData) else f"it cannot be read ({error})."
            reason = f"it has no {error}." if isinstance(error, KeyError) else reason
            problems.append(f"{path}, entry {row} of 'data': {reason}")
    return set_of(LANDMARKS, found, margin=margin, problems=problems)


def _entries(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is not JSON ({error}); is it whole?") from error
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise BadData(f"{path} has no list 'data', as a file of OpenMonkeyChallenge has.")
    return list(content["data"])


def _annotated(entry: Mapping[str, Any], path: Path, row: int, pictures: Path, occluded: Occluded) -> Annotated:
    name = str(entry["file"])
    landmarks = np.array(entry["landmarks"], dtype=np.float64)
    visible = np.array(entry["visibility"], dtype=np.float64)
    if landmarks.shape != (2 * len(LANDMARKS),) or visible.shape != (len(LANDMARKS),):
        raise BadData(
            f"{name} has {landmarks.size} numbers in 'landmarks' and {visible.size} in 'visibility', not "
            f"{2 * len(LANDMARKS)} and {len(LANDMARKS)}."
        )
    x, y, width, height = (float(value) for value in entry["bbox"])
    points = landmarks.reshape(-1, 2)
    seen = visible > 0
    source = f"{path}, entry {row}"
    without = np.flatnonzero(seen & ~np.isfinite(points).all(axis=1)).tolist()
    problems = tuple(f"has a visible {LANDMARKS[i]} without a place" for i in without)
    if occluded == "hide":
        points = np.where(seen[:, None], points, np.nan)
    return Annotated(file_in(pictures, name), source, points, seen, (x, y, width, height), problems=problems)

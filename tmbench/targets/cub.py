"""Caltech-UCSD Birds 200-2011: fifteen parts of a bird an image (Wah et al., CNS-TR-2011-001)."""

from pathlib import Path

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, file_in, share_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.keypoints import Annotated, set_of
from tmbench.targets.regression import RegressionImages


def cub(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    validation_share: float = 0.1,
    test_images: int | None = None,
    margin: float | None = None,
) -> RegressionImages:
    """Where is each part of the bird? A part that is not visible is hidden.

    Reads ``images.txt``, ``train_test_split.txt``, ``bounding_boxes.txt``, ``parts/parts.txt`` and
    ``parts/part_locs.txt`` of the folder, and the images in ``images/``. Spaces in a part's name become underscores.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the validation images, and the test images where the folder's own split is not used.
        folder: of the set (``CUB_200_2011``).
        validation_share: the share of the train images that are the validation split.
        test_images: so many of all images, drawn, are the test split and the others the train split, as in studies that
            do not use the folder's own; null for its own.
        margin: crop to the bird's box widened by this share of it on each side; null for whole images.

    Raises:
        BadData: for a missing file or folder, and a line that is not what it should be.
    """
    root = existing_folder(folder, folder)
    pictures = existing_folder(str(root / "images"), folder)
    names = {number: text for number, (text,) in _table(root / "images.txt", 1, folder).items()}
    parts = {number: text.replace(" ", "_") for number, (text,) in _table(root / "parts/parts.txt", 1, folder).items()}
    numbers = sorted(names)
    mine = _belonging(root, split, numbers, validation_share, test_images, seeds)
    boxes = _table(root / "bounding_boxes.txt", 4, folder)
    places, problems = _places(root / "parts/part_locs.txt", sorted(parts), set(names), folder)
    found = []
    first: dict[str, int] = {}
    for number in numbers:
        first.setdefault(names[number], number)
    for number in mine:
        source = f"{root / 'images.txt'}, image {number}"
        try:
            if first[names[number]] != number:
                raise BadData(f"it is image {first[names[number]]}, too: {names[number]}.")
            if number not in boxes:
                raise BadData("there is no line of it in bounding_boxes.txt.")
            if number not in places or (count := int((~np.isnan(places[number][:, 2])).sum())) < len(parts):
                raise BadData(f"{count if number in places else 0} of {len(parts)} parts are in parts/part_locs.txt.")
            located = places[number]
            points = np.where(located[:, 2:] == 1, located[:, :2], np.nan)
            x, y, width, height = (_number(text) for text in boxes[number])
            path = file_in(pictures, names[number])
        except BadData as error:
            problems.append(f"{source}: {error}")
            continue
        found.append(Annotated(path, source, points, box=(x, y, width, height)))
    return set_of([parts[number] for number in sorted(parts)], found, margin=margin, problems=problems)


def _belonging(
    root: Path, split: str, numbers: list[int], validation_share: float, test_images: int | None, seeds: Seeds
) -> list[int]:
    """The ids of the split's images, ascending."""
    if test_images is None:
        path = root / "train_test_split.txt"
        flags = {number: text for number, (text,) in _table(path, 1, str(root)).items()}
        for number in numbers:
            if flags.get(number) not in ("0", "1"):
                said = flags.get(number)
                raise BadData(f"{path}: image {number} is neither 1 (train) nor 0 (test), but {said or 'not there'}.")
        of_train = np.array([flags[number] == "1" for number in numbers])
    else:
        if not 0 < test_images < len(numbers):
            raise BadData(
                f"{root / 'images.txt'}: {len(numbers)} images, of which test_images={test_images} is no part."
            )
        of_train = np.ones(len(numbers), dtype=bool)
        of_train[seeds.generator("test images").permutation(len(numbers))[:test_images]] = False
    if split == "test":
        return [number for number, train in zip(numbers, of_train, strict=True) if not train]
    train = [number for number, train in zip(numbers, of_train, strict=True) if train]
    belongs = share_of(split, len(train), {"validation": validation_share}, seeds)
    return [number for number, here in zip(train, belongs, strict=True) if here]


def _table(path: Path, columns: int, root: str) -> dict[int, list[str]]:
    """The texts behind each id; of one column the rest of the line, which may have spaces."""
    found: dict[int, list[str]] = {}
    for row, line in enumerate(_lines(path, root), start=1):
        cells = line.split(maxsplit=1) if columns == 1 else line.split()
        if len(cells) != columns + 1 or not cells[0].isdecimal():
            raise BadData(f"{path}, line {row}: '{line}' is not an id and {columns} more.")
        if int(cells[0]) in found:
            raise BadData(f"{path}, line {row}: the id {cells[0]} stands twice.")
        found[int(cells[0])] = cells[1:]
    if not found:
        raise BadData(f"{path} is empty.")
    return found


def _places(path: Path, parts: list[int], images: set[int], root: str) -> tuple[dict[int, np.ndarray], list[str]]:
    """Of each image (parts, 3): x, y and whether the part is visible, NaN for what no line tells; and what is wrong."""
    column = {number: row for row, number in enumerate(parts)}
    found: dict[int, np.ndarray] = {}
    problems = []
    for row, line in enumerate(_lines(path, root), start=1):
        cells = line.split()
        if len(cells) != 5 or not cells[0].isdecimal() or not cells[1].isdecimal() or cells[4] not in ("0", "1"):
            raise BadData(f"{path}, line {row}: '{line}' is not an image's id, a part's id, x, y and 0 or 1.")
        image, part = int(cells[0]), int(cells[1])
        if image not in images or part not in column:
            what = f"image {image}" if image not in images else f"part {part}"
            problems.append(f"{path}, line {row}: there is no {what}.")
            continue
        place = found.setdefault(image, np.full((len(parts), 3), np.nan))
        place[column[part]] = _number(cells[2]), _number(cells[3]), float(cells[4])
        if cells[4] == "1" and not np.isfinite(place[column[part]]).all():
            problems.append(f"{path}, line {row}: '{line}' is of a visible part without a place.")
    return found, problems


def _lines(path: Path, root: str) -> list[str]:
    text = existing_file(str(path), root).read_text(encoding="utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _number(text: str) -> float:
    """The number; what is none is NaN, and told later."""
    try:
        return float(text)
    except ValueError:
        return float("nan")

"""CSV files with one image a line and its points or other numbers: sets that follow no published layout."""

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, file_in, share_of, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.coco import folder_of
from tmbench.targets.keypoints import Annotated, set_of
from tmbench.targets.regression import RegressionImages


def table(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str = ".",
    folder: str = "",
    columns: Sequence[str] | None = None,
    unit: Literal["pixels", "relative"] = "pixels",
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> RegressionImages:
    """Images with points, from columns ``NAME.x`` and ``NAME.y``, or with other numbers, from any columns.

    The column ``image`` has the files' names. An empty cell, or ``nan``, is a hidden point or a missing number.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        annotations: the CSV file of each split that has one, in ``folder``.
        images: the folder of each split's images, or one folder for all, in ``folder``.
        folder: of the set; without it paths are relative to the working directory.
        columns: the points or numbers that are read, in that order; all columns but ``image`` where null.
        unit: of points: pixels from the image's upper left corner, or shares of its width and height.
        validation_share: the share of the train file's images that are the validation split, where it has no file.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file, folder or column, and images that are in two splits' files.
        ConfigError: for a split with neither file nor share, another unit, and columns that are no list.
    """
    if unit not in ("pixels", "relative"):
        raise ConfigError(f"unit is pixels or relative, not '{unit}'.")
    if isinstance(columns, str):
        raise ConfigError(f"columns is a list of names: write [{columns}].")
    if folder:
        existing_folder(folder, folder)
    base = Path(folder).expanduser()
    shares = {"validation": validation_share, "test": test_share}
    source = source_of(split, annotations, shares, "annotations")
    path = existing_file(str(base / annotations[source]), folder)
    folders = (
        str(base / images) if isinstance(images, str) else {name: str(base / text) for name, text in images.items()}
    )
    place = folder_of(folders, source, folder)
    names, rows, problems = _read(path)
    _check_against_others(path, rows, source, annotations, images, base)
    wanted, is_points = _wanted(path, names, columns)
    if source == "train":
        belongs = share_of(split, len(rows), shares, seeds)
        rows = [row for row, here in zip(rows, belongs, strict=True) if here]
    found = []
    for line, name, cells in rows:
        said = f"{path}, line {line}"
        try:
            values, wrong = _numbers(cells, wanted)
            values = values.reshape(-1, 2) if is_points else values
            found.append(
                Annotated(file_in(place, name), said, values, relative=unit == "relative", problems=tuple(wrong))
            )
        except BadData as error:
            problems.append(f"{said}: {error}")
    outputs = [name.removesuffix(".x") for name in wanted[::2]] if is_points else wanted
    return set_of(outputs, found, is_points=is_points, problems=problems)


Line = tuple[int, str, dict[str, str]]
"""Its number in the file, the image and the other cells by column."""


def _read(path: Path) -> tuple[list[str], list[Line], list[str]]:
    """The columns but ``image``, the lines, and what is wrong with others."""
    try:
        return _lines(path)
    except csv.Error as error:
        raise BadData(f"{path} is no CSV file that can be read ({error}).") from error


def _lines(path: Path) -> tuple[list[str], list[Line], list[str]]:
    problems = []
    rows: list[Line] = []
    seen: set[str] = set()
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        heads = [head.strip() for head in next(reader, [])]
        if "image" not in heads:
            raise BadData(f"{path} has no column 'image' in its first line, but {', '.join(heads) or 'nothing'}.")
        if len(set(heads)) < len(heads):
            raise BadData(f"{path}: two columns have one name, '{max(heads, key=heads.count)}'.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                problems.append(f"{path}, line {reader.line_num}: {len(cells)} cells, not {len(heads)}.")
                continue
            by_name = {head: cell.strip() for head, cell in zip(heads, cells, strict=True)}
            name = by_name.pop("image")
            name = str(PurePosixPath(name)) if name else ""  # "./a.png" is "a.png"
            if name in seen:
                problems.append(f"{path}, line {reader.line_num}: the image {name} stands a second time.")
                continue
            seen.add(name)
            rows.append((reader.line_num, name, by_name))
    return [head for head in heads if head != "image"], rows, problems


def _wanted(path: Path, names: list[str], columns: Sequence[str] | None) -> tuple[list[str], bool]:
    """The columns that are read, and whether they are points."""
    points = [name.removesuffix(".x") for name in names if name.endswith(".x") and f"{name[:-2]}.y" in names]
    if columns is None:
        is_points = bool(points) and 2 * len(points) == len(names)
        chosen = points if is_points else names
    else:
        chosen, is_points = list(columns), bool(columns) and all(name in points for name in columns)
        for name in chosen:
            if not is_points and name not in names:
                more = " (points and other columns cannot be read together)" if name in points else ""
                raise BadData(f"{path} has no column '{name}'{more}, but {', '.join(names) or 'none'}.")
    if not chosen:
        raise BadData(f"{path} has no column beside 'image', so nothing to predict.")
    return [f"{name}.{axis}" for name in chosen for axis in "xy"] if is_points else chosen, is_points


def _numbers(cells: Mapping[str, str], wanted: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The cells' numbers, NaN where empty, and what is no number."""
    values = np.full(len(wanted), np.nan)
    wrong = []
    for i, name in enumerate(wanted):
        try:
            if "_" in cells[name]:
                raise ValueError(cells[name])  # Python takes 1_0 for 10
            values[i] = float(cells[name] or "nan")
        except ValueError:
            wrong.append(f"has '{cells[name]}' in the column {name}, which is no number")
    return values, wrong


def _check_against_others(
    path: Path,
    rows: Sequence[Line],
    source: str,
    annotations: Mapping[str, str],
    images: Mapping[str, str] | str,
    base: Path,
) -> None:
    """Refuse an image that is in two splits' files."""
    own = {name for _, name, _ in rows}
    folder = partial(images.get) if not isinstance(images, str) else lambda _: images
    for other, text in annotations.items():
        if other == source or not (base / text).is_file() or folder(other) != folder(source):
            continue
        shared = own & {name for _, name, _ in _read(base / text)[1]}
        if shared:
            raise BadData(
                f"{len(shared)} images are in both {path} ({source}) and {base / text} ({other}), such as "
                f"{min(shared)}; take them out of one."
            )

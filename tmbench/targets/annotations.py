"""Annotations and images on disk: what cannot be used is found before anything is trained, and told with its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import RLE, DetectionImages, Objects, Seen
from tmbench.targets.runs import BadMask, run_lengths

SLACK = 1.0
"""Pixels by which a box or polygon may reach over the image's edge, from rounding; it is cut. More is an error."""

THINNEST = 0.01
"""Height and width in pixels of which less is no box: mirrored or scaled in float32, its edges would meet."""

DEEP = ("I", "F")
"""How the names of Pillow's modes begin in which a grey value has 16 or 32 bits."""

ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The mark near the end of a whole file, by Pillow's name of the format."""
TAIL = 1024
"""Bytes in which it is looked for: some programs write more behind it."""


@dataclass(frozen=True)
class Annotation:
    """One object, as a file tells it and not yet checked.

    Attributes:
        id: how the file calls it, for messages.
        label: its class; None where ``class_name`` is none of the set's.
        class_name: as the file says.
        box: x1, y1, x2, y2 in pixels, half open.
        crowd: a region that evaluation ignores.
        area: square pixels, where the file says.
        segmentation: polygons or run lengths as COCO writes them, or a function that gives them; None for none.
    """

    id: str
    label: int | None
    class_name: str
    box: Sequence[float]
    crowd: bool = False
    area: float | None = None
    segmentation: Any = None


@dataclass(frozen=True)
class Picture:
    """One image on disk.

    Attributes:
        path: the file.
        source: the annotation's file and the image's id, for messages.
        size: height and width as annotated; None where the annotation does not say.
        annotations: what it shows.
    """

    path: Path
    source: str
    size: tuple[int, int] | None
    annotations: tuple[Annotation, ...]


def set_of(
    classes: Sequence[str], pictures: Sequence[Picture], *, has_masks: bool, problems: Sequence[str] = ()
) -> DetectionImages:
    """The set of ``pictures``; nothing is read yet."""
    files = [(picture.path, picture.source) for picture in pictures]
    return DetectionImages(
        classes,
        [str(picture.path) for picture in pictures],
        lambda i: look(pictures[i], has_masks),
        lambda i: decode(*files[i]),  # not the pictures: their annotations are let go once looked at
        has_masks=has_masks,
        present=[[one.label for one in picture.annotations if one.label is not None] for picture in pictures],
        problems=problems,
    )


def look(picture: Picture, has_masks: bool) -> Seen:
    """What can be used of ``picture``, from its annotation and its file's two ends."""
    try:
        width, height = header(picture.path)
    except BadData as error:
        return Seen(None, picture.size or (0, 0), (f"{picture.source}: {error}",))
    if picture.size is not None and picture.size != (height, width):
        said = f"{picture.size[1]} × {picture.size[0]}"
        text = f"{picture.source}: {picture.path} has {width} × {height} pixels, not the {said} of the annotation."
        return Seen(None, picture.size, (text,))
    boxes: list[np.ndarray] = []
    masks: list[RLE] = []
    used: list[Annotation] = []
    areas: list[float] = []
    problems: list[str] = []
    for one in picture.annotations:
        try:
            if one.label is None:
                raise _Unusable(f"is of class '{one.class_name}', which the set does not have")
            box = _box(one.box, height, width)
            area = float((box[2] - box[0]) * (box[3] - box[1]))
            if has_masks:
                mask, area = _mask(one.segmentation, height, width)
                masks.append(mask)
        except (_Unusable, BadMask) as error:
            problems.append(f"{picture.source}, {one.id} {error}.")
            continue
        boxes.append(box)
        used.append(one)
        areas.append(one.area if one.area is not None and 0 < one.area < np.inf else area)
    objects = Objects(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array([one.label for one in used], dtype=np.int64),
        np.array([one.crowd for one in used], dtype=bool),
        np.array(areas, dtype=np.float64),
        tuple(masks),
    )
    return Seen(objects, (height, width), tuple(problems))


def decode(path: Path, source: str) -> np.ndarray:
    """(h, w, 3) uint8 of the file, in the orientation in which it is stored; ``source`` is for the message.

    Raises:
        BadData: when it does not decode.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))  # a copy: torch warns of arrays that cannot be written to
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadData(
            f"{source}: {path} does not decode ({error}); mend the file, or take it out of the annotation."
        ) from error


def header(path: Path) -> tuple[int, int]:
    """Width and height as the file's header says.

    Raises:
        BadData: when there is no such file, or none that Pillow reads and that has its end.
    """
    from PIL import Image

    try:
        if not path.is_file():
            raise BadData(f"there is no image {path}.")
        with Image.open(path) as image:
            size, mode, kind = image.size, image.mode, image.format or ""
        whole = _is_whole(path, kind)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadData(f"{path} is not an image that can be read ({type(error).__name__}).") from error
    if mode.startswith(DEEP):  # Pillow would cut its grey values at 255
        raise BadData(f"{path} has more than 8 bits a pixel and channel (Pillow's mode {mode}); convert it to 8 bits.")
    if not whole:
        raise BadData(f"{path} is cut off: it has no end mark of {kind}.")
    return size


def _is_whole(path: Path, kind: str) -> bool:
    """Whether a file of ``kind`` has the mark that it ends with: found without decoding, so in thousands of files."""
    mark = ENDS.get(kind)
    if mark is None:
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return mark in file.read()


class _Unusable(Exception):
    """Why an annotation cannot be used; the end of a sentence that begins with its id."""


def _box(box: Sequence[float], height: int, width: int) -> np.ndarray:
    """(4,) float32 box, cut to the image."""
    try:
        corners = np.array(box, dtype=np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise _Unusable(f"has the box {list(box)}, which is not four finite numbers")
    x1, y1, x2, y2 = corners.tolist()
    shown = f"({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
    if x2 - x1 < THINNEST or y2 - y1 < THINNEST:
        raise _Unusable(f"has a box without area, {shown}")
    if min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        raise _Unusable(f"has the box {shown} outside the image of {width} × {height} pixels")
    cut = np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
    if cut[2] - cut[0] < THINNEST or cut[3] - cut[1] < THINNEST:
        raise _Unusable(f"has the box {shown} outside the image of {width} × {height} pixels")
    return cut


def _mask(segmentation: Any, height: int, width: int) -> tuple[RLE, float]:
    """The run-length mask and its square pixels."""
    from pycocotools import mask

    runs = run_lengths(segmentation() if callable(segmentation) else segmentation, height, width, SLACK)
    area = float(mask.area(runs))
    if area == 0:
        raise BadMask("has a mask without a pixel")
    return runs, area


def existing_folder(text: str, root: str = "") -> Path:
    """The folder that ``text`` names, ``~`` expanded; relative to the working directory.

    ``root``, the set's folder where it has one, is for the message.

    Raises:
        BadData: when there is none.
    """
    path = Path(text).expanduser()
    if not path.is_dir():
        raise BadData(_missing("folder", path, root))
    return path


def existing_file(text: str, root: str = "") -> Path:
    """The file that ``text`` names, ``~`` expanded; relative to the working directory.

    ``root``, the set's folder where it has one, is for the message.

    Raises:
        BadData: when there is none.
    """
    path = Path(text).expanduser()
    if not path.is_file():
        raise BadData(_missing("file", path, root))
    return path


def _missing(kind: str, path: Path, root: str) -> str:
    """That ``path`` is not there, and what to do; the folder of a target has been looked for in ``paths.data``."""
    what = f"there is no {kind} {path.absolute()}"
    if not path.is_absolute():
        return f"{what}; paths are relative to the working directory, and a target's folder to paths.data."
    if not root:
        return f"{what}: put it there, or correct its path in the target's option file."
    if Path(root).expanduser().is_dir() and path != Path(root).expanduser():
        return (
            f"{what}: put it there, or correct its name in the target's option file, or set paths.data (or the "
            "target's folder) to where the set is."
        )
    return f"{what}: put the set there, or set paths.data (or the target's folder) to where it is."


def source_of(split: str, given: Mapping[str, Any], shares: Mapping[str, float], what: str) -> str:
    """The split whose ``what`` holds the images of ``split``: its own, or train where it is a share of that.

    Raises:
        ConfigError: when a split has neither a ``what`` nor a share, or both.
    """
    for name in given:
        if name not in ("train", "validation", "test"):
            raise ConfigError(f"'{name}' in {what} is no split; splits are train, validation and test.")
    for name, share in shares.items():
        if share and name in given:
            raise ConfigError(f"{name} has its own {what}; remove {name}_share={share:g}, or the other.")
    _hold_to_shares(shares)
    if split in given:
        return split
    if not shares.get(split):
        offer = "" if split == "train" else f", or set {split}_share to take a share of the train images"
        raise ConfigError(f"the split '{split}' has no {what}: name its file{offer}.")
    return source_of("train", given, shares, what)


def _hold_to_shares(shares: Mapping[str, float]) -> None:
    given = list(shares.values())
    if not all(isinstance(share, (int, float)) and share >= 0 for share in given) or not sum(given) < 1:
        raise ConfigError("validation_share and test_share must be 0 or more and leave some of the train images.")


def share_of(split: str, count: int, shares: Mapping[str, float], seeds: Seeds) -> np.ndarray:
    """(count,) bool: which of the train file's images belong to ``split``; the shares are drawn and never overlap.

    Raises:
        BadData: when they leave no train image.
        ConfigError: for what is no share.
    """
    _hold_to_shares(shares)
    order = seeds.generator("shares").permutation(count)
    owner = np.full(count, "train", dtype=object)
    start = 0
    for name in sorted(shares):
        if shares[name]:
            end = start + max(1, round(shares[name] * count))
            owner[order[start:end]] = name
            start = end
    if split == "train" and 0 < count <= start:
        taken = " and ".join(f"{name}_share={share:g}" for name, share in sorted(shares.items()) if share)
        raise BadData(
            f"{taken} leave{'s' if ' and ' not in taken else ''} no train image, for there "
            f"{'is' if count == 1 else 'are'} {count} in all; add images, or give the split its own."
        )
    return np.asarray(owner == split)


def file_in(folder: Path, name: str, source: object = "") -> Path:
    """The file of that name in ``folder`` or in a folder of it; ``source`` is the file that names it, for the message.

    Raises:
        BadData: for a name that leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or Path(name).is_absolute() or "\0" in name:
        said = f"{source}: " if source else ""
        raise BadData(f"{said}the file '{name}' is not in {folder}; names are relative to it, without '..'.")
    return folder / name

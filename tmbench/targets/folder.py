"""Labelled images as files: a folder a class, or lists of files; the layout of torchvision's ImageFolder."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.classification import LabelledImages
from tmbench.targets.image_files import ImageFiles

Entry = tuple[str, Path]
"""The name of a class, and an image of it."""

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""How the names of image files end; other files in a class's folder are passed over."""


def image_folder(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    folder: str,
    image_size: int,
    folders: Mapping[str, str] | None = None,
    lists: Mapping[str, str] | None = None,
    images: str = "",
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> LabelledImages:
    """Images sorted by class: ``train/CLASS/NAME.jpg``, or a list of files whose folder is their class.

    The classes are those of the train images, in the order of their names; a class may lie in folders within folders.
    Images are decoded when they are needed, and resized to a square whatever their shape.

    Args:
        split: which images.
        size: how many, drawn where there are more.
        seeds: draws them, and the shares.
        folder: of the set.
        image_size: height and width in pixels.
        folders: for each split that has one, its folder in ``folder``, which holds one a class.
        lists: in place of ``folders``: for each split that has one, a text file in ``folder`` with a line an image, its
            path in ``images``.
        images: the folder in ``folder`` that the lists' paths are in.
        validation_share: the share of each class's train images that are the validation split, where it has none of its
            own.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file or folder, a class of the split that train has not, an image in two splits, and
            fewer images than ``size``.
        ConfigError: for a split with neither folder, list nor share.
    """
    if bool(folders) == bool(lists):
        raise ConfigError("image_folder: give 'folders', one a split, or 'lists', one a split.")
    root = existing_folder(folder, folder)
    shares = {"validation": validation_share, "test": test_share}
    given, what = (lists, "lists") if lists else (folders or {}, "folders")
    source = source_of(split, given, shares, what)

    def found(name: str) -> list[Entry]:
        return _listed(root, given[name], images) if lists else _in_folders(root / given[name], folder)

    entries, train = found(source), found("train")
    for other in given if lists else ():
        there = other != source and (root / given[other]).is_file()
        if there and (shared := {path for _, path in entries} & {path for _, path in found(other)}):
            raise BadData(f"{len(shared)} images are in both lists, {source} and {other}, such as {min(shared)}.")
    classes = tuple(sorted({name for name, _ in train}))
    if strange := {name: path for name, path in entries if name not in set(classes)}:
        name, path = min(strange.items())
        raise BadData(f"{path} is of the class '{name}', of which there are no train images ({root / given['train']}).")
    if source == "train":
        entries = _cut(entries, split, shares, seeds)
    if len(entries) < size:
        raise BadData(
            f"{root}: split '{split}' has {len(entries)} images; sizes.{split} asks for {size}. Correct sizes.{split}, "
            "or put the images there."
        )
    rows = np.sort(seeds.generator(f"images of {split}").permutation(len(entries))[:size])
    order = seeds.generator(f"order {split}").permutation(rows).tolist()
    labels = np.searchsorted(classes, [entries[row][0] for row in order]).astype(np.int64)
    return LabelledImages(ImageFiles([entries[row][1] for row in order], image_size), labels, classes)


def _cut(entries: list[Entry], split: str, shares: Mapping[str, float], seeds: Seeds) -> list[Entry]:
    """Those of the train images that are ``split``: of each class its share, drawn, and one image at least.

    Raises:
        BadData: for a class of too few images.
    """
    by_class: dict[str, list[Entry]] = {}
    for entry in entries:
        by_class.setdefault(entry[0], []).append(entry)
    kept: list[Entry] = []
    for number, (name, own) in enumerate(sorted(by_class.items())):
        order = seeds.generator("shares", number).permutation(len(own))
        sizes = {other: max(1, round(share * len(own))) for other, share in sorted(shares.items()) if share}
        sizes["train"] = len(own) - sum(sizes.values())
        if sizes["train"] < 1:
            raise BadData(f"class '{name}' has {len(own)} train images, such as {own[0][1]}: too few for its shares.")
        begin = sum(size for other, size in sizes.items() if other < split)
        kept += [own[row] for row in sorted(order[begin : begin + sizes[split]].tolist())]
    return kept


def _in_folders(place: Path, root: str) -> list[Entry]:
    """(class, file) of all images in the folders of ``place``, sorted.

    Raises:
        BadData: for a missing folder, one without classes, an image outside of any class, and a class without images.
    """
    existing_folder(str(place), root)
    found: list[Entry] = []
    for path in _files(place):
        if path.parent == place:
            raise BadData(f"{path} lies in no class's folder; images lie in {place}/CLASS.")
        found.append((path.parent.relative_to(place).as_posix(), path))
    if not found:
        raise BadData(f"there are no images in {place}/CLASS; names end in {', '.join(sorted(ENDINGS))}.")
    for child in sorted(place.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and next(_files(child), None) is None:
            raise BadData(f"the class folder {child} holds no image; remove it, or put its images there.")
    return sorted(found)


def _files(place: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(place, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in names if not name.startswith(".") and _is_image(name))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in ENDINGS


def _listed(root: Path, name: str, images: str) -> list[Entry]:
    """(class, file) of the images of a list, sorted.

    Raises:
        BadData: for a missing list or image, a line without a class, and one that stands twice.
    """
    listing = existing_file(str(root / name), str(root))
    found: dict[Path, str] = {}
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip().lstrip("/")
        if not text:
            continue
        path, label = root / images / text, Path(text).parent.as_posix()
        if label == ".":
            raise BadData(f"{listing}, line {number}: '{text}' names no class; lines are CLASS/FILE, in '{images}'.")
        if path in found:
            raise BadData(f"{listing}, line {number}: {text} stands twice.")
        if not path.is_file():
            raise BadData(f"{listing}, line {number}: there is no image {path}.")
        found[path] = label
    if not found:
        raise BadData(f"{listing} names no image.")
    return sorted((label, path) for path, label in found.items())

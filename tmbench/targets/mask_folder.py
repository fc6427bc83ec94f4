"""A folder of images and a folder of masks, of the same names: the layout that most segmentation sets come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, existing_folder, file_in, share_of, source_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.masks import (
    Labels,
    Pair,
    class_names,
    labels_by_colours,
    labels_by_ids,
    set_of_pairs,
)
from tmbench.targets.segmentation import SegmentationImages

Places = str | Mapping[str, str]


def mask_folder(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    classes: int | Sequence[str],
    images: Places = "images",
    masks: Places = "masks",
    lists: Mapping[str, str] | None = None,
    image_ending: str = ".jpg",
    mask_ending: str = ".png",
    first: int = 0,
    ids: Sequence[int | Sequence[int]] | None = None,
    colours: Sequence[Sequence[int] | Sequence[Sequence[int]]] | None = None,
    ignored: Sequence[Any] | Literal["others"] | None = None,
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> SegmentationImages:
    """Images with a mask each: PNGs whose pixels are numbers (grey values or palette entries) or colours.

    The mask of ``images/a/b.jpg`` is ``masks/a/b.png``, with other endings where the option says so.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        folder: of the set.
        classes: the classes' names in order, or how many there are.
        images: the folder of each split's images, or one for all, in ``folder``; with all that is in its subfolders.
        masks: the same of the masks.
        lists: for each split that has one, its list in ``folder``: an image a line, in ``images``, with its ending
            or without.
        image_ending: what the images' file names end in.
        mask_ending: what stands in its place in the masks' names.
        first: the number of the first class's pixels; the others count on from it.
        ids: in place of that, of each class, in order, the number of its pixels, or several.
        colours: the same for masks in colours: of each class its [r, g, b], or several.
        ignored: numbers (or colours) of pixels that do not count, or ``others`` for all that are no class's; 255, and
            no colour, where null.
        validation_share: the share of the train images that are the validation split, where it has none of its own.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file or folder, no images, and images that are in two splits.
        ConfigError: for a split with neither images nor share, and for ids or colours that make no sense.
    """
    root = existing_folder(folder, folder)
    names = class_names(classes)
    meaning = _meaning(len(names), first, ids, colours, ignored)
    shares = {"validation": validation_share, "test": test_share}
    layout = Layout(root, images, masks, lists, image_ending, mask_ending)
    source = source_of(split, layout.own, shares, "images" if lists is None else "lists")
    pairs, problems = layout.pairs(source)
    for other in layout.own:
        shared = set(pairs) & set(layout.pairs(other)[0]) if other != source and layout.has(other) else ()
        if shared:
            name = min(str(pair.image) for pair in shared)
            raise BadData(f"{len(shared)} images are in both splits, {source} and {other}, such as {name}.")
    if source == "train":
        belongs = share_of(split, len(pairs), shares, seeds)
        pairs = [pair for row, pair in enumerate(pairs) if belongs[row]]
    return set_of_pairs(names, pairs, meaning, problems)


@dataclass(frozen=True)
class Layout:
    """Where a set has its images and masks; fields as the arguments of :func:`mask_folder`."""

    root: Path
    images: Places
    masks: Places
    lists: Mapping[str, str] | None
    image_ending: str
    mask_ending: str

    @property
    def own(self) -> Mapping[str, str]:
        """The list or the folder of each split that has one of its own."""
        if self.lists is not None:
            return self.lists
        return self.images if isinstance(self.images, Mapping) else {"train": self.images}

    def has(self, split: str) -> bool:
        """Whether that list or folder is there."""
        return (self.root / self.own[split]).exists()

    def pairs(self, split: str) -> tuple[list[Pair], list[str]]:
        """The split's images in the order of the list or of their names, and what is wrong with the list.

        Raises:
            BadData: when a folder or the list is missing, or the folder has no image.
        """
        images, masks = (self._place(places, split) for places in (self.images, self.masks))
        pairs: list[Pair] = []
        problems: list[str] = []
        if self.lists is None:
            names, others = self._files(images)
            if not names:
                more = f", but in '{others[0][-len(self.image_ending) :]}'" if others else ""
                raise BadData(f"no file in {images} ends in '{self.image_ending}'{more}; set image_ending.")
            problems += [f"{images / name} does not end in '{self.image_ending}'; rename it." for name in others]
            source = images
        else:
            source = existing_file(str(self.root / self.lists[split]), str(self.root))
            try:
                lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
            except UnicodeDecodeError as error:
                raise BadData(f"{source} is no text in UTF-8 ({error}); save it as such.") from error
            names = list(dict.fromkeys(line for line in lines if line))
        for name in names:
            stem = name.removesuffix(self.image_ending)
            try:
                file_in(images, name, source)
            except BadData as error:
                problems.append(str(error))
            else:
                pairs.append(Pair(images / (stem + self.image_ending), masks / (stem + self.mask_ending)))
        return pairs, problems

    def _files(self, images: Path) -> tuple[list[str], list[str]]:
        """The names of the images in a folder, and those that differ in capitals of their ending, which are none."""
        alike = [path for path in images.rglob("*") if path.name.lower().endswith(self.image_ending.lower())]
        names = sorted(path.relative_to(images).as_posix() for path in alike)
        return (
            [name for name in names if name.endswith(self.image_ending)],
            [name for name in names if not name.endswith(self.image_ending)],
        )

    def _place(self, places: Places, split: str) -> Path:
        if isinstance(places, str):
            return existing_folder(str(self.root / places), str(self.root))
        if split not in places:
            raise BadData(f"no folder is named for the split '{split}', only for {', '.join(places) or 'none'}.")
        return existing_folder(str(self.root / places[split]), str(self.root))


def _meaning(
    count: int,
    first: int,
    ids: Sequence[Any] | None,
    colours: Sequence[Any] | None,
    ignored: Sequence[Any] | Literal["others"] | None,
) -> Labels:
    if ids is not None and colours is not None:
        raise ConfigError("give ids or colours, not both: the pixels of a mask are one or the other.")
    for what, given in (("ids", ids), ("colours", colours)):
        if given is not None and len(given) != count:
            raise ConfigError(
                f"{what}: {len(given)} of them for {count} classes; each class has one, or a list of them."
            )
    if colours is not None:
        return labels_by_colours(colours, [] if ignored is None else ignored)
    return labels_by_ids(range(first, first + count) if ids is None else ids, [255] if ignored is None else ignored)

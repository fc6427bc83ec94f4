"""The layout of Cityscapes (Cordts et al., CVPR 2016), which other street scenes share: a folder a city.

``leftImg8bit/train/CITY/NAME_leftImg8bit.png`` has its mask in ``gtFine/train/CITY/NAME_gtFine_labelIds.png``.
"""

from collections.abc import Mapping

from tmbench.identity import Seeds
from tmbench.targets.mask_folder import mask_folder
from tmbench.targets.segmentation import SegmentationImages

SCORED: dict[str, int] = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
"""The 19 classes that the benchmark scores, with their label ids as the set's authors list them
(``helpers/labels.py`` of cityscapesScripts), in the order of their train ids."""


def cityscapes(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    splits: Mapping[str, str],
    images: str = "leftImg8bit",
    masks: str = "gtFine",
    image_ending: str = "_leftImg8bit.png",
    mask_ending: str = "_gtFine_labelIds.png",
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> SegmentationImages:
    """Street scenes with the 19 scored classes; pixels with any other label id do not count.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        folder: of the set.
        splits: for each split that has one, its folder in ``images`` and ``masks``: ``{train: train, test: val}``.
        images: the folder of the images, in ``folder``.
        masks: the folder of the masks.
        image_ending: what the images' file names end in.
        mask_ending: what stands in its place in the masks' names.
        validation_share: the share of the train images that are the validation split, where it has no folder.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing folder, and one without images.
        ConfigError: for a split with neither folder nor share.
    """
    return mask_folder(
        split,
        size,
        seeds,
        folder=folder,
        classes=tuple(SCORED),
        images={name: f"{images}/{text}" for name, text in splits.items()},
        masks={name: f"{masks}/{text}" for name, text in splits.items()},
        image_ending=image_ending,
        mask_ending=mask_ending,
        ids=list(SCORED.values()),
        ignored="others",
        validation_share=validation_share,
        test_share=test_share,
    )

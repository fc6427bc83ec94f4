"""Pascal VOC's class masks: ``SegmentationClass/NAME.png`` with palette entries (Everingham et al., IJCV 2010)."""

from collections.abc import Mapping, Sequence

from tmbench.identity import Seeds
from tmbench.targets.mask_folder import mask_folder
from tmbench.targets.segmentation import SegmentationImages
from tmbench.targets.voc import CLASSES


def voc_segmentation(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    lists: Mapping[str, str],
    classes: Sequence[str] = CLASSES,
    validation_share: float = 0.0,
    test_share: float = 0.0,
) -> SegmentationImages:
    """Images with a mask each from ``JPEGImages`` and ``SegmentationClass``; the border 255 does not count.

    Args:
        split: which images.
        size: how many will be used; all are given, and ``load`` draws.
        seeds: draws the shares.
        folder: of the set, ``VOCdevkit/VOC2012``.
        lists: for each split that has one, its list: a name in ``ImageSets/Segmentation`` (``trainval``) or a path in
            ``folder`` ending in ``.txt``, one image a line.
        classes: the names of palette entries 1, 2 …; entry 0 is the background.
        validation_share: the share of the train list's images that are the validation split, where it has no list.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file or folder, and images that are in two splits' lists.
        ConfigError: for a split with neither list nor share.
    """
    return mask_folder(
        split,
        size,
        seeds,
        folder=folder,
        classes=("background", *classes),
        images="JPEGImages",
        masks="SegmentationClass",
        lists={
            name: text if text.endswith(".txt") else f"ImageSets/Segmentation/{text}.txt"
            for name, text in lists.items()
        },
        validation_share=validation_share,
        test_share=test_share,
    )

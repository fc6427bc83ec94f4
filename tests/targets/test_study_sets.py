"""The options for the sets of the ECCV 2022 study, on folders that have their layouts and two classes a mask."""

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from segmentation_files import HEIGHT, WIDTH, mask, write_image, write_mask

from tmbench.folders import shipped
from tmbench.targets import load
from tmbench.targets.cityscapes import SCORED
from tmbench.targets.options import target_of
from tmbench.targets.segmentation import IGNORED

FOLDERS = (
    "ade20k", "bdd", "camvid", "idd", "isaid", "isprs", "mapillary", "pcontext", "scannet", "suim", "sunrgbd",
    "vgallery", "vkitti2",
)  # fmt: skip
OTHERS = ("cityscapes", "coco", "kitti", "pvoc")


def option(name, root=None, **changes):
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        config = compose("config", overrides=[f"+target=segmentation_{name}"])
    found = target_of({**OmegaConf.to_container(config.target, resolve=True), **changes})
    return found if root is None else found.located(str(root))


def test_there_are_seventeen():
    assert len(FOLDERS + OTHERS) == 17
    for name in OTHERS:
        assert option(name).sizes.train in (140, 150)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_set_in_its_layout_is_read(tmp_path, name):
    target = option(name, tmp_path, sizes={"train": 4})
    given = target.parameters
    last = target.classes - 1
    for split in given["images"]:
        for number in range(6):
            image = f"{target.folder}/{given['images'][split]}/{number}{given.get('image_ending', '.jpg')}"
            write_image(tmp_path / image)
            place = f"{target.folder}/{given['masks'][split]}/{number}{given.get('mask_ending', '.png')}"
            write_mask(tmp_path / place, numbers_of(given, last))
    data = load(target, "train")
    assert len(data) == 4
    assert len(data.classes) == target.classes == given["classes"]
    expected = [0, 0, last, last] + ([IGNORED] * 4 if skipped(given) is not None else [last] * 4)
    assert data.labels(0)[0].tolist() == expected
    assert data.problems[0].startswith("no pixel of 4 train images has the class")
    assert len(load(target, "test")) == 6


def numbers_of(given, last):
    """Stripes of the first class, the last one, and twice what is ignored, as the set's files have them."""
    if "colours" in given:
        none = [1, 1, 1] if given.get("ignored") == "others" else given["colours"][last]
        return np.array([given["colours"][0], given["colours"][last], none, none], np.uint8)[
            np.arange(WIDTH) * 4 // WIDTH
        ][None].repeat(HEIGHT, axis=0)
    first = given.get("first", 0)
    ids = given.get("ids", range(first, first + last + 1))
    none = skipped(given)
    return mask(ids[0], ids[last], none, none)


def skipped(given):
    """A number that the set ignores; None for one in colours that ignores none."""
    ignored = given.get("ignored", [255])
    if "colours" in given:
        return 0 if ignored == "others" else None
    return 250 if ignored == "others" else ignored[0]


def test_kitti_has_test_images_of_its_own(tmp_path):
    target = option("kitti", tmp_path, sizes={})
    for number in range(20):
        write_image(tmp_path / f"kitti/training/image_2/{number:06d}_10.png")
        write_mask(tmp_path / f"kitti/training/semantic/{number:06d}_10.png", mask(*list(SCORED.values())[:8]))
    names = [set(load(target, split).names) for split in ("train", "validation", "test")]
    assert [len(some) for some in names] == [14, 2, 4]
    assert len(set.union(*names)) == 20

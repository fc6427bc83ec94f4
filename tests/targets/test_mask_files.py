import numpy as np
import pytest
from PIL import Image
from segmentation_files import (
    HEIGHT,
    WIDTH,
    folder_set,
    folder_target,
    labels_of,
    mask,
    target,
    write_image,
    write_mask,
)

from tmbench.errors import ConfigError
from tmbench.targets import BadData, load
from tmbench.targets.cityscapes import SCORED
from tmbench.targets.segmentation import IGNORED
from tmbench.targets.voc import CLASSES

# Image folder and mask folder


def test_label_ids(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2, 255), mask(2, 1)])
    data = load(folder_target(tmp_path), "train")
    assert labels_of(data) == [[0, 1, 2, IGNORED], [2, 1]]
    assert data.labels(0).dtype == np.uint8
    assert data.image(0).shape == (HEIGHT, WIDTH, 3)
    assert data.classes == ("class 0", "class 1", "class 2")
    assert data.names[0].endswith("images/train/a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_are_mapped(tmp_path, dtype):
    folder_set(tmp_path, [mask(7, 11, 12, 0, dtype=dtype), mask(8, 7, dtype=dtype)])
    options = {"ids": [7, [11, 12], 8], "ignored": [0], "classes": ["road", "house", "tree"]}
    data = load(folder_target(tmp_path, parameters=options), "train")
    assert labels_of(data) == [[0, 1, IGNORED], [2, 0]]
    assert data.classes == ("road", "house", "tree")


def test_ids_above_255(tmp_path):
    folder_set(tmp_path, [mask(1000, 40000, dtype=np.uint16)] * 2)
    data = load(folder_target(tmp_path, 2, parameters={"ids": [40000, 1000]}), "train")
    assert labels_of(data) == [[1, 0]] * 2


def test_ids_that_count_from_one(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2, 3)] * 2)
    data = load(folder_target(tmp_path, parameters={"first": 1, "ignored": [0]}), "train")
    assert labels_of(data) == [[IGNORED, 0, 1, 2]] * 2


def test_other_ids_may_be_ignored(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 77, 200)] * 2)
    data = load(folder_target(tmp_path, 2, parameters={"ignored": "others"}), "train")
    assert labels_of(data) == [[0, 1, IGNORED]] * 2


def test_palette_entries_not_colours_are_the_numbers(tmp_path):
    folder_set(tmp_path, [mask(0, 1)] * 2)
    palette = [[9, 9, 9], [1, 0, 0], [200, 100, 0]]
    write_mask(tmp_path / "masks/train/a.png", mask(2, 0, 1), palette)
    assert labels_of(load(folder_target(tmp_path), "train"))[0] == [2, 0, 1]
    by_colour = {"colours": [[1, 0, 0], [9, 9, 9], [200, 100, 0]], "ignored": "others"}
    folder_set(tmp_path / "again", [mask(0, 1)] * 2)
    for name in "ab":
        write_mask(tmp_path / "again/masks/train" / f"{name}.png", mask(2, 0, 1), palette)
    assert labels_of(load(folder_target(tmp_path / "again", parameters=by_colour), "train"))[0] == [2, 1, 0]


def test_colours(tmp_path):
    red, blue, grey = [255, 0, 0], [0, 0, 255], [1, 2, 3]
    folder_set(tmp_path, [np.array([red, blue, grey, [0, 0, 0]] * 2, np.uint8)[None].repeat(HEIGHT, 0)] * 2)
    options = {"colours": [red, [blue, grey]], "ignored": [[0, 0, 0]]}
    data = load(folder_target(tmp_path, 2, parameters=options), "train")
    assert data.labels(0)[0].tolist() == [0, 1, 1, IGNORED] * 2
    options = {"colours": [red, blue], "ignored": [[0, 0, 0]]}
    with pytest.raises(BadData, match=r"a.png has the colour \[1, 2, 3\] at pixel 2, 0 and 12 such pixels"):
        load(folder_target(tmp_path, 2, parameters=options), "train")
    with pytest.raises(BadData, match=r"a.png are no numbers.*'colours'"):
        load(folder_target(tmp_path, 2), "train")


def no_mask(root):
    (root / "masks/train/b.png").unlink()


def other_size(root):
    write_mask(root / "masks/train/b.png", mask(0, 1)[:-1])


def strange_id(root):
    write_mask(root / "masks/train/b.png", mask(0, 1, 9, 2))


def no_class(root):
    write_mask(root / "masks/train/b.png", mask(255))


def cut_off(root):
    path = root / "images/train/b.png"
    path.write_bytes(path.read_bytes()[:-20])


def no_image(root):
    (root / "images/train/b.png").write_text("nothing")


def cut_off_mask(root):
    path = root / "masks/train/b.png"
    path.write_bytes(path.read_bytes()[:45])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_mask, "there is no mask .*b.png"),
        (other_size, "b.png: its mask has 8 × 5 pixels, the image 8 × 6"),
        (strange_id, "b.png has the id 9 at pixel 4, 0 and 12 such pixels"),
        (no_class, "b.png: no pixel of its mask has a class"),
        (cut_off, "b.png is cut off"),
        (no_image, "b.png is not an image"),
        (cut_off_mask, "b.png is not a mask that can be read"),
    ],
)
def test_what_is_broken_is_refused_or_dropped_with_its_file(tmp_path, damage, says):
    folder_set(tmp_path, [mask(0, 1, 2)] * 4)
    damage(tmp_path)
    with pytest.raises(BadData, match=f"one image cannot be used: .*{says}.*broken: drop"):
        load(folder_target(tmp_path), "train")
    data = load(folder_target(tmp_path, broken="drop"), "train")
    assert [name[-5] for name in data.names] == ["a", "c", "d"]
    assert len(data.problems) == 1


def test_subfolders_and_endings(tmp_path):
    for name in ("x/one", "y/two", "y/two_deep/three"):
        write_image(tmp_path / "pictures" / f"{name}_photo.png")
        write_mask(tmp_path / "truth" / f"{name}_ids.png", mask(0, 1, 2))
    write_image(tmp_path / "pictures/y/other.png")
    options = {"images": "pictures", "masks": "truth", "image_ending": "_photo.png", "mask_ending": "_ids.png"}
    data = load(target("mask_folder:mask_folder", 3, {"classes": 3, **options}, folder=str(tmp_path)), "train")
    assert [name.rpartition("pictures/")[2] for name in data.names] == [
        "x/one_photo.png", "y/two_deep/three_photo.png", "y/two_photo.png",
    ]  # fmt: skip


def test_lists(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 6, split="")
    (tmp_path / "train.txt").write_text("a\nb.png\n\nc\n")
    (tmp_path / "test.txt").write_text("e\nd\n")
    options = {"images": "images", "masks": "masks", "lists": {"train": "train.txt", "test": "test.txt"}}
    data = load(folder_target(tmp_path, parameters=options), "train")
    assert [name[-5:] for name in data.names] == ["a.png", "b.png", "c.png"]
    assert [name[-5:] for name in load(folder_target(tmp_path, parameters=options), "test").names] == ["e.png", "d.png"]
    (tmp_path / "test.txt").write_text("e\nc\n")
    with pytest.raises(BadData, match=r"1 images are in both splits, train and test, such as .*c.png"):
        load(folder_target(tmp_path, parameters=options), "train")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "sub/../../outside"])
def test_a_list_cannot_lead_out_of_the_folder(tmp_path, name):
    folder_set(tmp_path / "set", [mask(0, 1, 2)] * 3, split="")
    write_image(tmp_path / "outside.png")
    (tmp_path / "set/train.txt").write_text(f"a\nb\n{name}\n")
    options = {"images": "images", "masks": "masks", "lists": {"train": "train.txt"}}
    with pytest.raises(BadData, match=rf"train.txt: the file '{name}' is not in"):
        load(folder_target(tmp_path / "set", parameters=options), "train")
    assert len(load(folder_target(tmp_path / "set", parameters=options, broken="drop"), "train")) == 2


def test_shares_of_train_are_drawn_and_do_not_overlap(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 20)
    options = {"validation_share": 0.25, "test_share": 0.15}
    names = {}
    for split in ("train", "validation", "test"):
        names[split] = set(load(folder_target(tmp_path, parameters=options), split).names)
    assert [len(some) for some in names.values()] == [12, 5, 3]
    assert len(set.union(*names.values())) == 20
    other = load(folder_target(tmp_path, parameters=options, seed=1), "validation")
    assert set(other.names) != names["validation"]
    with pytest.raises(ConfigError, match="set validation_share"):
        load(folder_target(tmp_path), "validation")


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"validation_share": 0.1}, "validation_share=0.1 leaves no train image, for there is 1 in all"),
        (
            {"validation_share": 0.9, "test_share": 0.05},
            "test_share=0.05 and validation_share=0.9 leave no train",
        ),
    ],
)
def test_shares_that_leave_no_image_to_train_on_say_so(tmp_path, shares, says):
    folder_set(tmp_path, [mask(0, 1, 2)] * len(shares))
    with pytest.raises(BadData, match=says):
        load(folder_target(tmp_path, parameters=shares), "train")


def test_endings_that_differ_in_capitals_are_told(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 4)
    images = tmp_path / "images/train"
    (images / "b.png").rename(images / "b.PNG")
    with pytest.raises(BadData, match=r"b\.PNG does not end in '\.png'; rename it"):
        load(folder_target(tmp_path), "train")
    assert len(load(folder_target(tmp_path, broken="drop"), "train")) == 3
    for name in "acd":
        (images / f"{name}.png").rename(images / f"{name}.PNG")
    with pytest.raises(BadData, match=r"ends in '\.png', but in '\.PNG'; set image_ending"):
        load(folder_target(tmp_path), "train")


def test_a_list_that_is_no_text(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 3, split="")
    (tmp_path / "train.txt").write_bytes("a\nb\nfünf\n".encode("latin-1"))
    options = {"images": "images", "masks": "masks", "lists": {"train": "train.txt"}}
    with pytest.raises(BadData, match=r"train\.txt is no text in UTF-8"):
        load(folder_target(tmp_path, parameters=options), "train")


def test_names_that_no_file_can_have_are_missing_files(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 3, split="")
    (tmp_path / "train.txt").write_text(f"a\nb\n{'x' * 2000}\n")
    options = {"images": "images", "masks": "masks", "lists": {"train": "train.txt"}}
    data = load(folder_target(tmp_path, parameters=options, broken="drop"), "train")
    assert (len(data), len(data.problems)) == (2, 1)


def test_folders_that_are_not_there(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 2)
    with pytest.raises(BadData, match=r"there is no folder .*images/validation"):
        load(folder_target(tmp_path, splits=("train", "validation")), "validation")
    assert len(load(folder_target(tmp_path, splits=("train", "validation")), "train")) == 2
    with pytest.raises(BadData, match=r"no file in .* ends in '\.jpg'; set image_ending"):
        load(folder_target(tmp_path, parameters={"image_ending": ".jpg"}), "train")
    with pytest.raises(BadData, match=r"put the set there, or set paths\.data"):
        load(folder_target(tmp_path / "nowhere"), "train")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ids": [1, 2]}, "ids: 2 of them for 3 classes"),
        ({"ids": [1, 2, 2]}, "one stands twice"),
        ({"ids": [1, 2, []]}, "one has none"),
        ({"ids": [1, 2, 255]}, "255 is a class's and ignored"),
        ({"ids": [1, 2, 70000]}, "0 to 65535"),
        ({"colours": [[1, 2, 3], [1, 2], [4, 5, 6]]}, "not three numbers"),
        ({"colours": [[1, 2, 3], [1, 2, 300], [4, 5, 6]]}, "not three numbers"),
        ({"ids": ["one", 2, 3]}, "ids: 'one' is no whole number, no list of them"),
        ({"ids": [1, 2, [[3]]]}, r"ids: \[\[3\]\] is no whole number"),
        ({"ignored": "void"}, "ignored: 'void' is no whole number, no list of them or 'others'"),
        ({"colours": [1, 2, 3]}, "colours: 1 is not three numbers"),
        ({"validation_share": "a lot"}, "validation_share and test_share must be 0 or more"),
        ({"ids": [1, 2, 3], "colours": [[1, 2, 3]] * 3}, "ids or colours, not both"),
    ],
)
def test_meanings_that_make_no_sense(tmp_path, options, says):
    folder_set(tmp_path, [mask(0, 1, 2)] * 2)
    with pytest.raises(ConfigError, match=says):
        load(folder_target(tmp_path, parameters=options), "train")


def test_images_decode_as_they_are_stored(tmp_path):
    folder_set(tmp_path, [mask(0, 1, 2)] * 2)
    Image.fromarray(np.full((HEIGHT, WIDTH), 77, np.uint8)).save(tmp_path / "images/train/a.png")
    assert (load(folder_target(tmp_path), "train").image(0) == 77).all()


# Pascal VOC


def test_voc(tmp_path):
    for name in "abcd":
        write_image(tmp_path / f"JPEGImages/{name}.jpg")
        write_mask(
            tmp_path / f"SegmentationClass/{name}.png", mask(0, 255, 15, 20), np.arange(768).reshape(-1, 3) % 256
        )
    for split, names in {"train": "ab", "val": "cd"}.items():
        (tmp_path / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names))
    given = {"lists": {"train": "train", "test": "val"}}
    voc = target("voc_segmentation:voc_segmentation", 21, given, folder=str(tmp_path), broken="drop")
    data = load(voc, "train")
    assert len(data) == 2
    assert data.classes == ("background", *CLASSES)
    assert [data.classes[label] for label in data.present(0)] == ["background", "person", "tvmonitor"]
    assert data.labels(0)[0].tolist() == [0, 0, IGNORED, IGNORED, 15, 15, 20, 20]
    assert [name[-5] for name in load(voc, "test").names] == ["c", "d"]


# Cityscapes


def test_cityscapes(tmp_path):
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau"), ("val", "munster")):
        name = f"{split}/{city}/{city}_000001"
        write_image(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png")
        write_mask(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", mask(7, 33, 0, 26))
        write_mask(tmp_path / f"gtFine/{name}_gtFine_color.png", mask(1))
    given = {"splits": {"train": "train", "test": "val"}}
    streets = target("cityscapes:cityscapes", 19, given, folder=str(tmp_path), broken="drop")
    data = load(streets, "train")
    assert len(data) == 2
    assert data.labels(0)[0].tolist() == [0, 0, 18, 18, IGNORED, IGNORED, 13, 13]
    assert [data.classes[label] for label in (0, 13, 18)] == ["road", "car", "bicycle"]
    assert [name.split("/")[-2] for name in load(streets, "test").names] == ["lindau", "munster"]
    assert len(SCORED) == 19
    assert list(SCORED.values()) == sorted(SCORED.values())

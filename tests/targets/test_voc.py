import numpy as np
import pytest
from detection_files import HEIGHT, WIDTH, voc_image, voc_list, voc_object, voc_target
from PIL import Image

from tmbench.errors import ConfigError
from tmbench.targets import BadData, load
from tmbench.targets.voc import CLASSES


@pytest.fixture
def root(tmp_path):
    voc_image(tmp_path, "a", voc_object(), voc_object("dog", (1, 1, WIDTH, HEIGHT)))
    voc_image(tmp_path, "b", voc_object("dog", difficult=1), voc_object())
    voc_image(tmp_path, "c", voc_object("dog"), size=(0, 0))
    voc_list(tmp_path, "trainval", "a", "b")
    voc_list(tmp_path, "test", "c  1")  # class lists have a second column
    return tmp_path


LISTS = {"train": "trainval", "test": "test"}


def test_corners_counted_from_one_become_half_open_boxes(root):
    data = load(voc_target(root, LISTS), "train")
    np.testing.assert_array_equal(data.objects(0).boxes, [[5, 6, 15, 14], [0, 0, WIDTH, HEIGHT]])
    assert data.objects(0).areas.tolist() == [80, WIDTH * HEIGHT]
    assert data.objects(0).labels.tolist() == [0, 1]
    assert not data.has_masks
    assert load(voc_target(root, LISTS), "test").sizes.tolist() == [[HEIGHT, WIDTH]]


@pytest.mark.parametrize(("option", "crowd"), [("ignore", [True, False]), ("count", [False] * 2), ("drop", [False])])
def test_difficult_objects(root, option, crowd):
    data = load(voc_target(root, LISTS, parameters={"difficult": option}), "train")
    assert data.objects(1).crowd.tolist() == crowd


def test_masks_of_objects(root):
    for name in "ab":
        numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
        numbers[6:14, 5:15] = 1
        numbers[20:25, 20:30] = 2
        numbers[25, :] = 255  # the border between objects
        Image.fromarray(numbers).save(root / "SegmentationObject" / f"{name}.png")
    data = load(voc_target(root, LISTS, parameters={"masks": True}), "train")
    assert data.has_masks
    assert data.objects(0).bitmaps().sum(axis=(1, 2)).tolist() == [80, 50]
    assert data.objects(0).bitmaps()[1, 20:25, 20:30].all()
    target = voc_target(root, LISTS, parameters={"masks": True})
    with pytest.raises(BadData, match=r"c.xml, object 1 has no mask.*c.png"):
        load(target, "test")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (voc_object("ant"), "class 'ant'"),
        (voc_object(box=(6, 7, 99, 14)), "outside the image"),
        (voc_object(box=(6, 7, 5, 14)), "without area"),
        (voc_object(box=(6, "x", 15, 14)), "not four finite numbers"),
    ],
)
def test_a_broken_annotation_is_refused_or_dropped(root, entry, says):
    voc_image(root, "a", voc_object(), entry, voc_object("dog"))
    with pytest.raises(BadData, match=rf"a.xml, object 2.*{says}.*broken: drop"):
        load(voc_target(root, LISTS), "train")
    data = load(voc_target(root, LISTS, broken="drop"), "train")
    assert len(data.problems) == 1
    assert data.objects(0).labels.tolist() == [0, 1]


def damage_xml(root):
    (root / "Annotations" / "b.xml").write_text("<annotation>")


def damage_missing_xml(root):
    (root / "Annotations" / "b.xml").unlink()


def damage_image(root):
    (root / "JPEGImages" / "b.jpg").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [(damage_xml, "is not XML"), (damage_missing_xml, "no file .*b.xml"), (damage_image, "no image .*b.jpg")],
)
def test_a_broken_image_is_refused_or_dropped(root, damage, says):
    damage(root)
    with pytest.raises(BadData, match=says):
        load(voc_target(root, LISTS), "train")
    data = load(voc_target(root, LISTS, broken="drop"), "train")
    assert len(data) == 1
    assert len(data.problems) == 1


def test_a_stale_file_name_in_the_xml_does_not_matter(root):
    path = root / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("a.jpg", "IMG_1234.jpg"))
    assert load(voc_target(root, LISTS), "train").names[0].endswith("a.jpg")


def test_names_with_spaces(root):
    """Of a list's last column they are told apart by its being -1, 0 or 1 in every line."""
    for name in ("pond 01", "pond 1"):
        voc_image(root, name, voc_object(), voc_object("dog"))
    voc_list(root, "trainval", "pond 01", "pond 1")
    names = [name.rpartition("/")[2] for name in load(voc_target(root, LISTS), "train").names]
    assert names == ["pond 01.jpg", "pond 1.jpg"]
    voc_list(root, "trainval", "pond 01 -1", "a  0", "b  1")
    names = [name.rpartition("/")[2] for name in load(voc_target(root, LISTS), "train").names]
    assert names == ["pond 01.jpg", "a.jpg", "b.jpg"]


def test_a_set_that_is_not_there_says_where_to_put_it(root):
    with pytest.raises(BadData, match=r"there is no folder .*nowhere: put the set there, or set paths\.data"):
        load(voc_target(root / "nowhere", LISTS), "train")
    with pytest.raises(BadData, match=r"there is no folder .*nowhere; paths are relative to the working directory"):
        load(voc_target("nowhere", LISTS), "train")


def test_splits(root):
    with pytest.raises(ConfigError, match="set validation_share"):
        load(voc_target(root, LISTS), "validation")
    shared = voc_target(root, LISTS, parameters={"validation_share": 0.5, "difficult": "count"}, broken="drop")
    assert len(load(shared, "validation")) == 1
    voc_list(root, "test", "b", "c")
    with pytest.raises(BadData, match="1 images are in both lists"):
        load(voc_target(root, LISTS), "train")
    with pytest.raises(BadData, match=r"there is no file .*nothing.txt"):
        load(voc_target(root, {"train": "nothing"}), "train")
    with pytest.raises(BadData, match=r"there is no folder .*Annotations"):
        load(voc_target(root / "ImageSets", LISTS), "train")


def test_masks_in_colours_are_told_with_their_file(root):
    for name in "ab":
        path = root / "SegmentationObject" / f"{name}.png"
        Image.fromarray(np.ones((HEIGHT, WIDTH, 3), np.uint8)).save(path)
    with pytest.raises(BadData, match=r"object 1 has no mask, for the pixels of .*a.png are colours"):
        load(voc_target(root, LISTS, parameters={"masks": True}), "train")


def test_the_twenty_classes_are_the_default():
    assert len(set(CLASSES)) == 20

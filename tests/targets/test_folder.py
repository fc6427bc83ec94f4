"""Labelled images in folders and lists of files."""

import numpy as np
import pytest
from PIL import Image

from tmbench.errors import ConfigError
from tmbench.targets import BadData, load
from tmbench.targets.image_files import ImageFiles
from tmbench.targets.options import ClassificationTarget as Target

FOLDERS = {"train": "train", "test": "test"}


def put(path, colour, size=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Three classes of ten train and four test images; the red value is the class, the green one the image."""
    for label, name in enumerate(("ant", "bee/small", "cat")):
        for row in range(10):
            put(tmp_path / "train" / name / f"{row}.png", (80 * label, row, 0))
        for row in range(4):
            put(tmp_path / "test" / name / f"{row}.PNG", (80 * label, 100 + row, 0))
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "ant" / "._1.png").write_text("no image either")
    return tmp_path


def target(root, sizes=(24, 6, 12), **parameters):
    given = {"folders": FOLDERS, "validation_share": 0.2, "image_size": 16} | parameters
    return Target.model_validate(
        {
            "task": "classification",
            "function": "tmbench.targets.folder:image_folder",
            "folder": str(root),
            "parameters": {name: value for name, value in given.items() if value is not None},
            "sizes": dict(zip(("train", "validation", "test"), sizes, strict=True)),
            "classes": 3,
            "image_size": 16,
        }
    )


def test_folders_are_classes(root):
    data = load(target(root), "test")
    assert data.classes == ("ant", "bee/small", "cat")
    images = np.asarray(data.images)
    assert images.shape == (12, 16, 16, 3)
    assert np.array_equal(images[:, 0, 0, 0], 80 * data.labels)
    assert np.array_equal(data.images[2:5], images[2:5])
    assert np.array_equal(data.images[np.array([7, 1])], images[[7, 1]])


def test_validation_is_cut_from_train_class_by_class_and_never_overlaps(root):
    seen = {}
    for split in ("train", "validation", "test"):
        images = np.asarray(load(target(root), split).images)
        seen[split] = {tuple(image[0, 0]) for image in images.tolist() for image in [np.array(image)]}
    assert {split: len(found) for split, found in seen.items()} == {"train": 24, "validation": 6, "test": 12}
    assert not seen["train"] & seen["validation"]
    assert np.bincount(load(target(root), "validation").labels).tolist() == [2, 2, 2]
    again = load(target(root), "validation")
    assert np.array_equal(np.asarray(again.images), np.asarray(load(target(root), "validation").images))
    other = load(target(root).model_copy(update={"seed": 1}), "validation")
    assert {str(path) for path in other.images.paths} != {str(path) for path in again.images.paths}


def test_fewer_are_drawn_where_fewer_are_asked_for(root):
    few, all_of_them = load(target(root, (9, 3, 5)), "train"), load(target(root), "train")
    assert len(few) == 9
    assert set(few.images.paths) < set(all_of_them.images.paths)


def test_images_are_resized_to_a_square_and_decoded_when_they_are_needed(root, monkeypatch):
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 16:] = 255
    Image.fromarray(wide).save(root / "test" / "cat" / "0.PNG")
    subsets = Target.model_validate(target(root).model_dump() | {"subset": {"rule": "random", "count": 2}})
    part = load(subsets.members()["000"], "train")
    assert isinstance(part.images, ImageFiles)
    assert part.images.nbytes < 5000
    data = load(target(root), "test")
    row = [path.parent.name + path.name for path in data.images.paths].index("cat0.PNG")
    shown = data.images[row : row + 1][0]
    expected = np.asarray(Image.fromarray(wide).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(shown, expected)
    assert shown[:, :6].max() == 0
    assert shown[:, 10:].min() == 255


def test_grey_and_palette_images_become_colour(root):
    Image.new("L", (9, 9), 77).save(root / "test" / "ant" / "0.PNG")
    Image.new("P", (9, 9)).save(root / "test" / "ant" / "1.PNG")
    data = load(target(root), "test")
    grey = next(i for i, path in enumerate(data.images.paths) if path.parent.name == "ant" and path.name == "0.PNG")
    assert (data.images[grey : grey + 1] == 77).all()


def lists(root, **lines):
    for split, text in lines.items():
        (root / f"{split}.txt").write_text("\n".join(text))
    return {split: f"{split}.txt" for split in lines}


def test_lists_name_files_whose_folder_is_their_class(root):
    names = {split: [f"/ant/{row}.png" for row in rows] for split, rows in (("train", range(6)), ("test", (6, 7)))}
    for split, more in (("train", range(6)), ("test", (6, 7))):
        names[split] += [f"bee/small/{row}.png" for row in more] + [f"cat/{row}.png" for row in more] + [""]
    given = lists(root, **names)
    option = target(root, (15, 3, 6), folders=None, lists=given, images="train", validation_share=0.1)
    data = load(option, "test")
    assert data.classes == ("ant", "bee/small", "cat")
    assert sorted(np.asarray(data.images)[:, 0, 0, 1].tolist()) == [6, 6, 6, 7, 7, 7]
    assert len(load(option, "train")) == 15


def damage_file(root):
    (root / "test" / "bee" / "small" / "2.PNG").write_bytes(b"not an image")


@pytest.mark.parametrize(
    ("damage", "split", "says"),
    [
        (lambda root: put(root / "test" / "dog" / "1.png", 3), "test", r"dog/1\.png is of the class 'dog', of which"),
        (lambda root: put(root / "train" / "1.png", 3), "train", r"train/1\.png lies in no class's folder"),
        (lambda root: (root / "train" / "fox").mkdir(), "train", r"class folder \S+/fox holds no image"),
        (lambda root: (root / "train").rename(root / "old"), "test", r"there is no folder \S+/train"),
        (lambda root: (root / "test" / "cat" / "1.PNG").unlink(), "test", r"has 11 images; sizes\.test asks for 12"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(root, damage, split, says):
    damage(root)
    with pytest.raises(BadData, match=says):
        load(target(root), split)


def test_a_file_that_does_not_decode_is_named_when_it_is_needed(root):
    damage_file(root)
    data = load(target(root), "test")
    with pytest.raises(BadData, match=r"small/2\.PNG does not decode \(cannot identify"):
        np.asarray(data.images)


def test_a_class_of_one_image_has_none_to_cut(root):
    put(root / "train" / "dog" / "1.png", 3)
    with pytest.raises(BadData, match=r"class 'dog' has 1 train images, such as \S+dog/1\.png: too few"):
        load(target(root), "train")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"train": ["ant/0.png", "ant/0.png"]}, r"train\.txt, line 2: ant/0\.png stands twice"),
        ({"train": ["ant/99.png"]}, r"line 1: there is no image \S+ant/99\.png"),
        ({"train": ["0.png"]}, r"line 1: '0\.png' names no class"),
        ({"train": [""]}, r"train\.txt names no image"),
        ({"train": ["ant/0.png", "cat/1.png"], "test": ["ant/0.png"]}, r"1 images are in both lists, train and test"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_line(root, names, says):
    given = lists(root, **names)
    with pytest.raises(BadData, match=says):
        load(target(root, folders=None, lists=given, images="train"), "train")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folders": None}, "give 'folders'"),
        ({"lists": {"train": "a.txt"}}, "give 'folders'"),
        ({"validation_share": 0.0}, "'validation' has no folders"),
    ],
)
def test_a_split_needs_a_place(root, changes, says):
    with pytest.raises(ConfigError, match=says):
        load(target(root, **changes), "validation")

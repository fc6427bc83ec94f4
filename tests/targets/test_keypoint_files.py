import json

import numpy as np
import pytest
from PIL import Image

from tmbench.errors import ConfigError
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import BadData, load
from tmbench.targets.openmonkey import LANDMARKS
from tmbench.targets.options import RegressionTarget

HEIGHT, WIDTH = 40, 80
BIRD = ("back", "left eye", "tail")
SPLITS = ("train", "validation", "test")


def option(name, folder, **changes):
    """A shipped option at ``folder``; ``parameters`` are added to its own."""
    (described,) = describe_options("target", [name], OptionFolders()).values()
    parameters = {**described["parameters"], **changes.pop("parameters", {})}
    content = {**described, "parameters": parameters, "folder": str(folder), "broken": "refuse", **changes}
    return RegressionTarget.model_validate(content)


def picture(path, number, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.tile(np.arange(size[0], dtype=np.uint8), (size[1], 1))
    image = np.stack([np.full_like(grey, number), grey, grey], axis=2)
    # Without loss under any name, so that a pixel tells its image and column.
    Image.fromarray(image).save(path, format="PNG")


def places(number, count):
    """Where the points of image ``number`` are, in pixels: different in each."""
    return np.random.default_rng(number).uniform(5, [WIDTH - 5, HEIGHT - 5], (count, 2)).round(1)


# Caltech-UCSD Birds


def birds(folder, count=30, hidden=()):
    """``count`` images, every third of the test split; ``hidden`` (image, part) are not visible, both from 1."""
    (folder / "parts").mkdir(parents=True)
    names = {number: f"{number % 2 + 1:03d}.Bird kind/bird_{number}.png" for number in range(1, count + 1)}
    located = []
    for number, name in names.items():
        picture(folder / "images" / name, number)
        for part, (x, y) in enumerate(places(number, len(BIRD)), start=1):
            line = "0.0 0.0 0" if (number, part) in hidden else f"{x} {y} 1"
            located.append(f"{number} {part} {line}")
    files = {
        "images.txt": [f"{number} {name}" for number, name in names.items()],
        "train_test_split.txt": [f"{number} {int(number % 3 != 0)}" for number in names],
        "bounding_boxes.txt": [f"{number} 4.0 2.0 20.0 30.0" for number in names],
        "parts/parts.txt": [f"{i} {name}" for i, name in enumerate(BIRD, start=1)],
        "parts/part_locs.txt": located,
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def cub_target(folder, **changes):
    parameters = {"test_images": None, "validation_share": 0.2, **changes.pop("parameters", {})}
    points = {"points": ["back", "left_eye", "tail"], "only": []}
    return option("cub_beak", folder, parameters=parameters, **{**points, **changes})


def test_birds_are_read_with_their_parts(tmp_path):
    target = cub_target(birds(tmp_path / "cub", hidden={(4, 2), (7, 2), (7, 3), (9, 2)}), only=["left_eye"])
    seen = {}
    for split, count in (("train", 16), ("validation", 4), ("test", 10)):
        data = load(target, split)
        assert len(data) + data.hidden == count
        for i in range(len(data)):
            image = data.image(i)
            number = int(image[0, 0, 0])
            assert image.shape == (HEIGHT, WIDTH, 3)
            seen[number] = split
            expected = places(number, 3) / [WIDTH, HEIGHT]
            expected[[number in (7,) and part == 2 for part in range(3)]] = np.nan
            np.testing.assert_allclose(data.values[i].reshape(-1, 2), expected)
            assert data.lengths[i] == 30 / HEIGHT
    assert set(seen) == set(range(1, 31)) - {4, 7, 9}
    assert {number for number, split in seen.items() if split == "test"} == set(range(3, 31, 3)) - {9}


def test_birds_may_be_split_anew_and_cropped(tmp_path):
    folder = birds(tmp_path / "cub")
    new = cub_target(folder, parameters={"test_images": 5})
    numbers = {
        split: {int(load(new, split).image(i)[0, 0, 0]) for i in range(len(load(new, split)))} for split in SPLITS
    }
    assert [len(numbers[split]) for split in SPLITS] == [20, 5, 5]
    assert set.union(*numbers.values()) == set(range(1, 31))
    data = load(cub_target(folder, parameters={"margin": 0.5}, only=["back"]), "test")
    assert data.hidden > 0  # the crop leaves some out, which is nothing broken
    assert data.image(0).shape == (HEIGHT, 34, 3)  # 4 - 10 → 0, 24 + 10 → 34
    number = int(data.image(0)[0, 0, 0])
    np.testing.assert_allclose(data.values[0, :2], places(number, 3)[0] / [34, HEIGHT])
    assert data.lengths[0] == pytest.approx(30 / HEIGHT)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        (
            "images.txt",
            "3 002.Bird kind/bird_3.png",
            "3 ../../secret.png",
            r"image 3: the file '../../secret.png' is not",
        ),
        ("images.txt", "3 002.Bird kind/bird_3.png", "3 /etc/secret.png", "image 3: the file '/etc/secret.png' is not"),
        ("images.txt", "bird_3.png", "gone.png", r"image 3: there is no image .*gone\.png"),
        ("images.txt", "3 002.Bird kind/bird_3.png", "3 001.Bird kind/bird_2.png", "image 3: it is image 2, too"),
        ("bounding_boxes.txt", "3 4.0 2.0 20.0 30.0\n", "", "image 3: there is no line of it in bounding_boxes"),
        ("bounding_boxes.txt", "3 4.0 2.0 20.0 30.0", "3 4.0 2.0 0.0 30.0", "image 3: the box at .* is no box"),
        ("bounding_boxes.txt", "3 4.0 2.0 20.0 30.0", "3 400 2.0 9.0 30.0", "image 3: the box at .* lies outside"),
        ("parts/part_locs.txt", "3 2 ", "99 2 ", "there is no image 99"),
        ("parts/part_locs.txt", "3 2 ", "99 2 ", r"image 3: 2 of 3 parts are in parts/part_locs\.txt"),
        ("parts/part_locs.txt", "3 2 ", "3 2 1", "left_eye, at .* lies outside bird_3.png of 80 × 40 pixels"),
    ],
)
def test_what_is_wrong_with_one_bird_is_refused_or_dropped(tmp_path, file, old, new, text):
    folder = birds(tmp_path / "cub")
    edit(folder / file, "\n" + old, "\n" + new) if not old.startswith("bird_") else edit(folder / file, old, new)
    with pytest.raises(BadData, match=text):
        load(cub_target(folder), "test")
    data = load(cub_target(folder, broken="drop"), "test")
    assert len(data) == 9
    assert 3 not in [int(data.image(i)[0, 0, 0]) for i in range(9)]
    assert any("3" in text for text in data.problems)


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("images.txt", "3 002", "three 002", "images.txt, line 3: 'three 002.*' is not an id and 1 more"),
        ("images.txt", "4 001", "3 001", "line 4: the id 3 stands twice"),
        ("train_test_split.txt", "5 1", "5 2", "image 5 is neither 1 .train. nor 0 .test., but 2"),
        ("parts/part_locs.txt", "1 3 ", "1 three ", "part_locs.txt, line 3: '1 three .*' is not an image's id"),
    ],
)
def test_files_of_another_form_end_it(tmp_path, file, old, new, text):
    folder = birds(tmp_path / "cub")
    edit(folder / file, old, new)
    with pytest.raises(BadData, match=text):
        load(cub_target(folder, broken="drop"), "train")


@pytest.mark.parametrize("file", ["images.txt", "bounding_boxes.txt", "parts/parts.txt", "parts/part_locs.txt"])
def test_a_file_that_is_missing_is_named(tmp_path, file):
    folder = birds(tmp_path / "cub")
    (folder / file).unlink()
    with pytest.raises(BadData, match=f"there is no file .*{file}"):
        load(cub_target(folder), "train")


# OpenMonkeyChallenge


def monkeys(folder, count=12, **changes):
    """``count`` images to train and 6 of ``val``; ``changes`` to entry 2 of train."""
    for kind, number in (("train", count), ("val", 6)):
        entries = []
        for i in range(number):
            picture(folder / kind / f"{kind}_{i}.jpg", i)
            landmarks = places(i, len(LANDMARKS)).reshape(-1).tolist()
            visibility = [int(i % 4 != 1 or part != 2) for part in range(len(LANDMARKS))]  # the nose
            entry = {"file": f"{kind}_{i}.jpg", "species": "gorilla", "bbox": [10, 5, 60, 30]}
            entry |= {"landmarks": landmarks, "visibility": visibility}
            entries.append({**entry, **changes} if kind == "train" and i == 2 else entry)
        (folder / f"{kind}_annotation.json").write_text(json.dumps({"data": entries}))
    return folder


def monkey_target(folder, **changes):
    parameters = {"validation_share": 0.25, **changes.pop("parameters", {})}
    return option("openmonkey_nose", folder, parameters=parameters, **changes)


def test_monkeys_are_read_with_their_landmarks(tmp_path):
    folder = monkeys(tmp_path / "monkeys")
    sizes = {split: len(load(monkey_target(folder), split)) for split in SPLITS}
    assert sizes == {"train": 9, "validation": 3, "test": 6}
    test = load(monkey_target(folder), "test")
    for i in range(6):
        np.testing.assert_allclose(test.values[i].reshape(-1, 2), places(i, 17) / [WIDTH, HEIGHT])
    np.testing.assert_allclose(test.lengths, max(60 / WIDTH, 30 / HEIGHT))
    hiding = monkey_target(folder, parameters={"occluded": "hide"})
    assert [len(load(hiding, "test")), load(hiding, "test").hidden] == [4, 2]
    assert load(hiding.model_copy(update={"only": ("tail",)}), "test").hidden == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"landmarks": [1, 2, 3]}, "entry 2 of 'data': train_2.jpg has 3 numbers in 'landmarks' and 17"),
        ({"landmarks": [500, 2] + [9] * 32}, r"entry 2: right_eye, at \(500, 2\), lies outside train_2.jpg"),
        ({"landmarks": [None] * 34}, "entry 2 has a visible right_eye without a place"),
        ({"bbox": [1, 2, 3]}, "entry 2 of 'data': "),
        ({"file": "../val/val_0.jpg"}, "the file '../val/val_0.jpg' is not in"),
        ({"file": "gone.jpg"}, "there is no image .*gone.jpg"),
        ({"file": "train_1.jpg"}, r"entry 2 of 'data': entry 1 is of train_1\.jpg, too"),
        ({"landmarks": ["left"] * 34}, "entry 2 of 'data': it cannot be read .*'left'.*"),
    ],
)
def test_what_is_wrong_with_one_monkey_is_refused_or_dropped(tmp_path, changes, text):
    folder = monkeys(tmp_path / "monkeys", **changes)
    # All are training images here.
    parameters = {"validation_share": 0.0}
    with pytest.raises(BadData, match=text):
        load(monkey_target(folder, parameters=parameters, only=["right_eye"]), "train")
    dropped = load(monkey_target(folder, parameters=parameters, only=["right_eye"], broken="drop"), "train")
    assert len(dropped) == 11
    assert dropped.problems


def test_occluded_landmarks_outside_the_image_are_hidden_not_broken(tmp_path):
    visibility = [0] + [1] * 16
    folder = monkeys(tmp_path / "monkeys", landmarks=[-50, -50] + [9] * 32, visibility=visibility)
    data = load(monkey_target(folder, parameters={"validation_share": 0.0}, only=["right_eye"]), "train")
    assert (len(data), data.hidden, data.problems) == (11, 1, ())


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"occluded": "hidden"}, "occluded is count or hide, not 'hidden'"),
        ({"margin": -0.6}, "margin is a share of 0 or more of the box"),
        ({"validation_share": -0.2}, "must be 0 or more and leave some"),
    ],
)
def test_words_and_shares_that_make_no_sense(tmp_path, parameters, text):
    monkey = monkey_target(monkeys(tmp_path / "monkeys"), parameters=parameters)
    person = people_target(people(tmp_path / "coco", everyone()), parameters=parameters)
    for target in (monkey, person):
        with pytest.raises(ConfigError, match=text):
            load(target, "train")


def test_monkeys_of_another_form(tmp_path):
    folder = monkeys(tmp_path / "monkeys")
    (folder / "train_annotation.json").write_text("[" * 100_000)
    with pytest.raises(BadData, match="is not JSON"):
        load(monkey_target(folder), "train")
    (folder / "train_annotation.json").write_text("[1")
    with pytest.raises(BadData, match="is not JSON"):
        load(monkey_target(folder), "train")
    (folder / "train_annotation.json").write_text('{"annotations": []}')
    with pytest.raises(BadData, match="has no list 'data'"):
        load(monkey_target(folder), "train")


# COCO


JOINTS = ["nose", "left hand", "foot"]


def person(number, image, **changes):
    """Points inside the box (10, 5, 40, 30), all visible."""
    points = np.random.default_rng(100 + number).uniform([12, 7], [48, 33], (3, 2)).round(1)
    triples = np.concatenate([points, np.full((3, 1), 2)], axis=1).reshape(-1).tolist()
    box = {"bbox": [10, 5, 40, 30], "iscrowd": 0, "num_keypoints": 3}
    return {"id": number, "image_id": image, "category_id": 1, "keypoints": triples, **box, **changes}


def people(folder, annotations, name="train", images=10):
    """A COCO file of ``images`` images; unless given, of two people in each."""
    listed = []
    for number in range(1, images + 1):
        picture(folder / "images" / f"{name}_{number}.png", number)
        listed.append({"id": number, "file_name": f"{name}_{number}.png", "height": HEIGHT, "width": WIDTH})
    categories = [{"id": 1, "name": "person", "keypoints": JOINTS}, {"id": 2, "name": "dog"}]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def everyone():
    return [person(2 * image + k, image) for image in range(1, 11) for k in (0, 1)]


def people_target(folder, **changes):
    given = {"annotations": {"train": "train.json"}, "images": "images", "margin": 0.0, "validation_share": 0.0}
    parameters = {**given, **changes.pop("parameters", {})}
    points = {"points": ["nose", "left_hand", "foot"], "only": []}
    return option("coco_person_nose", folder, parameters=parameters, **{**points, **changes})


def test_each_person_is_an_image_cut_to_the_box(tmp_path):
    folder = people(tmp_path / "coco", everyone())
    data = load(people_target(folder), "train")
    assert len(data) == 20
    assert data.image(0).shape == (30, 40, 3)
    assert data.image(0)[0, 0].tolist() == [1, 10, 10]
    np.testing.assert_array_equal(data.lengths, 1.0)
    for i, one in enumerate(everyone()):
        points = np.array(one["keypoints"]).reshape(3, 3)[:, :2]
        np.testing.assert_allclose(data.values[i].reshape(3, 2), (points - [10, 5]) / [40, 30])
    wide = load(people_target(folder, parameters={"margin": 0.25}), "train")
    assert wide.image(0).shape == (40, 60, 3)  # 5 - 7.5 → 0, 35 + 7.5 → 40; 10 - 10, 50 + 10
    assert wide.lengths[0] == pytest.approx(max(40 / 60, 30 / 40))
    whole = load(people_target(folder, parameters={"margin": None}), "train")
    points = np.array(everyone()[3]["keypoints"]).reshape(3, 3)[:, :2]
    np.testing.assert_allclose(whole.values[3].reshape(3, 2), points / [WIDTH, HEIGHT])


def test_flags_of_visibility(tmp_path):
    ones = everyone()
    ones[0]["keypoints"][0:3] = [0, 0, 0]  # not labelled
    ones[1]["keypoints"][2] = 1  # labelled, occluded
    ones[2]["keypoints"] = [0] * 9
    ones[3]["iscrowd"] = 1
    ones[4]["category_id"] = 2
    del ones[5]["keypoints"]
    folder = people(tmp_path / "coco", ones)
    data = load(people_target(folder, only=["nose"]), "train")
    assert (len(data), data.hidden) == (15, 1)
    hiding = load(people_target(folder, only=["nose"], parameters={"occluded": "hide"}), "train")
    assert (len(hiding), hiding.hidden) == (14, 2)
    strict = load(people_target(folder, only=["nose"], parameters={"least": 3}), "train")
    assert (len(strict), strict.hidden) == (15, 0)


def test_people_of_one_image_are_in_one_split(tmp_path):
    folder = people(tmp_path / "coco", everyone())
    target = people_target(folder, parameters={"validation_share": 0.3, "test_share": 0.2})
    numbers = {}
    for split in SPLITS:
        data = load(target, split)
        numbers[split] = [int(data.image(i)[0, 0, 0]) for i in range(len(data))]
    assert {split: len(found) for split, found in numbers.items()} == {"train": 10, "validation": 6, "test": 4}
    assert not set(numbers["train"]) & set(numbers["test"]) | set(numbers["train"]) & set(numbers["validation"])
    with pytest.raises(ConfigError, match="the split 'test' has no annotations"):
        load(people_target(folder), "test")


@pytest.mark.parametrize(
    ("changes", "text", "left"),
    [
        ({"keypoints": [1, 2, 2]}, "annotation 5: 3 numbers in 'keypoints', not three for each of 3", 19),
        ({"keypoints": [1, 2, 7] * 3}, "annotation 5: a keypoint has v=7", 19),
        ({"keypoints": [200, 2, 2] + [15, 15, 2] * 2}, r"annotation 5: nose, at \(200, 2\), lies outside", 19),
        ({"keypoints": [None, 2, 2] + [15, 15, 2] * 2}, "annotation 5 has a nose without a place", 19),
        ({"bbox": [10, 5, -4, 30]}, "annotation 5: the box at .* is no box", 19),
        ({"bbox": [10, 5]}, "annotation 5: ", 19),
        ({"image_id": 99}, "annotation 5: it is of image 99, which 'images' does not list", 19),
    ],
)
def test_what_is_wrong_with_one_person_is_refused_or_dropped(tmp_path, changes, text, left):
    ones = everyone()
    ones[3].update(changes)
    assert ones[3]["id"] == 5
    folder = people(tmp_path / "coco", ones)
    with pytest.raises(BadData, match=text):
        load(people_target(folder, only=["nose"]), "train")
    data = load(people_target(folder, only=["nose"], broken="drop"), "train")
    assert (len(data), len(data.problems)) == (left, 1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"id": [3]}, "entry 2 of 'images' has no 'id'"),
        ({"id": 2}, "two images have the id 2"),
        ({"file_name": "train_2.png"}, r"the images 2 and 3 are one file, train_2\.png"),
    ],
)
def test_images_that_stand_twice_or_without_id(tmp_path, changes, text):
    folder = people(tmp_path / "coco", everyone())
    content = json.loads((folder / "train.json").read_text())
    content["images"][2].update(changes)
    (folder / "train.json").write_text(json.dumps(content))
    with pytest.raises(BadData, match=text):
        load(people_target(folder), "train")
    assert len(load(people_target(folder, broken="drop"), "train")) == 18


def test_coco_files_that_are_none_of_keypoints(tmp_path):
    folder = people(tmp_path / "coco", everyone())
    with pytest.raises(ConfigError, match=r"no category is named 'persons'.*'person'"):
        load(people_target(folder, parameters={"category": "persons"}), "train")
    with pytest.raises(BadData, match="'dog' has no list 'keypoints'"):
        load(people_target(folder, parameters={"category": "dog"}), "train")
    content = json.loads((folder / "train.json").read_text())
    content["images"][0]["file_name"] = "../../secret.png"
    (folder / "train.json").write_text(json.dumps(content))
    with pytest.raises(BadData, match=r"annotation 2: the file '../../secret\.png' is not in"):
        load(people_target(folder), "train")
    (folder / "test.json").write_text((folder / "train.json").read_text())
    both = {"train": "train.json", "test": "test.json"}
    with pytest.raises(BadData, match="10 images are in both"):
        load(people_target(folder, parameters={"annotations": both}), "train")


# CSV


def listed(folder, text, count=8):
    for number in range(count):
        picture(folder / "images" / f"{number}.png", number)
    (folder / "train.csv").write_text(text)
    return folder


def table_target(folder, parameters=None, **changes):
    given = {"annotations": {"train": "train.csv"}, "images": "images", **(parameters or {})}
    content = {"task": "regression", "function": "tmbench.targets.tables:table", "image_size": 8}
    return RegressionTarget.model_validate({**content, "folder": str(folder), "parameters": given, **changes})


def lines(head, row, count=8):
    return "\n".join([head, *(row(i) for i in range(count))]) + "\n"


def test_points_in_pixels_or_shares(tmp_path):
    head = "image,eye.x,eye.y,ear.x,ear.y"
    pixels = lines(head, lambda i: f"{i}.png,{8 * i},{4 * i},,{i}" if i == 3 else f"{i}.png,{8 * i},{4 * i},{i},{i}")
    data = load(table_target(listed(tmp_path, pixels), points=["eye", "ear"], only=["eye"]), "train")
    np.testing.assert_allclose(data.values[:, 0], np.arange(8) / 10)
    np.testing.assert_allclose(data.values[:, 1], np.arange(8) / 10)
    assert np.isnan(data.values[3, 2:]).all()
    assert load(table_target(tmp_path, points=["eye", "ear"]), "train").hidden == 1
    eyes = table_target(tmp_path, {"columns": ["eye"]}, points=["eye"])
    np.testing.assert_array_equal(load(eyes, "train").values, data.values[:, :2])
    shares = lines(head, lambda i: f"{i}.png,0.{i},0.{i + 1},0.3{i},0.{9 - i}")
    data = load(table_target(listed(tmp_path, shares), {"unit": "relative"}, points=["eye", "ear"]), "train")
    np.testing.assert_allclose(data.values[2], [0.2, 0.3, 0.32, 0.7])


def test_other_numbers_and_columns(tmp_path):
    listed(tmp_path, lines("age, image ,weight,sex", lambda i: f"{i},{i}.png,{-i * 100},{'' if i == 2 else 'f'}"))
    data = load(table_target(tmp_path, {"columns": ["weight", "age"]}, numbers=["weight", "age"]), "train")
    np.testing.assert_array_equal(data.values, [[-i * 100, i] for i in range(8)])
    assert not data.is_points
    with pytest.raises(BadData, match="line 2 has 'f' in the column sex, which is no number"):
        load(table_target(tmp_path, numbers=["age", "weight", "sex"]), "train")
    with pytest.raises(BadData, match="has no column 'wieght', but age, weight, sex"):
        load(table_target(tmp_path, {"columns": ["wieght"]}, numbers=["wieght"]), "train")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("3.png,1,2,3", "line 5: 4 cells, not 3"),
        ("../3.png,1,2", "line 5: the file '../3.png' is not in"),
        ("gone.png,1,2", "line 5: there is no image"),
        ("3.png,200,2", r"line 5: eye, at \(200, 2\), lies outside 3.png of 80 × 40 pixels"),
        ("3.png,left,2", "line 5 has 'left' in the column eye.x"),
        ("3.png,inf,2", "line 5: eye is infinite"),
        ("2.png,1,2", "line 5: the image 2.png stands a second time"),
        ("./2.png,1,2", "line 5: the image 2.png stands a second time"),
        ("3.png,1_0,2", "line 5 has '1_0' in the column eye.x"),
        (f"{'x' * 2000}.png,1,2", "line 5: .*x.png is not an image that can be read"),
    ],
)
def test_what_is_wrong_with_one_line_is_refused_or_dropped(tmp_path, line, text):
    listed(tmp_path, lines("image,eye.x,eye.y", lambda i: line if i == 3 else f"{i}.png,{i},{i}"))
    with pytest.raises(BadData, match=text):
        load(table_target(tmp_path, points=["eye"]), "train")
    data = load(table_target(tmp_path, points=["eye"], broken="drop"), "train")
    assert len(data) == 7
    assert data.problems


def test_tables_of_another_form(tmp_path):
    listed(tmp_path, "file,eye.x,eye.y\n")
    with pytest.raises(BadData, match=r"has no column 'image' in its first line, but file, eye\.x, eye\.y"):
        load(table_target(tmp_path, points=["eye"]), "train")
    listed(tmp_path, "image,a,a\n")
    with pytest.raises(BadData, match="two columns have one name, 'a'"):
        load(table_target(tmp_path, numbers=["a"]), "train")
    listed(tmp_path, "image\n")
    with pytest.raises(BadData, match="has no column beside 'image'"):
        load(table_target(tmp_path, numbers=["a"]), "train")
    listed(tmp_path, f"image,a\n{'x' * 200_000},1\n")
    with pytest.raises(BadData, match="is no CSV file that can be read"):
        load(table_target(tmp_path, numbers=["a"]), "train")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"unit": "shares"}, "unit is pixels or relative, not 'shares'"),
        ({"columns": "eye"}, r"columns is a list of names: write \[eye\]"),
    ],
)
def test_words_that_tables_do_not_know(tmp_path, parameters, text):
    listed(tmp_path, lines("image,eye.x,eye.y", lambda i: f"{i}.png,0.{i},0.5"))
    with pytest.raises(ConfigError, match=text):
        load(table_target(tmp_path, parameters, points=["eye"]), "train")


def test_splits_of_tables_share_no_image(tmp_path):
    listed(tmp_path, lines("image,a", lambda i: f"{i}.png,{i}"))
    (tmp_path / "test.csv").write_text(lines("image,a", lambda i: f"{i + 7}.png,{i}", 2))
    given = {"annotations": {"train": "train.csv", "test": "test.csv"}}
    with pytest.raises(
        BadData, match=r"1 images are in both .*train\.csv .train. and .*test\.csv .test., such as 7\.png"
    ):
        load(table_target(tmp_path, given, numbers=["a"]), "train")
    shares = {"validation_share": 0.25, "test_share": 0.25}
    rows = [load(table_target(tmp_path, shares, numbers=["a"]), split).values[:, 0].tolist() for split in SPLITS]
    assert [len(found) for found in rows] == [4, 2, 2]
    assert sorted(number for found in rows for number in found) == list(range(8))

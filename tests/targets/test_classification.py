from dataclasses import replace

import numpy as np
import pytest

from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import BadData, LabelledImages, load
from tmbench.targets.options import ClassificationTarget as Target

SPLITS = ("train", "validation", "test")
SMALL = {"train": 80, "validation": 60, "test": 100}


def shipped():
    folders = OptionFolders()
    return describe_options("target", list(folders.names("target")), folders)


TARGETS = {
    name: content
    for name, content in shipped().items()
    if content["task"] == "classification" and not content.get("subset") and not content.get("folder")
}


def target(name, **changes):
    return Target.model_validate({**TARGETS[name], "sizes": SMALL, **changes})


@pytest.mark.parametrize("name", TARGETS)
def test_every_shipped_target_gives_what_it_declares(name):
    for split in SPLITS:
        data = load(target(name), split)  # load itself checks counts, types, sizes and classes
        assert len(data) == SMALL[split]
        counts = np.bincount(data.labels, minlength=len(data.classes))
        if ".common:" not in TARGETS[name]["function"]:  # whose images are the same for several tasks
            assert counts.max() - counts.min() <= 1
        assert data.images.std() > 5


@pytest.mark.parametrize("name", TARGETS)
def test_images_are_the_same_each_time_and_other_in_each_split(name):
    first, again = load(target(name), "train"), load(target(name), "train")
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    seen = [{image.tobytes() for image in load(target(name), split).images} for split in SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@pytest.mark.parametrize("name", ["greek", "signs", "counting"])
def test_the_size_of_one_split_changes_no_other(name):
    larger = target(name, sizes={**SMALL, "train": 160})
    assert np.array_equal(load(larger, "test").images, load(target(name), "test").images)


def test_digits_never_share_an_image_whatever_the_sizes():
    whole = target("digits", sizes={"train": 540, "validation": 300, "test": 900})
    seen = [{image.tobytes() for image in load(whole, split).images} for split in SPLITS]
    assert len(set.union(*seen)) == sum(len(split) for split in seen)


def test_more_digits_than_there_are():
    with pytest.raises(BadData, match="were asked for"):
        load(target("digits", sizes={**SMALL, "train": 5000}), "train")


def test_another_seed_is_another_data_set():
    assert not np.array_equal(load(target("signs", seed=7), "train").images, load(target("signs"), "train").images)


GOOD = LabelledImages(np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (GOOD, None),
        ("a string", "not LabelledImages"),
        (replace(GOOD, images=GOOD.images.astype(float)), "uint8"),
        (replace(GOOD, labels=np.array([0, 1, 0, 2])), "labels reach from 0 to 2"),
        (replace(GOOD, labels=np.array([1, 1, 1, 1])), "of one class"),
        (replace(GOOD, labels=np.array([0, 1, 0])), "labels must be"),
        (replace(GOOD, images=GOOD.images[:0], labels=GOOD.labels[:0]), "no images"),
        (replace(GOOD, images=GOOD.images[:2], labels=GOOD.labels[:2]), "asks for"),
        (replace(GOOD, images=GOOD.images[:, :16]), "image_size=32"),
        (replace(GOOD, classes=("a", "b", "c")), "classes=2"),
    ],
)
def test_what_a_function_gives_is_held_to_the_option(data, says, monkeypatch):
    from tmbench.targets import classification

    monkeypatch.setattr(classification, "find_function", lambda reference: lambda *a, **k: data)
    option = Target(
        task="classification", function="x:y", sizes={"train": 4, "validation": 4, "test": 4}, classes=2, image_size=32
    )
    if says is None:
        assert load(option, "train") is data
    else:
        with pytest.raises(BadData, match=says):
            load(option, "train")


def test_titles_and_families_are_not_identity():
    assert target("digits", title="x", family="y").key() == target("digits").key()
    assert target("digits", seed=3).key() != target("digits").key()

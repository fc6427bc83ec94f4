"""Class subsets: how they are drawn, and what of the data set each of them is."""

import numpy as np
import pytest

from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import BadData, LabelledImages, classification, load
from tmbench.targets.options import ClassificationTarget as Target
from tmbench.targets.subsets import ClassSubset, class_subsets

SIZES = {"train": 60, "validation": 40, "test": 40}


@pytest.fixture(autouse=True)
def _nothing_kept():
    classification.WHOLE_SETS.clear()


def signs(**changes):
    plain = {
        "task": "classification",
        "function": "tmbench.targets.strokes:strokes",
        "parameters": {"classes": 6},
        "sizes": SIZES,
        "classes": 6,
        "image_size": 32,
        "subset": {"rule": "random", "count": 8},
    }
    return Target.model_validate(plain | changes)


def test_subsets_are_drawn_as_the_published_code_draws_them():
    """``transfer_experiment.py`` of the study: the global generator, seeded anew for each experiment."""
    classes, found = 37, class_subsets(ClassSubset(rule="random", count=5), 37)
    for i, subset in enumerate(found):
        np.random.seed(123 + i)  # noqa: NPY002
        size = np.random.randint(2, classes)  # noqa: NPY002
        assert subset == tuple(sorted(np.random.permutation(classes)[:size]))  # noqa: NPY002
    for i, subset in enumerate(class_subsets(ClassSubset(rule="half", count=5), 37)):
        np.random.seed(123 + i)  # noqa: NPY002
        assert subset == tuple(sorted(np.random.permutation(classes)[:18]))  # noqa: NPY002


@pytest.mark.parametrize("rule", ["random", "half"])
def test_subsets_differ_and_leave_something_out(rule):
    found = class_subsets(ClassSubset(rule=rule, count=100), 10)
    assert len(set(found)) == 100
    assert {len(subset) for subset in found} <= (set(range(2, 10)) if rule == "random" else {5})


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_subset_is_the_images_of_its_classes(split):
    whole = load(signs(subset=None), split)
    for target in signs().members().values():
        part = load(target, split)
        rows = np.isin(whole.labels, target.kept)
        assert np.array_equal(part.images, whole.images[rows])
        assert part.classes == tuple(whole.classes[label] for label in target.kept)
        assert np.array_equal(np.array(target.kept)[part.labels], whole.labels[rows])
        assert len(part.classes) == target.outputs == len(np.unique(part.labels))
        assert part.labels.dtype == np.int64


def test_the_data_set_is_made_once_for_all_of_its_subsets(monkeypatch):
    made = []
    real = classification.find_function("tmbench.targets.strokes:strokes")

    def counted(split, *rest, **parameters):
        made.append(split)
        return real(split, *rest, **parameters)

    monkeypatch.setattr(classification, "find_function", lambda reference: counted)
    for split in ("train", "test"):
        for target in signs().members().values():
            load(target, split)
    assert made == ["train", "test"]
    load(signs(seed=1).members()["000"], "train")  # another data set
    assert made == ["train", "test", "train"]


def test_what_is_kept_changes_nothing_and_cannot_be_spoilt():
    target = signs().members()["003"]
    first = load(target, "train")
    again = load(target, "train")
    again.images[:] = 0
    kept = load(target, "train")
    classification.WHOLE_SETS.clear()
    for data in (kept, load(target, "train")):
        assert np.array_equal(data.images, first.images)
        assert np.array_equal(data.labels, first.labels)


def test_no_more_is_kept_than_the_budget(monkeypatch):
    monkeypatch.setattr(classification.WHOLE_SETS, "budget", 130_000)  # one split of 40 images, and no two
    for split in ("train", "validation", "test"):
        load(signs().members()["000"], split)
    assert len(classification.WHOLE_SETS._held) == 1
    assert classification.WHOLE_SETS._bytes <= 130_000


@pytest.mark.parametrize(
    ("split", "absent", "says"),
    [
        ("train", 1, "class '{}' has no image"),
        ("test", 1, None),
        ("test", -1, "of one class at most"),
    ],
)
def test_a_subset_without_images_of_a_class_is_refused(split, absent, says, monkeypatch):
    """``absent``: how many of the subset's classes, from its second on; -1 for all of these."""
    chosen = next(target for target in signs().members().values() if len(target.kept) == 3)
    lost = chosen.kept[1:2] if absent == 1 else chosen.kept[1:]
    labels = np.resize(np.setdiff1d(np.arange(6), lost), 40)
    data = LabelledImages(np.zeros((40, 32, 32, 3), np.uint8), labels, tuple(f"c{i}" for i in range(6)))
    monkeypatch.setattr(classification, "find_function", lambda reference: lambda *given, **named: data)
    monkeypatch.setattr(classification, "_check", lambda *given: None)  # of the whole set, each class of which is there
    if says is None:
        assert np.unique(load(chosen, split).labels).tolist() == [0, 2]
    else:
        with pytest.raises(BadData, match=says.format(f"c{lost[0]}")):
            load(chosen, split)


def test_an_option_that_stands_for_many_is_no_data_set():
    with pytest.raises(ValueError, match="take one of members"):
        load(signs(), "train")


SHIPPED = [name for name in OptionFolders().names("target") if name.endswith(("_random_subsets", "_half_subsets"))]


@pytest.fixture(scope="module")
def shipped():
    described = describe_options("target", SHIPPED, OptionFolders())
    return {name: Target.model_validate(content) for name, content in described.items()}


def test_both_rules_of_a_data_set_share_its_passes(shipped):
    assert len(shipped) == 2 * (7 + 9)
    for name, target in shipped.items():
        other = shipped[name.replace("_random_", "_half_")]
        assert target.whole().key() == other.whole().key()
        assert target.family == name.removesuffix("_random_subsets").removesuffix("_half_subsets")
        assert target.subset.count == (100 if target.folder else 12)
        assert len({member.kept for member in target.members().values()}) == target.subset.count


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith("_half_subsets")])
def test_the_built_in_sets_have_enough_images_of_each_class(name, shipped):
    target = shipped[name]
    if target.folder:
        assert target.classes >= 10
        return
    small = {"train": 2 * target.classes, "validation": 2 * target.classes, "test": 2 * target.classes}
    data = load(target.model_copy(update={"sizes": type(target.sizes)(**small)}).members()["000"], "test")
    assert np.bincount(data.labels).tolist() == [2] * (target.classes // 2)
    assert target.sizes.test / target.classes >= 90

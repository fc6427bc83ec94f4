import sys
import types

import numpy as np
import pytest
from PIL import Image

from tmbench.targets import BadData, load
from tmbench.targets.keypoints import Annotated, set_of
from tmbench.targets.options import RegressionTarget
from tmbench.targets.regression import RegressionImages
from tmbench.targets.regression import load as load_regression

POINTS = ("beak", "tail", "wing")
OUTPUTS = [f"{name}.{axis}" for name in POINTS for axis in "xy"]


def arrays(count=20, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 255, (count, 8, 8, 3)).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return images, generator.uniform(0.1, 0.9, (count, len(OUTPUTS)))


@pytest.fixture
def given(monkeypatch):
    """Makes a target of whatever set a test gives."""
    module = types.ModuleType("regression_given")
    monkeypatch.setitem(sys.modules, "regression_given", module)

    def target(data, **options):
        name = f"f{id(data)}"
        asked = []
        setattr(module, name, lambda split, size, seeds: (asked.append(size), data)[1])
        names = {} if "numbers" in options else {"points": POINTS}
        content = {"task": "regression", "function": f"regression_given:{name}", "image_size": 8, **names, **options}
        made = RegressionTarget.model_validate(content)
        target.asked = asked
        return made

    return target


def points(values=None, lengths=None, count=20):
    images, usual = arrays(count)
    return RegressionImages.of_arrays(OUTPUTS, images, usual if values is None else values, lengths, is_points=True)


def test_all_images_are_given_as_they_are(given):
    images, values = arrays()
    lengths = np.linspace(0.2, 1.1, 20)
    data = load(given(points(values, lengths)), "train")
    np.testing.assert_array_equal(data.values, values)
    np.testing.assert_array_equal(data.lengths, lengths)
    assert data.values.dtype == np.float64
    assert data.outputs == tuple(OUTPUTS)
    assert data.is_points
    assert (data.hidden, data.problems, len(data)) == (0, (), 20)
    np.testing.assert_array_equal(data.image(7), images[7])


def test_images_without_a_wanted_point_are_left_out_and_counted(given):
    _, values = arrays()
    values[3, 0:2] = np.nan  # the beak
    values[[5, 6], 5] = np.nan  # one number of the wing: the point is missing
    data = points(values)
    beak = load(given(data, only=["beak"]), "train")
    assert (len(beak), beak.hidden) == (19, 1)
    assert [beak.image(i)[0, 0, 0] for i in range(len(beak))] == [i for i in range(20) if i != 3]
    assert np.isnan(beak.values[:, 4:]).any()
    both = load(given(data, only=["wing", "beak"]), "train")
    assert (len(both), both.hidden) == (17, 3)
    assert np.isfinite(both.values[:, [0, 1, 4, 5]]).all()
    assert load(given(data, only=["tail"]), "train").hidden == 0
    assert load(given(data), "train").hidden == 3


@pytest.mark.parametrize("size", [None, 12])
def test_a_part_is_the_whole_without_its_hidden_images(given, size):
    _, values = arrays()
    values[np.random.default_rng(1).random(20) < 0.4, 2:4] = np.nan
    target = given(points(values), only=["tail"], sizes={"train": size})
    part = load(target, "train")
    whole = load_regression(target.whole(), "train", keep_hidden=True)
    assert len(whole) == (size or 20)
    columns = target.part()["columns"]
    shown = np.isfinite(whole.values[:, columns]).all(axis=1)
    assert part.hidden == (~shown).sum() > 0
    np.testing.assert_array_equal(part.values, whole.values[shown])
    for i, row in enumerate(np.flatnonzero(shown)):
        np.testing.assert_array_equal(part.image(i), whole.image(row))


def test_draws_choose_other_training_images_and_the_same_others(given):
    target = given(points(count=60), sizes={"train": 20, "validation": 10, "test": 15}, draws={"count": 3})
    members = list(target.members().values())
    found = {
        split: [tuple(load(one, split).values[:, 0]) for one in members] for split in ("train", "validation", "test")
    }
    assert given.asked == [None] * 3 + [10] * 3 + [15] * 3  # a drawing chooses among all
    assert len(set(found["train"])) == 3
    assert len(set(found["validation"])) == len(set(found["test"])) == 1
    assert all(len(set(one)) == 20 for one in found["train"])
    assert tuple(load(members[1], "train").values[:, 0]) == found["train"][1]
    fewer = members[1].model_copy(update={"sizes": target.sizes.model_copy(update={"train": 10})})
    assert set(load(fewer, "train").values[:, 0]) < set(found["train"][1])


def test_the_seed_draws_others(given):
    data = points(count=60)
    chosen = [tuple(load(given(data, sizes={"train": 20}, seed=seed), "train").values[:, 0]) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_drawings_that_are_all_the_same_are_refused(given):
    with pytest.raises(ValueError, match=r"draws: say by sizes\.train how many images each takes"):
        given(points(), draws={"count": 3})
    (first, *_) = given(points(count=20), sizes={"train": 20}, draws={"count": 3}).members().values()
    with pytest.raises(BadData, match=r"sizes\.train=20 are all images that there are.*Lower it, or leave out draws"):
        load(first, "train")
    (only,) = given(points(count=20), sizes={"train": 20}, draws={"count": 1}).members().values()
    assert len(load(only, "train")) == 20


def test_numbers_whose_squares_are_not_finite_are_broken(given):
    images, values = arrays()
    values[4, 1] = 1e200
    data = RegressionImages.of_arrays(OUTPUTS, images, values, is_points=False)
    with pytest.raises(BadData, match=r"image 4: .* is 1e\+200, too large"):
        load(given(data, numbers=OUTPUTS), "train")
    assert len(load(given(data, numbers=OUTPUTS, broken="drop"), "train")) == 19


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [((4, 1), np.inf, r"image 4: beak\.y is infinite"), ((4, 2), 1.2, "image 4: tail lies outside the image, at 1.2")],
)
def test_numbers_that_cannot_be_are_refused_or_dropped(given, place, value, text):
    _, values = arrays()
    values[place] = value
    data = points(values)
    with pytest.raises(BadData, match=text) as error:
        load(given(data), "train")
    assert "broken: drop" in str(error.value)
    kept = load(given(data, broken="drop"), "train")
    assert (len(kept), kept.hidden, len(kept.problems)) == (19, 1, 1)
    whole = load_regression(given(data, broken="drop"), "train", keep_hidden=True)
    assert np.isnan(whole.values).sum() == 2  # both numbers of the point
    assert len(whole) == 20
    assert len(load(given(data, broken="drop", only=["wing"]), "train")) == 20


def test_a_point_a_little_outside_is_kept(given):
    _, values = arrays()
    values[4, 2], values[5, 3] = 1.04, -0.04
    np.testing.assert_array_equal(load(given(points(values)), "train").values, values)


@pytest.mark.parametrize("length", [0.0, -1.0, np.nan, np.inf])
def test_a_length_that_is_none_is_broken(given, length):
    data = points(lengths=np.where(np.arange(20) == 2, length, 1.0))
    with pytest.raises(BadData, match="image 2: its reference length"):
        load(given(data), "train")
    assert len(load(given(data, broken="drop"), "train")) == 19


def test_a_split_without_an_image_says_how_many_were_hidden(given):
    _, values = arrays()
    values[:, 0] = np.nan
    with pytest.raises(BadData, match="no image is left; 20 do not show beak"):
        load(given(points(values), only=["beak"]), "test")
    values[3, 0] = 0.5
    with pytest.raises(
        BadData, match="one image is left, and a regression needs two; 19 do not show one of beak, wing"
    ):
        load(given(points(values), only=["beak", "wing"]), "test")
    with pytest.raises(BadData, match="one image is left"):
        load_regression(given(points(count=1)), "train", keep_hidden=True)


def test_an_output_that_never_changes_cannot_be_trained_on(given):
    _, values = arrays()
    values[:, 3] = 0.25
    data = points(values)
    with pytest.raises(BadData, match=r"tail\.y is 0\.25 in all 20 images; there is nothing to predict"):
        load(given(data), "train")
    assert len(load(given(data), "test")) == 20
    assert len(load(given(data, only=["wing"]), "train")) == 20


def test_fewer_images_than_asked_for(given):
    with pytest.raises(BadData, match=r"20 images, but the option file asks for sizes\.train=21.*null for all"):
        load(given(points(), sizes={"train": 21}), "train")


def test_the_names_are_held_to_the_option_file(given):
    images, values = arrays()
    with pytest.raises(BadData, match=r"not those that it gives, in its order: write points: \[beak, tail, wing\]"):
        load(given(points(), points=["beak", "wing", "tail"]), "train")
    numbers = RegressionImages.of_arrays(["a", "b"], images, values[:, :2], is_points=False)
    with pytest.raises(BadData, match="it gives numbers that are no points, but the option file names points"):
        load(given(numbers), "train")
    with pytest.raises(BadData, match=r"write numbers: \[a, b\]"):
        load(given(numbers, numbers=["a", "c"]), "train")
    with pytest.raises(BadData, match="it returned list, not RegressionImages"):
        load(given([]), "train")


def test_numbers_may_be_of_any_size_and_missing(given):
    images, values = arrays()
    wide = values[:, :2] * 1000 - 500
    wide[2, 1] = np.nan
    data = RegressionImages.of_arrays(["a", "b"], images, wide, is_points=False)
    first = load(given(data, numbers=["a", "b"], only=["a"]), "train")
    assert (len(first), first.hidden) == (20, 0)
    both = load(given(data, numbers=["a", "b"]), "train")
    assert (len(both), both.hidden) == (19, 1)
    np.testing.assert_array_equal(both.lengths, 1.0)


@pytest.mark.parametrize("shape", [(20,), (20, 5), (19, 6)])
def test_arrays_that_do_not_belong_together(shape):
    with pytest.raises(BadData):
        points(np.zeros(shape))


def test_images_of_the_wrong_kind_are_told_when_asked_for(given):
    images, values = arrays()
    data = RegressionImages.of_arrays(OUTPUTS, images.astype(np.float32), values, is_points=True)
    with pytest.raises(BadData, match=r"image 3: an image must be \(h, w, 3\) uint8, not \(8, 8, 3\) float32"):
        load(given(data), "train").image(3)


def test_only_the_images_that_are_drawn_are_looked_at(given, tmp_path):
    rows = []
    for i in range(30):
        Image.fromarray(np.full((10, 20, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(Annotated(tmp_path / f"{i}.png", f"row {i}", np.random.default_rng(i).uniform(1, 9, (3, 2))))
    data = set_of(POINTS, rows)
    drawn = load(given(data, sizes={"train": 10}), "train")
    assert len(data._seen) == len(drawn) == 10


def test_an_image_that_cannot_be_read_is_passed_over(given, tmp_path):
    rows = []
    for i in range(12):
        Image.fromarray(np.full((10, 20, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(Annotated(tmp_path / f"{i}.png", f"row {i}", np.random.default_rng(i).uniform(1, 9, (3, 2))))
    (tmp_path / "3.png").write_bytes(b"no image")
    whole = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(whole[:-20])
    (tmp_path / "7.png").unlink()
    with pytest.raises(BadData, match=r"3 things cannot be used: row 3: .*3\.png is not an image.*row 5.*cut off"):
        load(given(set_of(POINTS, rows)), "train")
    data = load(given(set_of(POINTS, rows), broken="drop", sizes={"train": 9}), "train")
    assert [data.image(i)[0, 0, 0] for i in range(9)] == [0, 1, 2, 4, 6, 8, 9, 10, 11]
    with pytest.raises(BadData, match=r"9 images, but .*sizes\.train=10 \(3 things were left out as broken: row"):
        load(given(set_of(POINTS, rows), broken="drop", sizes={"train": 10}), "train")

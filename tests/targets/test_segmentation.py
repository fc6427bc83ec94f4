import numpy as np
import pytest
from segmentation_files import target

from tmbench.identity import Seeds
from tmbench.targets import BadData, load, segmentation
from tmbench.targets.segmentation import IGNORED, SegmentationImages, at_size

CLASSES = ("ground", "pond", "tree")


def images_of(labels, **changes):
    images = [np.full((*np.shape(one), 3), row, np.uint8) for row, one in enumerate(labels)]
    return SegmentationImages.of_arrays(changes.get("classes", CLASSES), images, labels)


def striped(*numbers):
    return np.repeat(np.array(numbers, np.uint8)[None], 4, axis=0)


@pytest.fixture
def loaded(monkeypatch):
    """Loads a set that a function of a user's returns."""

    def load_it(labels, split="train", sizes=None, classes=CLASSES, **options):
        data = images_of(labels, classes=classes) if isinstance(labels, list) else labels
        monkeypatch.setattr(segmentation, "find_function", lambda reference: lambda split, size, seeds: data)
        return load(target("user_set:function", 3, {}, sizes=sizes or {}, **options), split)

    return load_it


def test_what_a_set_holds(loaded):
    data = loaded([striped(0, 1, IGNORED), striped(2, 2, 0, 1)])
    assert len(data) == 2
    assert data.classes == CLASSES
    assert data.present(0) == (0, 1)
    assert data.present(1) == (0, 1, 2)
    assert data.sizes.tolist() == [[4, 3], [4, 4]]
    assert data.image(1).shape == (4, 4, 3)
    np.testing.assert_array_equal(data.labels(0), striped(0, 1, IGNORED))
    assert data.problems == ()


def test_a_part_keeps_order_and_problems():
    data = images_of([striped(0, 1), striped(1, 2), striped(2, 0)])
    part = data.part([2, 0], ["something"])
    assert part.names == ("image 2", "image 0")
    assert part.image(0)[0, 0, 0] == 2
    assert part.present(1) == (0, 1)
    assert part.part([1]).labels(0).tolist() == striped(0, 1).tolist()
    assert part.problems == ("something",)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (striped(0, 1, 3), "the label 3; 3 classes count from 0"),
        (striped(IGNORED, IGNORED), "no pixel of its mask has a class"),
        (striped(0, 1).astype(np.int64), "must be uint8, not int64"),
    ],
)
def test_a_mask_that_is_no_use_is_refused_or_dropped(loaded, labels, says):
    sound = [striped(0, 1, 2), striped(0, 1, 2)]
    with pytest.raises(BadData, match=f"one image cannot be used: image 1: .*{says}.*broken: drop"):
        loaded([sound[0], labels, sound[1]])
    data = loaded([sound[0], labels, sound[1]], broken="drop")
    assert data.names == ("image 0", "image 2")
    assert len(data.problems) == 1


def test_a_mask_of_another_size_is_refused_or_dropped(loaded):
    labels = [striped(0, 1, 2)] * 3
    data = SegmentationImages.of_arrays(CLASSES, np.zeros((3, 4, 3, 3), np.uint8), [*labels[:2], striped(0, 1)])
    with pytest.raises(BadData, match="image 2: its mask has 2 × 4 pixels, the image 3 × 4"):
        loaded(data)
    assert len(loaded(data, broken="drop")) == 2


def test_a_class_that_train_lacks_is_refused_or_told(loaded):
    labels = [striped(0, 2), striped(2, 0)]
    with pytest.raises(BadData, match=r"no pixel of 2 train images has the class 'pond'.*Raise sizes\.train"):
        loaded(labels)
    assert "'pond'" in loaded(labels, broken="drop").problems[0]
    assert loaded(labels, split="test").problems == ()


def test_sets_that_are_no_sets(loaded):
    with pytest.raises(BadData, match="image 0 is the only image; a split needs two"):
        loaded([striped(0, 1, 2)])
    with pytest.raises(BadData, match="there are no images"):
        loaded([])
    with pytest.raises(BadData, match="all labelled pixels are of class 'pond'"):
        loaded([striped(1), striped(1)], split="test", broken="drop")
    with pytest.raises(BadData, match=r"2 classes \(one, two\), but the option file says classes=3"):
        loaded([striped(0, 1)] * 2, classes=("one", "two"))
    with pytest.raises(BadData, match="returned tuple, not SegmentationImages"):
        loaded(())
    with pytest.raises(BadData, match=r"2 images, but the option file asks for sizes\.train=5"):
        loaded([striped(0, 1, 2)] * 2, sizes={"train": 5})


def test_sizes_draw_by_seed_and_nest(loaded):
    labels = [striped(0, 1, 2)] * 20
    names = {}
    for size in (3, 8, None):
        names[size] = loaded(labels, sizes={"train": size}).names
    assert len(names[3]) == 3
    assert set(names[3]) < set(names[8]) < set(names[None])
    assert list(names[8]) == sorted(names[8], key=lambda name: int(name.split()[1]))
    assert loaded(labels, sizes={"train": 8}, seed=1).names != names[8]
    broken = [*labels[:10], striped(9), *labels[11:]]
    assert len(loaded(broken, sizes={"train": 19}, broken="drop")) == 19


def test_drawing_looks_at_no_more_masks_than_needed():
    looked = []

    def labels(i):
        looked.append(i)
        return striped(0, 1)

    data = SegmentationImages(
        ("a", "b"), [str(i) for i in range(50)], lambda i: np.zeros((4, 2, 3), np.uint8), labels, lambda i: (4, 2)
    )
    drawn = data.drawn(5, Seeds("x").generator("images"))
    assert len(drawn) == 5
    assert drawn.present(0) == (0, 1)
    assert len(looked) == 5


def test_at_size():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 3:] = 200
    labels = np.zeros((4, 6), np.uint8)
    labels[:, 3:] = IGNORED
    small, map_ = at_size(image, labels, 2)
    assert small.shape == (2, 2, 3)
    assert map_.tolist() == [[0, IGNORED], [0, IGNORED]]
    large, map_ = at_size(image, labels, 24)
    assert large.dtype == map_.dtype == np.uint8
    assert set(np.unique(map_)) == {0, IGNORED}  # no labels between two classes
    # The nearest pixel is the one that holds the new pixel's centre.
    rows = ((np.arange(24) + 0.5) * 4 / 24).astype(int)
    columns = ((np.arange(24) + 0.5) * 6 / 24).astype(int)
    np.testing.assert_array_equal(map_, labels[rows][:, columns])
    same = np.zeros((8, 8), np.uint8)
    assert at_size(np.zeros((8, 8, 3), np.uint8), same, 8)[1] is same

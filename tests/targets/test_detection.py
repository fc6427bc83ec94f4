from dataclasses import replace

import numpy as np
import pytest

from tmbench.targets import BadData, detection, load
from tmbench.targets.detection import DetectionImages, Objects, Seen, no_objects
from tmbench.targets.options import DetectionTarget
from tmbench.targets.runs import encoded, extents


def objects(labels=(0, 1), boxes=((0, 0, 2, 2), (1, 1, 6, 8)), masks=()):
    k = len(labels)
    return Objects(
        np.array(boxes, np.float32).reshape(k, 4), np.array(labels, np.int64), np.zeros(k, bool), np.ones(k), masks
    )


GOOD = objects()
IMAGE = np.zeros((8, 6, 3), np.uint8)


def images(*annotations):
    return DetectionImages.of_arrays(("a", "b"), [IMAGE] * len(annotations), annotations)


def loaded(monkeypatch, data, split="train", classes=2, **options):
    monkeypatch.setattr(detection, "find_function", lambda reference: lambda *a, **k: data)
    option = DetectionTarget(task="detection", function="x:y", classes=classes, image_size=32, **options)
    return load(option, split)


MASK = encoded(np.ones((1, 8, 6), bool))[0]
SMALL = encoded(np.ones((1, 4, 4), bool))[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (images(GOOD), None),
        (images(GOOD, no_objects()), None),
        ("text", "not DetectionImages"),
        (images(), "there are no images"),
        (images(no_objects()), "none of the 1 images has an object: check that the annotations belong"),
        (images(replace(GOOD, crowd=np.ones(2, bool))), "has an object: all 2 are crowd regions or marked difficult"),
        (images(objects((0, 0))), "class 'b' has no object"),
        (images(objects((0, 2))), "labels reach from 0 to 2"),
        (images(objects((0, -1))), "labels reach from -1 to 0"),
        (images(replace(GOOD, boxes=GOOD.boxes.astype(float))), "boxes must be"),
        (images(replace(GOOD, labels=GOOD.labels.astype(np.int32))), "labels must be"),
        (images(replace(GOOD, areas=np.ones(1))), "areas must be"),
        (images(objects(boxes=((0, 0, 2, 2), (1, 1, 6, 9)))), r"\[1.0, 1.0, 6.0, 9.0\] is empty or not inside"),
        (images(objects(boxes=((0, 0, 2, 2), (1, 1, 1, 8)))), "empty or not inside"),
        (images(objects(boxes=((0, 0, 2, 2), (1, np.nan, 2, 8)))), "empty or not inside"),
        (images(objects(masks=(MASK, MASK))), None),
        (images(objects(masks=(MASK,))), "1 masks of 2 objects"),
        (images(GOOD, objects(masks=(MASK, MASK))), "0 masks of 2 objects"),
        (images(objects(masks=(MASK, SMALL))), "a mask has size"),
    ],
)
def test_what_a_function_gives_is_held_to_the_option(data, says, monkeypatch):
    if says is None:
        assert len(loaded(monkeypatch, data)) == len(data)
    else:
        with pytest.raises(BadData, match=says):
            loaded(monkeypatch, data)


def test_the_number_of_classes(monkeypatch):
    with pytest.raises(BadData, match=r"2 classes \(a, b\), but the option file says classes=3: set classes: 2\.$"):
        loaded(monkeypatch, images(GOOD), classes=3)
    with pytest.raises(BadData, match=r"set classes: 2, or name those to keep in only_classes\.$"):
        loaded(monkeypatch, images(GOOD), classes=1)
    many = DetectionImages.of_arrays([f"c{i}" for i in range(30)], [IMAGE], [GOOD])
    with pytest.raises(BadData, match=r"30 classes \(c0, .*, c9, … 20 more\)"):
        loaded(monkeypatch, many)


def test_a_test_split_may_lack_a_class(monkeypatch):
    assert len(loaded(monkeypatch, images(objects((0, 0))), "test")) == 1


def test_a_set_in_memory_can_be_drawn_from_and_cut_to_classes(monkeypatch):
    data = images(*[objects((i % 2, i % 2)) for i in range(10)])
    assert len(loaded(monkeypatch, data, sizes={"train": 8})) == 8
    ones = loaded(monkeypatch, data, classes=1, only_classes=("b",))
    assert len(ones) == 5
    assert ones.names == tuple(f"image {i}" for i in (1, 3, 5, 7, 9))
    assert all(ones.objects(i).labels.tolist() == [0, 0] for i in range(5))
    with pytest.raises(BadData, match="show b"):
        loaded(monkeypatch, images(objects((0, 0))), classes=1, only_classes=("b",))


def test_an_image_is_looked_at_once_and_decoded_when_asked_for(monkeypatch):
    looks, decodes = [], []

    def look(i):
        looks.append(i)
        return Seen(GOOD, (8, 6))

    def decode(i):
        decodes.append(i)
        return IMAGE

    data = loaded(monkeypatch, DetectionImages(("a", "b"), "xyz", look, decode, has_masks=False))
    assert (sorted(looks), decodes) == ([0, 1, 2], [])
    data.objects(1)
    data.image(1)
    assert (len(looks), decodes) == (3, [1])
    assert data.sizes.tolist() == [[8, 6]] * 3


def test_a_draw_does_not_look_at_what_it_leaves(monkeypatch):
    looks = []
    data = DetectionImages(
        ("a", "b"), range(100), lambda i: looks.append(i) or Seen(GOOD, (8, 6)), lambda i: IMAGE, has_masks=False
    )
    loaded(monkeypatch, data, sizes={"train": 5})
    assert len(looks) == 5


def test_problems_of_images_outside_a_draw_are_not_told(monkeypatch):
    def look(i):
        return Seen(None, (8, 6), (f"image {i} is broken.",)) if i >= 3 else Seen(GOOD, (8, 6))

    data = DetectionImages(("a", "b"), range(6), look, lambda i: IMAGE, has_masks=False)
    found = loaded(monkeypatch, data, broken="drop")
    assert found.names == (0, 1, 2)
    assert found.problems == tuple(f"image {i} is broken." for i in (3, 4, 5))
    assert len(loaded(monkeypatch, data, broken="drop", sizes={"train": 3}).problems) <= 3
    with pytest.raises(BadData, match="3 things cannot be used"):
        loaded(monkeypatch, data)
    with pytest.raises(BadData, match=r"3 images, but .*sizes.train=4 \(3 were left out as broken: image"):
        loaded(monkeypatch, data, broken="drop", sizes={"train": 4})


def test_bitmaps_and_extents():
    bitmaps = np.zeros((2, 8, 6), bool)
    bitmaps[0, 2:5, 1:4] = True
    bitmaps[1, 7, 5] = True
    one = objects(boxes=extents(bitmaps), masks=encoded(bitmaps))
    np.testing.assert_array_equal(one.bitmaps(), bitmaps)
    np.testing.assert_array_equal(one.boxes, [[1, 2, 4, 5], [5, 7, 6, 8]])
    np.testing.assert_array_equal(one.part(np.array([False, True])).bitmaps(), bitmaps[1:])
    with pytest.raises(ValueError, match="no masks"):
        GOOD.bitmaps()

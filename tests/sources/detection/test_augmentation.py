"""Augmented images: boxes and masks stay on their objects, whatever is drawn."""

import numpy as np
import pytest
import torch

from tmbench.sources.detection.augmentation import augmented, boxes_around, flipped, jittered, sample
from tmbench.sources.detection.evaluation import encoded
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.targets.detection import DetectionImages, Objects, no_objects

HEIGHT, WIDTH = 60, 90
COLOURS = np.array([[250, 20, 20], [20, 250, 20]], np.uint8)
BOXES = np.array([[5, 8, 35, 30], [50, 20, 85, 55]], np.float32)
GREY = np.full(3, 0.5)


def recipe(**changes):
    content = {"task": "detection", "trainable": "full", "epochs": 1, "batch_size": 2, "learning_rates": [0.01]}
    return DetectionRecipe.model_validate(content | {"image_size": 64, "measure": "box_ap"} | changes)


@pytest.fixture
def images():
    """A black image with a red and a green box, a crowd over all of it, and an image without objects."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    bitmaps = np.zeros((3, HEIGHT, WIDTH), bool)
    for k, (x1, y1, x2, y2) in enumerate(BOXES.astype(int)):
        image[y1:y2, x1:x2] = COLOURS[k]
        bitmaps[k, y1:y2, x1:x2] = True
    bitmaps[2] = True
    objects = Objects(
        boxes=np.concatenate([BOXES, [[0, 0, WIDTH, HEIGHT]]]).astype(np.float32),
        labels=np.array([0, 1, 0]),
        crowd=np.array([False, False, True]),
        areas=bitmaps.sum(axis=(1, 2)).astype(float),
        masks=tuple(encoded(bitmap) for bitmap in bitmaps),
    )
    return DetectionImages.of_arrays(["red", "green"], [image, image], [objects, no_objects()])


def found_boxes(image):
    """The box of each colour in an image, by its pixels."""
    boxes = []
    for colour in COLOURS:
        near = np.abs(image.astype(int) - colour).max(axis=2) < 60
        boxes.append(boxes_around(near[None])[0] if near.any() else None)
    return boxes


def holds(one):
    """Boxes, masks and labels tell what the image shows, to two pixels of blur."""
    seen = found_boxes(one.image)
    for k, label in enumerate(one.labels):
        if seen[label] is None:
            assert (one.boxes[k, 2:] - one.boxes[k, :2]).min() <= 2
            continue
        assert np.abs(seen[label] - one.boxes[k]).max() <= 2
        if one.masks is not None:
            assert np.abs(boxes_around(one.masks[k : k + 1])[0] - one.boxes[k]).max() <= 1e-6
    for label in set(range(2)) - set(one.labels.tolist()):
        assert seen[label] is None
    return one


def test_a_sample_leaves_crowds_out(images):
    one = sample(images, 0, masks=True)
    assert one.boxes.tolist() == BOXES.tolist()
    assert one.labels.tolist() == [0, 1]
    assert one.masks.shape == (2, HEIGHT, WIDTH)
    assert sample(images, 0, masks=False).masks is None


@pytest.mark.parametrize("masks", [True, False])
def test_left_and_right_change_places(masks, images):
    one = sample(images, 0, masks)
    mirrored = holds(flipped(one))
    assert mirrored.boxes[0].tolist() == [WIDTH - 35, 8, WIDTH - 5, 30]
    back = flipped(mirrored)
    assert np.array_equal(back.image, one.image)
    assert np.array_equal(back.boxes, one.boxes)
    assert not masks or np.array_equal(back.masks, one.masks)


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_jitter_moves_objects_with_the_image(seed, masks, images):
    one = holds(jittered(sample(images, 0, masks), 64, (0.3, 3.0), np.random.default_rng(seed), GREY))
    assert one.image.shape == (64, 64, 3)
    assert one.boxes.dtype == np.float32
    assert np.all((one.boxes >= 0) & (one.boxes <= 64))
    assert np.all(one.boxes[:, 2:] > one.boxes[:, :2])
    if masks:
        assert one.masks.shape == (len(one.labels), 64, 64)


def test_jitter_shrinks_with_padding_and_grows_with_crops(images):
    one = sample(images, 0, True)
    small = jittered(one, 64, (0.5, 0.5), np.random.default_rng(0), GREY)
    # The longer side fills half of the 64 pixels; the rest is the colour of padding.
    assert np.all(small.image[22:] == 128)
    assert np.all(small.image[:, 32:] == 128)
    assert not np.all(small.image[:21, :32] == 128)
    large = [jittered(one, 64, (2.0, 2.0), np.random.default_rng(seed), GREY) for seed in range(30)]
    assert not any(np.all(each.image[-1] == 128) for each in large)
    assert {len(each.labels) for each in large} >= {1, 2}  # objects that left the image were dropped
    corners = {tuple(each.boxes[0].tolist()) for each in large if len(each.labels)}
    assert len(corners) > 5


def test_jitter_at_scale_one_of_an_image_that_fits_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    bitmap = np.zeros((64, 64), bool)
    bitmap[10:20, 5:40] = True
    box = np.array([[5, 10, 40, 20]], np.float32)
    objects = Objects(box, np.array([0]), np.array([False]), np.array([350.0]), (encoded(bitmap),))
    one = sample(DetectionImages.of_arrays(["a"], [image], [objects]), 0, True)
    same = jittered(one, 64, (1.0, 1.0), np.random.default_rng(0), GREY)
    assert np.array_equal(same.image, image)
    assert np.array_equal(same.masks, one.masks)
    assert np.array_equal(same.boxes, one.boxes)


@pytest.mark.parametrize("augment", ["none", "flip", "jitter"])
@pytest.mark.parametrize("masks", [True, False])
def test_images_without_objects_stay_without(masks, augment, images):
    one = augmented(sample(images, 1, masks), recipe(augment=augment), np.random.default_rng(1), GREY)
    image, target = one.tensors()
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].dtype == torch.int64
    if masks:
        assert target["masks"].shape == (0, *image.shape[1:])


def test_what_is_drawn_depends_on_the_generator_alone(images):
    drawn = [
        augmented(sample(images, 0, True), recipe(augment="jitter"), np.random.default_rng(seed), GREY)
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(drawn[0].image, drawn[1].image)
    assert not np.array_equal(drawn[0].image, drawn[2].image)
    halves = [
        augmented(sample(images, 0, True), recipe(augment="flip"), np.random.default_rng(seed), GREY).boxes[0, 0]
        for seed in range(40)
    ]
    assert 10 < sum(left == 5 for left in halves) < 30


def test_tensors_are_what_torchvision_trains_on(images):
    image, target = sample(images, 0, True).tensors()
    assert image.shape == (3, HEIGHT, WIDTH)
    assert image.dtype == torch.float32
    assert (float(image.min()), float(image.max())) == (0.0, pytest.approx(250 / 255))
    assert target["labels"].tolist() == [1, 2]  # 0 is the background
    assert target["masks"].dtype == torch.uint8
    assert target["boxes"].dtype == torch.float32

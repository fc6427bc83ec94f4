"""Colour and blur, which move nothing, and motions, which points follow."""

import numpy as np
import pytest
import torch
from regression_work import painted, recipe
from scipy.ndimage import gaussian_filter

from tmbench.errors import ConfigError
from tmbench.sources.augmentation import augmentation_of, blurred, moved, recoloured
from tmbench.sources.network import as_input
from tmbench.sources.options import Input

EXPECTED = Input(size=64)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def batch():
    values = generator(1).uniform(0.35, 0.65, (16, 4))
    values[:, 2:] = -1.0  # the dim dot out of sight
    return as_input(painted(values, 64), EXPECTED), torch.from_numpy(values)


def brightest(images):
    """(n, 2): x and y of the centre of light of a bright dot."""
    light = (images.mean(dim=1) - images.mean(dim=1).flatten(1).median(dim=1).values[:, None, None] - 1).clamp(min=0)
    places = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    total = light.sum(dim=(1, 2))
    return torch.stack([(light.sum(dim=1) * places).sum(1) / total, (light.sum(dim=2) * places).sum(1) / total], dim=1)


def test_points_follow_the_image(batch):
    images, points = batch
    before = (brightest(images) - points[:, :2]).abs().max()
    turned, gone = moved(images, points, generator())
    assert (gone - points).abs().max() > 0.03
    assert float(before) < 0.005
    assert float((brightest(turned) - gone[:, :2]).abs().max()) < 0.008


def test_motions_keep_shape_and_type(batch):
    images, points = batch
    turned, gone = moved(images, points, generator())
    assert (turned.shape, turned.dtype, gone.shape, gone.dtype) == (
        images.shape,
        torch.float32,
        points.shape,
        points.dtype,
    )


def test_colour_changes_pixels_and_no_point(batch):
    images, points = batch
    change = augmentation_of(recipe(augment="colour"), EXPECTED, is_points=True)
    new, same = change(images, points, generator())
    assert same is points
    assert (new - images).abs().mean() > 0.01
    low, high = (0 - 0.5) / 0.25, (1 - 0.5) / 0.25
    assert float(new.min()) >= low - 1e-5
    assert float(new.max()) <= high + 1e-5
    assert float((brightest(new) - brightest(images)).abs().max()) < 0.03


@pytest.mark.parametrize("augment", ["colour", "affine"])
def test_all_that_is_drawn_comes_from_the_generator(batch, augment):
    change = augmentation_of(recipe(augment=augment), EXPECTED, is_points=True)
    torch.seed()
    first, again, other = (change(*batch, generator(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_blur_is_scipys():
    pixels = torch.from_numpy(generator().random((3, 3, 20, 20))).float()
    widths = np.array([0.0, 0.7, 1.2])
    found = blurred(pixels, widths).numpy()
    assert np.array_equal(found[0], pixels[0].numpy())
    for i in (1, 2):
        reach = int(np.ceil(2 * widths.max()))
        expected = [gaussian_filter(plane, widths[i], mode="nearest", radius=reach) for plane in pixels[i].numpy()]
        assert np.allclose(found[i], expected, atol=1e-5)
    assert np.array_equal(blurred(pixels, np.zeros(3)).numpy(), pixels.numpy())


def test_a_grey_image_keeps_its_grey_but_for_brightness():
    grey = as_input(np.full((8, 16, 16, 3), 100, dtype=np.uint8), EXPECTED)
    new = recoloured(grey, EXPECTED, generator())
    assert float(new.flatten(1).std(dim=1).max()) < 1e-5
    assert len({round(float(value), 4) for value in new[:, 0, 0, 0]}) == 8


def test_nothing_is_nothing_and_numbers_do_not_move():
    assert augmentation_of(recipe(), EXPECTED, is_points=False) is None
    assert augmentation_of(recipe(augment="colour"), EXPECTED, is_points=False) is not None
    with pytest.raises(ConfigError, match="numbers are no points"):
        augmentation_of(recipe(augment="affine"), EXPECTED, is_points=False)

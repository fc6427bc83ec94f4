"""Augmentation of images with numbers: colour and blur, which change no point, and small motions, which points follow.

All that is drawn comes from the generator given, so that a training repeats, and goes on, bit for bit.
"""

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.options import Input
from tmbench.sources.recipe import RegressionRecipe
from tmbench.sources.training import Augmentation

JITTER = 0.2
"""Brightness, contrast and colour are multiplied by 1 ± this at most."""
BLURRED = 0.5
"""Share of the images that are blurred, by up to :data:`BLUR` of their width."""
BLUR = 1 / 64
TURN = 15.0
"""Degrees by which an image is turned at most."""
SCALE = 0.1
"""It is enlarged or reduced by this share at most,"""
SHIFT = 0.05
"""and moved by this share of its width and of its height."""
GREY = (0.299, 0.587, 0.114)
"""How bright red, green and blue are."""


def augmentation_of(recipe: RegressionRecipe, expected: Input, is_points: bool) -> Augmentation | None:
    """What ``recipe`` does to each batch; None where it does nothing.

    Args:
        recipe: the recipe.
        expected: how the inputs are normalised.
        is_points: whether labels are points, x then y of each in 0..1 of width and height, or other numbers.

    Raises:
        ConfigError: for numbers that would have to follow a motion, and cannot.
    """
    if recipe.augment == "none":
        return None
    if recipe.augment == "colour":
        return lambda inputs, labels, generator: (recoloured(inputs, expected, generator), labels)
    if not is_points:
        raise ConfigError(
            "augment=affine moves images and the points in them, and this target's numbers are no points (numbers:). "
            "Take augment=colour or augment=none."
        )

    def augmented(inputs: Tensor, labels: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        return moved(recoloured(inputs, expected, generator), labels, generator)

    return augmented


def recoloured(inputs: Tensor, expected: Input, generator: np.random.Generator) -> Tensor:
    """(n, 3, h, w) inputs of another brightness, contrast and colour each, some blurred."""
    n = len(inputs)
    factors = torch.from_numpy(generator.uniform(1 - JITTER, 1 + JITTER, (3, n, 1, 1, 1))).float()
    widths = BLUR * inputs.shape[-1] * generator.random(n) * (generator.random(n) < BLURRED)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (expected.mean, expected.std))
    pixels = (inputs * std + mean) * factors[0]
    level = _grey(pixels).mean(dim=(2, 3), keepdim=True)
    pixels = level + (pixels - level) * factors[1]
    grey = _grey(pixels)
    pixels = (grey + (pixels - grey) * factors[2]).clamp(0, 1)
    return (blurred(pixels, widths) - mean) / std


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * torch.tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def blurred(pixels: Tensor, widths: np.ndarray) -> Tensor:
    """(n, c, h, w) images, each blurred by a Gaussian whose standard deviation ``widths`` (n,) has in pixels.

    Its edge repeated; an image of width 0 stays as it is.
    """
    n, channels, height, width = pixels.shape
    reach = int(np.ceil(2 * widths.max(initial=0.0)))
    if reach == 0:
        return pixels
    offsets = np.arange(-reach, reach + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kernels = np.exp(-0.5 * (offsets / widths[:, None]) ** 2)
    kernels[widths == 0] = offsets == 0
    kernels /= kernels.sum(axis=1, keepdims=True)
    weights = torch.from_numpy(kernels).float().repeat_interleave(channels, dim=0)  # one an image and channel
    planes = nn.functional.pad(pixels.reshape(1, n * channels, height, width), [reach] * 4, mode="replicate")
    planes = nn.functional.conv2d(planes, weights[:, None, :, None], groups=n * channels)
    planes = nn.functional.conv2d(planes, weights[:, None, None, :], groups=n * channels)
    return planes.view(n, channels, height, width)


def moved(inputs: Tensor, points: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(n, 3, h, w) inputs, turned, scaled and shifted a little each, their edge repeated; and where their points lie.

    Args:
        inputs: the images.
        points: (n, 2 k), x then y of each in 0..1 of width and height; those that leave the image lie outside of 0..1.
        generator: draws the motions.
    """
    n = len(inputs)
    angle = np.deg2rad(generator.uniform(-TURN, TURN, n))
    scale = generator.uniform(1 - SCALE, 1 + SCALE, n)
    shift = 2 * generator.uniform(-SHIFT, SHIFT, (n, 2, 1))  # in -1..1 of width and height
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    matrix = scale[:, None, None] * turned  # (n, 2, 2): where a position of the image goes, about its centre
    back = np.linalg.inv(matrix)
    # torch asks where each position of the result comes from.
    origin = torch.from_numpy(np.concatenate([back, -back @ shift], axis=2)).float()
    grid = nn.functional.affine_grid(origin, list(inputs.shape), align_corners=False)
    images = nn.functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)
    places = 2 * points.reshape(n, -1, 2) - 1
    gone = places @ torch.from_numpy(matrix).to(points.dtype).transpose(1, 2)
    gone = gone + torch.from_numpy(shift).to(points.dtype).transpose(1, 2)
    return images, ((gone + 1) / 2).reshape(points.shape)

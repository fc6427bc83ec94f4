"""One set of images, five tasks: class, count, colour, depth and edges.

As in Taskonomy (Zamir et al., CVPR 2018), whose tasks all label the same images. Depth and edges are numbers for each
pixel, cut into classes: Bao et al. (ICIP 2019) quantise dense outputs before they compute the H-score.

An image shows one to five figures on a ground that recedes upwards. Each stands at a distance of its own: nearer ones
hide farther ones, are larger, and less of the haze lies over them. The main figure is the nearest; nothing hides it.

Every task's option must give the same parameters, for the random streams depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.canvas import grid, on_wheel, to_uint8
from tmbench.targets.classification import LabelledImages
from tmbench.targets.figures import SHAPES, radii_of
from tmbench.targets.segmentation import SegmentationImages
from tmbench.targets.shapes import draw_outlines

FIGURES = ("disc", "triangle", "star", "cross", "square", "needle star")
"""The classes of figures."""

COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""The classes of colours, each a sixth of the colour wheel; a figure's hue varies within two thirds of that."""

MOST = 5
"""Figures of an image."""

DEPTHS = ("nearest", "near", "middle", "far", "farthest")
"""The levels of depth: fifths of the pixels of the set's reference images."""

EDGES = ("flat", "weak edge", "middle edge", "strong edge")
"""The levels of edges: below :data:`FLAT`, and thirds of what lies above in the set's reference images."""

FLAT = 0.03
"""Change of colour from one pixel to the next, white minus black being 1, of which less is no edge."""

LOWER, UPPER = (0.25, 0.5), (0.8, 1.0)
"""Least and greatest distance of the ground at the image's lower edge, and at its upper one."""

CHUNK = 64
"""Images drawn from one random stream; a smaller set is the beginning of a larger one."""

REFERENCES = 512
"""Images whose values fix the levels; they belong to no split."""


@dataclass(frozen=True)
class Scenes:
    """``n`` images with what every task asks of them.

    Attributes:
        images: (n, h, w, 3) uint8.
        shape: (n,) int64, the main figure's place in :data:`FIGURES`.
        colour: (n,) int64, its place in :data:`COLOURS`.
        count: (n,) int64, figures less one.
        depth: (n, h, w) float32, each pixel's distance in 0..1.
        edges: (n, h, w) float32, how strong an outline runs through each pixel.
    """

    images: np.ndarray
    shape: np.ndarray
    colour: np.ndarray
    count: np.ndarray
    depth: np.ndarray
    edges: np.ndarray


def shape(split: str, size: int, seeds: Seeds, *, image_size: int = 32, noise: float = 0.06) -> LabelledImages:
    """Which figure is the nearest?

    Args:
        split: which images; all five tasks get the same.
        size: how many.
        seeds: the random streams.
        image_size: height and width in pixels.
        noise: standard deviation of the pixels' noise, white being 1.
    """
    scenes = _scenes(split, size, seeds, image_size, noise)
    return LabelledImages(scenes.images.copy(), scenes.shape.copy(), FIGURES)


def count(split: str, size: int, seeds: Seeds, *, image_size: int = 32, noise: float = 0.06) -> LabelledImages:
    """How many figures are there? Arguments as in :func:`shape`."""
    scenes = _scenes(split, size, seeds, image_size, noise)
    names = tuple(str(number + 1) for number in range(MOST))
    return LabelledImages(scenes.images.copy(), scenes.count.copy(), names)


def colour(split: str, size: int, seeds: Seeds, *, image_size: int = 32, noise: float = 0.06) -> LabelledImages:
    """Of which colour is the nearest figure? Arguments as in :func:`shape`."""
    scenes = _scenes(split, size, seeds, image_size, noise)
    return LabelledImages(scenes.images.copy(), scenes.colour.copy(), COLOURS)


def depth(
    split: str, size: int | None, seeds: Seeds, *, image_size: int = 32, noise: float = 0.06
) -> SegmentationImages:
    """How far away is what each pixel shows, in five levels? Arguments as in :func:`shape`."""
    scenes = _scenes(split, size, seeds, image_size, noise)
    levels = _levels(seeds.unit, image_size)[0]
    return SegmentationImages.of_arrays(DEPTHS, scenes.images.copy(), quantised(scenes.depth, levels))


def edges(
    split: str, size: int | None, seeds: Seeds, *, image_size: int = 32, noise: float = 0.06
) -> SegmentationImages:
    """How strong an outline runs through each pixel, in four levels? Arguments as in :func:`shape`."""
    scenes = _scenes(split, size, seeds, image_size, noise)
    levels = _levels(seeds.unit, image_size)[1]
    return SegmentationImages.of_arrays(EDGES, scenes.images.copy(), quantised(scenes.edges, levels))


def quantised(values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """``values`` of any shape as uint8 classes: how many of the ascending ``levels`` each has reached."""
    return np.searchsorted(np.asarray(levels, dtype=values.dtype), values, side="right").astype(np.uint8)


@lru_cache(maxsize=8)
def _levels(unit: str, image_size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The levels of depth and of edges, from reference images, so that they are the same in all splits."""
    scenes = _drawn("levels", REFERENCES, unit, image_size, 0.0)
    fifths = np.quantile(scenes.depth, np.arange(1, len(DEPTHS)) / len(DEPTHS))
    share = np.arange(1, len(EDGES) - 1) / (len(EDGES) - 1)
    thirds = np.quantile(scenes.edges[scenes.edges >= FLAT], share)
    return tuple(fifths.tolist()), (FLAT, *thirds.tolist())


def _scenes(split: str, size: int | None, seeds: Seeds, image_size: int, noise: float) -> Scenes:
    if size is None:
        raise ConfigError(f"the common images are drawn, so there is no 'all of them': give sizes.{split}.")
    return _drawn(split, size, seeds.unit, image_size, noise)


@lru_cache(maxsize=2)
def _drawn(split: str, size: int, unit: str, image_size: int, noise: float) -> Scenes:
    """The images of a split with all that is asked of them; five tasks in one process draw them once."""
    seeds = Seeds(unit)
    parts = [_chunk(seeds.generator(split, chunk), image_size, noise) for chunk in range(-(-size // CHUNK))]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])[:size] for name in Scenes.__dataclass_fields__
    }
    return Scenes(**arrays)


def _chunk(generator: np.random.Generator, size: int, noise: float) -> Scenes:
    """``CHUNK`` images, painted from the farthest figure to the nearest, which is the last of ``MOST``."""
    n = CHUNK
    radii = np.stack([radii_of(SHAPES[name]) for name in FIGURES])
    number = generator.integers(1, MOST + 1, n)
    figure = generator.integers(len(FIGURES), size=(n, MOST))
    colour = generator.integers(len(COLOURS), size=(n, MOST))
    hue = (colour + generator.uniform(-1 / 3, 1 / 3, (n, MOST))) / len(COLOURS)
    paint = on_wheel(hue, generator.uniform(0.4, 0.7, (n, MOST)), generator.uniform(0.2, 0.35, (n, MOST)))
    haze = generator.uniform(0.45, 0.75, n)[:, None, None, None].astype(np.float32)
    # Cells of a 3 × 3 grid, each taken once, so that no figure is hidden whole.
    cell = generator.permuted(np.tile(np.arange(9), (n, 1)), axis=1)[:, :MOST]
    place = np.stack([cell % 3, cell // 3], axis=2) * 0.6 - 0.6 + generator.uniform(-0.08, 0.08, (n, MOST, 2))
    low, high = generator.uniform(*LOWER, (n, 1)), generator.uniform(*UPPER, (n, 1))
    # Before the ground of its place; the nearest apart from the others, so that one can tell which it is.
    far = (low + (high - low) * (1 - place[..., 1]) / 2) * generator.uniform(0.25, 0.95, (n, MOST))
    order = np.argsort(-far, axis=1)
    far, place = np.take_along_axis(far, order, axis=1), np.take_along_axis(place, order[..., None], axis=1)
    far[:, -1] *= 0.6
    reach = (0.62 - 0.5 * far) * generator.uniform(0.95, 1.05, (n, MOST))
    angle = np.deg2rad(generator.uniform(-20, 20, (n, MOST)))
    ramp = (low + (high - low) * (1 - grid(size)) / 2)[..., None]
    distance = np.broadcast_to(ramp, (n, size, size)).astype(np.float32)
    ground = on_wheel(generator.uniform(0, 1, n), generator.uniform(0.1, 0.3, n), generator.uniform(0.0, 0.08, n))
    canvas = _hazy(np.broadcast_to(ground[:, None, None], (n, size, size, 3)), haze, distance[..., None])
    for k in range(MOST):
        there = (k >= MOST - number)[:, None, None]
        cover = draw_outlines(radii[figure[:, k]], place[:, k], reach[:, k], angle[:, k], size) * there
        shown = _hazy(paint[:, k, None, None], haze, far[:, k, None, None, None])
        canvas = canvas + cover[..., None] * (shown - canvas)
        distance = np.where(cover >= 0.5, far[:, k, None, None], distance).astype(np.float32)
    images = to_uint8(canvas.astype(np.float32), generator, noise)
    last = MOST - 1
    return Scenes(images, figure[:, last], colour[:, last], number - 1, distance, _steepest(canvas))


def _hazy(colour: np.ndarray, haze: np.ndarray, far: np.ndarray) -> np.ndarray:
    return colour + (haze - colour) * (0.7 * far)


def _steepest(canvas: np.ndarray) -> np.ndarray:
    """(n, h, w) float32: half the change between a pixel's neighbours, of the colour that changes most."""
    down, across = np.gradient(canvas, axis=(1, 2))
    return np.sqrt(np.square(down) + np.square(across)).max(axis=-1).astype(np.float32)

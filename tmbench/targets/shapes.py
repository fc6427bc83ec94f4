"""Filled shapes given by their outline in polar coordinates: which shape, and how many."""

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.canvas import CHUNK, grid, in_parts, paint, soft_edge
from tmbench.targets.classification import LabelledImages, balanced_labels

ANGLES = 128
"""Angles at which an outline's radius is tabulated."""


def outlines(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    classes: int,
    waves: int = 5,
    image_size: int = 32,
    turn: float = 180.0,
    noise: float = 0.1,
    clutter: int = 3,
) -> LabelledImages:
    """Which shape is it? A class is a random closed outline, in any place, size and rotation.

    Args:
        split: which images; the shapes are the same in all splits.
        size: how many.
        seeds: the random streams.
        classes: how many shapes are drawn.
        waves: highest frequency of an outline; more waves, finer differences.
        image_size: height and width in pixels.
        turn: largest rotation in degrees.
        noise: standard deviation of the pixels' noise.
        clutter: lines behind the shape.
    """
    radii = random_outlines(seeds.generator("shapes"), classes, waves)
    generator = seeds.generator(split)
    labels = balanced_labels(size, classes, generator)

    def draw(part: np.ndarray) -> np.ndarray:
        radius = generator.uniform(0.45, 0.75, len(part))
        place = generator.uniform(-0.25, 0.25, (len(part), 2))
        angle = np.deg2rad(generator.uniform(-turn, turn, len(part)))
        mask = draw_outlines(radii[part], place, radius, angle, image_size)
        return paint(mask, generator, noise=noise, clutter=clutter)

    return LabelledImages(in_parts(labels, draw), labels, tuple(f"shape {i}" for i in range(classes)))


def counting(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    most: int = 6,
    image_size: int = 32,
    noise: float = 0.1,
    clutter: int = 0,
) -> LabelledImages:
    """How many are there? 1 to ``most`` shapes (at most 9) in cells of a 3 × 3 grid, of any size and outline.

    Arguments otherwise as in :func:`outlines`. The shapes' kind and size vary more than their number, so that the
    painted area does not give the count away.
    """
    generator = seeds.generator(split)
    labels = balanced_labels(size, most, generator)
    radii = random_outlines(seeds.generator("shapes"), 12, 4)
    cells = generator.permuted(np.tile(np.arange(9), (size, 1)), axis=1)
    mask = np.zeros((size, image_size, image_size), dtype=np.float32)
    for i in range(most):
        place = np.stack([cells[:, i] % 3, cells[:, i] // 3], axis=1) * 0.62 - 0.62
        place = place + generator.uniform(-0.08, 0.08, (size, 2))
        radius = generator.uniform(0.12, 0.28, size)
        drawn = draw_outlines(
            radii[generator.integers(len(radii), size=size)],
            place,
            radius,
            generator.uniform(0, 2 * np.pi, size),
            image_size,
        )
        np.maximum(mask, drawn * (labels >= i)[:, None, None], out=mask)
    names = tuple(str(count + 1) for count in range(most))
    return LabelledImages(paint(mask, generator, noise=noise, clutter=clutter), labels, names)


def random_outlines(generator: np.random.Generator, count: int, waves: int) -> np.ndarray:
    """(count, ANGLES) float32 radii, largest 1: random Fourier series, some with sharp corners."""
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    out = np.empty((count, ANGLES))
    for i in range(count):
        frequency = np.arange(2, waves + 1)
        size = generator.uniform(0.0, 1.0, waves - 1) ** 2
        phase = generator.uniform(0, 2 * np.pi, waves - 1)
        wave = (size[:, None] * np.cos(frequency[:, None] * theta + phase[:, None])).sum(axis=0)
        # Folding the wave makes corners, so that shapes differ in more than their frequencies.
        wave = np.abs(wave) if generator.random() < 0.5 else wave
        wave = (wave - wave.min()) / (wave.max() - wave.min())
        out[i] = 1.0 - generator.uniform(0.35, 0.65) * wave
    return out.astype(np.float32)


def draw_outlines(radii: np.ndarray, place: np.ndarray, radius: np.ndarray, angle: np.ndarray, size: int) -> np.ndarray:
    """(n, size, size) coverage of outlines (n, ANGLES) at ``place`` (n, 2), scaled and turned."""
    axis = grid(size)
    out = np.empty((len(radii), size, size), dtype=np.float32)
    for start in range(0, len(radii), CHUNK):
        part = slice(start, start + CHUNK)
        x = axis[None, None, :] - place[part, 0, None, None].astype(np.float32)
        y = axis[None, :, None] - place[part, 1, None, None].astype(np.float32)
        theta = np.arctan2(y, x) + angle[part, None, None].astype(np.float32)
        index = (theta * (ANGLES / (2 * np.pi))).astype(np.int64) % ANGLES
        edge = np.take_along_axis(radii[part], index.reshape(len(index), -1), axis=1).reshape(index.shape)
        scale = radius[part, None, None].astype(np.float32)
        out[part] = soft_edge(np.hypot(x, y) - edge * scale, size)
    return out

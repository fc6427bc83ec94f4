"""Invented handwriting: each class is a few pen strokes, each image a writer's own version of them."""

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.canvas import distance_to_points, in_parts, paint, soft_edge
from tmbench.targets.classification import LabelledImages, balanced_labels

POINTS = 14
"""Points along a stroke; closer together than the thinnest pen is wide."""


def strokes(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    classes: int,
    pens: int = 3,
    image_size: int = 32,
    jitter: float = 0.12,
    turn: float = 15.0,
    noise: float = 0.1,
    clutter: int = 2,
) -> LabelledImages:
    """Which sign is it? A class is ``pens`` random quadratic Bézier curves.

    Args:
        split: which images; the signs are the same in all splits.
        size: how many.
        seeds: the random streams.
        classes: how many signs are invented.
        pens: strokes a sign.
        image_size: height and width in pixels.
        jitter: standard deviation of the control points between writers, on axes from -1 to 1.
        turn: largest rotation in degrees.
        noise: standard deviation of the pixels' noise.
        clutter: lines behind the sign.
    """
    signs = seeds.generator("signs").uniform(-0.8, 0.8, (classes, pens, 3, 2))
    generator = seeds.generator(split)
    labels = balanced_labels(size, classes, generator)

    def draw(part: np.ndarray) -> np.ndarray:
        n = len(part)
        control = signs[part] + generator.normal(0.0, jitter, (n, pens, 3, 2))
        angle = np.deg2rad(generator.uniform(-turn, turn, n))
        scale = generator.uniform(0.75, 1.1, (n, 1))
        turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1) * scale
        control = np.einsum("nij,npkj->npki", turned.reshape(n, 2, 2), control)
        control += generator.uniform(-0.15, 0.15, (n, 1, 1, 2))
        points = along_curves(control, POINTS)
        width = generator.uniform(0.06, 0.14, (n, 1, 1)).astype(np.float32)
        mask = soft_edge(distance_to_points(points, image_size) - width, image_size)
        return paint(mask, generator, noise=noise, clutter=clutter)

    return LabelledImages(in_parts(labels, draw), labels, tuple(f"sign {i}" for i in range(classes)))


def along_curves(control: np.ndarray, count: int) -> np.ndarray:
    """(n, pens * count, 2): points along quadratic Bézier curves of the control points (n, pens, 3, 2)."""
    t = np.linspace(0.0, 1.0, count)
    weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    return np.einsum("tk,npkj->nptj", weights, control).reshape(len(control), -1, 2)

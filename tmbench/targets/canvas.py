"""From a mask to a picture: colours, uneven light, clutter and noise, for many images at once."""

from collections.abc import Callable

import numpy as np

PART = 1024
"""Images painted together; the float pictures of a whole pretraining set would take half a gigabyte."""

CHUNK = 256
"""Images whose pixels are computed together, so that temporaries stay in the processor's cache."""


def in_parts(labels: np.ndarray, draw: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The pictures that ``draw`` gives for ``labels``, ``PART`` at a time, one after the other."""
    return np.concatenate([draw(labels[start : start + PART]) for start in range(0, len(labels), PART)])


def grid(size: int) -> np.ndarray:
    """(size,) float32 centres of the pixels on an axis that runs from -1 to 1."""
    return ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)


def distance_to_points(points: np.ndarray, size: int) -> np.ndarray:
    """(n, size, size) float32: each pixel's distance to the nearest of its image's points.

    Args:
        points: (n, p, 2) x and y on axes from -1 to 1.
        size: height and width in pixels.
    """
    axis = grid(size)
    out = np.empty((len(points), size, size), dtype=np.float32)
    for start in range(0, len(points), CHUNK):
        part = points[start : start + CHUNK].astype(np.float32)
        across = np.square(axis[None, None, :] - part[:, :, 0, None])
        down = np.square(axis[None, None, :] - part[:, :, 1, None])
        nearest = np.full((len(part), size, size), np.inf, dtype=np.float32)
        for i in range(part.shape[1]):
            np.minimum(nearest, down[:, i, :, None] + across[:, i, None, :], out=nearest)
        out[start : start + CHUNK] = np.sqrt(nearest)
    return out


def soft_edge(distance: np.ndarray, size: int) -> np.ndarray:
    """Coverage in 0..1 from a signed distance to an outline (negative inside), one pixel of antialiasing."""
    return np.clip(0.5 - distance * (size / 2.0), 0.0, 1.0)


def segments(ends: np.ndarray, count: int) -> np.ndarray:
    """(n, s * count, 2): ``count`` points along each of the straight segments ``ends`` (n, s, 2, 2)."""
    share = np.linspace(0.0, 1.0, count, dtype=np.float32)[:, None]
    points = ends[:, :, 0, None, :] * (1 - share) + ends[:, :, 1, None, :] * share
    return points.reshape(len(ends), -1, 2)


def paint(
    mask: np.ndarray,
    generator: np.random.Generator,
    *,
    noise: float = 0.05,
    clutter: int = 0,
    contrast: float = 0.35,
) -> np.ndarray:
    """(n, h, w, 3) uint8: the figure ``mask`` in a light colour over a darker background.

    The figure is always the lighter one: with either sign of the contrast a small ViT does not begin to learn
    within the seconds that a demo has.

    Args:
        mask: (n, h, w) float in 0..1, the figure's coverage.
        generator: the random stream.
        noise: standard deviation of the pixels' Gaussian noise (white being 1).
        clutter: thin straight lines behind the figure, in a colour of their own.
        contrast: least difference of brightness between figure and background, in 0..0.5.
    """
    n, size, _ = mask.shape
    ground = generator.uniform(0.0, 0.5, (n, 1)).astype(np.float32)
    figure = ground + generator.uniform(contrast, 0.5, (n, 1)).astype(np.float32)
    tint = generator.uniform(-0.15, 0.15, (2, n, 3)).astype(np.float32)
    light = generator.uniform(-0.15, 0.15, (2, n, 1, 1)).astype(np.float32)
    axis = grid(size)
    ramp = light[0] * axis[None, None, :] + light[1] * axis[None, :, None]
    canvas = (ground + tint[0])[:, None, None, :] + ramp[..., None]
    if clutter:
        ends = generator.uniform(-1.2, 1.2, (n, clutter, 2, 2)).astype(np.float32)
        lines = soft_edge(distance_to_points(segments(ends, 20), size) - 0.05, size)[..., None]
        colour = (ground + generator.uniform(-0.4, 0.4, (n, 3)).astype(np.float32))[:, None, None, :]
        canvas = _blended(canvas, colour, lines)
    cover = mask.astype(np.float32)[..., None]
    canvas = _blended(canvas, (figure + tint[1])[:, None, None, :], cover)
    return to_uint8(canvas, generator, noise)


def _blended(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """``above`` over ``below`` where ``cover`` (in 0..1) says so."""
    out = below * (1 - cover)
    out += above * cover
    return out


def on_wheel(hue: np.ndarray, light: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """(…, 3) float32 colours: ``hue`` in turns of the colour wheel from red, ``chroma`` the swing about ``light``."""
    turns = hue[..., None] - np.arange(3) / 3.0
    return (light[..., None] + chroma[..., None] * np.cos(2 * np.pi * turns)).astype(np.float32)


def to_uint8(canvas: np.ndarray, generator: np.random.Generator, noise: float) -> np.ndarray:
    """The float picture (n, h, w, 3), 0 black and 1 white, with Gaussian noise, as uint8."""
    if noise:
        grain = generator.standard_normal(canvas.shape, dtype=np.float32)
        grain *= np.float32(noise)
        canvas = np.add(canvas, grain, out=grain)
    canvas = np.clip(canvas, 0.0, 1.0)
    canvas *= 255.0
    canvas += 0.5
    return canvas.astype(np.uint8)

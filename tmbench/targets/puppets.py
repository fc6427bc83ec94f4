"""Puppets: drawn figures in random poses whose joints are to be found, some behind a limb or a bar.

The styles are the domains of a study: what a figure looks like differs, what its points mean does not.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tmbench.errors import unknown
from tmbench.identity import Seeds
from tmbench.targets.canvas import grid, soft_edge, to_uint8
from tmbench.targets.regression import RegressionImages
from tmbench.targets.skeletons import ENDS, PARTS, POINTS, SIDES, Poses, covered, distance_to_limb, random_poses
from tmbench.targets.textures import Spectra, coloured

Style = Literal["sticks", "clothed", "textured", "sketch", "silhouettes"]

CHUNK = 64
"""Figures drawn from one random stream; a smaller set is the beginning of a larger one."""

THICK = {
    "torso": (0.19, 0.15), "neck": (0.07, 0.07), "head": (0.17, 0.17), "upper_arm": (0.08, 0.065),
    "forearm": (0.065, 0.05), "palm": (0.055, 0.05), "thigh": (0.11, 0.085), "shin": (0.085, 0.06),
    "sole": (0.06, 0.05),
}  # fmt: skip
"""Radii at a part's two ends, in units of the figure."""

PEN = 0.028
"""Half the width of a sketch's line and of a stick, in units of the figure."""


def puppets(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    style: Style,
    image_size: int = 48,
    bend: float = 1.0,
    bars: int = 1,
    noise: float = 0.04,
    pool: int = 1000,
) -> RegressionImages:
    """Where are the joints? A point that a nearer part or a bar covers is hidden.

    Args:
        split: which images; splits have streams of their own.
        size: how many; ``pool`` where null, which a target with ``draws`` chooses from.
        seeds: the random streams.
        style: ``sticks``, thin and light on dark, left limbs warm and right ones cool; ``clothed``, thick in shirt and
            trousers before boxes; ``textured``, thick on a texture; ``sketch``, dark outlines on paper; or
            ``silhouettes``, dark against the light.
        image_size: height and width in pixels.
        bend: how far joints turn, 1 being as far as a body's do.
        bars: how many bars stand before a figure.
        noise: standard deviation of the pixels' noise.
        pool: how many images there are where no size is asked for.

    Raises:
        ConfigError: for a style that there is none of.
    """
    if style not in get_args(Style):
        raise unknown("style", style, get_args(Style), where="style")
    count = pool if size is None else size
    images = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    values = np.empty((count, len(POINTS), 2))
    lengths = np.empty(count)
    for start in range(0, count, CHUNK):
        generator = seeds.generator(f"puppets of {split}", start // CHUNK)
        poses = random_poses(CHUNK, bend, generator)
        posts = _posts(CHUNK, bars, generator)
        canvas = _drawn(poses, posts, style, image_size, generator, seeds)
        rows = slice(start, min(start + CHUNK, count))
        used = rows.stop - start
        images[rows] = to_uint8(canvas, generator, noise)[:used]
        hidden = covered(poses, _radii(style)) | _behind(posts, poses.points)
        hidden |= (np.abs(poses.points) > 1).any(axis=2)
        values[rows] = np.where(hidden[..., None], np.nan, (poses.points + 1) / 2)[:used]
        lengths[rows] = (np.ptp(poses.points, axis=1).max(axis=1) / 2)[:used]
    outputs = [f"{name}.{axis}" for name in POINTS for axis in "xy"]
    return RegressionImages.of_arrays(outputs, images, values.reshape(count, -1), lengths, is_points=True)


@dataclass(frozen=True)
class Posts:
    """Bars before n figures: ends (n, bars, 2, 2) and half widths (n, bars)."""

    ends: np.ndarray
    widths: np.ndarray


def _posts(n: int, bars: int, generator: np.random.Generator) -> Posts:
    middle = generator.uniform(-0.8, 0.8, (n, bars, 2))
    angle = generator.uniform(0, np.pi, (n, bars))
    along = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=2)  # beyond the image on both sides
    return Posts(np.stack([middle - along, middle + along], axis=2), generator.uniform(0.05, 0.13, (n, bars)))


def _behind(posts: Posts, points: np.ndarray) -> np.ndarray:
    """(n, p) bool: the points (n, p, 2) that a bar covers."""
    found = np.zeros(points.shape[:2], dtype=bool)
    for bar in range(posts.widths.shape[1]):
        widths = posts.widths[:, [bar, bar]]
        ends = posts.ends[:, bar]
        found |= distance_to_limb(points[..., 0], points[..., 1], ends[:, 0], ends[:, 1], widths) < 0
    return found


def _radii(style: Style) -> np.ndarray:
    """(parts, 2) radii in units of the figure."""
    thick = [THICK[name.removeprefix("left_").removeprefix("right_")] for name in PARTS]
    if style != "sticks":
        return np.array(thick)
    return np.array([pair if name == "head" else (PEN, PEN) for name, pair in zip(PARTS, thick, strict=True)])


def _drawn(
    poses: Poses, posts: Posts, style: Style, size: int, generator: np.random.Generator, seeds: Seeds
) -> np.ndarray:
    """(n, size, size, 3) float32 pictures, 0 black and 1 white."""
    n = len(poses.points)
    canvas = _ground(style, n, size, generator, seeds)
    colours = _colours(style, n, generator)
    radii = _radii(style)
    axis = grid(size)
    x, y = axis[None, None, :], axis[None, :, None]
    rows = np.arange(n)
    # The farthest part of each figure is drawn first, whichever it is.
    for parts in np.argsort(poses.depth, axis=1, kind="stable").T:
        ends = poses.points[rows[:, None], ENDS[parts]]
        distance = distance_to_limb(x, y, ends[:, 0], ends[:, 1], poses.scale[:, None] * radii[parts])
        if style == "sketch":
            pen = (PEN * poses.scale).astype(np.float32)[:, None, None]
            _lay(canvas, colours[rows, -1], soft_edge(distance - pen, size))
            distance += pen
        _lay(canvas, colours[rows, parts], soft_edge(distance, size))
    for bar in range(posts.widths.shape[1]):
        ends = posts.ends[:, bar]
        distance = distance_to_limb(x, y, ends[:, 0], ends[:, 1], posts.widths[:, [bar, bar]])
        _lay(canvas, generator.uniform(0.3, 0.7, (n, 3)).astype(np.float32), soft_edge(distance, size))
    return canvas


def _lay(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    """Draw ``colour`` (n, 3) into ``canvas`` (n, h, w, 3) where ``cover`` (n, h, w) says so."""
    canvas += cover[..., None] * (colour[:, None, None, :] - canvas)


def _ground(style: Style, n: int, size: int, generator: np.random.Generator, seeds: Seeds) -> np.ndarray:
    """(n, size, size, 3) float32."""
    if style == "textured":
        spectra = Spectra.drawn(seeds.generator("ground"), 6, 2)
        return coloured(spectra.fields(generator.integers(6, size=n), generator, size, 180.0), generator)
    low, high = {"sticks": (0.05, 0.3), "clothed": (0.2, 0.7), "sketch": (0.8, 0.95), "silhouettes": (0.6, 0.9)}[style]
    light = generator.uniform(low, high, (n, 1, 1, 1)) + generator.uniform(-0.08, 0.08, (n, 1, 1, 3))
    slope = generator.uniform(-0.12, 0.12, (2, n, 1, 1, 1))
    axis = grid(size)
    canvas = (light + slope[0] * axis[:, None] + slope[1] * axis[:, None, None]).astype(np.float32)
    if style == "clothed":
        for _ in range(3):
            middle = generator.uniform(-1, 1, (n, 2, 1)).astype(np.float32)
            half = generator.uniform(0.1, 0.5, (n, 2, 1)).astype(np.float32)
            sides = soft_edge(np.abs(axis - middle) - half, size)
            colour = generator.uniform(0.1, 0.9, (n, 3)).astype(np.float32)
            _lay(canvas, colour, sides[:, 1, :, None] * sides[:, 0, None, :])
    return canvas


def _colours(style: Style, n: int, generator: np.random.Generator) -> np.ndarray:
    """(n, parts + 1, 3) float32, the last one of a sketch's lines."""
    names = list(PARTS)

    def random(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, (n, 1, 3))

    colours = np.zeros((n, len(names) + 1, 3))
    match style:
        case "sticks":
            colours[:] = generator.uniform(0.75, 0.95, (n, 1, 1))
            for side, tint in zip(SIDES, ([0.0, -0.3, -0.5], [-0.5, -0.15, 0.0]), strict=True):
                colours[:, [i for i, name in enumerate(names) if name.startswith(side)]] += tint
        case "clothed":
            skin = generator.uniform(0.35, 0.95, (n, 1, 1)) * np.array([1.0, 0.8, 0.65])
            shirt, trousers, shoes = random(0.1, 1.0), random(0.05, 0.7), random(0.0, 0.4)
            for clothes, parts in (
                (skin, ("neck", "head", "palm", "forearm")),
                (shirt, ("torso", "upper_arm")),
                (trousers, ("thigh", "shin")),
                (shoes, ("sole",)),
            ):
                colours[:, [i for i, name in enumerate(names) if name.endswith(parts)]] = clothes
        case "textured":
            colours[:] = random(0.8, 1.0)
        case "sketch":
            colours[:] = random(0.85, 1.0)
            colours[:, -1] = generator.uniform(0.0, 0.2, (n, 1))
        case "silhouettes":
            colours[:] = random(0.0, 0.2)
    return colours.astype(np.float32)

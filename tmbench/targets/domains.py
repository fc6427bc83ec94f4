"""Scenes to be segmented, in domains: the same classes of figures everywhere, each domain with its own appearance.

What tells classes apart is their outline and, where a domain has colours, their hue: each class has one of its own
around which figures vary. Turning the light around turns every hue to its opposite, between two other classes'.
"""

from collections.abc import Sequence

import numpy as np

from tmbench.errors import ConfigError, unknown
from tmbench.identity import Seeds
from tmbench.targets.canvas import on_wheel, to_uint8
from tmbench.targets.figures import SHAPES, radii_of
from tmbench.targets.scenes import Ground, grounds
from tmbench.targets.segmentation import IGNORED, SegmentationImages
from tmbench.targets.shapes import draw_outlines

CHUNK = 64
"""Scenes drawn from one random stream; a smaller set is the beginning of a larger one."""

COVERED = 0.5
"""Coverage of a pixel from which on it is the figure's."""


def domains(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    figures: Sequence[str] = ("disc", "triangle", "star", "cross", "square"),
    image_size: int = 48,
    least: int = 2,
    most: int = 4,
    radius: tuple[float, float] = (0.34, 0.58),
    turn: float = 20.0,
    ground: Ground = "plain",
    contrast: float = 0.25,
    chroma: float = 0.2,
    spread: float = 0.09,
    hollow: float = 0.0,
    inverted: bool = False,
    brightness: float = 1.0,
    blur: float = 0.0,
    noise: float = 0.04,
    border: int = 1,
) -> SegmentationImages:
    """What is where? Class 0 is the ground, the others are ``figures`` in their order; later figures hide earlier ones.

    Args:
        split: which images.
        size: how many.
        seeds: the random streams.
        figures: names of plain shapes (:data:`tmbench.targets.figures.SHAPES`).
        image_size: height and width in pixels.
        least: fewest figures of an image.
        most: most figures.
        radius: smallest and largest of a figure, half the image's side being 1.
        turn: largest rotation in degrees.
        ground: what is behind: black, one colour in uneven light, that with lines across it, or a texture.
        contrast: least difference of brightness between figures and ground.
        chroma: how far a figure's colour is from grey; 0 leaves the outline alone to tell classes apart.
        spread: standard deviation of figures' hues about their class's, in turns of the colour wheel.
        hollow: the part of a figure, as a share of its radius, through which the ground is seen; it is labelled as
            the figure all the same.
        inverted: light and dark change places.
        brightness: of the whole image, before noise.
        blur: standard deviation in pixels of what the lens smears.
        noise: standard deviation of the pixels' noise, white being 1.
        border: pixels on either side of every outline that are ignored; 0 for none.

    Raises:
        ConfigError: for options that fit no scene, and for a set without a size.
    """
    if size is None:
        raise ConfigError(f"domains are drawn, so there is no 'all of them': give sizes.{split}.")
    if not (1 <= least <= most and 0 < radius[0] <= radius[1] <= 1 and 0 <= hollow < 1 and border >= 0):
        raise ConfigError("domains need 1 ≤ least ≤ most, 0 < radius[0] ≤ radius[1] ≤ 1, 0 ≤ hollow < 1, border ≥ 0.")
    for name in figures:
        if name not in SHAPES:
            raise unknown("plain shape", name, SHAPES, where="figures")
    radii = np.stack([radii_of(SHAPES[name]) for name in figures])
    images, labels = [], []
    for chunk in range(-(-size // CHUNK)):
        generator = seeds.generator(split, chunk)
        canvas, light = grounds(ground, CHUNK, image_size, generator, seeds)
        owner = np.zeros((CHUNK, image_size, image_size), dtype=np.uint8)  # 0 the ground, k + 1 figure k
        classes = generator.integers(len(figures), size=(CHUNK, most))
        there = np.arange(most) < generator.integers(least, most + 1, (CHUNK, 1))
        hue = classes / len(figures) + generator.normal(0.0, spread, (CHUNK, most))
        bright = light[:, None] + contrast + generator.uniform(0.0, 0.25, (CHUNK, most))
        colour = on_wheel(hue, bright, chroma * generator.uniform(0.6, 1.2, (CHUNK, most)))
        place = _places(CHUNK, most, generator)
        reach = generator.uniform(*radius, (CHUNK, most))
        angle = np.deg2rad(generator.uniform(-turn, turn, (CHUNK, most)))
        for k in range(most):
            outline = (radii[classes[:, k]], place[:, k])
            cover = draw_outlines(*outline, reach[:, k], angle[:, k], image_size) * there[:, k, None, None]
            owner[cover >= COVERED] = k + 1
            if hollow:
                cover = cover - draw_outlines(*outline, hollow * reach[:, k], angle[:, k], image_size) * cover
            canvas = canvas + cover[..., None] * (colour[:, k, None, None] - canvas)
        images.append(to_uint8(_developed(canvas, inverted, brightness, blur), generator, noise))
        labels.append(_labelled(owner, classes, border))
    kept = slice(0, size)
    return SegmentationImages.of_arrays(
        ("ground", *figures), np.concatenate(images)[kept], np.concatenate(labels)[kept]
    )


def _places(n: int, most: int, generator: np.random.Generator) -> np.ndarray:
    """(n, most, 2) centres in -0.75..0.75, each the farthest of a few tries from those before it."""
    tries = generator.uniform(-0.75, 0.75, (n, most, 6, 2))
    out = tries[:, :, 0].copy()
    for k in range(1, most):
        apart = np.linalg.norm(tries[:, k, :, None] - out[:, None, :k], axis=-1).min(axis=2)
        out[:, k] = tries[np.arange(n), k, apart.argmax(axis=1)]
    return out


def _developed(canvas: np.ndarray, inverted: bool, brightness: float, blur: float) -> np.ndarray:
    """The painted (n, h, w, 3) as the camera of the domain shows it."""
    from scipy.ndimage import gaussian_filter

    canvas = (1.0 - canvas if inverted else canvas) * np.float32(brightness)
    return gaussian_filter(canvas, (0, blur, blur, 0), mode="nearest") if blur else canvas


def _labelled(owner: np.ndarray, classes: np.ndarray, border: int) -> np.ndarray:
    """(n, h, w) uint8 labels of the pixels that ``owner`` gives to the ground or to figures (n, k) of ``classes``."""
    from scipy.ndimage import maximum_filter, minimum_filter

    table = np.concatenate([np.zeros((len(classes), 1), np.int64), classes + 1], axis=1).astype(np.uint8)
    labels = table[np.arange(len(owner))[:, None, None], owner]
    if border:
        window = (1, 2 * border + 1, 2 * border + 1)
        labels[minimum_filter(owner, window) != maximum_filter(owner, window)] = IGNORED
    return labels

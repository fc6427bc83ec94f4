"""What a scene shows: plain shapes, printed characters, real digits, invented signs, pieces of texture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.canvas import distance_to_points, grid, soft_edge
from tmbench.targets.digits import FOLDS, enlarge
from tmbench.targets.glyphs import TILE, sample, tiles_of
from tmbench.targets.shapes import ANGLES, draw_outlines, random_outlines
from tmbench.targets.strokes import along_curves
from tmbench.targets.textures import Spectra, coloured

Draw = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

DIGITS = Seeds("the folds of the digits in scenes")
"""Deals the real digits to the splits, the same way in every set: what one set tests on, no other trains on."""


@dataclass(frozen=True)
class Figures:
    """Things that can be drawn.

    Attributes:
        classes: the name of each class.
        cover: (labels (n,), side, generator) → (n, side, side) float coverage in 0..1, each figure filling its tile.
        colour: the same → (n, side, side, 3) float32, where figures have a colour pattern of their own.
    """

    classes: tuple[str, ...]
    cover: Draw
    colour: Draw | None = None


def plain_shapes(classes: int, turn: float) -> Figures:
    """Filled shapes that have a name; the first ``classes`` of :data:`SHAPES`, turned by up to ``turn`` degrees."""
    if classes > len(SHAPES):
        raise ConfigError(f"there are {len(SHAPES)} plain shapes ({', '.join(SHAPES)}), not {classes}.")
    names = tuple(SHAPES)[:classes]
    radii = np.stack([radii_of(SHAPES[name]) for name in names])

    def cover(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        return _outlined(radii[labels], side, turn, generator)

    return Figures(names, cover)


def _polygon(corners: int, inner: float = 0.0) -> np.ndarray:
    """(m, 2) corners of a regular polygon; with ``inner``, of a star whose notches are that far from its centre."""
    count = 2 * corners if inner else corners
    angle = np.arange(count) * (2 * np.pi / count)
    radius = np.where(np.arange(count) % 2, inner or 1.0, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _cross(arm: float) -> np.ndarray:
    quarter = np.array([[1.0, -arm], [1.0, arm], [arm, arm]]) / np.hypot(1.0, arm)
    turns = [np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) for a in np.arange(4) * np.pi / 2]
    return np.concatenate([quarter @ turn for turn in turns])


SHAPES: dict[str, np.ndarray] = {
    "disc": _polygon(ANGLES),
    "triangle": _polygon(3),
    "star": _polygon(5, inner=0.42),
    "cross": _cross(0.32),
    "square": _polygon(4),
    "ellipse": _polygon(ANGLES) * [1.0, 0.45],
    "bar": np.array([[1.0, 0.25], [-1.0, 0.25], [-1.0, -0.25], [1.0, -0.25]]) / np.hypot(1.0, 0.25),
    "needle star": _polygon(4, inner=0.25),
}
"""Corners in order, the farthest at distance 1; all seen from the centre."""


def radii_of(corners: np.ndarray) -> np.ndarray:
    """(ANGLES,) float32: how far from the centre the outline through ``corners`` is, in each direction."""
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    ray = np.stack([np.cos(theta), np.sin(theta)], axis=1)[:, None]
    start = corners[None]
    edge = np.roll(corners, -1, axis=0)[None] - start
    across = ray[..., 0] * edge[..., 1] - ray[..., 1] * edge[..., 0]
    safe = np.where(np.abs(across) < 1e-12, np.inf, across)
    length = (start[..., 0] * edge[..., 1] - start[..., 1] * edge[..., 0]) / safe
    place = (start[..., 0] * ray[..., 1] - start[..., 1] * ray[..., 0]) / safe
    met = (length > 0) & (place >= -1e-9) & (place <= 1 + 1e-9)
    return np.where(met, length, 0.0).max(axis=1).astype(np.float32)


def _outlined(radii: np.ndarray, side: int, turn: float, generator: np.random.Generator) -> np.ndarray:
    n = len(radii)
    angle = np.deg2rad(generator.uniform(-turn, turn, n))
    # A tenth of a pixel less than the tile, so that no edge is cut.
    radius = np.full(n, 1.0 - 0.2 / side)
    return draw_outlines(radii, np.zeros((n, 2)), radius, angle, side)


def characters(classes: int, letters: str, faces: Sequence[str], turn: float) -> Figures:
    """The first ``classes`` of the printed characters ``letters``; the typeface (of matplotlib's) is a nuisance."""
    if not 1 <= classes <= len(letters) or not faces:
        raise ConfigError(
            f"glyphs need 'letters', one a class and so {classes} at least (there are {len(letters)}), and 'faces', "
            "typefaces in matplotlib's fonts/ttf."
        )
    letters = letters[:classes]

    def cover(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        n = len(labels)
        face = generator.integers(len(faces), size=n)
        tiles = tiles_of(tuple(faces), letters)[face, labels]
        ink = tiles > 0.5
        angle = np.deg2rad(generator.uniform(-turn, turn, n)).astype(np.float32)[:, None, None]
        shear = generator.uniform(-0.1, 0.1, n).astype(np.float32)[:, None, None]
        cos, sin = np.cos(angle), np.sin(angle)
        # The ink's box, sheared and turned, fills the tile but for a pixel of the character's own.
        high = _span(ink.any(axis=2))[:, None, None]
        wide = _span(ink.any(axis=1))[:, None, None] + np.abs(shear) * high
        span = np.maximum(cos * wide + np.abs(sin) * high, cos * high + np.abs(sin) * wide)
        reach = ((span + 2) / TILE).astype(np.float32)
        axis = grid(side)
        x, y = axis[None, None, :] * reach, axis[None, :, None] * reach
        u, v = cos * x + sin * y, cos * y - sin * x
        return sample(tiles, u + shear * v, v)

    return Figures(tuple(letters), cover)


def _span(flags: np.ndarray) -> np.ndarray:
    """(n,) how many positions lie from the first to the last True of (n, m)."""
    return flags.shape[1] - flags.argmax(axis=1) - flags[:, ::-1].argmax(axis=1)


def real_digits(split: str, classes: int) -> Figures:
    """The first ``classes`` of scikit-learn's handwritten digits; no image is in two splits, nor in another set's."""
    from sklearn.datasets import load_digits

    if not 1 <= classes <= 10:
        raise ConfigError(f"there are ten digits, not {classes}.")
    given = load_digits()
    folds = [
        DIGITS.generator("folds", label).permutation(np.flatnonzero(given.target == label))[FOLDS[split]]
        for label in range(classes)
    ]
    grey = given.images.astype(np.float32) / 16.0

    def cover(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        chosen = [folds[label][generator.integers(len(folds[label]))] for label in labels]
        return enlarge(grey[chosen], side)

    return Figures(tuple("0123456789"[:classes]), cover)


def signs(classes: int, turn: float, seeds: Seeds, pens: int = 3, jitter: float = 0.1) -> Figures:
    """Invented handwriting: a class is ``pens`` random curves, each figure a writer's own version of them."""
    ideal = seeds.generator("signs").uniform(-0.8, 0.8, (classes, pens, 3, 2))

    def cover(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        n = len(labels)
        control = ideal[labels] + generator.normal(0.0, jitter, (n, pens, 3, 2))
        angle = np.deg2rad(generator.uniform(-turn, turn, n))
        turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)
        points = along_curves(np.einsum("nij,npkj->npki", turned, control), 2 * side // pens)
        width = generator.uniform(0.09, 0.15, (n, 1, 1))
        low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
        half = (high - low).max(axis=2, keepdims=True) / 2
        points = (points - (low + high) / 2) / half * (0.98 - width)
        return soft_edge(distance_to_points(points, side) - width.astype(np.float32), side)

    return Figures(tuple(f"sign {i}" for i in range(classes)), cover)


def fabrics(classes: int, turn: float, seeds: Seeds) -> Figures:
    """Pieces of texture in any of twelve outlines: the texture is the class, the outline is a nuisance."""
    spectra = Spectra.drawn(seeds.generator("spectra"), classes, 2)
    outlines = random_outlines(seeds.generator("shapes"), 12, 4)

    def cover(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        return _outlined(outlines[generator.integers(len(outlines), size=len(labels))], side, 180.0, generator)

    def colour(labels: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        return coloured(spectra.fields(labels, generator, side, turn), generator)

    return Figures(tuple(f"texture {i}" for i in range(classes)), cover, colour)

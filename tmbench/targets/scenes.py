"""Scenes that are drawn: figures of several classes on a ground, hiding one another, with exact boxes and masks.

The defaults are what a detector of half a million weights learns within a minute on one processor core: 96 pixels,
one to three objects of a quarter to half the image's side. On black with digits it is the form of the synthetic study
of Fouquet et al. (Transferability Metrics for Object Detection, 2023).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.canvas import distance_to_points, grid, segments, soft_edge, to_uint8
from tmbench.targets.detection import DetectionImages, Objects
from tmbench.targets.figures import Figures, characters, fabrics, plain_shapes, real_digits, signs
from tmbench.targets.runs import encoded, extents
from tmbench.targets.textures import Spectra, coloured

Kind = Literal["shapes", "glyphs", "digits", "signs", "fabrics"]
Ground = Literal["black", "plain", "clutter", "textured"]

CHUNK = 64
"""Scenes drawn from one random stream; a smaller set is the beginning of a larger one."""

TRIES = 12
"""Places at which a figure is tried before the scene goes without it."""

SMALLEST = 12
"""Pixels of which less is not an object."""


def scenes(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    figures: Kind,
    classes: int = 4,
    letters: str = "",
    faces: Sequence[str] = (),
    image_size: int = 96,
    least: int = 1,
    most: int = 3,
    scale: tuple[float, float] = (0.24, 0.5),
    turn: float = 15.0,
    overlap: float = 0.3,
    ground: Ground = "plain",
    contrast: float = 0.3,
    noise: float = 0.03,
) -> DetectionImages:
    """Which figures are where? A box is the extent of its mask, a mask the figure's pixels that nothing hides.

    Args:
        split: which images; splits have streams, and digits have images, of their own.
        size: how many.
        seeds: the random streams.
        figures: what is drawn; ``signs`` and ``fabrics`` are invented anew by each seed.
        classes: how many classes; of shapes, digits and ``letters`` the first ones.
        letters: the characters that ``glyphs`` draws, one a class.
        faces: file names of typefaces in matplotlib's ``fonts/ttf``, without the ending, for ``glyphs``.
        image_size: height and width in pixels.
        least: fewest objects of an image.
        most: most objects; an image in which no place is left has fewer.
        scale: smallest and largest side of an object, as a share of the image's.
        turn: largest rotation in degrees; digits stand upright, as they were written.
        overlap: largest share of an object's pixels that later ones may hide.
        ground: what is behind: black (with white figures), one colour in uneven light, that with lines across it, or
            a texture.
        contrast: least difference of brightness between figures and ground; does not concern black and fabrics.
        noise: standard deviation of the pixels' noise, white being 1.

    Raises:
        ConfigError: for options that fit no scene, and for a set without a size.
    """
    if size is None:
        raise ConfigError(
            f"scenes are drawn, so there is no 'all of them': give sizes.{split}, and choose classes by 'classes' or "
            "'letters', not by only_classes."
        )
    if not (1 <= least <= most and 0 < scale[0] <= scale[1] <= 1 and 0 <= overlap < 1):
        raise ConfigError("scenes need 1 ≤ least ≤ most, 0 < scale[0] ≤ scale[1] ≤ 1 and 0 ≤ overlap < 1.")
    kind = _figures(figures, split, classes, letters, faces, turn, seeds)
    images = np.empty((size, image_size, image_size, 3), dtype=np.uint8)
    found: list[Objects] = []
    sides = (round(scale[0] * image_size), round(scale[1] * image_size))
    for start in range(0, size, CHUNK):
        generator = seeds.generator(split, start // CHUNK)
        canvas, light = grounds(ground, CHUNK, image_size, generator, seeds)
        count = generator.integers(least, most + 1, CHUNK)
        labels = generator.integers(len(kind.classes), size=(CHUNK, most))
        side = generator.integers(sides[0], sides[1] + 1, (CHUNK, most))
        white = ground == "black"
        colours = np.ones((CHUNK, most, 3), np.float32) if white else _colours(light, most, contrast, generator)
        tiles, patterns = _tiles(kind, labels, side, generator)
        for i in range(min(CHUNK, size - start)):
            rng = np.random.Generator(np.random.PCG64(seeds.integer(f"places {split}", start + i)))
            placed = _place(tiles[i * most : i * most + count[i]], image_size, overlap, rng)
            for k, corner in placed:
                pattern = patterns[i * most + k] if patterns else colours[i, k]
                _paste(canvas[i], tiles[i * most + k], pattern, corner)
            found.append(_objects(placed, tiles[i * most : (i + 1) * most], labels[i], image_size))
        images[start : start + CHUNK] = to_uint8(canvas, generator, noise)[: size - start]
    return DetectionImages.of_arrays(kind.classes, images, found)


def _figures(
    kind: Kind, split: str, classes: int, letters: str, faces: Sequence[str], turn: float, seeds: Seeds
) -> Figures:
    match kind:
        case "shapes":
            return plain_shapes(classes, turn)
        case "glyphs":
            return characters(classes, letters, faces, turn)
        case "digits":
            return real_digits(split, classes)
        case "signs":
            return signs(classes, turn, seeds)
        case "fabrics":
            return fabrics(classes, turn, seeds)
    raise ConfigError(f"no figures are named '{kind}'; there are shapes, glyphs, digits, signs and fabrics.")


def grounds(
    kind: Ground, n: int, size: int, generator: np.random.Generator, seeds: Seeds
) -> tuple[np.ndarray, np.ndarray]:
    """(n, size, size, 3) float32 grounds, and how bright each is, (n,) in 0..0.5."""
    light = generator.uniform(0.05, 0.45, n).astype(np.float32)
    if kind == "black":
        return np.zeros((n, size, size, 3), np.float32), np.zeros(n, np.float32)
    if kind == "textured":
        spectra = Spectra.drawn(seeds.generator("ground"), 6, 2)
        canvas = coloured(spectra.fields(generator.integers(6, size=n), generator, size, 180.0), generator)
        return canvas - (0.5 - light)[:, None, None, None] * 0.6, light
    if kind not in ("plain", "clutter"):
        raise ConfigError(f"no ground is named '{kind}'; there are black, plain, clutter and textured.")
    tint = generator.uniform(-0.1, 0.1, (n, 1, 1, 3)).astype(np.float32)
    slope = generator.uniform(-0.1, 0.1, (2, n, 1, 1, 1)).astype(np.float32)
    axis = grid(size)
    canvas = light[:, None, None, None] + tint + slope[0] * axis[:, None] + slope[1] * axis[:, None, None]
    if kind == "clutter":
        for _ in range(4):
            ends = generator.uniform(-1.2, 1.2, (n, 1, 2, 2))
            lines = soft_edge(distance_to_points(segments(ends, size // 2), size) - 0.02, size)[..., None]
            change = generator.uniform(-0.3, 0.3, (n, 1, 1, 3)).astype(np.float32)
            canvas = canvas + lines * change
    return canvas, light


def _colours(light: np.ndarray, most: int, contrast: float, generator: np.random.Generator) -> np.ndarray:
    """(n, most, 3) float32 colours, each lighter than its image's ground."""
    least = light[:, None] + contrast
    bright = least + (np.maximum(1.0, least) - least) * generator.uniform(0.0, 0.8, (len(light), most))
    return (bright[..., None] + generator.uniform(-0.15, 0.15, (len(light), most, 3))).astype(np.float32)


def _tiles(
    kind: Figures, labels: np.ndarray, sides: np.ndarray, generator: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each figure's coverage (side, side), and its colours where it has its own; tiles of one side at a time."""
    flat, side = labels.reshape(-1), sides.reshape(-1)
    covers: list[np.ndarray] = [np.empty(0)] * len(flat)
    patterns: list[np.ndarray] = [np.empty(0)] * len(flat) if kind.colour else []
    for length in np.unique(side).tolist():
        rows = np.flatnonzero(side == length)
        for row, cover in zip(rows, kind.cover(flat[rows], length, generator), strict=True):
            covers[row] = cover.astype(np.float32)
        if kind.colour:
            for row, pattern in zip(rows, kind.colour(flat[rows], length, generator), strict=True):
                patterns[row] = pattern
    return covers, patterns


def _place(
    tiles: Sequence[np.ndarray], size: int, overlap: float, generator: np.random.Generator
) -> list[tuple[int, tuple[int, int]]]:
    """Which tiles are drawn, in that order, and their upper left corners; those for which no place is left are not."""
    owner = np.full((size, size), -1)
    placed: list[tuple[int, tuple[int, int]]] = []
    whole = [int((tile > 0.5).sum()) for tile in tiles]
    left = list(whole)
    for k, tile in enumerate(tiles):
        solid = tile > 0.5
        side = len(tile)
        if whole[k] < SMALLEST:
            continue
        for down, across in generator.integers(size - side + 1, size=(TRIES, 2)).tolist():
            under = owner[down : down + side, across : across + side][solid]
            hidden = np.bincount(under[under >= 0], minlength=k)
            after = [left[j] - int(hidden[j]) for j, _ in placed]
            if all(
                pixels >= max(SMALLEST, (1 - overlap) * whole[j]) for pixels, (j, _) in zip(after, placed, strict=True)
            ):
                for pixels, (j, _) in zip(after, placed, strict=True):
                    left[j] = pixels
                owner[down : down + side, across : across + side][solid] = k
                placed.append((k, (down, across)))
                break
    return placed


def _paste(canvas: np.ndarray, tile: np.ndarray, colour: np.ndarray, corner: tuple[int, int]) -> None:
    """Draw into ``canvas`` (h, w, 3); ``colour`` is (3,) or (side, side, 3)."""
    down, across = corner
    region = canvas[down : down + len(tile), across : across + len(tile)]
    region += tile[..., None] * (colour - region)


def _objects(
    placed: Sequence[tuple[int, tuple[int, int]]], tiles: Sequence[np.ndarray], labels: np.ndarray, size: int
) -> Objects:
    bitmaps = np.zeros((len(placed), size, size), dtype=bool)
    for row, (k, (down, across)) in enumerate(placed):
        solid = tiles[k] > 0.5
        window = (slice(down, down + len(solid)), slice(across, across + len(solid)))
        bitmaps[:row][(slice(None), *window)] &= ~solid
        bitmaps[row][window] = solid
    return Objects(
        extents(bitmaps),
        labels[[k for k, _ in placed]].astype(np.int64),
        np.zeros(len(placed), dtype=bool),
        bitmaps.sum(axis=(1, 2)).astype(np.float64),
        encoded(bitmaps),
    )

"""Printed characters: the typefaces that matplotlib ships, turned, sheared, bent, coloured and cluttered."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tmbench.identity import Seeds
from tmbench.targets.canvas import CHUNK, grid, in_parts, paint
from tmbench.targets.classification import LabelledImages, balanced_labels

TILE = 56
"""Height and width in pixels of a character before it is warped."""


def characters(
    split: str,
    size: int,
    seeds: Seeds,
    *,
    letters: str,
    faces: Sequence[str],
    image_size: int = 32,
    turn: float = 15.0,
    noise: float = 0.1,
    clutter: int = 3,
) -> LabelledImages:
    """Which character is it? One class a character of ``letters``; the typeface is a nuisance.

    Args:
        split: which images; splits have streams of their own.
        size: how many.
        seeds: the random streams.
        letters: the classes.
        faces: file names of typefaces in matplotlib's ``fonts/ttf``, without the ending.
        image_size: height and width in pixels.
        turn: largest rotation in degrees.
        noise: standard deviation of the pixels' noise.
        clutter: lines behind the character.
    """
    generator = seeds.generator(split)
    labels = balanced_labels(size, len(letters), generator)

    def draw(part: np.ndarray) -> np.ndarray:
        face = generator.integers(len(faces), size=len(part))
        tiles = tiles_of(tuple(faces), letters)[face, part]
        mask = _warp(tiles, image_size, generator, turn)
        return paint(mask, generator, noise=noise, clutter=clutter)

    return LabelledImages(in_parts(labels, draw), labels, tuple(letters))


@cache
def tiles_of(faces: tuple[str, ...], letters: str) -> np.ndarray:
    """(faces, letters, TILE, TILE) float32 coverage of each character, its ink centred."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    out = np.zeros((len(faces), len(letters), TILE, TILE), dtype=np.float32)
    for i, face in enumerate(faces):
        font = ImageFont.truetype(str(folder / f"{face}.ttf"), 44)
        for j, letter in enumerate(letters):
            image = Image.new("L", (TILE, TILE))
            left, top, right, bottom = font.getbbox(letter)
            place = ((TILE - left - right) / 2, (TILE - top - bottom) / 2)
            ImageDraw.Draw(image).text(place, letter, fill=255, font=font)
            out[i, j] = np.asarray(image, dtype=np.float32) / 255.0
    return out


def _warp(tiles: np.ndarray, size: int, generator: np.random.Generator, turn: float) -> np.ndarray:
    """(n, size, size): each tile rotated, scaled, sheared, shifted and bent by a random amount."""
    n = len(tiles)
    angle = np.deg2rad(generator.uniform(-turn, turn, n)).astype(np.float32)
    scale = generator.uniform(0.8, 1.25, (n, 2)).astype(np.float32)
    shear = generator.uniform(-0.2, 0.2, n).astype(np.float32)
    shift = generator.uniform(-0.2, 0.2, (n, 2)).astype(np.float32)
    bend = generator.uniform(-0.06, 0.06, (n, 2)).astype(np.float32)
    phase = generator.uniform(0, 2 * np.pi, (n, 2)).astype(np.float32)
    axis = grid(size)
    out = np.empty((n, size, size), dtype=np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        x = axis[None, None, :] - shift[part, 0, None, None]
        y = axis[None, :, None] - shift[part, 1, None, None]
        cos, sin = np.cos(angle[part])[:, None, None], np.sin(angle[part])[:, None, None]
        u = (cos * x + sin * y) / scale[part, 0, None, None]
        v = (cos * y - sin * x) / scale[part, 1, None, None]
        u = u + shear[part, None, None] * v
        u, v = (
            u + bend[part, 0, None, None] * np.sin(3 * v + phase[part, 0, None, None]),
            v + bend[part, 1, None, None] * np.sin(3 * u + phase[part, 1, None, None]),
        )
        out[part] = sample(tiles[part], u, v)
    return out


def sample(tiles: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The tiles' bilinear values at (u, v) on axes from -1 to 1; 0 outside."""
    across = (u + 1) * (TILE / 2) - 0.5
    down = (v + 1) * (TILE / 2) - 0.5
    inside = (across > 0) & (across < TILE - 1) & (down > 0) & (down < TILE - 1)
    across, down = np.clip(across, 0, TILE - 1.001), np.clip(down, 0, TILE - 1.001)
    i, j = down.astype(np.int64), across.astype(np.int64)
    a, b = down - i, across - j
    flat = tiles.reshape(-1)
    base = np.arange(len(tiles))[:, None, None] * (TILE * TILE) + i * TILE + j
    upper = flat[base] * (1 - b) + flat[base + 1] * b
    lower = flat[base + TILE] * (1 - b) + flat[base + TILE + 1] * b
    return np.where(inside, upper * (1 - a) + lower * a, 0.0)

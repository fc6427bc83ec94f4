"""dSprites: a white square, ellipse or heart of any size, turn and place (Matthey et al., 2017)."""

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.targets.annotations import existing_file, share_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.regression import RegressionImages, Row

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"

NUMBERS = {"scale": (2, 0.5, 1.0), "orientation": (3, 0.0, 2 * np.pi), "x": (4, 0.0, 1.0), "y": (5, 0.0, 1.0)}
"""The column of each number among the file's latents (colour, shape, scale, orientation, x, y), and its range."""

BLOCK = 4096
"""Images read from the file at a time."""


def dsprites(
    split: str,
    size: int | None,
    seeds: Seeds,
    *,
    folder: str,
    file: str = FILE,
    pool: int | None = 20_000,
    validation_share: float = 0.1,
    test_share: float = 0.2,
) -> RegressionImages:
    """What are the sprite's scale, orientation, x and y? Each is scaled to 0..1.

    Of the file, its three arrays are read and nothing else: its ``metadata`` is a pickle, which could run code. Images
    are inflated once, in blocks, when the first is asked for, and only those of the split are kept.

    Args:
        split: which images.
        size: how many will be used; all of the split are given, and ``load`` draws.
        seeds: draws the pool and the shares.
        folder: where the file is.
        file: its name.
        pool: so many of the file's 737,280 images make the set, drawn; all where null.
        validation_share: the share of the pool that is the validation split.
        test_share: the same for the test split.

    Raises:
        BadData: for a missing file, and one that is not dSprites'.
        ConfigError: for a pool that is no number of images, and shares that are none.
    """
    path = existing_file(str(Path(folder).expanduser() / file), folder)
    latents = _latents(path, path.stat().st_mtime_ns)
    count = len(latents)
    if pool is not None and not (isinstance(pool, int) and pool > 0):
        raise ConfigError(f"pool is a number of images, or null for all, not {pool}.")
    if pool is not None and pool > count:
        raise BadData(f"{path} has {count} images, fewer than pool={pool}; lower it, or give null for all.")
    order = seeds.generator("pool").permutation(count)
    chosen = np.sort(order[: count if pool is None else pool])
    belongs = share_of(split, len(chosen), {"validation": validation_share, "test": test_share}, seeds)
    rows = chosen[belongs]
    values = np.stack([_scaled(latents, path, name) for name in NUMBERS], axis=1)[rows]
    stamp = path.stat().st_mtime_ns

    def picture(i: int) -> np.ndarray:
        grey = _images(path, stamp, chosen.tobytes())[int(np.searchsorted(chosen, rows[i]))]
        return np.repeat((grey * np.uint8(255))[..., None], 3, axis=2)

    labels = [f"{path}, image {row}" for row in rows.tolist()]
    return RegressionImages(tuple(NUMBERS), labels, lambda i: Row(values[i]), picture, is_points=False)


def _scaled(latents: np.ndarray, path: Path, name: str) -> np.ndarray:
    column, low, high = NUMBERS[name]
    share = (latents[:, column] - low) / (high - low)
    if not ((share > -1e-6) & (share < 1 + 1e-6)).all():
        raise BadData(f"{path}: {name} is not within {low:g} and {high:g} in every image; is it dSprites' file?")
    return np.asarray(np.clip(share, 0, 1))


@lru_cache(maxsize=1)
def _latents(path: Path, changed: int) -> np.ndarray:
    """(n, 6) float64. ``changed``, the file's time, keeps what is remembered true."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("latents_values.npy") as file:
            latents = np.lib.format.read_array(file, allow_pickle=False)
    except (KeyError, ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadData(f"{path} is not dSprites' file ({error}); is it whole?") from error
    if latents.ndim != 2 or latents.shape[1] != 6 or latents.dtype.kind != "f" or len(latents) == 0:
        raise BadData(f"{path}: latents_values must be (n, 6) numbers, not {latents.shape} {latents.dtype}.")
    return np.asarray(latents, dtype=np.float64)


@lru_cache(maxsize=1)
def _images(path: Path, changed: int, wanted: bytes) -> np.ndarray:
    """(m, h, w) uint8, 0 or 1, at the ascending rows ``wanted`` (int64)."""
    rows = np.frombuffer(wanted, dtype=np.int64)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as file:
            return _picked(file, rows)
    except (KeyError, ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadData(f"{path} is not dSprites' file ({error}); is it whole?") from error


def _picked(file: IO[bytes], rows: np.ndarray) -> np.ndarray:
    """The images at ``rows`` of an array in NumPy's format, of which never more than a block is inflated."""
    version = np.lib.format.read_magic(file)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in heads:
        raise ValueError(f"imgs is of version {version} of NumPy's format")
    shape, fortran, dtype = heads[version](file)
    if len(shape) != 3 or dtype != np.uint8 or fortran or shape[0] <= int(rows.max(initial=0)):
        raise ValueError(f"imgs is {shape} {dtype}")
    out = np.empty((len(rows), *shape[1:]), dtype=np.uint8)
    each = shape[1] * shape[2]
    for start in range(0, int(rows.max(initial=-1)) + 1, BLOCK):
        count = min(BLOCK, shape[0] - start)
        data = file.read(count * each)
        if len(data) != count * each:
            raise ValueError("imgs is cut off")
        first, last = np.searchsorted(rows, [start, start + count])
        block = np.frombuffer(data, dtype=np.uint8).reshape(count, *shape[1:])
        out[first:last] = block[rows[first:last] - start]
    if out.max(initial=0) > 1:
        raise ValueError("imgs has values above 1")
    return out

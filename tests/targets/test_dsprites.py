import itertools
import zipfile

import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import BadData, dsprites, load
from tmbench.targets.dsprites import FILE
from tmbench.targets.options import RegressionTarget


class Trap:
    """What a pickle could do."""

    def __reduce__(self):
        return (exec, ("raise RuntimeError('the pickle was read')",))


def written(folder, count=None, compressed=True, **changes):
    """A file of the same arrays as dSprites', of fewer images; image i has the pixels of i in binary."""
    latents = np.array(
        list(
            itertools.product(
                [1.0],
                [1.0, 2.0, 3.0],
                np.linspace(0.5, 1, 3),
                np.linspace(0, 2 * np.pi, 4),
                np.linspace(0, 1, 5),
                np.linspace(0, 1, 5),
            )
        )
    )[:count]
    numbers = np.arange(len(latents))
    images = np.zeros((len(latents), 8, 8), np.uint8)
    images.reshape(len(latents), -1)[:, :12] = numbers[:, None] >> np.arange(12) & 1
    content = {
        "metadata": np.array(Trap(), dtype=object),
        "imgs": images,
        "latents_values": latents,
        "latents_classes": np.zeros((len(latents), 6), np.int64),
    }
    folder.mkdir(exist_ok=True)
    (np.savez_compressed if compressed else np.savez)(folder / FILE, **{**content, **changes})
    return latents


def target(folder, **options):
    (described,) = describe_options("target", ["dsprites"], OptionFolders()).values()
    parameters = {**described["parameters"], "pool": 400, **options.pop("parameters", {})}
    return RegressionTarget.model_validate(
        {**described, "parameters": parameters, "folder": str(folder), "image_size": 8, **options}
    )


def number_of(image):
    assert set(np.unique(image)) <= {0, 255}
    assert (image == image[..., :1]).all()
    return int((image[..., 0].reshape(-1)[:12] > 0) @ (1 << np.arange(12)))


@pytest.mark.parametrize("compressed", [True, False])
def test_each_image_goes_with_its_own_numbers(tmp_path, compressed):
    latents = written(tmp_path, compressed=compressed)
    seen = []
    for split, count in (("train", 280), ("validation", 40), ("test", 80)):
        data = load(target(tmp_path), split)
        assert len(data) == count
        assert data.outputs == ("scale", "orientation", "x", "y")
        assert not data.is_points
        rows = np.array([number_of(data.image(i)) for i in range(count)])
        true = latents[rows]
        expected = [(true[:, 2] - 0.5) / 0.5, true[:, 3] / (2 * np.pi), true[:, 4], true[:, 5]]
        np.testing.assert_allclose(data.values, np.stack(expected, axis=1), atol=1e-12)
        assert len(set(rows)) == count
        seen.append(set(rows))
    assert len(set.union(*seen)) == 400
    assert max(set.union(*seen)) > 800  # from the whole file, not from its beginning


def test_blocks_change_nothing(tmp_path, monkeypatch):
    written(tmp_path)
    images = []
    for block in (4096, 7, 1):
        monkeypatch.setattr(dsprites, "BLOCK", block)
        dsprites._images.cache_clear()
        data = load(target(tmp_path), "test")
        images.append([data.image(i).tobytes() for i in range(len(data))])
    assert images[0] == images[1] == images[2]


def test_draws_and_sizes(tmp_path):
    written(tmp_path)
    drawn = target(tmp_path, sizes={"train": 50}, draws={"count": 2})
    first, second = (load(one, "train").values.tobytes() for one in drawn.members().values())
    assert first != second
    assert load(target(tmp_path, sizes={"train": 50}, only=["x", "y"]), "train").values.shape == (50, 4)
    everything = load(target(tmp_path, parameters={"pool": None}), "train")
    assert len(everything) == 900 - 90 - 180


def test_no_image_is_inflated_before_one_is_asked_for(tmp_path, monkeypatch):
    written(tmp_path)
    monkeypatch.setattr(dsprites, "_picked", None)
    dsprites._images.cache_clear()
    assert len(load(target(tmp_path), "train")) == 280


def test_files_that_are_not_dsprites(tmp_path):
    with pytest.raises(BadData, match="there is no file"):
        load(target(tmp_path), "train")
    written(tmp_path)
    with pytest.raises(BadData, match="has 900 images, fewer than pool=901"):
        load(target(tmp_path, parameters={"pool": 901}), "train")
    written(tmp_path, latents_values=np.full((900, 6), 7.0))
    with pytest.raises(BadData, match=r"scale is not within 0\.5 and 1 in every image"):
        load(target(tmp_path), "train")
    written(tmp_path, latents_values=np.array([Trap()], dtype=object))
    with pytest.raises(BadData, match="is not dSprites' file"):
        load(target(tmp_path), "train")
    (tmp_path / FILE).write_bytes(b"no archive")
    with pytest.raises(BadData, match=r"is not dSprites' file.*is it whole"):
        load(target(tmp_path), "train")
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("imgs.npy", b"")
    with pytest.raises(BadData, match=r"latents_values\.npy"):
        load(target(tmp_path), "train")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"pool": -5}, "pool is a number of images, or null for all, not -5"),
        ({"pool": 0}, "pool is a number of images, or null for all, not 0"),
        ({"validation_share": 0.6, "test_share": 0.6}, "leave some of the train images"),
    ],
)
def test_pools_and_shares_that_make_no_sense(tmp_path, parameters, text):
    written(tmp_path)
    with pytest.raises(ConfigError, match=text):
        load(target(tmp_path, parameters=parameters), "train")


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.zeros((900, 8, 8), np.float32), "float32"),
        (np.full((900, 8, 8), 255, np.uint8), "values above 1"),
        (np.zeros((12, 8, 8), np.uint8), r"\(12, 8, 8\)"),
        (np.array([Trap()], dtype=object), "object"),
    ],
)
def test_pixels_that_are_none(tmp_path, images, text):
    written(tmp_path, imgs=images)
    dsprites._images.cache_clear()
    with pytest.raises(BadData, match=text):
        load(target(tmp_path), "train").image(0)

import time

import numpy as np
import pytest
from scipy import ndimage

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import load
from tmbench.targets.domains import domains
from tmbench.targets.options import target_of
from tmbench.targets.segmentation import IGNORED


def drawn(split="train", size=40, seed="a", **options):
    data = domains(split, size, Seeds(seed), **options)
    return np.stack([data.image(i) for i in range(size)]), np.stack([data.labels(i) for i in range(size)])


def shipped():
    folders = OptionFolders()
    names = [name for name in folders.names("target") if name.startswith("domain_")]
    return {name: target_of(content) for name, content in describe_options("target", names, folders).items()}


def test_the_shipped_domains_share_classes_and_differ():
    options = shipped()
    assert len(options) >= 6
    parts = {name: load(target, "train") for name, target in options.items()}
    assert {part.classes for part in parts.values()} == {("ground", "disc", "triangle", "star", "cross", "square")}
    looks = []
    for name, part in parts.items():
        pixels = np.stack([part.image(i) for i in range(len(part))]).astype(float) / 255
        assert pixels.shape == (40, 48, 48, 3), name
        fine = np.abs(np.diff(pixels, axis=2)).mean()
        looks.append([pixels.mean(), pixels.std(), 10 * fine, 10 * pixels.std(axis=-1).mean()])
    # No two alike in brightness, contrast, fine structure and colour taken together.
    apart = np.linalg.norm(np.array(looks)[:, None] - np.array(looks)[None], axis=-1)
    assert apart[~np.eye(len(looks), dtype=bool)].min() > 0.02
    keys = {target.data_set() for target in options.values()}
    assert len(keys) == len(options)


def test_six_hundred_images_in_three_seconds():
    start = time.process_time()
    drawn(size=600, ground="textured")
    assert time.process_time() - start < 3


def test_a_set_is_reproduced_and_begins_a_larger_one():
    images, labels = drawn(size=70, ground="clutter")
    again, labels_again = drawn(size=70, ground="clutter")
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    few, _ = drawn(size=20, ground="clutter")
    np.testing.assert_array_equal(few, images[:20])
    assert (drawn("test", 20)[0] != drawn("train", 20)[0]).mean() > 0.9
    assert (drawn(seed="b", size=20)[0] != drawn(size=20)[0]).mean() > 0.9


def test_labels_are_where_the_figures_are():
    images, labels = drawn(noise=0.0, chroma=0.0, ground="black", contrast=0.5, border=0)
    light = images.max(axis=-1) > 60
    assert ((labels > 0) == light).mean() > 0.99
    assert set(np.unique(labels)) == set(range(6))


@pytest.mark.parametrize("border", [1, 2])
def test_the_border_around_outlines_is_ignored(border):
    images, whole = drawn(border=0, most=1, least=1)
    same, labels = drawn(border=border, most=1, least=1)
    np.testing.assert_array_equal(images, same)
    kept = labels != IGNORED
    np.testing.assert_array_equal(labels[kept], whole[kept])
    for i in range(5):
        figure = whole[i] > 0
        square = np.ones((2 * border + 1, 2 * border + 1), bool)
        expected = ndimage.binary_dilation(figure, square) & ~ndimage.binary_erosion(figure, square, border_value=1)
        np.testing.assert_array_equal(labels[i] == IGNORED, expected)


def test_a_class_has_its_hue_except_on_negatives_and_in_grey():
    def hue(**options):
        images, labels = drawn(noise=0.0, ground="black", spread=0.02, size=60, **options)
        colours = np.stack([images[labels == label].mean(axis=0) for label in range(1, 6)])
        return colours - colours.mean(axis=1, keepdims=True)

    plain, negative, grey = hue(), hue(inverted=True), hue(chroma=0.0)
    # On the wheel at 0, 1/5, 2/5 …: the first is red, the others follow towards green and blue.
    assert plain.argmax(axis=1).tolist() == [0, 1, 1, 2, 2]
    np.testing.assert_allclose(negative, -plain, atol=4)
    assert np.abs(grey).max() < 2 < np.abs(plain).max()


def test_hollow_figures_are_labelled_whole():
    (images, labels), (full, same) = drawn(hollow=0.7, noise=0.0), drawn(noise=0.0)
    np.testing.assert_array_equal(labels, same)
    differ = (images != full).any(axis=-1)
    assert differ[(labels > 0) & (labels != IGNORED)].mean() > 0.2
    assert differ[labels == 0].mean() < 0.01


def test_what_fits_no_scene():
    with pytest.raises(ConfigError, match=r"give sizes\.train"):
        domains("train", None, Seeds("a"))
    with pytest.raises(ConfigError, match="least"):
        drawn(least=3, most=2)
    with pytest.raises(ConfigError, match=r"no plain shape is named 'discus'\. Nearest: 'disc'"):
        drawn(figures=["discus", "star"])
    with pytest.raises(ConfigError, match="no ground is named"):
        drawn(ground="sand")


def test_pixels_can_be_told_apart_but_not_at_once():
    """A classifier of small patches is far above chance, and far from perfect; it does not carry over to a negative."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    def patches(images, labels):
        parts = [ndimage.uniform_filter(images.astype(float), (0, side, side, 0)) for side in (1, 3, 9)]
        rows = np.random.default_rng(0).permutation(np.flatnonzero(labels.reshape(-1) != IGNORED))[:6000]
        return np.concatenate(parts, axis=-1).reshape(-1, 9)[rows] / 255, labels.reshape(-1)[rows]

    def accuracy(model, images, labels):
        features, truth = patches(images, labels)
        found = model.predict(features)
        return np.mean([(found[truth == label] == label).mean() for label in range(6)])

    model = LinearDiscriminantAnalysis(priors=np.full(6, 1 / 6)).fit(*patches(*drawn()))
    own = accuracy(model, *drawn("test"))
    assert 0.3 < own < 0.9
    assert accuracy(model, *drawn("test", inverted=True)) < own - 0.1

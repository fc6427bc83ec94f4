import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tmbench.errors import ConfigError
from tmbench.folders import shipped as conf
from tmbench.identity import Seeds
from tmbench.targets import common, load
from tmbench.targets.options import target_of

TASKS = ("class", "count", "colour", "depth", "edges")


def shipped(folder=""):
    """The options by their task."""
    found = {}
    for task in TASKS:
        with initialize_config_dir(str(conf("conf")), version_base="1.3"):
            config = compose("config", overrides=[f"+target={folder}common_{task}"])
        found[task] = target_of(OmegaConf.to_container(config.target, resolve=True))
    return found


def pixels(data):
    return data.images if hasattr(data, "images") else np.stack([data.image(i) for i in range(len(data))])


def dense(data):
    return np.stack([data.labels(i) for i in range(len(data))])


@pytest.mark.parametrize("split", ["train", "test"])
def test_all_tasks_share_their_images(split):
    first, *others = [pixels(load(target, split)) for target in shipped().values()]
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_a_set_is_reproduced_begins_a_larger_one_and_depends_on_the_seed():
    def images(split="train", size=30, seed="a"):
        common._drawn.cache_clear()
        return common.shape(split, size, Seeds(seed)).images

    np.testing.assert_array_equal(images(), images(size=100)[:30])
    assert (images() != images("test")).mean() > 0.9
    assert (images() != images(seed="b")).mean() > 0.9
    target = shipped()["class"]
    other = load(target.model_copy(update={"seed": 1}), "train")
    assert (other.images != load(target, "train").images).mean() > 0.9


def test_who_changes_an_image_changes_no_other_task():
    first = common.shape("train", 5, Seeds("a"))
    before = first.images.copy()
    first.images[:] = 0
    first.labels[:] = 0
    np.testing.assert_array_equal(common.count("train", 5, Seeds("a")).images, before)
    assert common.shape("train", 5, Seeds("a")).labels.any()


def test_every_class_of_every_task_is_there():
    for task, target in shipped().items():
        data = load(target, "train")
        labels = data.labels if task in ("class", "count", "colour") else dense(data)
        share = np.bincount(labels.reshape(-1), minlength=target.classes) / labels.size
        assert (share > 0.05).all(), task


def test_as_many_figures_can_be_seen_as_the_count_says():
    """A figure's distance is one number in several rows of pixels, the ground's another one in each row."""
    scenes = common._drawn("train", 300, Seeds("a").unit, 32, 0.0)
    seen = []
    for depth in scenes.depth:
        rows = np.concatenate([np.unique(row) for row in depth])
        seen.append((np.unique(rows, return_counts=True)[1] > 1).sum())
    assert (np.array(seen) <= scenes.count + 1).all()
    assert (np.array(seen) == scenes.count + 1).mean() > 0.97


def test_the_main_figure_is_the_nearest_and_has_its_colour():
    scenes = common._drawn("train", 300, Seeds("a").unit, 32, 0.0)
    wheel = np.arange(6) / 6
    right = 0
    for row in range(300):
        nearest = scenes.depth[row] == scenes.depth[row].min()
        middle = scenes.images[row][nearest].astype(float).mean(axis=0)
        turns = np.exp(2j * np.pi * np.arange(3) / 3)
        hue = np.angle(middle @ turns) / (2 * np.pi) % 1
        apart = np.abs((hue - wheel + 0.5) % 1 - 0.5)
        right += int(apart.argmin()) == scenes.colour[row]
    assert right > 270  # a haze of another colour and soft edges shift some hues over the border


def test_edges_are_where_depth_or_colour_change():
    scenes = common._drawn("train", 50, Seeds("a").unit, 32, 0.0)
    grey = scenes.images.astype(float).max(axis=-1) / 255
    steep = np.stack([np.hypot(*np.gradient(one)) for one in grey])
    assert np.corrcoef(steep.reshape(-1), scenes.edges.reshape(-1))[0, 1] > 0.7
    strong = dense(common.edges("train", 50, Seeds("a"))) == 3
    assert steep[strong].mean() > 5 * steep[~strong].mean()


def test_quantised():
    values = np.array([[0.0, 0.1, 0.5], [0.7, 0.9, 2.0]], np.float32)
    found = common.quantised(values, (0.1, 0.7, 1.0))
    assert found.dtype == np.uint8
    expected = [[sum(value >= level for level in np.float32([0.1, 0.7, 1.0])) for value in row] for row in values]
    np.testing.assert_array_equal(found, expected)


def test_levels_are_fixed_by_the_set_not_by_the_split():
    fifths, _ = common._levels(Seeds("a").unit, 32)
    assert list(fifths) == sorted(fifths)
    for split, size in (("train", 20), ("test", 300)):
        scenes = common._drawn(split, size, Seeds("a").unit, 32, 0.06)
        found = dense(common.depth(split, size, Seeds("a")))
        np.testing.assert_array_equal(found, np.digitize(scenes.depth, np.float32(fifths)))
    share = np.bincount(found.reshape(-1)) / found.size
    np.testing.assert_allclose(share, 0.2, atol=0.04)  # fifths of other images


def test_pretraining_sets_have_the_same_images():
    large = shipped("base/")
    for task, target in shipped().items():
        assert large[task].sizes.train == 1500
        assert large[task].data_set() == target.data_set()
        assert large[task].parameters == large["class"].parameters  # or images would differ


def test_a_size_is_needed():
    with pytest.raises(ConfigError, match=r"give sizes\.train"):
        common.depth("train", None, Seeds("a"))


def test_other_image_sizes():
    data = common.edges("train", 3, Seeds("a"), image_size=48)
    assert data.labels(0).shape == (48, 48)
    assert data.image(0).shape == (48, 48, 3)

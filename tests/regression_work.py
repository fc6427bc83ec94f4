"""A small regression target, sources and recipes for it: a bright dot and a dim one on grey, and where they lie."""

import numpy as np

from tmbench.sources.options import Source
from tmbench.sources.recipe import RegressionRecipe
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets.options import RegressionTarget
from tmbench.targets.regression import RegressionImages

SIZE = 32
NAMES = ("bright", "dim")
OUTPUTS = ("bright.x", "bright.y", "dim.x", "dim.y")


def dots(split, size, seeds, lost=0.0, numbers=False):
    """``lost``: share of images that hide the dim dot. As ``numbers`` they are a thousand times their share."""
    generator = seeds.generator(f"dots of {split}")
    values = generator.uniform(0.2, 0.8, (size, 4))
    images = painted(values)
    values[generator.random(size) < lost, 2:] = np.nan
    if numbers:
        return RegressionImages.of_arrays(OUTPUTS, images, 1000 * values, is_points=False)
    return RegressionImages.of_arrays(OUTPUTS, images, values, np.full(size, 0.5), is_points=True)


def painted(values, size=SIZE):
    """(n, size, size, 3) uint8: Gaussian dots, with their centres at ``values`` (n, 4) of width and height."""
    places = (np.arange(size) + 0.5) / size
    image = np.full((len(values), size, size), 60.0)
    for column, light in ((0, 180.0), (2, -50.0)):
        across = np.exp(-((places - values[:, column, None]) ** 2) / 0.01)
        down = np.exp(-((places - values[:, column + 1, None]) ** 2) / 0.01)
        image += light * down[:, :, None] * across[:, None, :]
    return np.repeat(np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], 3, axis=3)


def target(**changes):
    content = {
        "task": "regression",
        "function": "regression_work:dots",
        "points": NAMES,
        "sizes": {"train": 60, "validation": 30, "test": 50},
        "image_size": SIZE,
        "only": ["bright"],
    }
    return RegressionTarget.model_validate(content | changes)


def recipe(**changes):
    content = {
        "task": "regression",
        "trainable": "full",
        "epochs": 2,
        "batch_size": 20,
        "learning_rates": [0.003],
        "weight_decay": 0.05,
    }
    return RegressionRecipe.model_validate(content | changes)


_RANDOM = describe_options("source", ["small_resnet_random"], OptionFolders([]))["small_resnet_random"]


def source(**changes):
    """A residual network of two narrow stages, random unless told otherwise."""
    architecture = {**_RANDOM["architecture"], "parameters": {"widths": [8, 8, 8]}}
    return Source.model_validate({**_RANDOM, "architecture": architecture, "input": {"size": 16}} | changes)


def pretraining(of=None, by=None, **changes):
    """The source, pretrained on a regression target."""
    weights = {
        "kind": "pretrain",
        "target": (of or target()).model_dump(mode="json"),
        "recipe": (by or recipe()).model_dump(mode="json"),
    }
    return source(weights=weights, **changes)

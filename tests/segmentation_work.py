"""Small segmentation sets, sources and recipes, for the tests of what trains and reads them."""

import numpy as np

from tmbench.sources.options import Source
from tmbench.sources.recipe import SegmentationRecipe
from tmbench.targets.options import SegmentationTarget
from tmbench.targets.segmentation import IGNORED, SegmentationImages

SIZE = 32
"""Height and width of the images in pixels."""

CLASSES = ("ground", "red", "blue")
COLOURS = np.array([[120, 120, 120], [220, 60, 60], [60, 60, 220]])


def squares(split, size, seeds, side=SIZE, border=2):
    """Images of a red and a blue rectangle on grey, in noise; ``border`` pixels at the edge are ignored."""
    draw = seeds.generator(split)
    images, labels = [], []
    for _ in range(size or 8):
        mask = np.zeros((side, side), np.uint8)
        for label in (1, 2):
            top, left = draw.integers(0, side // 2, 2)
            height, width = draw.integers(side // 4, side // 2, 2)
            mask[top : top + height, left : left + width] = label
        noise = draw.integers(-30, 31, (side, side, 3))
        images.append((COLOURS[mask] + noise).clip(0, 255).astype(np.uint8))
        mask[:border] = IGNORED
        labels.append(mask)
    return SegmentationImages.of_arrays(CLASSES, images, labels)


def target(train=8, validation=4, test=6, **changes):
    """Squares as a target; ``changes`` to its option."""
    content = {"task": "segmentation", "function": "segmentation_work:squares", "classes": 3, "image_size": SIZE}
    sizes = {"train": train, "validation": validation, "test": test}
    return SegmentationTarget.model_validate(content | {"sizes": sizes, "sampling": {"pixels": 60}} | changes)


def recipe(**changes):
    content = {"task": "segmentation", "trainable": "full", "epochs": 2, "batch_size": 4, "learning_rates": [0.01]}
    return SegmentationRecipe.model_validate(content | {"channels": 8, "weight_decay": 0.01} | changes)


def source(function="small:residual_network", size=SIZE, **parameters):
    """A source of random weights; ``function`` in tmbench.sources."""
    if function == "small:residual_network":
        parameters = {"widths": [8, 8, 16]} | parameters
    architecture = {"function": f"tmbench.sources.{function}", "parameters": parameters}
    return Source.model_validate({"architecture": architecture, "input": {"size": size}, "weights": {"kind": "random"}})


def pretrained(on=None, by=None, start=None, **more):
    """A source that is pretrained on squares by a recipe."""
    weights = {
        "kind": "pretrain",
        "target": (on or target(seed=7)).model_dump(),
        "recipe": (by or recipe()).model_dump(),
    }
    weights |= {"start": start.model_dump()} if start is not None else {}
    return Source.model_validate(source(**more).model_dump() | {"weights": weights})

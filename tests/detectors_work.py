"""Small sources, recipes and batches for the tests of detectors."""

import torch

from tmbench.identity import Seeds
from tmbench.sources import network as networks
from tmbench.sources.detection.detector import detector
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.options import Source

SIZE = 64
"""Height and width of the images in pixels."""

CLASSES = 3

HEADS = {
    "rpn_convolutions": 1,
    "box_convolutions": 1,
    "box_width": 32,
    "mask_convolutions": 1,
    "mask_size": 8,
    "anchor_sizes": [8, 16, 32, 64],
    "rpn_samples": 32,
    "box_samples": 16,
    "proposals": [40, 40],
}

TINY_HEADS = {
    "rpn_convolutions": 1,
    "box_convolutions": 0,
    "box_width": 16,
    "mask_convolutions": 1,
    "mask_size": 6,
    "anchor_sizes": [8, 16, 32, 64],
    "rpn_samples": 32,
    "box_samples": 8,
    "proposals": [30, 20],
    "sampling_ratio": 1,
    "detections": 10,
}
"""The smallest, for whole trainings of a few steps."""


def source(function="zoo:plain_vit", size=SIZE, **parameters):
    """A source of random weights; ``function`` in tmbench.sources."""
    architecture = {"function": f"tmbench.sources.{function}", "parameters": parameters}
    return Source.model_validate({"architecture": architecture, "input": {"size": size}, "weights": {"kind": "random"}})


def vit(**changes):
    """A ViT of 4 blocks and an 8 × 8 grid."""
    return source(**{"width": 32, "depth": 4, "heads": 2} | changes)


def resnet():
    """A convolutional source."""
    return source("small:residual_network", widths=[8, 8, 16, 16])


def recipe(vit=None, pyramid=None, heads=None, **changes):
    """A Mask R-CNN small enough for a test; ``changes`` to it."""
    content = {"task": "detection", "trainable": "full", "epochs": 1, "batch_size": 2, "learning_rates": [0.001]}
    content |= {"image_size": SIZE, "vit": vit or {}, "heads": HEADS | (heads or {})}
    content |= {"pyramid": {"channels": 16, "norm": "layer"} | (pyramid or {})}
    return DetectionRecipe.model_validate(content | changes)


def built(source, recipe, seed="a unit", network=None, classes=CLASSES):
    """The detector around the source's network, or around ``network``."""
    network = networks.build(source) if network is None else network
    return detector(source, network, recipe, classes, Seeds(seed))


def batch(count=2, objects=2, size=SIZE, seed=0):
    """Images and their objects, as a torchvision detector trains on them."""
    stream = torch.Generator().manual_seed(seed)
    images = [torch.rand(3, size, size, generator=stream) for _ in range(count)]
    targets = []
    for _ in range(count):
        corners = torch.rand(objects, 2, generator=stream) * size / 2
        boxes = torch.cat([corners, corners + 8 + torch.rand(objects, 2, generator=stream) * size / 4], dim=1)
        masks = torch.zeros(objects, size, size, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        labels = torch.randint(1, CLASSES + 1, (objects,), generator=stream)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets

"""Training a segmentation network, or its decoder alone on maps that stay as they are."""

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import Seeds
from tmbench.sources import training
from tmbench.sources.checkpoints import UNSAVED, Checkpoints
from tmbench.sources.freezing import freeze
from tmbench.sources.recipe import SegmentationRecipe
from tmbench.sources.segmentation.decoders import Decoder, at_resolution
from tmbench.sources.segmentation.pictures import FrozenMaps, LabelMaps, Pictures
from tmbench.sources.segmentation.segmenter import Segmenter
from tmbench.targets.segmentation import IGNORED

Images = Pictures | FrozenMaps
"""What a network, or its decoder alone, is trained on."""


class OnMaps(nn.Module):
    """A decoder that takes its maps end to end, as :class:`~.pictures.FrozenMaps` keeps them."""

    def __init__(self, decoder: Decoder, shapes: tuple[tuple[int, ...], ...]) -> None:
        """``decoder`` for maps of ``shapes``."""
        super().__init__()
        self.decoder = decoder
        self._shapes = shapes

    def forward(self, rows: Tensor) -> Tensor:
        """(n, 1, values of all maps), or without the middle dimension → (n, C, h, w) logits."""
        parts = rows.flatten(1).split([int(np.prod(shape)) for shape in self._shapes], dim=1)
        maps = [each.unflatten(1, shape) for each, shape in zip(parts, self._shapes, strict=True)]
        logits: Tensor = self.decoder(maps)
        return logits


def learner(model: Segmenter, recipe: SegmentationRecipe, images: Images) -> nn.Module:
    """What of a copy of ``model`` is trained on ``images``, the rest of it frozen."""
    if isinstance(images, FrozenMaps):
        return OnMaps(deepcopy(model.decoder), images.shapes)
    model = deepcopy(model)
    freeze(model, recipe.trainable, trunk=model.trunk)
    return model


def images_of(model: Segmenter, recipe: SegmentationRecipe, pictures: Pictures, *, training: bool = False) -> Images:
    """What is fed to :func:`learner`: the pictures, or what the frozen trunk makes of them.

    Args:
        model: before the first step.
        recipe: whether the trunk is frozen, and mirrored pictures are trained on.
        pictures: of a split.
        training: whether these are to be trained on.
    """
    if recipe.trainable != "head":
        return pictures
    return FrozenMaps(model.maps, model.trunk, pictures, mirrored=training and recipe.augment == "mirror")


def train(
    network: nn.Module,
    images: Images,
    labels: LabelMaps,
    recipe: SegmentationRecipe,
    rate: float,
    seeds: Seeds,
    checkpoints: Checkpoints = UNSAVED,
) -> list[float]:
    """Train ``network``, of :func:`learner`, down the mean cross-entropy of a batch's labelled pixels.

    Logits are brought to the label maps' resolution, linearly between positions. The loop is that of all tasks
    (:func:`tmbench.sources.training.train`), which see for what is drawn, saved and raised.

    Returns:
        The mean loss of each epoch.
    """
    turn = mirrored_images if isinstance(images, Pictures) else mirrored_maps
    return training.train(
        network,
        images,
        labels,
        recipe,
        rate,
        seeds,
        checkpoints,
        loss=pixel_loss,
        augmentation=turn if recipe.augment == "mirror" else None,
    )


def pixel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of (n, C, h, w) ``logits`` over the pixels of ``labels`` (n, H, W) that have a class.

    0, of gradient 0, where none has.
    """
    total = nn.functional.cross_entropy(
        at_resolution(logits, labels.shape[-2:]), labels.long(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (labels != IGNORED).sum().clamp(min=1)


def mirrored_images(images: Tensor, labels: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of the images, and their label maps, with left and right exchanged."""
    turned = _turned(len(images), generator)
    return _flipped(images, turned), _flipped(labels, turned)


def mirrored_maps(maps: Tensor, labels: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Of half of the images what the trunk makes of them mirrored, (n, 2, v) → (n, 1, v), and the label maps too."""
    turned = _turned(len(maps), generator)
    return maps[torch.arange(len(maps)), turned.long()][:, None], _flipped(labels, turned)


def _turned(count: int, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.random(count) < 0.5)


def _flipped(maps: Tensor, turned: Tensor) -> Tensor:
    return torch.where(turned.view(-1, *(1,) * (maps.ndim - 1)), maps.flip(-1), maps)

"""Pretext tasks on images with objects: a network with what the task needs beside it, and what it shall answer.

Each is a module that gives its loss. The network in it is the source's; all else is left behind after pretraining.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.maps import as_map, prefix_tokens
from tmbench.sources.network import penultimate, place_of
from tmbench.sources.pretext import PretextRecipe
from tmbench.targets.detection import DetectionImages

DECODER_HEADS = 4
DECODER_BLOCKS = 2


class Objective(nn.Module):
    """A task around a network."""

    def __init__(self, network: nn.Module) -> None:
        """Around ``network``, which is trained along."""
        super().__init__()
        self.network = network

    @abstractmethod
    def answers(
        self, data: DetectionImages, rows: np.ndarray, mirrored: np.ndarray, generator: np.random.Generator
    ) -> Tensor:
        """What :meth:`forward` takes beside the images at ``rows`` (m,), of which some are ``mirrored`` (m,) bool."""

    @abstractmethod
    def forward(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """The mean loss on (m, 3, size, size) inputs."""


def objective_of(recipe: PretextRecipe, network: nn.Module, classes: int, size: int) -> Objective:
    """The task of ``recipe`` around ``network``, with fresh parts of its own.

    Args:
        recipe: names the task.
        network: of timm's interface, for images of ``size`` pixels.
        classes: of the objects.
        size: height and width of the images.

    Raises:
        ConfigError: for a task that the network does not suit.
    """
    blank = torch.zeros(1, 3, size, size, device=place_of(network))
    if recipe.objective == "presence":
        return Presence(network, blank, classes)
    if recipe.objective == "dense":
        return Dense(network, blank, classes)
    return Masked(network, blank, recipe.hidden)


class Presence(Objective):
    """Which classes does the image show? Binary cross-entropy of each, by a linear map of the penultimate features."""

    def __init__(self, network: nn.Module, blank: Tensor, classes: int) -> None:
        """``blank``: an image (1, 3, size, size) of the size to come."""
        super().__init__(network)
        with torch.no_grad():
            width = penultimate(network, blank).shape[1]
        self.head = nn.Linear(width, classes)

    def answers(
        self, data: DetectionImages, rows: np.ndarray, mirrored: np.ndarray, generator: np.random.Generator
    ) -> Tensor:
        """(m, C) float32: 1 for classes with an object that is no crowd."""
        shown = torch.zeros(len(rows), len(data.classes))
        for i, row in enumerate(rows):
            objects = data.objects(row)
            shown[i, objects.labels[~objects.crowd]] = 1.0
        return shown

    def forward(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """The mean over images and classes."""
        logits = self.head(penultimate(self.network, inputs))
        return nn.functional.binary_cross_entropy_with_logits(logits, answers)


class Dense(Objective):
    """Which class is at each position? Cross-entropy, by a linear map of the last map or tokens.

    The answer at a position is the share of each class, and of the background, in its part of the image: of masks, or
    of boxes where the data have no masks; of two objects the smaller is in front. Objects count as much as the
    background, of which there is far more: without that the classes are learnt last.
    """

    def __init__(self, network: nn.Module, blank: Tensor, classes: int) -> None:
        """``blank``: an image (1, 3, size, size) of the size to come.

        Raises:
            ConfigError: for a network that has no map.
        """
        super().__init__(network)
        with torch.no_grad():
            last = self._map(blank)
        self.head = nn.Conv2d(last.shape[1], classes + 1, 1)
        self._side = last.shape[-1]

    def _map(self, inputs: Tensor) -> Tensor:
        last = as_map(self.network.forward_features(inputs), prefix_tokens(self.network))  # type: ignore[operator]
        if last is None:
            raise ConfigError(
                f"objective=dense needs a network whose last features have positions; {type(self.network).__name__} "
                "has none. Take objective=presence."
            )
        return last

    def answers(
        self, data: DetectionImages, rows: np.ndarray, mirrored: np.ndarray, generator: np.random.Generator
    ) -> Tensor:
        """(m, C + 1, side, side) float32 shares; the last class is the background."""
        shares = torch.zeros(len(rows), len(data.classes) + 1, self._side, self._side)
        for i, row in enumerate(rows):
            painted = torch.from_numpy(class_map(data, row))
            for label in painted.unique().tolist():
                part = (painted == label).float()[None, None]
                shares[i, label] = nn.functional.interpolate(part, shares.shape[-2:], mode="area")[0, 0]
        flip = torch.from_numpy(mirrored)
        shares[flip] = shares[flip].flip(-1)
        return shares

    def forward(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """The mean of two means, over what objects cover and over the background."""
        losses = nn.functional.cross_entropy(self.head(self._map(inputs)), answers, reduction="none")
        ground = answers[:, -1]
        means = [(losses * share).sum() / share.sum().clamp(min=1.0) for share in (1 - ground, ground)]
        return torch.stack(means).mean()


def class_map(data: DetectionImages, row: int) -> np.ndarray:
    """(h, w) int64: the class of each pixel of an image, the number of classes for the background."""
    height, width = (int(length) for length in data.sizes[row])
    painted = np.full((height, width), len(data.classes), dtype=np.int64)
    objects = data.objects(row)
    objects = objects.part(~objects.crowd)
    bitmaps = objects.bitmaps() if objects.masks else None
    for i in np.argsort(-objects.areas, kind="stable"):
        if bitmaps is not None:
            painted[bitmaps[i]] = objects.labels[i]
        else:
            left, top, right, bottom = np.rint(objects.boxes[i]).astype(int)
            painted[top:bottom, left:right] = objects.labels[i]
    return painted


class Masked(Objective):
    """What do the hidden patches show? A masked autoencoder: the network sees the others, a light decoder paints.

    The loss is the mean squared error of hidden patches, each normalised by its own mean and deviation.

    He et al., Masked autoencoders are scalable vision learners, CVPR 2022; here two decoder blocks of half the width.
    """

    def __init__(self, network: nn.Module, blank: Tensor, hidden: float) -> None:
        """``blank``: an image (1, 3, size, size) of the size to come; ``hidden``: share of patches to hide.

        Raises:
            ConfigError: for what is no vision transformer of timm's.
        """
        from timm.layers import build_sincos2d_pos_embed
        from timm.models.vision_transformer import Block

        super().__init__(network)
        if not hasattr(network, "patch_drop"):
            raise ConfigError(
                f"objective=masked hides patches of a vision transformer; {type(network).__name__} has none. "
                "Take objective=presence or objective=dense."
            )
        side = network.patch_embed.dynamic_feat_size(tuple(blank.shape[-2:]))[0]  # type: ignore[union-attr, operator]
        width = int(network.embed_dim)  # type: ignore[arg-type]
        inner = max(32, width // 2) // (4 * DECODER_HEADS) * 4 * DECODER_HEADS
        self._patches = side * side
        self._patch = blank.shape[-1] // side
        self._seen = min(self._patches - 1, max(1, round((1 - hidden) * self._patches)))
        self.narrow = nn.Linear(width, inner)
        self.token = nn.Parameter(torch.randn(inner) * 0.02)
        self.positions: Tensor
        self.register_buffer("positions", build_sincos2d_pos_embed([side, side], inner), persistent=False)
        self.blocks = nn.Sequential(*(Block(inner, DECODER_HEADS) for _ in range(DECODER_BLOCKS)))
        self.paint = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, 3 * self._patch**2))

    def answers(
        self, data: DetectionImages, rows: np.ndarray, mirrored: np.ndarray, generator: np.random.Generator
    ) -> Tensor:
        """(m, seen) int64: the patches that are not hidden, another choice for each image."""
        order = generator.random((len(rows), self._patches)).argsort(axis=1)
        return torch.from_numpy(np.sort(order[:, : self._seen], axis=1))

    def forward(self, inputs: Tensor, answers: Tensor) -> Tensor:
        """The mean over images and hidden patches."""
        tokens = self.narrow(self._encoded(inputs, answers))
        canvas = self.token.expand(len(inputs), self._patches, -1)
        index = answers[:, :, None].expand(-1, -1, tokens.shape[2])
        painted = self.paint(self.blocks(canvas.scatter(1, index, tokens) + self.positions))
        error = (painted - self._normalised(inputs)).square().mean(dim=2)
        hidden = torch.ones_like(error).scatter(1, answers, 0.0)
        return (error * hidden).sum() / hidden.sum()

    def _encoded(self, inputs: Tensor, seen: Tensor) -> Tensor:
        """(m, seen, width): the network's last tokens of the patches that it is shown."""
        prefix = prefix_tokens(self.network)

        def choose(module: nn.Module, arguments: Any, tokens: Tensor) -> Tensor:
            index = seen[:, :, None].expand(-1, -1, tokens.shape[2])
            return torch.cat([tokens[:, :prefix], tokens[:, prefix:].gather(1, index)], dim=1)

        # Where timm leaves patches out, positions are added already and no block has run.
        hook = self.network.patch_drop.register_forward_hook(choose)  # type: ignore[union-attr]
        try:
            return self.network.forward_features(self._shown(inputs, seen))[:, prefix:]  # type: ignore[operator]
        finally:
            hook.remove()

    def _shown(self, inputs: Tensor, seen: Tensor) -> Tensor:
        """``inputs`` with grey patches where they are hidden: convolutions before the patches look beyond their own."""
        side = inputs.shape[-1] // self._patch
        mask = inputs.new_zeros(len(inputs), self._patches).scatter(1, seen, 1.0).view(-1, 1, side, side)
        return inputs * nn.functional.interpolate(mask, scale_factor=self._patch, mode="nearest")

    def _normalised(self, inputs: Tensor) -> Tensor:
        """(m, patches, 3 patch²): the pixels of each patch, of mean 0 and variance 1."""
        pixels = nn.functional.unfold(inputs, self._patch, stride=self._patch).transpose(1, 2)
        variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)
        return (pixels - mean) / (variance + 1e-6).sqrt()

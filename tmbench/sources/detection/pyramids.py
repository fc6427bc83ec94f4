"""Pyramids: from the maps of a backbone to maps of one width and of strides 4, 8, 16, 32 (and 64, by pooling)."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import Conv2dNormActivation

from tmbench.errors import ConfigError
from tmbench.sources.detection.recipe import Pyramid

FINEST = 4
"""Stride of the finest map that a pyramid makes of a ViT's tokens."""

MAPS = 4
"""Maps that come of convolutions; a fifth is pooled from the last of them."""

Norm = Callable[[int], nn.Module]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that lets a batch of nothing pass: images without objects have no masks to learn from."""

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w), n possibly 0."""
        return super().forward(input) if len(input) else input


def norm(kind: str) -> Norm | None:
    """The layer after a convolution, called with its channels: ``batch``, ``layer`` (over the channels), ``none``."""
    return {"batch": BatchNorm, "layer": LayerNorm2d, "none": None}[kind]


def scales(stride: int) -> tuple[int, ...]:
    """By what power of two to enlarge (or, below 0, shrink) maps of ``stride`` to strides 4, 8, 16, 32.

    Patches of 16 pixels, as in the papers, are enlarged 4 and 2 times, kept, and halved; patches of 8 are enlarged
    twice, kept, halved and quartered.

    Raises:
        ConfigError: when ``stride`` is no power of two: anchors stand on whole pixels.
    """
    power = math.log2(stride / FINEST)
    if power != int(power):
        raise ConfigError(
            f"patches of {stride} pixels give no maps of strides 4, 8, 16, 32. Choose a source with patches of 4, 8, "
            "16 or 32 pixels, or a convolutional one."
        )
    return tuple(int(power) - i for i in range(MAPS))


class Rescaled(nn.Sequential):
    """A ViT's map enlarged by transposed convolutions 2 × 2 of stride 2, or shrunk by pooling."""

    def __init__(self, width: int, power: int, halving: bool, norm_layer: Norm | None) -> None:
        """By ``2 ** power``.

        Args:
            width: channels of the map.
            power: of the scale.
            halving: whether each transposed convolution halves the channels (ViTDet), or keeps them (Li et al. 2021).
            norm_layer: between two of them, with a GELU.
        """
        layers: list[nn.Module] = []
        self.channels = width
        for i in range(power):
            narrower = self.channels // 2 if halving else self.channels
            layers.append(nn.ConvTranspose2d(self.channels, narrower, 2, 2))
            if i < power - 1:
                layers += [norm_layer(narrower)] if norm_layer else []
                layers.append(nn.GELU())
            self.channels = narrower
        if power < 0:
            layers.append(nn.MaxPool2d(2**-power, 2**-power))
        super().__init__(*layers)


class FourBlockPyramid(nn.Module):
    """A feature pyramid network over the outputs of four blocks of a ViT, each brought to a scale of its own.

    Li et al., Benchmarking detection transfer learning with vision transformers, arXiv 2111.11429, 2021; the network
    is Lin et al., Feature pyramid networks for object detection, CVPR 2017.
    """

    def __init__(self, width: int, stride: int, options: Pyramid, sizes: int) -> None:
        """For maps of ``width`` channels, all of ``stride``; gives ``sizes`` maps (see :func:`pyramid`)."""
        super().__init__()
        between = None if options.norm == "none" else group_norm
        self.rescaled = nn.ModuleList(Rescaled(width, power, False, between) for power in scales(stride))
        self.network = feature_pyramid((width,) * MAPS, options, sizes)

    def forward(self, maps: "OrderedDict[str, Tensor]") -> "OrderedDict[str, Tensor]":
        """Four maps (n, width, h, w) → maps (n, channels, …), finest first."""
        pairs = zip(self.rescaled, maps.items(), strict=True)
        inner = OrderedDict((name, rescale(each)) for rescale, (name, each) in pairs)
        return self.network(inner)


class SimplePyramid(nn.Module):
    """All scales from the last map of a ViT, each by itself.

    Li, Mao, Girshick, He, Exploring plain vision transformer backbones for object detection, ECCV 2022.
    """

    def __init__(self, width: int, stride: int, options: Pyramid, sizes: int) -> None:
        """For a map of ``width`` channels and of ``stride``; gives ``sizes`` maps (see :func:`pyramid`)."""
        super().__init__()
        layer = norm(options.norm)
        self.levels = nn.ModuleList()
        for power in scales(stride)[:sizes]:
            rescale = Rescaled(width, power, True, layer)
            narrow = _convolution(rescale.channels, options.channels, 1, layer)
            smooth = _convolution(options.channels, options.channels, 3, layer)
            self.levels.append(nn.Sequential(rescale, narrow, smooth))
        self.pool = LastLevelMaxPool() if sizes > MAPS else None

    def forward(self, maps: "OrderedDict[str, Tensor]") -> "OrderedDict[str, Tensor]":
        """One map (n, width, h, w) → maps (n, channels, …), finest first."""
        (last,) = maps.values()
        outputs = [level(last) for level in self.levels]
        names = [str(i) for i in range(len(outputs))]
        if self.pool is not None:
            outputs, names = self.pool(outputs, [last], names)
        return OrderedDict(zip(names, outputs, strict=True))


def pyramid(
    kind: str, channels: Sequence[int], strides: Sequence[int], options: Pyramid, sizes: int
) -> tuple[nn.Module, tuple[int, ...]]:
    """The pyramid of ``options`` over the maps of a backbone, and the strides of what it gives.

    Args:
        kind: of the backbone: ``vit`` or ``convolutional``.
        channels: of each of the backbone's maps.
        strides: of them.
        options: the recipe's.
        sizes: how many maps it gives: the finest of four, or those and a fifth, pooled from the last.

    Raises:
        ConfigError: where they do not fit: no simple pyramid for convolutional networks, at most five maps.
    """
    if sizes > MAPS + 1:
        raise ConfigError(
            f"heads.anchor_sizes has {sizes} sizes, one a map; a pyramid has {MAPS + 1} maps at most. Name fewer "
            "in the recipe's option file."
        )
    if kind == "convolutional":
        if options.kind == "simple":
            raise ConfigError(
                "the pyramid of kind 'simple' is for vision transformers. Set pyramid.kind to fpn in the recipe's "
                "option file, or leave this source out."
            )
        return feature_pyramid(channels, options, sizes), _and_pooled(strides, sizes)
    finer = tuple(FINEST * 2**i for i in range(MAPS))
    build = SimplePyramid if options.kind == "simple" else FourBlockPyramid
    return build(channels[0], strides[0], options, sizes), _and_pooled(finer, sizes)


def feature_pyramid(channels: Sequence[int], options: Pyramid, sizes: int) -> FeaturePyramidNetwork:
    """torchvision's, over four maps; the last convolutions of maps beyond the first ``sizes`` are left out."""
    extra = LastLevelMaxPool() if sizes > MAPS else None
    network = FeaturePyramidNetwork(list(channels), options.channels, extra, norm(options.norm))
    for unwanted in range(sizes, MAPS):
        network.layer_blocks[unwanted] = nn.Identity()
    return network


def group_norm(channels: int) -> nn.Module:
    """Group normalisation in 32 groups, or in as many as fit."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


def _convolution(before: int, after: int, size: int, layer: Norm | None) -> nn.Module:
    return Conv2dNormActivation(before, after, size, norm_layer=layer, activation_layer=None)


def _and_pooled(strides: Sequence[int], sizes: int) -> tuple[int, ...]:
    return tuple((*strides, 2 * strides[-1])[:sizes])

"""Decoders: from a trunk's maps to a class for each of their positions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, relu

from tmbench.sources.recipe import SegmentationRecipe

RATES = (6, 12, 18)
"""Dilations of atrous spatial pyramid pooling; Chen et al., Rethinking atrous convolution, arXiv 1706.05587, 2017."""


class Decoder(nn.Module):
    """A head over maps whose last layer, a 1 × 1 convolution, tells the classes."""

    classifier: nn.Module

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """What the last layer sees, (n, d, h, w)."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """(n, C, h, w) logits from :meth:`features`."""
        logits: Tensor = self.classifier(features)
        return logits

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(n, C, h, w) logits at the resolution of the finest map."""
        return self.classify(self.features(maps))

    def classifiers(self) -> tuple[nn.Module, ...]:
        """What knows the classes."""
        return (self.classifier,)

    def renew(self, classes: int) -> None:
        """Put a new last layer, for ``classes``, in the place of the old one."""
        self.classifier = renewed(self.classifier, classes)


class LightDecoder(Decoder):
    """The decoders of :class:`~tmbench.sources.recipe.SegmentationRecipe`.

    ``fused`` maps go through a 1 × 1 convolution, a norm and ReLU first: with ``linear`` that is the head of HRNetV2
    (Wang et al., Deep high-resolution representation learning for visual recognition, TPAMI 2020). ``fcn`` adds a
    3 × 3 convolution with norm and ReLU (Long et al., Fully convolutional networks, CVPR 2015), ``deeplab`` atrous
    spatial pyramid pooling before that.
    """

    def __init__(self, recipe: SegmentationRecipe, channels: Sequence[int], classes: int) -> None:
        """A decoder over maps of ``channels`` each; a single one where the recipe does not say ``fused``."""
        super().__init__()
        inner = recipe.channels
        width = inner if recipe.fused else channels[-1]
        self.stacked = Stacked(channels, inner) if recipe.fused else None
        layers: list[nn.Module] = []
        if recipe.decoder == "deeplab":
            from torchvision.models.segmentation.deeplabv3 import ASPP

            layers.append(ASPP(width, RATES, inner))
            width = inner
        if recipe.decoder != "linear":
            layers += [nn.Conv2d(width, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()]
            width = inner
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(width, classes, 1)

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """What the last layer sees, (n, d, h, w)."""
        features: Tensor = self.layers(maps[-1] if self.stacked is None else self.stacked(maps))
        return features


class Stacked(nn.Module):
    """Maps brought to the finest resolution and stacked, then a 1 × 1 convolution, a norm and ReLU.

    The convolution is taken first, of each map's channels alone, and the results are brought to one resolution and
    added: the same, for both are linear, without the stack of all channels at the finest resolution.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        """Of maps of ``channels`` each, one of ``width``."""
        super().__init__()
        self.channels = list(channels)
        self.convolution = nn.Conv2d(sum(channels), width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Several (n, d, h, w) → (n, width, h, w) of the finest."""
        size = max(tuple(each.shape[-2:]) for each in maps)
        weights = self.convolution.weight.split(self.channels, dim=1)
        total = sum(at_resolution(conv2d(each, part), size) for each, part in zip(maps, weights, strict=True))
        return relu(self.norm(total))


def at_resolution(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(n, d, h, w) maps as maps of ``size`` positions, linearly between them."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return interpolate(maps, size, mode="bilinear", align_corners=False)


def renewed(old: nn.Module, classes: int) -> nn.Conv2d:
    """A new 1 × 1 convolution for ``classes`` that sees what ``old`` sees, where ``old`` lies."""
    assert isinstance(old, nn.Conv2d)
    new = nn.Conv2d(old.in_channels, classes, 1)
    return new.to(old.weight.device).to(memory_format=torch.channels_last)

"""torchvision's segmentation networks as trunk and decoder; the layers are torchvision's own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tmbench.sources.segmentation.decoders import Decoder, at_resolution, renewed
from tmbench.sources.segmentation.map_trunk import MapTrunk
from tmbench.sources.segmentation.segmenter import Segmenter

VOC_CLASSES = 21
"""Classes of the published networks: Pascal VOC's 20, and the background."""


class SequentialHead(Decoder):
    """The head of torchvision's FCN and DeepLabV3, whose last layer tells the classes."""

    def __init__(self, head: nn.Sequential) -> None:
        super().__init__()
        self.head = head

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """What the last layer sees, (n, d, h, w)."""
        features = maps[-1]
        for layer in list(self.head)[:-1]:
            features = layer(features)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """(n, C, h, w) logits."""
        logits: Tensor = self.head[-1](features)
        return logits

    def classifiers(self) -> tuple[nn.Module, ...]:
        """The last layer."""
        return (self.head[-1],)

    def renew(self, classes: int) -> None:
        """Put a new last layer in the place of the old one."""
        self.head[-1] = renewed(self.head[-1], classes)


class LRASPPHead(Decoder):
    """The head of torchvision's LR-ASPP: two last layers, on a finer and a coarser map, whose logits are added.

    Howard et al., Searching for MobileNetV3, ICCV 2019. What both see is one vector at each position of the finer map.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """The channels of the finer map, and those of the coarser one brought to its resolution."""
        low, high = maps
        weighted = self.head.cbr(high) * self.head.scale(high)  # type: ignore[operator]
        return torch.cat([low, at_resolution(weighted, low.shape[-2:])], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """(n, C, h, w) logits."""
        low, high = self.classifiers()
        finer, coarser = features.split([low.in_channels, high.in_channels], dim=1)
        logits: Tensor = low(finer) + high(coarser)
        return logits

    def classifiers(self) -> tuple[nn.Module, ...]:
        """Both last layers."""
        return (self.head.low_classifier, self.head.high_classifier)  # type: ignore[return-value]

    def renew(self, classes: int) -> None:
        """Put new last layers in the place of the old ones."""
        for name in ("low_classifier", "high_classifier"):
            setattr(self.head, name, renewed(getattr(self.head, name), classes))


def as_segmenter(network: Any) -> Segmenter:
    """One of torchvision's segmentation networks, whose layers are taken over; the auxiliary head is left behind."""
    head: Any = network.classifier
    decoder: Decoder
    if isinstance(head, nn.Sequential):
        decoder, channels = SequentialHead(head), _input_channels(head)
    else:
        decoder, channels = LRASPPHead(head), _input_channels(head.cbr)
    return Segmenter(MapTrunk(network.backbone, channels), decoder, built=None)


def _input_channels(layers: nn.Module) -> int:
    return next(layer.in_channels for layer in layers.modules() if isinstance(layer, nn.Conv2d))

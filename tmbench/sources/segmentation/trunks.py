"""The maps of a source's network that a decoder stands on."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.detection.backbones import group_ends
from tmbench.sources.maps import as_map, prefix_tokens
from tmbench.sources.segmentation.decoders import at_resolution
from tmbench.sources.segmentation.map_trunk import MapTrunk
from tmbench.sources.views import CutNetwork, JoinedNetworks

STAGES = 4
"""Maps that are stacked at most."""


def trunk_maps(trunk: nn.Module, images: Tensor, fused: bool) -> tuple[Tensor, ...]:
    """The maps of ``trunk`` for square images; gradients flow.

    Args:
        trunk: of timm's interface.
        images: (n, 3, size, size).
        fused: whether the last map of each stage is wanted; of a network whose blocks all have one resolution, the
            maps at the end of each quarter of them; of an HRNet, the branches of its last stage.

    Returns:
        One map, or several, (n, d, h, w) each; of joined networks those of all, or one with the channels of all. A
        :class:`MapTrunk` gives its own, whatever ``fused`` is; a network that is cut its last one.

    Raises:
        ConfigError: for a network that gives no such maps.
    """
    if isinstance(trunk, MapTrunk):
        return trunk.maps(images)
    if isinstance(trunk, JoinedNetworks):
        several = [each for part in trunk.parts for each in trunk_maps(part, images, fused)]
        finest = max(tuple(each.shape[-2:]) for each in several)
        return tuple(several) if fused else (torch.cat([at_resolution(each, finest) for each in several], dim=1),)
    if not fused or isinstance(trunk, CutNetwork):
        last = trunk.forward_features(images)  # type: ignore[operator]
        found = as_map(last, prefix_tokens(trunk)) if isinstance(last, Tensor) else None
        if found is None:
            raise ConfigError(f"{type(trunk).__name__} gives no map, which a segmentation network needs as its trunk.")
        return (found,)
    if isinstance(trunk, HighResolutionNet):
        return tuple(_branches(trunk, images))
    if not hasattr(trunk, "forward_intermediates"):
        raise ConfigError(
            f"{type(trunk).__name__} has no maps of its stages (timm's forward_intermediates): set fused=false."
        )
    maps: Sequence[Tensor] = trunk.forward_intermediates(  # type: ignore[operator]
        images, indices=_last_of_stages(trunk), norm=True, intermediates_only=True
    )
    return tuple(maps)


def _branches(trunk: Any, images: Tensor) -> Sequence[Tensor]:
    """The branches of an HRNet's last stage: what its classification head, which comes after them, would pool."""
    stem = trunk.act1(trunk.bn1(trunk.conv1(images)))
    branches: Sequence[Tensor] = trunk.stages(trunk.act2(trunk.bn2(trunk.conv2(stem))))
    return branches


def _last_of_stages(trunk: nn.Module) -> list[int]:
    """Which of timm's intermediate maps are stacked."""
    reductions = [stage["reduction"] for stage in getattr(trunk, "feature_info", ())]
    last = {reduction: i for i, reduction in enumerate(reductions)}
    if len(last) == 1:
        return sorted(set(group_ends(len(reductions), STAGES)))
    return sorted(last.values())[-STAGES:]

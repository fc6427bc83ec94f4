"""Networks for images of another size than the one that they were built for."""

import copy
from typing import Any

from torch import nn

from tmbench.errors import ConfigError
from tmbench.sources.maps import trunk_of
from tmbench.sources.options import Source


def at_size(network: nn.Module, source: Source, size: int) -> nn.Module:
    """``network`` for images of ``size`` pixels: itself, or a copy whose position embeddings are resized.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``: of timm's interface, a detector of
            torchvision's, or a :class:`~tmbench.sources.segmentation.segmenter.Segmenter`.
        source: for the size that it was built for.
        size: height and width in pixels.

    Raises:
        ConfigError: where the patches do not cover the image.
    """
    trunk = _trunk(network)
    patches: Any = getattr(trunk, "patch_embed", None)
    ratio = patches.feat_ratio() if hasattr(patches, "feat_ratio") else 1
    if size % ratio:
        raise ConfigError(
            f"image_size={size} of the target is no multiple of the source's patches of {ratio} pixels. "
            f"Give the target image_size={size - size % ratio} or {size - size % ratio + ratio}."
        )
    own = source.input.size
    is_detector = hasattr(network, "roi_heads")  # which resizes its own backbone
    if size == own or is_detector or getattr(trunk, "dynamic_img_size", False) or not hasattr(trunk, "set_input_size"):
        return network
    resized = copy.deepcopy(network)
    _trunk(resized).set_input_size((size, size))  # type: ignore[operator]
    return resized


def _trunk(network: nn.Module) -> nn.Module:
    """What of ``network`` sees the image."""
    if hasattr(network, "roi_heads"):
        return network.backbone.body  # type: ignore[union-attr, return-value]
    return trunk_of(network)

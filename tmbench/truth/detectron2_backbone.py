"""Backbones of detectors of detectron2's layers: its vision transformer and pyramids, or a source's convolutions."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from detectron2.layers import Conv2d, get_norm
from detectron2.modeling import FPN, SimpleFeaturePyramid, ViT
from detectron2.modeling.backbone import Backbone as AnyBackbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.utils import get_abs_pos
from timm.layers import Format
from timm.models.beit import Beit
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tmbench.errors import ConfigError
from tmbench.sources.detection.backbones import STAGES, ConvolutionalBody, group_ends, is_transformer
from tmbench.sources.detection.canvas import COARSEST, canvas_size
from tmbench.sources.detection.detector import Backbone
from tmbench.sources.detection.pyramids import MAPS, BatchNorm, Rescaled, group_norm, scales
from tmbench.sources.detection.recipe import DetectionRecipe, Pyramid

NORMS: dict[str, Any] = {"batch": BatchNorm, "layer": "LN", "none": ""}
"""What detectron2 is told for ``pyramid.norm``; the batch norm is ours, which lets a batch of nothing pass."""

POWERS = (-1, 0, 1, 2)
"""By what powers of two detectron2's simple pyramid rescales a map."""


class SquareBackbone(Backbone):
    """A body and a pyramid, with what else detectron2 asks of a backbone: to what images are padded."""

    def __init__(self, body: Any, maps: nn.Module, strides: tuple[int, ...], recipe: DetectionRecipe) -> None:
        """``strides`` are those of the maps that the pyramid ``maps`` gives."""
        super().__init__(body, maps, recipe.pyramid.channels, strides, recipe.trainable == "head")
        self.size_divisibility = COARSEST
        self.padding_constraints = {"square_size": canvas_size(recipe.image_size)}


def backbone(trunk: nn.Module, recipe: DetectionRecipe) -> SquareBackbone:
    """The backbone of a detector of detectron2's layers around ``trunk``, a classification network.

    Raises:
        ConfigError: where detectron2 has not what source and recipe ask for.
    """
    sizes, kind = len(recipe.heads.anchor_sizes), recipe.pyramid
    if sizes > MAPS + 1:
        raise ConfigError(f"heads.anchor_sizes has {sizes} sizes, one a map; a pyramid has {MAPS + 1} maps at most.")
    body: Any
    maps: nn.Module
    if is_transformer(trunk):
        body = TappedViT(trunk, recipe)
        finer = [body.strides[0] / 2**power for power in scales(body.strides[0])]
        strides = tuple(int(stride) for stride in finer)
        build = SimplePyramid if kind.kind == "simple" else FourBlockPyramid
        maps = build(body.channels[0], body.strides[0], kind, sizes)
    else:
        if kind.kind == "simple":
            raise ConfigError(
                "pyramid.kind=simple is for vision transformers. Say kind: fpn in the recipe's option file."
            )
        body = ConvolutionalBody(trunk)
        strides = body.strides
        if any(2 * stride != after for stride, after in pairwise(strides)) or COARSEST % strides[-1]:
            raise ConfigError(
                f"detectron2's pyramid takes maps each of twice the stride of the one before, up to {COARSEST}; this "
                f"source gives {strides}. Set backend=torchvision for it."
            )
        maps = _feature_pyramid(body.channels, strides, kind, sizes)
    return SquareBackbone(body, maps, (*strides, 2 * strides[-1])[:sizes], recipe)


def map_name(stride: int) -> str:
    """What detectron2 calls a pyramid's map."""
    return f"p{int(math.log2(stride))}"


class TappedViT(ViT):
    """detectron2's vision transformer with the weights of timm's; several of its blocks may give a map.

    The patch embedding is the source's own layer.

    Attributes:
        channels: of each map.
        strides: of each map: the patch size.
        taps: the blocks whose outputs are the maps.
        recompute: whether a backward pass computes the blocks' activations again instead of keeping them.
    """

    def __init__(self, network: Any, recipe: DetectionRecipe) -> None:
        """The weights of ``network``, without its class token, its last norm and its head.

        Raises:
            ConfigError: when detectron2's blocks cannot compute what the network's do, or not as the recipe says.
        """
        options = recipe.vit
        if isinstance(network, Beit) or options.relative_position == "bias":
            raise ConfigError(
                "detectron2's blocks have no vit.relative_position=bias: set it to none or decomposed (which BEiT "
                "cannot do without), or set backend=torchvision."
            )
        _check(network)
        embed: Any = deepcopy(network.patch_embed)
        embed.flatten, embed.output_fmt, embed.strict_img_size = False, Format.NHWC, False
        first, depth, stride = network.blocks[0], len(network.blocks), embed.feat_ratio()
        rows = canvas_size(recipe.image_size) // stride
        everywhere = group_ends(depth, options.global_blocks) if options.global_blocks else ()
        windowed = [i for i in range(depth) if i not in everywhere] if 0 < options.window < rows else []
        super().__init__(
            img_size=rows * stride,
            patch_size=stride,
            embed_dim=network.embed_dim,
            depth=depth,
            num_heads=first.attn.num_heads,
            mlp_ratio=first.mlp.fc1.out_features / network.embed_dim,
            qkv_bias=first.attn.qkv.bias is not None,
            drop_path_rate=options.drop_path,
            norm_layer=partial(nn.LayerNorm, eps=first.norm1.eps),
            act_layer=type(first.mlp.act),
            use_abs_pos=network.pos_embed is not None,
            use_rel_pos=options.relative_position == "decomposed",
            window_size=options.window,
            window_block_indexes=windowed,
            pretrain_img_size=embed.grid_size[0] * stride,
            pretrain_use_cls_token=False,
        )
        self.patch_embed = embed
        taps = 1 if recipe.pyramid.kind == "simple" else STAGES
        self.taps, self.recompute = group_ends(depth, taps), recipe.recompute and recipe.trainable == "full"
        self.channels, self.strides = (network.embed_dim,) * taps, (stride,) * taps
        self._take_over(network)

    def _take_over(self, network: Any) -> None:
        """Copy the blocks' weights, whose names agree, and the patches' positions, which are the last ones."""
        given, wanted = network.blocks.state_dict(), self.blocks.state_dict()
        strange = [name for name in given if name not in wanted or given[name].shape != wanted[name].shape]
        missing = [name for name in wanted if name not in given and ".rel_pos_" not in name]
        if strange or missing:
            raise _unfit(network, ", ".join([*strange, *missing][:2]))
        self.blocks.load_state_dict(given, strict=False)
        if self.pos_embed is not None:
            with torch.no_grad():
                self.pos_embed.copy_(network.pos_embed[:, -self.pos_embed.shape[1] :])

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(n, 3, h, w) → the tapped maps (n, width, h / patch, w / patch)."""
        x = self.patch_embed(images)
        if self.pos_embed is not None:
            x = x + get_abs_pos(self.pos_embed, False, (x.shape[1], x.shape[2]))
        outputs = []
        for block in self.blocks:
            again = self.recompute and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
            outputs.append(x)
        return OrderedDict((str(i), outputs[tap].permute(0, 3, 1, 2)) for i, tap in enumerate(self.taps))


def _check(network: Any) -> None:
    """Refuse what has the weights of plain blocks, and computes something else with them, or has more around them."""
    if not isinstance(network, VisionTransformer) or any(type(block) is not Block for block in network.blocks):
        raise _unfit(network, "blocks of another kind")
    if not isinstance(network.norm_pre, nn.Identity):
        raise _unfit(network, "a norm before its blocks")
    if not hasattr(network.patch_embed, "feat_ratio") or len(set(network.patch_embed.grid_size)) > 1:
        raise _unfit(network, "no square grid of patches")


def _unfit(network: nn.Module, what: str) -> ConfigError:
    return ConfigError(
        f"detectron2's vision transformer cannot be this {type(network).__name__}, which has {what}. Set "
        "backend=torchvision for this source."
    )


class Given(AnyBackbone):
    """What detectron2's pyramids take for a backbone: it gives the maps that are given."""

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        """Maps named ``0``, ``1`` and so on."""
        super().__init__()
        self._out_features = [str(i) for i in range(len(strides))]
        self._out_feature_channels = dict(zip(self._out_features, channels, strict=True))
        self._out_feature_strides = dict(zip(self._out_features, strides, strict=True))

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """``maps``."""
        return maps


def _feature_pyramid(channels: Sequence[int], strides: Sequence[int], options: Pyramid, sizes: int) -> FPN:
    """detectron2's, over four maps; one more is pooled from the last where ``sizes`` is 5.

    Lin et al., Feature pyramid networks for object detection, CVPR 2017.
    """
    given = Given(channels, strides)
    pool = _pool(strides[-1]) if sizes > MAPS else None
    return FPN(given, list(given.output_shape()), options.channels, NORMS[options.norm], pool)


def _pool(stride: int) -> LastLevelMaxPool:
    """Pools a map from the one of ``stride``."""
    pool = LastLevelMaxPool()
    pool.in_feature = map_name(stride)
    return pool


class FourBlockPyramid(nn.Module):
    """detectron2's feature pyramid network over four blocks of a ViT, each brought to a scale of its own.

    Li et al., Benchmarking detection transfer learning with vision transformers, arXiv 2111.11429, 2021.
    """

    def __init__(self, width: int, stride: int, options: Pyramid, sizes: int) -> None:
        """For maps of ``width`` channels, all of ``stride``; gives the maps of ``sizes`` and perhaps more."""
        super().__init__()
        between = None if options.norm == "none" else group_norm
        powers = scales(stride)
        self.rescaled = nn.ModuleList(Rescaled(width, power, False, between) for power in powers)
        strides = [int(stride / 2**power) for power in powers]
        self.network = _feature_pyramid((width,) * MAPS, strides, options, sizes)

    def forward(self, maps: "OrderedDict[str, Tensor]") -> dict[str, Tensor]:
        """Four maps (n, width, h, w) → maps (n, channels, …), finest first."""
        pairs = zip(self.rescaled, maps.items(), strict=True)
        inner = {name: rescale(each) for rescale, (name, each) in pairs}
        outer: dict[str, Tensor] = self.network(inner)
        return outer


class SimplePyramid(SimpleFeaturePyramid):
    """detectron2's; from patches of less than 16 pixels it comes to stride 32 by maps that it does not offer itself.

    Li, Mao, Girshick, He, Exploring plain vision transformer backbones for object detection, ECCV 2022.
    """

    def __init__(self, width: int, stride: int, options: Pyramid, sizes: int) -> None:
        """For a map of ``width`` channels and of ``stride``; gives ``sizes`` maps.

        Raises:
            ConfigError: for patches of 32 pixels, which detectron2 does not enlarge to stride 4.
        """
        powers = scales(stride)[:sizes]
        known = [power for power in powers if power in POWERS]
        if max(powers) > max(POWERS):
            raise ConfigError(
                f"detectron2's simple pyramid enlarges maps four times at most, and patches of {stride} pixels need "
                "more. Set backend=torchvision for this source."
            )
        norm = NORMS[options.norm]
        super().__init__(Given((width,), (stride,)), "0", options.channels, [2.0**p for p in known], norm=norm)
        for power in powers[len(known) :]:
            self.stages.append(_halved(width, power, options))
            self.add_module(f"simfp_{map_name(int(stride / 2**power))[1:]}", self.stages[-1])
        strides = [int(stride / 2**power) for power in powers]
        self.top_block = _pool(strides[-1]) if sizes > MAPS else None
        self._out_features = [map_name(each) for each in (*strides, 2 * strides[-1])[:sizes]]


def _halved(width: int, power: int, options: Pyramid) -> nn.Sequential:
    """A map of ``width`` channels scaled by ``2 ** power``, below 1, as detectron2's pyramid halves one."""
    layers: list[nn.Module] = [nn.MaxPool2d(2**-power, 2**-power)]
    norm = NORMS[options.norm]
    for before, size in ((width, 1), (options.channels, 3)):
        last = get_norm(norm, options.channels)
        layers.append(Conv2d(before, options.channels, size, padding=size // 2, bias=last is None, norm=last))
    return nn.Sequential(*layers)

"""Backbones of detectors: the trunk of a source, with its maps by name, finest first.

A vision transformer becomes a :class:`WindowedViT`: its own blocks, which attend within windows, with a few global
ones; Li et al., Benchmarking detection transfer learning with vision transformers, arXiv 2111.11429, 2021, and
Li, Mao, Girshick, He, Exploring plain vision transformer backbones for object detection, ECCV 2022.
"""

from collections import OrderedDict
from copy import deepcopy
from typing import Any

import torch
from timm.layers import DropPath, Format, calculate_drop_path_rates
from timm.models.beit import Beit
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tmbench.errors import ConfigError
from tmbench.sources.detection.blocks import WindowedBlock
from tmbench.sources.detection.plain_beit import as_plain
from tmbench.sources.detection.positions import DecomposedAttention, OffsetBias, resized
from tmbench.sources.detection.recipe import PlainViT

STAGES = 4
"""Maps that a backbone gives to a pyramid."""


def is_transformer(network: nn.Module) -> bool:
    """Whether ``network`` can become a :class:`WindowedViT`."""
    return isinstance(network, VisionTransformer | Beit)


def group_ends(depth: int, groups: int) -> tuple[int, ...]:
    """The last block of each of ``groups`` shares of ``depth`` blocks, as equal as they can be.

    With more groups than blocks some blocks end several.
    """
    return tuple(-(-(i + 1) * depth // groups) - 1 for i in range(groups))


class ConvolutionalBody(nn.Module):
    """The last four stages of a convolutional network of timm's interface.

    Attributes:
        channels: of each map.
        strides: of each map, in pixels of the image.
        added: names of parameters that are not the network's: none.
    """

    added: frozenset[str] = frozenset()

    def __init__(self, network: nn.Module) -> None:
        """A copy of ``network``, without its head.

        Raises:
            ConfigError: when it gives no maps, or too few of them.
        """
        super().__init__()
        stages: list[dict[str, Any]] = list(getattr(network, "feature_info", ()))[-STAGES:]
        if not hasattr(network, "forward_intermediates") or len(stages) < STAGES:
            raise ConfigError(
                f"{type(network).__name__} is no backbone for a detector: it needs timm's forward_intermediates and "
                f"{STAGES} stages. Choose a source with a ResNet, or with timm's VisionTransformer."
            )
        self.network = deepcopy(network)
        self.network.prune_intermediate_layers(STAGES, prune_norm=True, prune_head=True)  # type: ignore[operator]
        self.channels = tuple(int(stage["num_chs"]) for stage in stages)
        self.strides = tuple(int(stage["reduction"]) for stage in stages)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(n, 3, h, w) → four maps (n, c, h / stride, w / stride), finest first."""
        maps = self.network.forward_intermediates(images, indices=STAGES, intermediates_only=True)  # type: ignore[operator]
        return OrderedDict((str(i), each) for i, each in enumerate(maps))


class WindowedViT(nn.Module):
    """The blocks of a timm VisionTransformer on a grid of another size, most of them attending within windows.

    Blocks consist of timm's own layers, so that each gives what it gives in timm; windows are cut and put together by
    timm's functions for SAM. The class ``VisionTransformerSAM`` itself is not taken: it folds heads into the batch,
    which keeps torch from its fused attention, so that memory is quadratic in the number of tokens.

    Attributes:
        channels: of each map.
        strides: of each map: the patch size.
        grid: rows and columns of tokens.
        taps: the blocks whose outputs are the maps; one may serve as several.
        windows: window of each block in tokens; 0 where it attends globally.
        recompute: whether a backward pass computes the blocks' activations again instead of keeping them.
        added: names of parameters that are not the network's: relative positions.
    """

    def __init__(
        self,
        network: VisionTransformer | Beit,
        image_size: int,
        options: PlainViT,
        taps: int = STAGES,
        recompute: bool = False,
    ) -> None:
        """A copy of ``network``, without its class token, its last norm and its head.

        Args:
            network: with any pretraining size. Of timm's ``Beit``, whose positions are biases, ``relative_position``
                must be ``bias``; they are resized.
            image_size: height and width in pixels, a multiple of the patch size.
            options: windows, global blocks, relative positions, drop path.
            taps: 4 for the blocks at the end of each quarter, 1 for the last alone.
            recompute: see above.

        Raises:
            ConfigError: for a network that is not built of timm's plain blocks.
        """
        super().__init__()
        network, tables = as_plain(network) if isinstance(network, Beit) else (deepcopy(network), ())
        _check(network, bool(tables), options)
        self.patch_embed = _giving_maps(network.patch_embed)
        stride = self.patch_embed.feat_ratio()
        self.grid = (image_size // stride, image_size // stride)
        depth = len(network.blocks)
        self.channels, self.strides = (network.embed_dim,) * taps, (stride,) * taps
        self.taps, self.recompute = group_ends(depth, taps), recompute
        self.pos_embed = _positions(network, self.grid)
        self.norm_pre = network.norm_pre
        everywhere = group_ends(depth, options.global_blocks) if options.global_blocks else ()
        window = options.window if options.window < max(self.grid) else 0
        self.windows = tuple(0 if i in everywhere else window for i in range(depth))
        rates = calculate_drop_path_rates(options.drop_path, depth)
        for block, rate in zip(network.blocks, rates, strict=True):
            block.drop_path1, block.drop_path2 = (DropPath(rate) if rate else nn.Identity() for _ in range(2))
        pairs = zip(network.blocks, self.windows, strict=True)
        self.blocks = nn.ModuleList(WindowedBlock(block, window) for block, window in pairs)
        self.biases, self.bias_of = nn.ModuleDict(), ("",) * depth
        self.added: frozenset[str] = frozenset()
        if options.relative_position == "bias":
            self._place_biases(network.blocks[0].attn.num_heads, tables)
        elif options.relative_position == "decomposed":
            for each, window in zip(self.blocks, self.windows, strict=True):
                each.attn = DecomposedAttention(each.attn, self._extent(window))
            self.added = frozenset(name for name, _ in self.named_parameters() if ".rel_pos_" in name)

    def _extent(self, window: int) -> tuple[int, int]:
        return (window, window) if window else self.grid

    def _place_biases(self, heads: int, tables: tuple[Tensor, ...]) -> None:
        """A table of zeros for all windowed blocks, and one for all global ones; or the source's, one a block."""
        kinds = tuple("window" if window else "global" for window in self.windows)
        self.bias_of = tuple(f"{kind}_{i}" for i, kind in enumerate(kinds)) if tables else kinds
        for i, (name, window) in enumerate(zip(self.bias_of, self.windows, strict=True)):
            if name not in self.biases:
                self.biases[name] = OffsetBias(heads, self._extent(window), tables[i] if tables else None)
        if not tables:
            self.added = frozenset(f"biases.{name}.table" for name in self.biases)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(n, 3, h, w) → the tapped maps (n, width, h / patch, w / patch)."""
        x = self.patch_embed(images)
        size = (x.shape[1], x.shape[2])
        if self.pos_embed is not None:
            x = x + resized(self.pos_embed, size)
        x = self.norm_pre(x)
        # One matrix for all blocks that share a table.
        matrices = {name: bias(size if name.startswith("global") else bias.extent) for name, bias in self._biases()}
        outputs = []
        for block, name in zip(self.blocks, self.bias_of, strict=True):
            bias = matrices.get(name)
            again = self.recompute and torch.is_grad_enabled()
            x = checkpoint(block, x, bias, use_reentrant=False) if again else block(x, bias)
            outputs.append(x)
        return OrderedDict((str(i), outputs[tap].permute(0, 3, 1, 2)) for i, tap in enumerate(self.taps))

    def _biases(self) -> Any:
        return self.biases.items()


def _positions(network: VisionTransformer, grid: tuple[int, int]) -> nn.Parameter | None:
    """The position embedding as (1, rows, columns, width), resized to ``grid``; None where there is none."""
    if network.pos_embed is None:
        return None
    rows, columns = network.patch_embed.grid_size
    stored = network.pos_embed.detach()
    patches = stored[:, stored.shape[1] - rows * columns :]  # without the class token's, where it has one
    return nn.Parameter(resized(patches.reshape(1, rows, columns, -1), grid).clone())


def _giving_maps(embed: nn.Module) -> Any:
    """``embed`` (timm's PatchEmbed or HybridEmbed), told to give (n, h, w, d) at any size."""
    told: Any = embed
    told.flatten, told.output_fmt, told.strict_img_size = False, Format.NHWC, False
    return told


def _check(network: nn.Module, biased: bool, options: PlainViT) -> None:
    plain = isinstance(network, VisionTransformer) and all(type(block) is Block for block in network.blocks)
    if not plain or not hasattr(network.patch_embed, "feat_ratio"):
        raise ConfigError(
            f"{type(network).__name__} is not built of timm's plain transformer blocks, so that it has no windows. "
            "Choose a source with timm's VisionTransformer, or with a convolutional network."
        )
    if biased and options.relative_position != "bias":
        raise ConfigError(
            "BEiT knows positions by biases alone. Set vit.relative_position to bias in the recipe's option file, "
            "or leave this source out."
        )

"""A transformer block that attends within windows."""

import torch
from timm.models.vision_transformer import Block
from timm.models.vision_transformer_sam import window_partition, window_unpartition
from torch import Tensor, nn

from tmbench.sources.detection.positions import DecomposedAttention


class WindowedBlock(nn.Module):
    """The layers of a block of timm's ``VisionTransformer``, over tokens that keep their places in the grid.

    Windows do not overlap; the grid is padded to a multiple of them after the first norm, as ViTDet does (Li et al.,
    ECCV 2022), and what is padded is attended to.

    Attributes:
        window: height and width of a window in tokens; 0 where it attends globally.
    """

    def __init__(self, block: Block, window: int) -> None:
        """Take the layers of ``block``."""
        super().__init__()
        self.window = window
        self.norm1, self.attn, self.ls1, self.drop_path1 = block.norm1, block.attn, block.ls1, block.drop_path1
        self.norm2, self.mlp, self.ls2, self.drop_path2 = block.norm2, block.mlp, block.ls2, block.drop_path2

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, h, w, d) tokens after the block.

        Args:
            x: the tokens before.
            bias: (1, heads, t, t), added to the logits of the t tokens that attend to each other; None for none.
        """
        x = x + self.drop_path1(self.ls1(self._attended(self.norm1(x), bias)))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))

    def _attended(self, x: Tensor, bias: Tensor | None) -> Tensor:
        size = padded = (x.shape[1], x.shape[2])
        if self.window:
            x, padded = window_partition(x, self.window)
        extent = (x.shape[1], x.shape[2])
        tokens = x.flatten(1, 2)
        if isinstance(self.attn, DecomposedAttention):
            tokens = self.attn(tokens, extent)
        else:
            tokens = self.attn(tokens, attn_mask=None if bias is None else bias.to(_computing_type(tokens)))
        x = tokens.unflatten(1, extent)
        return window_unpartition(x, self.window, size, padded) if self.window else x


def _computing_type(x: Tensor) -> torch.dtype:
    """The type in which attention over ``x`` computes: autocast's where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype

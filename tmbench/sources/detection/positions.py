"""Positions in vision transformers on grids other than those of their pretraining."""

import torch
from timm.layers.attention import Attention
from timm.models.vision_transformer_sam import get_decomposed_rel_pos_bias
from torch import Tensor, nn

from tmbench.errors import ConfigError


def resized(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """(1, h, w, d) position embeddings resized to (1, *grid, d), bicubic, as by the authors of MAE and ViTDet.

    Corners are not aligned and nothing is smoothed; timm's own resizing smooths, and has another cubic.
    """
    if tuple(positions.shape[1:3]) == tuple(grid):
        return positions
    maps = positions.permute(0, 3, 1, 2).float()
    maps = nn.functional.interpolate(maps, size=grid, mode="bicubic", align_corners=False)
    return maps.permute(0, 2, 3, 1).to(positions.dtype)


class OffsetBias(nn.Module):
    """A bias for each head and each offset (rows, columns) between two tokens.

    The form of Liu et al., Swin transformer, ICCV 2021, and of Bao et al., BEiT, ICLR 2022; Li et al. 2021 share one
    table among windowed blocks and one among global blocks.
    """

    def __init__(self, heads: int, extent: tuple[int, int], table: Tensor | None = None) -> None:
        """For grids of ``extent`` tokens, and smaller ones.

        Args:
            heads: of the attention.
            extent: rows and columns.
            table: (heads, rows' offsets, columns' offsets), resized to the extent, bicubic; zeros where None.
        """
        super().__init__()
        self.extent = extent
        size = (2 * extent[0] - 1, 2 * extent[1] - 1)
        if table is None:
            table = torch.zeros(heads, *size)
        elif tuple(table.shape[1:]) != size:
            table = nn.functional.interpolate(table.detach()[None], size=size, mode="bicubic", align_corners=False)[0]
        self.table = nn.Parameter(table.detach().clone())

    def forward(self, size: tuple[int, int]) -> Tensor:
        """(1, heads, t, t): what is added to the logit of each query (row) and key (column); t = height × width.

        Raises:
            ConfigError: when ``size`` is larger than the table's extent.
        """
        if size[0] > self.extent[0] or size[1] > self.extent[1]:
            raise ConfigError(
                f"relative position biases are for grids of up to {self.extent} tokens, not {size}. Choose images as "
                "large as the detector's recipe has them, or smaller ones."
            )
        rows, columns = (self._offsets(i, size[i]) for i in (0, 1))
        # First by rows, then by columns: no index of t × t entries.
        chosen = self.table[:, rows][..., columns]  # heads, row, row, column, column
        tokens = size[0] * size[1]
        return chosen.transpose(2, 3).reshape(1, -1, tokens, tokens)

    def _offsets(self, axis: int, size: int) -> Tensor:
        places = torch.arange(size, device=self.table.device)
        return places[:, None] - places[None, :] + self.extent[axis] - 1


class DecomposedAttention(nn.Module):
    """timm's attention with relative positions by height and by width, zero at first.

    What is added to a logit is the product of the query with an embedding of the rows, and one of the columns, between
    the two tokens: Li et al., MViTv2, CVPR 2022, and ViTDet (Li et al., ECCV 2022).
    """

    def __init__(self, plain: Attention, extent: tuple[int, int]) -> None:
        """The layers of ``plain``, for grids of ``extent`` tokens; on others the embeddings are interpolated."""
        super().__init__()
        self.num_heads, self.head_dim = plain.num_heads, plain.head_dim
        self.qkv, self.q_norm, self.k_norm, self.proj = plain.qkv, plain.q_norm, plain.k_norm, plain.proj
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * extent[0] - 1, self.head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * extent[1] - 1, self.head_dim))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(n, t, d) tokens of ``size`` rows and columns, each after attending to all t."""
        n, tokens, _ = x.shape
        size = (int(size[0]), int(size[1]))
        parts = self.qkv(x).reshape(n, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind(0)
        queries, keys = self.q_norm(queries), self.k_norm(keys)
        bias = get_decomposed_rel_pos_bias(queries.flatten(0, 1), self.rel_pos_h, self.rel_pos_w, size, size)
        bias = bias.view(n, self.num_heads, tokens, tokens).to(queries.dtype)
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, -1))

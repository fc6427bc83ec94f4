"""BEiT as a plain vision transformer and tables of biases."""

from functools import partial

from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.published.beit import TABLE, as_vision_transformer

OTHERS = 3
"""Rows of a table for offsets to and from the class token; the last ones."""


def as_plain(network: Beit) -> tuple[VisionTransformer, tuple[Tensor, ...]]:
    """The layers of ``network`` in timm's VisionTransformer, and the biases of each block by offset.

    Bao, Dong, Piao, Wei, BEiT: BERT pre-training of image transformers, ICLR 2022.

    Args:
        network: timm's; it stays as it is.

    Returns:
        The transformer, without last norm and head; and for each block a table (heads, 2 × rows - 1, 2 × columns - 1),
        or no tables at all where the network has none.

    Raises:
        ConfigError: for a relative of BEiT that has other layers.
    """
    first = network.blocks[0]
    heads, (rows, columns) = first.attn.num_heads, network.patch_embed.grid_size
    state = as_vision_transformer(network.state_dict())
    plain = VisionTransformer(
        img_size=network.patch_embed.img_size,
        patch_size=network.patch_embed.patch_size,
        num_classes=0,
        embed_dim=network.embed_dim,
        depth=len(network.blocks),
        num_heads=heads,
        mlp_ratio=first.mlp.fc1.out_features / network.embed_dim if hasattr(first.mlp, "fc1") else 1,
        qkv_bias=first.attn.q_bias is not None,
        init_values=1.0 if first.gamma_1 is not None else None,
        pos_embed="learn" if network.pos_embed is not None else "none",
        final_norm=False,
        norm_layer=partial(nn.LayerNorm, eps=first.norm1.eps),
    ).to(network.cls_token.device)
    tables = {name: value for name, value in state.items() if name.endswith(TABLE)}
    known = {name: value for name, value in state.items() if name in plain.state_dict()}
    strange = [name for name in state if name.startswith("blocks.") and name not in known and name not in tables]
    if strange or len(known) < len(plain.state_dict()):
        raise ConfigError(
            f"{type(network).__name__} has layers that plain blocks do not have ({', '.join(strange[:3])}). "
            "Choose a BEiT of the first version, or another source."
        )
    plain.load_state_dict(known)
    places = [tables[name] for i in range(len(network.blocks)) if (name := f"blocks.{i}.attn.{TABLE}") in tables]
    shape = (2 * rows - 1, 2 * columns - 1, heads)
    return plain, tuple(table[:-OTHERS].unflatten(0, shape[:2]).permute(2, 0, 1) for table in places)

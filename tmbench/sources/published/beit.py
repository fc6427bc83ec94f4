"""BEiT: biases by relative position; pretraining shares one table, fine-tuning gives each block its own.

Bao, Dong, Piao, Wei, BEiT: BERT pre-training of image transformers, ICLR 2022;
https://github.com/microsoft/unilm/tree/master/beit. timm's ``Beit`` keeps the names of its files.
"""

import re

import torch
from torch import Tensor, nn

from tmbench.sources.published.entries import Entries, Translated

TABLE = "relative_position_bias_table"
SHARED = f"rel_pos_bias.{TABLE}"
"""The table of all blocks."""

PRETRAINING = ("mask_token", "lm_head.", "cls_pt_layers.")
"""What only pretraining needs: the token for hidden patches, and what predicts visual words."""

BLOCK = re.compile(r"blocks\.(\d+)\.")


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The entries for timm's ``Beit``; for its ``VisionTransformer``, which has no tables, as its names are."""
    own = network.state_dict()
    out = Translated(dict(entries))
    out.leave_out("pretraining head and mask token", lambda name: name.startswith(PRETRAINING))
    out.leave_out("computed", lambda name: name.endswith("relative_position_index") and name not in own)
    if any(name.endswith(".qkv.bias") for name in own):
        out.entries = as_vision_transformer(out.entries)
    elif SHARED not in own:
        out.entries = _one_table_a_block(out.entries)
    out.settle_norm(network)
    return out


def as_vision_transformer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a BEiT network under the names of timm's ``VisionTransformer``.

    ``attn.qkv.bias`` (3d,) is made of the queries' and values' biases, the keys' being zero; ``gamma_1`` and
    ``gamma_2`` are ``ls1.gamma`` and ``ls2.gamma``. Every block has its ``attn.relative_position_bias_table``,
    ((2h-1)(2w-1) + 3, heads) for h × w patches: rows by the offset of two patches, height before width, then class
    token to patch, patch to class token, class token to itself. There is no ``pos_embed`` where BEiT has none, which
    is the rule.

    Args:
        state: of timm's ``Beit``, or of a published file without its wrapper; a ``VisionTransformer``'s comes back as
            it is.
    """
    out: dict[str, Tensor] = {}
    for name, value in _one_table_a_block(state).items():
        if name.endswith(("relative_position_index", "attn.k_bias", "attn.v_bias")):
            continue
        if name.endswith("attn.q_bias"):
            block = name.removesuffix("q_bias")
            out[f"{block}qkv.bias"] = torch.cat([value, torch.zeros_like(value), state[f"{block}v_bias"]])
        else:
            out[re.sub(r"\.gamma_([12])$", r".ls\1.gamma", name)] = value
    return out


def _one_table_a_block(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if SHARED not in state:
        return dict(state)
    depth = 1 + max(int(found[1]) for name in state if (found := BLOCK.match(name)))
    rest = {name: value for name, value in state.items() if not name.startswith("rel_pos_bias.")}
    return rest | {f"blocks.{block}.attn.{TABLE}": state[SHARED] for block in range(depth)}

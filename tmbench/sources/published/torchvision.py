"""torchvision's classification networks: its ResNets have timm's names; its vision transformers have their own.

https://pytorch.org/vision/stable/models.html
"""

import re

from torch import nn

from tmbench.sources.published.entries import Entries, Translated

OUTSIDE_BLOCKS = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
    "conv_proj": "patch_embed.proj",
    "encoder.ln": "norm",
    "heads.head": "head",
}
"""Name in torchvision's transformer → in timm's, outside the blocks."""

IN_BLOCK = {
    "ln_1": "norm1",
    "ln_2": "norm2",
    "self_attention.in_proj_weight": "attn.qkv.weight",
    "self_attention.in_proj_bias": "attn.qkv.bias",
    "self_attention.out_proj": "attn.proj",
    # Its published files are older than its code, which counts the parts of the MLP in place of naming them.
    "mlp.linear_1": "mlp.fc1",
    "mlp.linear_2": "mlp.fc2",
    "mlp.0": "mlp.fc1",
    "mlp.3": "mlp.fc2",
}
"""The same, of one block."""

BLOCK = re.compile(r"encoder\.layers\.encoder_layer_(\d+)\.(.+)")


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The entries of a transformer under timm's names, those of other networks as they are."""
    out = Translated(dict(entries))
    if "encoder.pos_embedding" in entries:
        out.rename(_timm_name)
    return out


def _timm_name(name: str) -> str:
    if found := BLOCK.fullmatch(name):
        return f"blocks.{found[1]}.{_replaced(found[2], IN_BLOCK)}"
    return _replaced(name, OUTSIDE_BLOCKS)


def _replaced(name: str, names: dict[str, str]) -> str:
    """``name`` with its beginning, up to a dot, looked up in ``names``."""
    for theirs, ours in names.items():
        if name == theirs or name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    return name

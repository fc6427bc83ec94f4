"""torchvision's detectors, into the same detector; files published before its version 0.13 name some layers otherwise.

https://pytorch.org/vision/stable/models.html#object-detection
"""

import re

from torch import nn

from tmbench.sources.published.entries import Entries, Translated

OLDER = (
    (re.compile(r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)"), r"backbone.fpn.\1_blocks.\2.0.\3"),
    (re.compile(r"rpn\.head\.conv\.(weight|bias)"), r"rpn.head.conv.0.0.\1"),
)
"""Name in an older file → in torchvision's detectors now, where a layer may stand in a sequence with its norm."""

OLDER_MASK = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)")
"""The mask head's convolutions, which older files count from 1."""


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The entries under today's names."""
    own = network.state_dict().keys()
    out = Translated(dict(entries))
    out.rename(lambda name: name if name in own else _new_name(name))
    return out


def _new_name(name: str) -> str:
    for older, new in OLDER:
        if older.fullmatch(name):
            return older.sub(new, name)
    if found := OLDER_MASK.fullmatch(name):
        return f"roi_heads.mask_head.{int(found[1]) - 1}.0.{found[2]}"
    return name

"""torchvision's segmentation networks: FCN, DeepLabV3 and LR-ASPP, into trunk and decoder of the same layers.

https://pytorch.org/vision/stable/models.html#semantic-segmentation
"""

from torch import nn

from tmbench.sources.published.entries import Entries, Translated

AUXILIARY = "aux_classifier."
"""A second head that some networks were trained with; predictions do not come from it."""

PARTS = {"backbone.": "trunk.body.", "classifier.": "decoder.head."}
"""Beginning of a name in torchvision → in ours."""


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The entries under our names, without the auxiliary head."""
    out = Translated(dict(entries))
    out.leave_out("auxiliary head", lambda name: name.startswith(AUXILIARY))
    out.rename(_our_name)
    return out


def _our_name(name: str) -> str:
    for theirs, ours in PARTS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name

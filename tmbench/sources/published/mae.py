"""Masked autoencoders: the encoder has timm's names; the decoder, where the file holds one, is left out.

He et al., Masked autoencoders are scalable vision learners, CVPR 2022; https://github.com/facebookresearch/mae.
"""

from torch import nn

from tmbench.sources.published.entries import Entries, Translated


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The encoder's entries; a fine-tuned file keeps its head."""
    out = Translated(dict(entries))
    out.leave_out("decoder", lambda name: name.startswith("decoder_"))
    out.leave_out("mask token", lambda name: name == "mask_token")
    out.settle_norm(network)
    return out

"""MoCo v3's checkpoints: two encoders and a predictor; the encoder that was trained by gradients is taken.

Chen, Xie, He, An empirical study of training self-supervised vision transformers, ICCV 2021;
https://github.com/facebookresearch/moco-v3. Its transformers have timm's names, its ResNets torchvision's.
"""

from torch import nn

from tmbench.sources.published.entries import Entries, Translated

ENCODERS = ("base_encoder.", "momentum_encoder.")
"""The first that a file has is loaded."""

PROJECTORS = ("head.", "fc.")
"""Multi-layer perceptrons in the place of a transformer's and of a ResNet's head."""


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The encoder's entries; a file without encoders, such as that of a linear evaluation, keeps its head."""
    out = Translated(dict(entries))
    out.leave_out("predictor", lambda name: name.startswith("predictor."))
    chosen = next((encoder for encoder in ENCODERS if any(name.startswith(encoder) for name in entries)), None)
    if chosen is not None:
        projectors = tuple(chosen + projector for projector in PROJECTORS)
        out.leave_out("projector", lambda name: name.startswith(projectors))
        out.leave_out("the other encoder", lambda name: not name.startswith(chosen))
        out.rename(lambda name: name.removeprefix(chosen))
    out.settle_norm(network)
    return out

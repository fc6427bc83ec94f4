"""timm's own names; also those of DeiT (Touvron et al., ICML 2021), which is built of timm's transformer.

https://github.com/huggingface/pytorch-image-models, https://github.com/facebookresearch/deit
"""

from torch import nn

from tmbench.sources.published.entries import Entries, Translated


def translated(entries: Entries, network: nn.Module) -> Translated:
    """The entries as they are."""
    return Translated(dict(entries))

"""Weights that others published: from their file to a network of ours, by the layout in which the file names them.

One module a layout translates names; what the translation gives is then held to the network entry by entry, so that
nothing is loaded by halves in silence.
"""

from importlib import import_module

from torch import nn

from tmbench.sources.options import FileWeights
from tmbench.sources.published.entries import Translated
from tmbench.sources.published.fitting import Loaded, fitted
from tmbench.sources.published.opening import entries_of
from tmbench.sources.weight_files import checked_digest

__all__ = ["Loaded", "Translated", "read"]


def read(weights: FileWeights, network: nn.Module) -> Loaded:
    """The weights of a file in the names of ``network``, every one of its parameters and buffers.

    The network is only looked at: :func:`tmbench.sources.network.load_weights` copies them into it. Nothing in the file
    is unpickled.

    Args:
        weights: the file, and the layout of its entries.
        network: of the architecture that the file belongs to; what the file cannot hold keeps its values.

    Raises:
        BadWeights: when the file is missing, damaged, another one than ``sha256`` says, would have to be unpickled, or
            does not fit the network in more than a head.
    """
    digest = checked_digest(weights)
    entries = entries_of(weights)
    layout = import_module(f"{__name__}.{weights.layout}")
    return fitted(weights, digest, layout.translated(entries, network), network)

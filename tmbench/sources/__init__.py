"""Sources: pretrained models, built with timm, pretrained by the study itself or left random.

Light to import: torch is loaded by :func:`build`.
"""

from typing import TYPE_CHECKING

from tmbench.errors import TmbenchError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tmbench.sources.options import Source


class BadWeights(TmbenchError):
    """Weights that do not belong to the architecture."""


def build(
    source: "Source", weights: "dict[str, np.ndarray] | None" = None, task: str = "classification"
) -> "torch.nn.Module":
    """The network of ``source`` with its weights; see :func:`tmbench.sources.network.build`."""
    from tmbench.sources import network

    return network.build(source, weights, task)

"""The forward pass: features of several layers, the source head's logits and the labels, all at once."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import unknown
from tmbench.sources.network import BATCH, as_input, penultimate
from tmbench.sources.options import Source
from tmbench.targets import LabelledImages

PENULTIMATE = "penultimate"


def extract(
    network: nn.Module, source: Source, data: LabelledImages, layers: Iterable[str] = (PENULTIMATE,)
) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data``, in evaluation mode.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``.
        source: for the input's size and normalisation, and whether there is a head.
        data: the images, n of them.
        layers: ``penultimate``, or dotted names of modules whose output is averaged over all positions.

    Returns:
        ``features/LAYER`` (n, d) float32 for each layer; ``logits`` (n, C of the source) float32 if the source has
        a head; ``labels`` (n,) int64. Rows are in the order of ``data``.

    Raises:
        ConfigError: for a layer that the network does not have.
    """
    wanted = tuple(dict.fromkeys(layers))
    inputs = as_input(data.images, source.input)
    parts: dict[str, list[Tensor]] = {f"features/{layer}": [] for layer in wanted}
    if source.has_head:
        parts["logits"] = []
    head: Callable[[Tensor], Tensor] = network.get_classifier()  # type: ignore[operator]
    taken: dict[str, Tensor] = {}
    hooks = [_listen(network, layer, taken) for layer in wanted if layer != PENULTIMATE]
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(inputs), BATCH):
                last = taken[PENULTIMATE] = penultimate(network, inputs[start : start + BATCH])
                for layer in wanted:
                    parts[f"features/{layer}"].append(_pooled(taken[layer]))
                if source.has_head:
                    parts["logits"].append(head(last))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    out = {name: np.array(torch.cat(tensors).numpy(), dtype=np.float32) for name, tensors in parts.items()}
    return out | {"labels": data.labels}


def has_layer(network: nn.Module, layer: str) -> bool:
    """Whether :func:`extract` can read ``layer`` from ``network``."""
    return layer == PENULTIMATE or (layer != "" and layer in dict(network.named_modules()))


def _listen(network: nn.Module, layer: str, taken: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    """Put the output of the module ``layer`` into ``taken`` at every pass."""
    modules = dict(network.named_modules())
    if layer not in modules or not layer:
        raise unknown("layer", layer, [PENULTIMATE, *filter(None, modules)], where=type(network).__name__)

    def take(module: nn.Module, arguments: object, output: Tensor) -> None:
        taken[layer] = output

    return modules[layer].register_forward_hook(take)


def _pooled(output: Tensor) -> Tensor:
    """One vector an image: the mean over positions of (n, d, h, w) maps or of (n, tokens, d)."""
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    return output.mean(dim=1) if output.ndim == 3 else output

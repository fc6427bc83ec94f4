"""The forward pass: features of several layers, the source head's logits and the labels, all at once."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError, unknown
from tmbench.features.options import PREDICTION
from tmbench.sources.maps import pooled
from tmbench.sources.network import BATCH, as_input, penultimate, place_of
from tmbench.sources.options import Source
from tmbench.targets import LabelledImages

PENULTIMATE = "penultimate"

HEADS = {"classification": "logits", "regression": "predictions"}
"""What the output of a source's own head is called, by the task that it was trained for."""


def extract(
    network: nn.Module, source: Source, data: LabelledImages, layers: Iterable[str] = (PENULTIMATE,)
) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data``, in evaluation mode, on the device where it lies.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``.
        source: for the input's size and normalisation, and whether there is a head.
        data: the images, n of them.
        layers: ``penultimate``, ``prediction``, what the source's own head gives, or dotted names of modules whose
            output is averaged over all positions.

    Returns:
        ``features/LAYER`` (n, d) float32 for each layer; ``logits`` (n, C of the source) float32 if the source has
        a head for classes, ``predictions`` (n, k) float32 if it has one for numbers; ``labels`` (n,) int64. Rows are in
        the order of ``data``.

    Raises:
        ConfigError: for a layer that the network does not have, and the prediction of a source without a head.
    """
    parts = list(batches(network, source, data, layers))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches(
    network: nn.Module, source: Source, data: LabelledImages, layers: Iterable[str] = (PENULTIMATE,)
) -> Iterator[dict[str, np.ndarray]]:
    """What :func:`extract` gives, ``BATCH`` images at a time: no more of them is in memory as floating point numbers.

    The network is left as it was when the last batch is taken, or the iterator is closed.
    """
    wanted = tuple(dict.fromkeys(layers))
    taken: dict[str, Tensor] = {}
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    was_training = network.training
    network.eval()
    if PREDICTION in wanted and source.predicts not in HEADS:
        raise ConfigError(f"{type(network).__name__} has no head that predicts; leave the level of predictions out.")
    try:
        hooks += (_listen(network, layer, taken) for layer in wanted if layer not in (PENULTIMATE, PREDICTION))
        for start in range(0, len(data), BATCH):
            chosen = slice(start, start + BATCH)
            batch = _batch(network, source, data.images[chosen], wanted, taken)
            yield {name: np.array(tensor.cpu().numpy(), dtype=np.float32) for name, tensor in batch.items()} | {
                "labels": data.labels[chosen]
            }
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()


def _batch(
    network: nn.Module, source: Source, images: np.ndarray, layers: Iterable[str], taken: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Features of ``layers`` and logits; ``taken`` is where hooks put the outputs of the network's modules."""
    head: Callable[[Tensor], Tensor] = network.get_classifier()  # type: ignore[operator]
    with torch.inference_mode():
        inputs = as_input(images, source.input).to(place_of(network))
        last = taken[PENULTIMATE] = penultimate(network, inputs)
        said = {}
        if source.predicts in HEADS:
            said[HEADS[source.predicts]] = taken[PREDICTION] = head(last)
        return {f"features/{layer}": pooled(taken[layer]) for layer in layers} | said


def has_layer(network: nn.Module, layer: str) -> bool:
    """Whether :func:`extract` can read ``layer`` from ``network``."""
    if layer == PREDICTION:
        return not isinstance(network.get_classifier(), nn.Identity)  # type: ignore[operator]
    return layer == PENULTIMATE or (layer != "" and layer in dict(network.named_modules()))


def _listen(network: nn.Module, layer: str, taken: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    """Put the output of the module ``layer`` into ``taken`` at every pass."""
    modules = dict(network.named_modules())
    if layer not in modules or not layer:
        raise unknown("layer", layer, [PENULTIMATE, *filter(None, modules)], where=type(network).__name__)

    def take(module: nn.Module, arguments: object, output: Tensor) -> None:
        taken[layer] = output

    return modules[layer].register_forward_hook(take)

"""The new head of a fine-tuning: a linear map of the network's last features."""

from torch import nn

from tmbench.identity import Seeds
from tmbench.sources.network import device, drawing, place_of


def new_head(width: int, outputs: int, seeds: Seeds) -> nn.Linear:
    """A linear map of ``width`` features with torch's usual initialisation, drawn from ``seeds``."""
    with drawing(seeds.integer("head")):
        return nn.Linear(width, outputs).to(device())


def with_new_head(network: nn.Module, outputs: int, seeds: Seeds) -> nn.Module:
    """``network`` with the head of :func:`new_head` for ``outputs`` in place of its own."""
    place = place_of(network)
    network.reset_classifier(outputs)  # type: ignore[operator]
    head: nn.Linear = network.get_classifier()  # type: ignore[operator]
    head.load_state_dict(new_head(head.in_features, outputs, seeds).state_dict())
    return network.to(place)  # a new head may lie on the CPU

"""What of a network is trained: its head, its last stage too, or every weight.

The stages are those that timm's networks name themselves (``group_matcher(coarse=True)``), from the stem to the head.
"""

from collections.abc import Iterator
from typing import Literal

from torch import nn

from tmbench.errors import ConfigError

NO_STAGE = "no stage has this name"
"""A parameter's name that no network knows: it falls in the group of what is behind the stages."""


def freeze(network: nn.Module, trainable: Literal["head", "half", "full"], trunk: nn.Module | None = None) -> None:
    """Let training change of ``network`` what ``trainable`` says; the rest keeps its weights and its statistics.

    Args:
        network: changed where it lies.
        trainable: ``head``, what predicts; ``half``, what predicts, and the last stage with all that follows it (a
            transformer's last block and norm); ``full``, every weight.
        trunk: the part of ``network`` that has timm's interface, where ``network`` is more than that; what lies outside
            of it predicts then, and nothing in it does.

    Raises:
        ConfigError: for ``half`` of a network that does not name its stages, or has fewer than two.
    """
    if trainable == "full":
        return
    trained = {id(parameter) for parameter in _predicting(network, trunk)}
    if trainable == "half":
        stages = network if trunk is None else trunk
        named = dict(stages.named_parameters())
        trained |= {id(named[name]) for name in last_stage(stages)}
    for parameter in network.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad_(False)


def last_stage(network: nn.Module) -> list[str]:
    """The names of the parameters in the last stage of ``network`` and behind it, its head included.

    Raises:
        ConfigError: when it does not name its stages, or has fewer than two.
    """
    groups = stages_of(network)
    if len(groups) < 4:  # the stem, two stages, and what is behind them
        raise ConfigError(
            f"trainable=half trains the last of several stages, and {type(network).__name__} does not tell its stages. "
            "Take trainable=head or trainable=full."
        )
    return [name for group in groups[-2:] for name in group]


def training_mode(network: nn.Module) -> None:
    """Put ``network`` in training mode, and all of it that is frozen in evaluation mode.

    Frozen norms so keep the statistics they were trained with, and frozen layers drop nothing.
    """
    network.train()
    for module in network.modules():
        trained = [parameter.requires_grad for parameter in module.parameters()]
        if trained and not any(trained):
            module.eval()


def _predicting(network: nn.Module, trunk: nn.Module | None) -> Iterator[nn.Parameter]:
    """The parameters of the network's head."""
    if trunk is None:
        heads = network.get_classifier()  # type: ignore[operator]
        for head in heads if isinstance(heads, tuple) else (heads,):
            yield from head.parameters()
        return
    inside = {id(parameter) for parameter in trunk.parameters()}
    yield from (parameter for parameter in network.parameters() if id(parameter) not in inside)


class _Named(nn.Module):
    """Parameters by name, and one of a name that no stage has."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._of = network

    def named_parameters(self, *arguments: object, **more: object) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self._of.named_parameters()
        yield NO_STAGE, nn.Parameter()


def stages_of(network: nn.Module) -> list[list[str]]:
    """The names of parameters by stage, from the stem to what is behind the last stage, where the head lies.

    None where ``network`` does not tell; the last group may be empty.
    """
    from timm.models import group_parameters

    if not hasattr(network, "group_matcher"):
        return []
    found = group_parameters(_Named(network), network.group_matcher(coarse=True))  # type: ignore[operator]
    return [[name for name in found[number] if name != NO_STAGE] for number in sorted(found)]

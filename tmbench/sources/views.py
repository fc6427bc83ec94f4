"""Networks made of others: one that ends after a module, and several side by side whose features are joined.

Both have timm's interface, so that they are trained and read like any other network. A *layer* study asks after which
module a network transfers best; a *second-order* one, whether two sources are better than each alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError, unknown
from tmbench.sources.freezing import stages_of
from tmbench.sources.maps import pooled


class HeadOnFeatures(nn.Module):
    """A linear head, or none yet, on (n, ``num_features``) features: the half of timm's interface that both share."""

    def __init__(self, num_features: int) -> None:
        """Begin without a head, as an untrained source does."""
        super().__init__()
        self.num_features = self.head_hidden_size = num_features
        self.num_classes = 0
        self.head: nn.Module = nn.Identity()

    def get_classifier(self) -> nn.Module:
        """The head; ``Identity`` where there is none."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Take a new head of so many outputs; none for 0."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_features(self, inputs: Tensor) -> Tensor:
        """What :meth:`forward_head` takes."""
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """(n, outputs) of the head, or with ``pre_logits`` the (n, d) that it sees."""
        vectors = pooled(features)
        return vectors if pre_logits else self.head(vectors)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, outputs) of (n, 3, h, w) images."""
        return self.forward_head(self.forward_features(inputs))


class CutNetwork(HeadOnFeatures):
    """A network that ends after one of its modules; what comes later is neither computed nor kept.

    ``forward_features`` gives that module's output as it is, of maps (n, d, h, w) or tokens (n, t, d) too; the head
    sees its mean over positions, which is what a pass over the whole network keeps as the global reading of the layer.
    """

    def __init__(self, network: nn.Module, layer: str, image_size: int) -> None:
        """End ``network``, whose modules this one takes over, after its module ``layer``.

        One image of ``image_size`` is sent through, to see how wide the output is and what it is made of.

        Raises:
            ConfigError: when there is no such module, or the features that a head sees do not come through it, or it
                gives no tensor.
        """
        modules = dict(network.named_modules())
        if not layer or layer not in modules:
            raise unknown("layer", layer, filter(None, modules), where=type(network).__name__)
        trial = _Trial(network, layer, image_size)
        super().__init__(pooled(trial.output).shape[1])
        _leave_out_unused(network, trial.called, trial.used)
        self.body = network
        self.layer = layer
        self.num_prefix_tokens = int(getattr(network, "num_prefix_tokens", 0))
        self._calls = trial.calls
        self._left = 0
        modules[layer].register_forward_hook(self._stop)
        self.train(network.training)

    def forward_features(self, inputs: Tensor) -> Tensor:
        """The module's output for (n, 3, h, w) images."""
        self._left = self._calls
        try:
            _run(self.body, inputs)
        except _Reached as here:
            return here.output
        raise ConfigError(f"{self.layer} is not reached by images of {tuple(inputs.shape[2:])} pixels.")

    def _stop(self, module: nn.Module, arguments: object, output: Tensor) -> None:
        self._left -= 1
        if not self._left:  # a module may serve several times; a pass keeps what it gave last
            raise _Reached(output)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The network's own groups of parameters, as far as it goes."""
        found: Mapping[str, Any] = self.body.group_matcher(coarse=coarse)  # type: ignore[operator]
        return {
            name: [(_inside(pattern), suffix) for pattern, suffix in spec]
            if isinstance(spec, list | tuple)
            else spec and _inside(spec)
            for name, spec in found.items()
        }


class JoinedNetworks(HeadOnFeatures):
    """Several networks that see the same images; the head sees what the heads of all would see, one after the other."""

    def __init__(self, parts: Sequence[nn.Module], image_size: int) -> None:
        """Join ``parts``, whose own heads are given up."""
        for part in parts:
            part.reset_classifier(0)  # type: ignore[operator]
        widths = [_width(part, image_size) for part in parts]
        super().__init__(sum(widths))
        self.parts = nn.ModuleList(parts)
        self.train(parts[0].training)

    def forward_features(self, inputs: Tensor) -> Tensor:
        """(n, d): the penultimate features of all parts."""
        return torch.cat([_run(part, inputs) for part in self.parts], dim=1)

    def group_matcher(self, coarse: bool = False) -> Any:
        """Groups of the parts, counted from their ends: the last stages of all are one group, and so is what is behind.

        A function of a parameter's name, as timm takes one in place of patterns.
        """
        group: dict[str, int] = {}
        for number, part in enumerate(self.parts):
            stages = stages_of(part)
            behind = len(stages) - 1
            group |= {f"parts.{number}.{name}": i - behind for i in range(behind) for name in stages[i]}
        return lambda name: (group.get(name, float("inf")),)


def joined_weights(weights: Sequence[Mapping[str, np.ndarray] | None]) -> dict[str, np.ndarray] | None:
    """The weights of a joined source: those of its parts, in their order, ``NUMBER/NAME`` each.

    A part that is not pretrained by the study has None; where none is, there are no weights.
    """
    if all(each is None for each in weights):
        return None
    return {f"{i}/{name}": array for i, each in enumerate(weights) for name, array in (each or {}).items()}


def weights_of_part(weights: Mapping[str, np.ndarray] | None, number: int) -> dict[str, np.ndarray] | None:
    """What :func:`joined_weights` was given for the part ``number``."""
    prefix = f"{number}/"
    found = {name.removeprefix(prefix): array for name, array in (weights or {}).items() if name.startswith(prefix)}
    return found or None


class _Reached(Exception):
    """The module after which a network ends has its output."""

    def __init__(self, output: Tensor) -> None:
        super().__init__("the network ends here")
        self.output = output


class _Trial:
    """What one image finds out about a network and the module ``layer`` in it.

    Attributes:
        output: of the module, when it is used last.
        calls: how often it is used.
        called: the modules that have run by then.
        used: the parameters that the output depends on.
    """

    def __init__(self, network: nn.Module, layer: str, image_size: int) -> None:
        outputs: list[Any] = []
        calls: list[nn.Module] = []
        by_then = 0

        def note(module: nn.Module, arguments: object) -> None:
            calls.append(module)

        def take(module: nn.Module, arguments: object, output: Any) -> None:
            nonlocal by_then
            outputs.append(output)
            by_then = len(calls)

        hooks = [module.register_forward_pre_hook(note) for module in network.modules()]
        hooks.append(network.get_submodule(layer).register_forward_hook(take))
        was_training = network.training
        network.eval()
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        place = next((parameter.device for parameter in parameters), torch.device("cpu"))
        try:
            with torch.enable_grad():
                _run(network, torch.zeros(1, 3, image_size, image_size, device=place))
        finally:
            network.train(was_training)
            for hook in hooks:
                hook.remove()
        if not outputs:
            raise ConfigError(f"{type(network).__name__}: what its head sees does not come through '{layer}'.")
        if not isinstance(outputs[-1], Tensor) or outputs[-1].ndim < 2:
            raise ConfigError(f"{type(network).__name__}: '{layer}' gives no vector, map or tokens to transfer.")
        self.output: Tensor = outputs[-1]
        self.calls = len(outputs)
        self.called = set(calls[:by_then])
        self.used = set(_leaves(self.output, parameters))


def _leaves(output: Tensor, parameters: Sequence[nn.Parameter]) -> Iterator[nn.Parameter]:
    """Those of ``parameters`` that ``output`` depends on."""
    if not output.requires_grad:
        return
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            yield parameter


def _leave_out_unused(module: nn.Module, called: set[nn.Module], used: set[nn.Parameter]) -> None:
    """Put an ``Identity`` in the place of each module within that neither ran nor holds what is used."""
    for name, child in module.named_children():
        if called.isdisjoint(child.modules()) and used.isdisjoint(child.parameters()):
            module.add_module(name, nn.Identity())
        else:
            _leave_out_unused(child, called, used)


def _inside(pattern: str) -> str:
    """A pattern of timm's for names in ``body.``: one that is anchored at the beginning, as all of them are read."""
    without_anchors = re.sub(r"(^|[|(])\^", r"\1", pattern)
    return rf"body\.(?:{without_anchors})"


def _run(network: nn.Module, inputs: Tensor) -> Tensor:
    """What the head of ``network`` sees."""
    return network.forward_head(network.forward_features(inputs), pre_logits=True)  # type: ignore[operator]


def _width(network: nn.Module, image_size: int) -> int:
    """How many features the head of ``network`` sees."""
    place = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    was_training = network.training
    with torch.no_grad():
        width = _run(network.eval(), torch.zeros(1, 3, image_size, image_size, device=place)).shape[1]
    network.train(was_training)
    return width

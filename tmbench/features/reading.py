"""Reading a network as it runs: the mean over an image, and over each object's box, at any of its modules.

Each output is read at the moment it is made, so that no map lives longer than the network needs it, and a module that
works in place cannot change what the one before it gave.
"""

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

import torch
from torch import Tensor, nn

from tmbench.errors import unknown
from tmbench.features.extraction import PENULTIMATE
from tmbench.features.options import layer_of
from tmbench.features.regions import BINS, POINTS, Regions
from tmbench.sources.maps import as_map, prefix_tokens

LOCAL = "local/"
"""What the name of a place begins with where objects are read."""

PYRAMID = "pyramid"

MAPS = 4
"""Maps of a detector's pyramid that objects are read from; what is pooled from the last of them is not."""


def is_detector(network: nn.Module) -> bool:
    """Whether ``network`` is one of torchvision's detectors, with a backbone and heads over regions."""
    return hasattr(network, "backbone") and hasattr(network, "roi_heads")


def module_at(network: nn.Module, layer: str) -> nn.Module | None:
    """The module of that dotted name, of a detector also as its backbone's own network calls it; None without one."""
    modules = dict(network.named_modules())
    trunks = ("", "backbone.body.", "backbone.body.network.") if is_detector(network) else ("",)
    return next((modules[trunk + layer] for trunk in trunks if layer and trunk + layer in modules), None)


def has_layer(network: nn.Module, layer: str) -> bool:
    """Whether there is something to read at ``layer``."""
    special = {PENULTIMATE, *(_pyramid_layers() if is_detector(network) else ())}
    return layer in special or module_at(network, layer) is not None


def _pyramid_layers() -> list[str]:
    return [PYRAMID, *(f"{PYRAMID}.{i}" for i in range(MAPS))]


class Reader:
    """A network with the places that are read from it; a context, outside of which nothing listens."""

    def __init__(self, network: nn.Module, places: Iterable[str]) -> None:
        """Read ``network`` at ``places``.

        Raises:
            ConfigError: for a layer that the network does not have.
        """
        self._network = network
        self._places = frozenset(places)
        self._prefix = prefix_tokens(network)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._found: dict[str, Tensor] = {}
        self._boxes: list[Tensor] = []
        self._size = 0
        self._regions: Regions
        for layer in sorted(set(map(layer_of, self._places))):
            if not has_layer(network, layer):
                special = [PENULTIMATE, *(_pyramid_layers() if is_detector(network) else ())]
                known = [*special, *filter(None, dict(network.named_modules()))]
                raise unknown("layer", layer, known, where=type(network).__name__)

    def __enter__(self) -> "Reader":
        """Listen to the modules."""
        special = {PENULTIMATE, *(_pyramid_layers() if is_detector(self._network) else ())}
        for layer in sorted(set(map(layer_of, self._places)) - special):
            module = module_at(self._network, layer)
            assert module is not None  # as has_layer said
            self._hooks.append(module.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def read(self, inputs: Tensor, boxes: Sequence[Tensor], *, logits: bool = False) -> dict[str, Tensor]:
        """Run the network once.

        Args:
            inputs: (n, 3, size, size), where the network lies.
            boxes: of each image (k, 4) corners in pixels of ``inputs``, where the network lies.
            logits: whether the network's head is read too.

        Returns:
            Place → (n, d), or (objects of all images, d) for a local one; places whose layer gives nothing that has
            one vector an image, or a position, are left out. ``logits`` (n, C) where asked for.
        """
        self._found, self._boxes, self._size = {}, list(boxes), inputs.shape[-1]
        self._regions = Regions(boxes, inputs.shape[-1])
        with torch.inference_mode():
            if is_detector(self._network):
                self._read_detector(inputs)
            else:
                last = self._network.forward_features(inputs)  # type: ignore[operator]
                pooled = self._network.forward_head(last, pre_logits=True)  # type: ignore[operator]
                self._take(PENULTIMATE, last)
                if PENULTIMATE in self._places:
                    self._found[PENULTIMATE] = pooled
                if logits:
                    self._found["logits"] = self._network.get_classifier()(pooled)  # type: ignore[operator]
        return self._found

    def _hook(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        def take(module: nn.Module, arguments: object, output: object) -> None:
            self._take(layer, output)

        return take

    def _take(self, layer: str, output: object) -> None:
        """Read the output of ``layer`` at the places that want it."""
        if not isinstance(output, Tensor) or len(output) != len(self._boxes):  # windows of a windowed block, say
            return
        maps = as_map(output, self._prefix)
        if layer in self._places and (maps is not None or output.ndim == 2):
            self._found[layer] = output if maps is None else maps.mean(dim=(2, 3))
        if LOCAL + layer in self._places and maps is not None:
            self._found[LOCAL + layer] = self._regions.mean(maps)

    def _read_detector(self, inputs: Tensor) -> None:
        """Run the backbone; read its pyramid, and the box head over the true boxes in place of proposals."""
        from torchvision.ops import MultiScaleRoIAlign

        maps = self._network.backbone(inputs)  # type: ignore[operator]
        maps = {"0": maps} if isinstance(maps, Tensor) else dict(maps)
        names = list(maps)[:MAPS]
        for i, name in enumerate(names):
            self._take(f"{PYRAMID}.{i}", maps[name])
        if PYRAMID in self._places:
            self._found[PYRAMID] = maps[names[-1]].mean(dim=(2, 3))
        shapes = [(self._size, self._size)] * len(inputs)
        if LOCAL + PYRAMID in self._places:
            pool = MultiScaleRoIAlign(names, output_size=1, sampling_ratio=BINS * POINTS)
            self._found[LOCAL + PYRAMID] = pool(maps, self._boxes, shapes).flatten(1)
        whole = inputs.new_tensor([[0.0, 0.0, self._size, self._size]])
        for place, boxes in ((PENULTIMATE, [whole] * len(inputs)), (LOCAL + PENULTIMATE, self._boxes)):
            if place in self._places:
                heads = self._network.roi_heads
                self._found[place] = heads.box_head(heads.box_roi_pool(maps, boxes, shapes))  # type: ignore[union-attr, operator]

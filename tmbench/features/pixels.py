"""Which pixels are read, and reading a network's maps at them as it runs."""

from collections.abc import Callable, Iterable
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import unknown
from tmbench.features.extraction import PENULTIMATE
from tmbench.features.options import PREDICTION, layer_of
from tmbench.sources.maps import as_map, prefix_tokens, trunk_of
from tmbench.sources.segmentation.segmenter import Segmenter
from tmbench.sources.segmentation.trunks import trunk_maps
from tmbench.targets.segmentation import IGNORED

PIXEL = "pixel/"
"""What the name of a place begins with where pixels are read."""


def balanced(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Positions of pixels of one image, spread as evenly over its classes as these allow.

    A class with fewer pixels than its share gives all; the others share what is left. Where that does not come out
    even, classes drawn at random give one more.

    Args:
        labels: (h, w) uint8 in 0..C-1 or 255, which is never taken.
        count: so many pixels; all that have a class where there are fewer.
        generator: draws them, each pixel of a class being as likely as the others.

    Returns:
        (m,) int64 positions in ``labels`` row by row, ascending.
    """
    flat = labels.reshape(-1)
    sizes = np.bincount(flat, minlength=IGNORED + 1)[:IGNORED]
    present = np.flatnonzero(sizes)
    shares = _shares(sizes[present], count, generator)
    order = np.argsort(flat, kind="stable")  # by class: a radix sort, for bytes
    starts = np.cumsum(sizes) - sizes
    taken = [
        order[starts[label] + generator.choice(sizes[label], share, replace=False, shuffle=False)]
        for label, share in zip(present, shares, strict=True)
    ]
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.int64)


def _shares(sizes: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """(k,) how many of ``count`` each of k classes gives that has ``sizes`` pixels."""
    if sizes.sum() <= count:
        return sizes
    shares = np.zeros_like(sizes)
    left = count
    for place, label in enumerate(np.argsort(sizes, kind="stable")):  # the smallest first: they give all that they have
        shares[label] = min(sizes[label], left // (len(sizes) - place))
        left -= shares[label]
    # What is missing is less than one a class: those that have more give one each, of equal chance.
    able = generator.permutation(np.flatnonzero(shares < sizes))
    level = shares[able].min()
    more = able[shares[able] == level][:left]
    shares[more] += 1
    return shares


def cells(positions: Tensor, size: int, resolution: tuple[int, int]) -> Tensor:
    """The position in a map of ``resolution`` that holds each pixel of a square image.

    Args:
        positions: (m,) int64, row by row in ``size`` × ``size`` pixels.
        size: height and width in pixels.
        resolution: rows and columns of the map.
    """
    rows, columns = positions // size, positions % size
    height, width = resolution
    return (rows * height // size) * width + columns * width // size


def layers_of(network: nn.Module) -> list[str]:
    """The names of modules that can be read: those of the trunk by their own names, and all by their full ones."""
    return [PENULTIMATE, *_modules(network)]


def _modules(network: nn.Module) -> dict[str, nn.Module]:
    """The modules by every name under which they are read; a trunk's by their own names too."""
    modules = dict(network.named_modules())
    for trunk in ("trunk.", "trunk.body.") if trunk_of(network) is not network else ():
        for name, module in list(modules.items()):
            if name.startswith(trunk):
                modules.setdefault(name.removeprefix(trunk), module)
    return {name: module for name, module in modules.items() if name}


class PixelReader:
    """A network with the places at which pixels are read from it; a context, outside of which nothing listens.

    Each module's output is read at the moment it is made, so that no map lives longer than the network needs it.
    """

    def __init__(self, network: nn.Module, places: Iterable[str]) -> None:
        """Read ``network`` at ``places``.

        Raises:
            ConfigError: for a layer that the network does not have.
        """
        self._network = network
        self._layers = {layer_of(place): place for place in places if place != PREDICTION}
        self._modules = _modules(network)
        self._prefix = prefix_tokens(trunk_of(network))
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._found: dict[str, Tensor] = {}
        self._image = self._positions = torch.empty(0)
        self._images = self._size = 0
        for layer in self._layers:
            if layer != PENULTIMATE and layer not in self._modules:
                raise unknown("layer", layer, layers_of(network), where=type(network).__name__)

    def __enter__(self) -> "PixelReader":
        """Listen to the modules."""
        for layer in sorted(self._layers.keys() - {PENULTIMATE}):
            self._hooks.append(self._modules[layer].register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def read(self, inputs: Tensor, image: Tensor, positions: Tensor, *, logits: bool = False) -> dict[str, Tensor]:
        """Run the network once.

        Args:
            inputs: (n, 3, size, size), where the network lies.
            image: (m,) int64 row in ``inputs`` of each pixel, where the network lies.
            positions: (m,) int64 position of each pixel in its image, row by row.
            logits: whether the decoder of a segmentation network is read too.

        Returns:
            Place → (m, d): what the map has at the position that holds the pixel. Places whose layer gives no map are
            left out. ``logits`` (m, C) where asked for.
        """
        self._found, self._image, self._positions = {}, image, positions
        self._images, self._size = len(inputs), inputs.shape[-1]
        with torch.inference_mode():
            if isinstance(self._network, Segmenter):
                features = self._network.decoder.features(self._network.maps(inputs))
                if logits:
                    self._found["logits"] = self._at(self._network.decoder.classify(features))
            else:
                (features,) = trunk_maps(self._network, inputs, fused=False)[-1:]
            self._take(PENULTIMATE, features)
        return self._found

    def _hook(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        def take(module: nn.Module, arguments: object, output: object) -> None:
            self._take(layer, output)

        return take

    def _take(self, layer: str, output: object) -> None:
        """Read the output of ``layer`` where it is wanted."""
        if layer not in self._layers or not isinstance(output, Tensor) or len(output) != self._images:
            return
        maps = as_map(output, self._prefix)
        if maps is not None:
            self._found[self._layers[layer]] = self._at(maps)

    def _at(self, maps: Tensor) -> Tensor:
        """(m, d): (n, d, h, w) maps at the pixels."""
        height, width = maps.shape[-2:]
        rows = maps.permute(0, 2, 3, 1).reshape(len(maps), height * width, -1)
        return rows[self._image, cells(self._positions, self._size, (height, width))]

"""Maps: what a network's modules give for square images, whatever form they give it in."""

import math

from torch import Tensor, nn


def as_map(output: Tensor, prefix: int = 0) -> Tensor | None:
    """(n, d, side, side): what a module gives for square images, as a map; None where it has no positions.

    Takes maps with the channels first or last, and (n, tokens, d) with ``prefix`` tokens before those of the patches,
    or without them.
    """
    if output.ndim == 4:
        first, middle, last = output.shape[1:]
        return output.permute(0, 3, 1, 2) if first == middle != last else output
    if output.ndim != 3:
        return None
    for leave in (prefix, 0):
        side = math.isqrt(max(0, output.shape[1] - leave))
        if side and side * side == output.shape[1] - leave:
            return output[:, leave:].transpose(1, 2).unflatten(2, (side, side))
    return None


def prefix_tokens(network: object) -> int:
    """Tokens of a vision transformer before those of the patches; 0 for other networks."""
    return int(getattr(network, "num_prefix_tokens", 0))


def pooled(output: Tensor) -> Tensor:
    """One vector an image: the mean over positions of (n, d, h, w) maps or of (n, tokens, d)."""
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    return output.mean(dim=1) if output.ndim == 3 else output


def trunk_of(network: nn.Module) -> nn.Module:
    """What of ``network`` has timm's interface: itself, or the trunk of a segmentation network."""
    return network.trunk if hasattr(network, "trunk") and hasattr(network, "decoder") else network  # type: ignore[return-value]

"""Holding translated entries to a network: what is loaded, what stays fresh, and what must not be."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from tmbench.sources import BadWeights
from tmbench.sources.options import FileWeights
from tmbench.sources.published.entries import Entries, Translated, head_names

COMPUTED = ("num_batches_tracked", "relative_position_index")
"""Buffers that files of some versions lack or have beside ours: a counter that nobody reads, an index table."""


@dataclass(frozen=True)
class Loaded:
    """Weights from a file.

    Attributes:
        weights: every parameter and buffer of the network by its own name; arrays that own their memory.
        report: as plain JSON values: ``file``, ``sha256``, ``loaded`` and ``fresh`` (lists of the network's names),
            ``left_out`` (reason → names in the file), ``head`` (``loaded``, ``fresh``, or ``none`` where the network
            has no head).
    """

    weights: dict[str, np.ndarray]
    report: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """The report with counts in place of long lists, for a record."""
        left_out = {reason: len(names) for reason, names in self.report["left_out"].items()}
        return {**self.report, "loaded": len(self.report["loaded"]), "left_out": left_out}


def fitted(weights: FileWeights, digest: str, translated: Translated, network: nn.Module) -> Loaded:
    """The network's own state with ``translated.entries`` in it.

    Raises:
        BadWeights: when an entry beyond the heads is missing, has another shape, or has no place in the network; when
            a number that would be loaded is not finite.
    """
    own = network.state_dict()
    heads = head_names(network)
    translated.leave_out("computed", lambda name: name.endswith(COMPUTED) and name not in own)
    head = _settle_head(weights, translated, own, heads)
    given = translated.entries
    may_be_fresh = (*translated.fresh, *(heads if head == "fresh" else ()))
    fresh = [name for name in own if name not in given and (name.startswith(may_be_fresh) or name.endswith(COMPUTED))]
    if problems := list(_problems(own, given, fresh)):
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        size = _image_size(own, given, network) if all("'pos_embed'" in problem for problem in problems) else None
        remedy = (
            f"Its positions are those of images of {size} pixels: set the source's input.size to {size}"
            if size
            else f"Correct the source's architecture, or weights.layout ({weights.layout})"
        )
        raise BadWeights(f"{weights.file} does not fit the architecture: {'; '.join(problems[:3])}{more}. {remedy}.")
    arrays = {
        # Files may be of half precision; a network of ours never is.
        name: np.array(given.get(name, value).detach().to("cpu", value.dtype).numpy(), order="C")
        for name, value in own.items()
    }
    broken = [name for name in given if not np.isfinite(arrays[name]).all()]
    if broken:
        more = f" and {len(broken) - 1} more entries" if len(broken) > 1 else ""
        raise BadWeights(
            f"{weights.file} holds numbers that are not finite, in '{broken[0]}'{more}; download it again, or name "
            "another file (weights.file)."
        )
    return Loaded(
        arrays,
        {
            "file": Path(weights.file).name,
            "sha256": digest,
            "loaded": sorted(given),
            "left_out": translated.left_out,
            "fresh": fresh,
            "head": head,
        },
    )


def _settle_head(weights: FileWeights, translated: Translated, own: Entries, heads: tuple[str, ...]) -> str:
    """Leave out the file's head where it is not wanted or does not fit; what becomes of the network's."""
    ours = {name: value for name, value in own.items() if name.startswith(heads)}
    theirs = {name: value for name, value in translated.entries.items() if name.startswith(heads)}
    same = ours.keys() == theirs.keys() and all(ours[name].shape == theirs[name].shape for name in ours)
    classes = max((value.shape[0] for value in theirs.values() if value.dim()), default=0)
    # A detector's predictors count the background and boxes too: they fit, or they do not.
    detector = any(name.startswith("roi_heads.") for name in heads)
    if ours and same and (detector or classes == weights.head_classes):
        return "loaded"
    if theirs:
        translated.leave_out(f"head of {classes} outputs", lambda name: name.startswith(heads))
    return "fresh" if ours else "none"


def _problems(own: Entries, given: Entries, fresh: list[str]) -> Iterator[str]:
    unexplained = set(fresh)
    for name, value in own.items():
        if name not in given and name not in unexplained:
            yield f"'{name}' is missing"
        elif name in given and given[name].shape != value.shape:
            yield f"'{name}' is {_shape(given[name])}, not {_shape(value)}"
    for name in given:
        if name not in own:
            yield f"'{name}' has no place"


def _image_size(own: Entries, given: Entries, network: nn.Module) -> int | None:
    """The height and width in pixels of images to which the file's position embedding belongs; None if to no square."""
    embed: Any = getattr(network, "patch_embed", None)
    grid, patch = getattr(embed, "grid_size", None), getattr(embed, "patch_size", None)
    if not grid or not patch or patch[0] != patch[1]:
        return None
    prefix = own["pos_embed"].shape[1] - grid[0] * grid[1]
    theirs = given["pos_embed"]
    if theirs.dim() != 3 or theirs.shape[::2] != own["pos_embed"].shape[::2] or theirs.shape[1] <= prefix:
        return None
    side = math.isqrt(theirs.shape[1] - prefix)
    return side * int(patch[0]) if side * side == theirs.shape[1] - prefix else None


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape)

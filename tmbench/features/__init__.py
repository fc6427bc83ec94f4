"""Features: one forward pass of a source over a target, and everything wanted from it. One module a task.

Light to import: torch is loaded by the functions. A *place* is where a level reads, ``LAYER`` or ``local/LAYER``; see
:class:`tmbench.features.options.Level`.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from torch import nn

    from tmbench.sources.options import Source
    from tmbench.targets import LabelledImages
    from tmbench.targets.options import Target


def extract(
    network: "nn.Module", source: "Source", data: "LabelledImages", layers: "Iterable[str]" = ("penultimate",)
) -> "dict[str, np.ndarray]":
    """The features of labelled images; see :func:`tmbench.features.extraction.extract`."""
    from tmbench.features import extraction

    return extraction.extract(network, source, data, layers)


def keep(
    network: "nn.Module", source: "Source", target: "Target", data: Any, places: "Mapping[str, str]"
) -> "dict[str, np.ndarray]":
    """The arrays of a pass over one split of ``target``: what ``keep`` of the module ``tmbench.features.TASK`` gives.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``; left as it was.
        source: for the input's size and normalisation, and whether there is a head.
        target: the target's option.
        data: what :func:`tmbench.targets.load` gave for it.
        places: place → ``rows``, ``moments`` or ``class_moments``, what of its features is kept.

    Raises:
        ConfigError: for a place that the network does not have.
    """
    arrays: dict[str, np.ndarray] = _module(target.task).keep(network, source, target, data, places)
    return arrays


def has_place(network: "nn.Module", task: str, place: str) -> bool:
    """Whether a pass over a target of ``task`` can read ``place`` from ``network``."""
    return bool(_module(task).has_place(network, place))


def read(target: "Target") -> Any:
    """The images that a pass over ``target`` reads: its training split, loaded as the task's passes want it."""
    return _module(target.task).read(target)


def sample(
    task: str,
    arrays: "Mapping[str, np.ndarray]",
    place: str,
    rows: str,
    part: "Mapping[str, Any]" = MappingProxyType({}),
) -> dict[str, Any]:
    """What metrics see at one place of a pass: arguments of :class:`tmbench.metrics.FeatureSet`.

    Args:
        task: of the target.
        arrays: what :func:`keep` gave.
        place: where; "" for metrics that read no features.
        rows: what counts as a sample, of ``Level.rows``.
        part: what of the pass is the target's, of ``Target.part``; classes are left to the caller.

    Returns:
        ``features`` (None where their rows are not kept), ``labels``, ``logits`` (None without a head), and what else
        the task has: one row of each a sample. ``source``, where it is there, holds facts of the source.
    """
    held: dict[str, Any] = _module(task).sample(arrays, place, rows, part)
    return held


def _module(task: str) -> Any:
    return import_module(f"tmbench.features.{task}")

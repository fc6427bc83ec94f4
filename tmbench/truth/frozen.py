"""Frozen features of class subsets: computed class by class, so that all subsets of a data set can share them."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import canonical
from tmbench.recent import Recent
from tmbench.sources import build
from tmbench.sources.network import BATCH, as_input, in_batches, penultimate
from tmbench.sources.options import Source
from tmbench.targets.classification import load
from tmbench.targets.options import ClassificationTarget, Split

OF_CLASSES: Recent[Tensor] = Recent(512 << 20, lambda features: features.nbytes)
"""The features of single classes that were read last."""


def frozen_features(
    source: Source, weights: Mapping[str, np.ndarray] | None, target: ClassificationTarget, split: Split
) -> tuple[Tensor, Tensor]:
    """(n, d) float32 penultimate features of a class subset, and (n,) int64 labels, in the order of its images.

    A class is read in batches of its own. So a row is the same bit for bit whatever the other classes are, and
    whether it is computed now or was for an earlier subset.
    """
    data = load(target, split)
    whole = target.whole()
    read = [source.model_dump_json(), _fingerprint(weights), whole.key(), whole.folder, split]
    network: nn.Module | None = None
    out: Tensor | None = None

    def features(rows: np.ndarray) -> Tensor:
        nonlocal network
        network = network if network is not None else build(source, dict(weights) if weights is not None else None)
        starts = range(0, len(rows), BATCH)
        parts = [as_input(data.images[rows[start : start + BATCH]], source.input) for start in starts]
        return torch.cat([in_batches(network, part, penultimate) for part in parts])

    for label, kept in enumerate(target.kept):
        rows = np.flatnonzero(data.labels == label)
        if len(rows) == 0:
            continue
        own = OF_CLASSES.once(canonical([*read, kept]), lambda rows=rows: features(rows))  # type: ignore[misc]
        out = own.new_empty((len(data), own.shape[1])) if out is None else out
        out[torch.from_numpy(rows)] = own
    assert out is not None  # a split without images is refused
    return out, torch.from_numpy(data.labels)


def _fingerprint(weights: Mapping[str, np.ndarray] | None) -> str:
    """A name for these weights; empty without any."""
    if weights is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()

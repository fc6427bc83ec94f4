"""A pass whose features are stored as they are, or only as sums over them while the batches stream by."""

from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from tmbench.features.extraction import batches
from tmbench.metrics.feature_set.moments import Moments, class_moments_fit
from tmbench.sources.options import Source
from tmbench.targets import LabelledImages


def keep(network: nn.Module, source: Source, data: LabelledImages, layers: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Run ``network`` once over ``data`` and keep what ``layers`` says of each layer's features.

    Of a layer whose moments are kept, no more rows than one batch are ever in memory.

    Args:
        network: what :func:`tmbench.sources.build` gave for ``source``.
        source: for the input's size and normalisation, and whether there is a head.
        data: the images.
        layers: layer → ``rows``, ``moments`` or ``class_moments``; the last becomes ``rows`` where the moments of so
            many classes would be larger than ``moments.BUDGET``.

    Returns:
        ``features/LAYER`` (n, d) where rows are kept, else ``moments/LAYER/NAME``, the arrays of
        :class:`~tmbench.metrics.Moments`; ``logits`` (n, C of the source) if the source has a head, and
        ``labels`` (n,).

    Raises:
        ConfigError: for a layer that the network does not have.
    """
    return kept(batches(network, source, data, layers), layers, len(data.classes))


def kept(parts: Iterable[dict[str, np.ndarray]], reads: Mapping[str, str], classes: int) -> dict[str, np.ndarray]:
    """The arrays of all batches joined, or the moments of their features.

    Args:
        parts: the arrays of each batch: ``features/PLACE`` (m, d), ``labels`` and others, which are joined; with
            ``boxes`` (m, 4) these are the targets of the moments.
        reads: place → what of its features is kept.
        classes: how many there may be.
    """
    rows: dict[str, list[np.ndarray]] = {}
    sums: dict[str, Moments] = {}
    for batch in parts:
        for name, array in batch.items():
            place = name.removeprefix("features/")
            read = reads[place] if name.startswith("features/") else "rows"
            by_class = read == "class_moments"
            if read == "rows" or (by_class and not class_moments_fit(classes, array.shape[1])):
                rows.setdefault(name, []).append(array)
            elif len(array):  # a batch of images may show no object
                moments = Moments.of(array, batch["labels"], batch.get("boxes"), by_class=by_class)
                sums[place] = sums[place] + moments if place in sums else moments
    arrays = {name: np.concatenate(several) for name, several in rows.items()}
    for place, moments in sums.items():
        arrays |= {f"moments/{place}/{name}": array for name, array in moments.arrays().items()}
    return arrays

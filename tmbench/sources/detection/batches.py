"""Batches of images as a detector trains on them, prepared ahead of their turn where that saves time."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.identity import Seeds
from tmbench.sources.detection.augmentation import augmented, sample
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.network import place_of
from tmbench.targets.detection import DetectionImages

Batch = list[tuple[Tensor, dict[str, Tensor]]]
"""Images (3, h, w) float32 in 0..1, and what each shows."""


def batches(
    images: DetectionImages,
    rows: Sequence[np.ndarray],
    epoch: int,
    model: nn.Module,
    recipe: DetectionRecipe,
    seeds: Seeds,
    threads: int | None = None,
) -> Iterator[Batch]:
    """The images at each of ``rows`` as ``model`` trains on them in ``epoch``, augmented by ``recipe``.

    What is drawn for an image depends on the seeds, the epoch and the image alone, not on when its turn comes. With
    ``threads`` the next batch is prepared while this one is trained on: decoding and scaling do not hold Python's
    lock. By default torch's own number of threads beside a GPU, and none where the processor trains.
    """
    fill = np.asarray(model.transform.image_mean, dtype=float)  # type: ignore[union-attr]
    masks = recipe.heads.masks and images.has_masks

    def made(i: int) -> tuple[Tensor, dict[str, Tensor]]:
        generator = seeds.generator("augmentation of an image", epoch * len(images) + i)
        return augmented(sample(images, i, masks), recipe, generator, fill).tensors()

    if threads is None:
        threads = torch.get_num_threads() if place_of(model).type == "cuda" else 0
    if threads == 0:
        yield from ([made(int(i)) for i in batch] for batch in rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for coming in _one_ahead([pool.submit(made, int(i)) for i in batch] for batch in rows):
                yield [one.result() for one in coming]
        finally:
            pool.shutdown(cancel_futures=True)


def _one_ahead(batches: Iterable[list[Future[Any]]]) -> Iterator[list[Future[Any]]]:
    """``batches``, each asked for while the one before it is used."""
    waiting: deque[list[Future[Any]]] = deque()
    for batch in batches:
        waiting.append(batch)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting

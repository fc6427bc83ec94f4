"""The samples that every metric is run on: a plain one, and those with the faults that features have in practice.

All are drawn from one seed by NumPy's PCG64, and hold every array that a metric may declare, consistent with each
other: classes are Gaussian in the features, targets and boxes are noisy linear maps of them, posteriors and predictions
are those of a source that sees the labels and the targets through noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from tmbench.identity import Seeds
from tmbench.metrics.feature_set import FeatureSet

SIZES = (90, 75, 60, 45, 30)
"""Samples of each class of the plain sample: no two classes alike, so that chance is not 1/C."""
D = 24
SOURCE_CLASSES = 12
IDS = (907, 3, 55, 12, 400)
"""Class ids in another order than 0..4, with gaps."""


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs of a sample.

    Attributes:
        name: what they are, as a sentence about a failure says it.
        arrays: name of a need → array with a row a sample.
        source: what is known of the source.
        about: the arrays that make the case what it is; a metric that reads none of them has nothing to show on it.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    source: Mapping[str, Any]
    about: frozenset[str] = frozenset()

    def sample(
        self, needs: Sequence[str], facts: Sequence[str] = (), seed: int = 0, seeds: Seeds | None = None
    ) -> FeatureSet:
        """A fresh feature set that holds ``needs``, and of the source ``facts`` (all, when there are none).

        Of a fact 'a|b' it holds the first.
        """
        held: dict[str, Any] = {name: self.arrays[name] for name in needs if name != "source"}
        if "source" in needs:
            held["source"] = {fact: self.source[fact] for fact in (f.split("|")[0] for f in facts or self.source)}
        return FeatureSet(**held, seeds=seeds or Seeds(f"seed {seed}"))

    def changed(self, name: str, **arrays: np.ndarray) -> "Case":
        """The same with other arrays."""
        return replace(self, name=name, arrays={**self.arrays, **arrays}, about=frozenset(arrays))

    def rows(self, name: str, chosen: np.ndarray) -> "Case":
        """The samples of these row numbers."""
        arrays = {key: array[chosen] for key, array in self.arrays.items()}
        source = {**self.source, "targets": self.source["targets"][chosen]}
        return replace(self, name=name, arrays=arrays, source=source, about=frozenset(arrays))

    def mapped(self, name: str, change: Callable[[np.ndarray], np.ndarray]) -> "Case":
        """The same seen through a network whose features are ``change`` of these, on the source's own data too."""
        features = change(self.source["features"])
        source = {**self.source, "features": features, "mean": features.mean(axis=0), "std": features.std(axis=0)}
        return replace(self.changed(name, features=change(self.arrays["features"])), source=source)

    def single(self) -> "Case":
        """Every array as float32 stores it."""
        arrays = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in self.arrays.items()}
        return replace(self, name=f"{self.name}, float32", arrays=arrays)

    def widened(self) -> "Case":
        """The numbers of :meth:`single` in float64."""
        arrays = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in self.single().arrays.items()}
        return replace(self, name=f"{self.name}, rounded to float32", arrays=arrays)


@cache
def gaussian(
    name: str = "the plain sample",
    sizes: tuple[int, ...] = SIZES,
    d: int = D,
    pull: float = 0.0,
    quiet: float = 0.0,
    seed: int = 11,
) -> Case:
    """Gaussian classes, and what hangs together with them.

    Args:
        name: the case's name.
        sizes: samples of each class.
        d: features.
        pull: how much further apart the classes are, in the features and in the posteriors.
        quiet: which share of their noise targets, predictions and boxes are without.
        seed: of all that is random.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    classes, n = len(sizes), sum(sizes)
    labels = random.permutation(np.repeat(np.arange(classes), sizes))
    centres = 0.5 * random.standard_normal((classes, d))
    features = (1 + pull) * centres[labels] + random.standard_normal((n, d))

    def seen(matrix: np.ndarray, width: int) -> np.ndarray:
        """A noisy linear map of ``matrix`` (n, k) to ``width`` columns."""
        mixing = random.standard_normal((matrix.shape[1], width)) / np.sqrt(matrix.shape[1])
        return matrix @ mixing + 0.8 * (1 - quiet) * random.standard_normal((n, width))

    targets = seen(features, 4)  # four, so that they can stand for boxes
    predictions = seen(targets, 3)
    logits = random.standard_normal((n, SOURCE_CLASSES))
    logits[np.arange(n), labels % SOURCE_CLASSES] += 2.0
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    posteriors = (posteriors + pull * np.eye(SOURCE_CLASSES)[labels % SOURCE_CLASSES]) / (1 + pull)
    image_sizes = np.array([[480.0, 640.0], [600.0, 450.0]])[random.integers(0, 2, n)]
    arrays = {
        "features": features,
        "labels": labels.astype(np.int64),
        "targets": targets,
        "posteriors": posteriors,
        "predictions": predictions,
        "boxes": _boxes(seen(features, 4), image_sizes),
        "image_sizes": image_sizes,
        "label_embeddings": random.standard_normal((classes, 6, 3))[labels],
    }
    source = _source(random, (1 + pull) * centres, n) | {"targets": seen(targets, 3)}
    return Case(name, arrays, source, frozenset(arrays))


def _boxes(noise: np.ndarray, image_sizes: np.ndarray) -> np.ndarray:
    """(n, 4) corners in pixels inside the images, from four numbers a box about 0."""
    centre = np.clip(0.5 + 0.1 * noise[:, :2], 0.05, 0.95)
    extent = np.clip(0.25 + 0.05 * noise[:, 2:], 0.02, 0.6)
    corners = np.concatenate([centre - extent / 2, centre + extent / 2], axis=1)
    return np.clip(corners, 0, 1) * np.tile(image_sizes[:, ::-1], 2)


def _source(random: np.random.Generator, centres: np.ndarray, n: int) -> dict[str, Any]:
    """A source of the same number of classes, whose own data lie near those of the target."""
    labels = random.integers(0, len(centres), max(2 * n // 3, 2))
    features = (centres + 0.1 * random.standard_normal(centres.shape))[labels]
    features = features + random.standard_normal(features.shape)
    return {
        "size": 11_000_000,
        "accuracy": 0.7,
        "layers": 18,
        "features": features,
        "labels": labels,
        "mean": features.mean(axis=0),
        "std": features.std(axis=0),
    }


@cache
def faults() -> dict[str, Case]:
    """Name → a sample with one fault that every metric takes: none is a reason to refuse it."""
    plain = gaussian()
    alive = np.arange(D) >= 6
    ties = np.clip(np.round(plain.arrays["features"] / 2), -1, 1)
    return {
        "absent class": plain.changed("a sample with absent classes", labels=absent_ids(plain)),
        "single sample": replace(
            gaussian("a sample with a class of one sample", sizes=(140, 100, 57, 2, 1)), about=frozenset({"labels"})
        ),
        "n < d": replace(gaussian("a sample with n < d", sizes=(12, 10, 8, 6, 4), d=96), about=frozenset({"features"})),
        "dead units": plain.mapped("a sample with dead units", lambda x: np.maximum(x, 0) * alive),
        "rank deficient": low_rank().single(),
        "ties": plain.changed("a sample with ties", features=ties),
    }


def absent_ids(case: Case) -> np.ndarray:
    """The labels under ids of which some below the largest never occur."""
    return np.array([0, 1, 3, 4, 7])[case.arrays["labels"]]


@cache
def low_rank() -> Case:
    """Features that span 8 of 24 dimensions, in float64; float32 would lose that."""
    span = np.random.Generator(np.random.PCG64(18)).standard_normal((8, D))
    inner = gaussian(d=8)
    return inner.mapped("a sample of deficient rank", lambda x: x @ span)


@cache
def extremes() -> dict[str, Case]:
    """Name → a sample at the end of what can come in. A metric scores it or says why it has no score."""
    plain = gaussian()
    features, labels, targets = (plain.arrays[name] for name in ("features", "labels", "targets"))
    posteriors, n = plain.arrays["posteriors"], len(labels)
    first = np.array([int(np.argmax(labels == label)) for label in range(len(SIZES))])
    masked = np.where(np.arange(SOURCE_CLASSES) == 0, 0, posteriors)
    corner = plain.arrays["boxes"][:, :2]
    changed = {
        "equal rows": {"features": features[first][labels]},
        "constant targets": {"targets": np.full_like(targets, 3.0)},
        "targets far from 0": {"targets": targets + 1e6},
        "one target": {"targets": targets[:, :1]},
        "certain posteriors": {"posteriors": np.eye(SOURCE_CLASSES)[labels]},
        "even posteriors": {"posteriors": np.full_like(posteriors, 1 / SOURCE_CLASSES)},
        "dead source class": {"posteriors": masked / masked.sum(axis=1, keepdims=True)},
        "constant predictions": {"predictions": np.ones((n, 3))},
        "targets as predictions": {"predictions": targets},
        "boxes without area": {"boxes": np.hstack([corner, corner])},
        "equal boxes": {"boxes": np.tile([10.0, 20.0, 110.0, 170.0], (n, 1))},
        "equal embeddings": {"label_embeddings": np.ones((n, 6, 3))},
    }
    cases = {name: plain.changed(f"a sample with {name}", **arrays) for name, arrays in changed.items()}
    mapped: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "large offset": lambda x: x + 1e3,
        "tiny scale": lambda x: x * 1e-6,
        "huge scale": lambda x: x * 1e6,
        "constant features": lambda x: np.full_like(x, 0.1),
        "zero features": np.zeros_like,
        "one feature": lambda x: x[:, :1],
    }
    cases |= {name: plain.mapped(f"a sample with {name}", change) for name, change in mapped.items()}
    for name, known in {"labels": np.eye(len(SIZES))[labels], "targets": targets}.items():
        inner = plain.mapped(f"a sample with {name} as features", partial(leading, known.shape[1]))
        cases[f"{name} as features"] = inner.changed(inner.name, features=known)
    cases["every class once"] = plain.rows("a sample with every class once", first)
    cases["two samples"] = plain.rows("a sample of two", first[[0, -1]])
    cases["one sample"] = plain.rows("a sample of one", first[:1])
    return cases


def leading(count: int, features: np.ndarray) -> np.ndarray:
    """The first columns."""
    return features[:, :count]

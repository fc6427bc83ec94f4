"""What a pass holds, and what scores need of it: rows or moments of each layer, the source's own data, facts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tmbench.engine.artifacts import Artifact
from tmbench.engine.units import Score, Unit
from tmbench.metrics.registry import READS, offered

OWN_DATA = frozenset({"features", "labels", "mean", "std"})
"""Facts of a source that are read from its own data: of the sources that the study pretrains itself."""

ROWS, MOMENTS, OWN = "features", "moments", "source/features"
"""The first part of the names of arrays: ``features/LAYER``, ``moments/LAYER/NAME``, ``source/features/LAYER``."""

OWN_LABELS = "source/labels"

OWN_TARGETS = "source/targets"
"""The numbers that a source was pretrained to predict, of the target's images: the fact ``targets``."""


def more_read(one: str, other: str) -> str:
    """Whichever of two of ``registry.READS`` is more of the features; "" is nothing."""
    return max(one, other, key=lambda reads: READS.index(reads) if reads else -1)


def is_own(fact: str) -> bool:
    """Whether a fact, or one of its alternatives, is of the source's own data."""
    return not OWN_DATA.isdisjoint(fact.split("|"))


def reads_own_data(score: Score) -> bool:
    """Whether the metric reads the features of the source's own data."""
    return any(map(is_own, score.config["facts"]))


@dataclass(frozen=True)
class Content:
    """What a pass holds, or should hold.

    Attributes:
        layers: layer → what of its features, of ``registry.READS``.
        own: layers at which the source's own data are read.
        facts: names of numbers that are known of the source.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()

    @classmethod
    def planned(cls, unit: Unit) -> "Content":
        """What the sweep wants of the pass, for all of its metrics."""
        return cls(unit.config["layers"], frozenset(unit.config["own_layers"]))

    @classmethod
    def read_by(cls, scores: Iterable[Score]) -> "Content":
        """What these scores read."""
        layers: dict[str, str] = {}
        own, facts = set(), set[str]()
        for score in scores:
            layer = score.config["layer"]
            if score.config["reads"]:
                layers[layer] = more_read(layers.get(layer, ""), score.config["reads"])
            if reads_own_data(score):
                own.add(layer)
            facts.update(fact for fact in score.config["facts"] if not is_own(fact))
        return cls(layers, frozenset(own), frozenset(facts))

    @classmethod
    def held_by(cls, artifact: Artifact | None) -> "Content":
        """What is stored."""
        if artifact is None:
            return cls()
        layers: dict[str, str] = {}
        for name, array in artifact.arrays.items():
            kind, _, rest = name.partition("/")
            if kind == ROWS:
                layers[rest] = READS[-1]
            elif kind == MOMENTS and rest.endswith("/counts"):
                layers[rest.removesuffix("/counts")] = "class_moments" if array[3] else "moments"
        own = {name.removeprefix(f"{OWN}/") for name in artifact.arrays if name.startswith(f"{OWN}/")}
        facts = {*artifact.facts, *(["targets"] if OWN_TARGETS in artifact.arrays else [])}
        return cls(layers, frozenset(own), frozenset(facts))

    def __or__(self, other: "Content") -> "Content":
        """What either holds."""
        layers = {**self.layers}
        for layer, reads in other.layers.items():
            layers[layer] = more_read(layers.get(layer, ""), reads)
        return Content(layers, self.own | other.own, self.facts | other.facts)

    def covers(self, layers: Mapping[str, str]) -> bool:
        """Whether the features of these layers are there, as far as they are read."""
        held = {layer: self.layers.get(layer, "") for layer in layers}
        return all(more_read(held[layer], reads) == held[layer] for layer, reads in layers.items())

    def __ge__(self, other: "Content") -> bool:
        """Whether all that ``other`` holds is there."""
        facts = all(offered(fact, self.facts) for fact in other.facts)
        return facts and self.covers(other.layers) and self.own >= other.own


def moments_of(artifact: Artifact, layer: str) -> dict[str, np.ndarray]:
    """The arrays of a layer's moments; none where its rows are stored."""
    prefix = f"{MOMENTS}/{layer}/"
    return {name.removeprefix(prefix): array for name, array in artifact.arrays.items() if name.startswith(prefix)}


def own_data(artifact: Artifact, layer: str) -> dict[str, np.ndarray]:
    """Features and labels of the source's own data at a layer, mean and deviation of each feature; none without."""
    features = artifact.arrays.get(f"{OWN}/{layer}")
    if features is None:
        return {}
    rows = features.astype(np.float64)
    return {
        "features": features, "labels": artifact.arrays[OWN_LABELS], "mean": rows.mean(axis=0), "std": rows.std(axis=0),
    }  # fmt: skip

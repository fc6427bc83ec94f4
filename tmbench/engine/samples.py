"""What metrics see of a pass: a sample for each place, kind of row and part of the data, shared by all metrics."""

from typing import Any

from tmbench.engine.artifacts import Artifact
from tmbench.engine.passes import moments_of, own_data
from tmbench.engine.units import Unit
from tmbench.errors import ConfigError
from tmbench.features import sample
from tmbench.features.options import PREDICTION, layer_of
from tmbench.identity import Seeds, canonical
from tmbench.metrics import FeatureSet, Moments
from tmbench.metrics.feature_set import class_moments
from tmbench.metrics.registry import READS


class Samples:
    """The samples of one pass, made when first asked for.

    Those of one place are held at a time: the scores of a place are to be asked for together.
    """

    def __init__(self, unit: Unit, artifact: Artifact) -> None:
        """Take the pass as stored, and the unit that did it."""
        self._unit = unit
        self._artifact = artifact
        self._whole: dict[str, FeatureSet] = {}
        self._parts: dict[str, FeatureSet] = {}
        self._classes: list[int] = []
        self._in_hand = ""

    def of(self, config: dict[str, Any]) -> FeatureSet:
        """The sample that a score reads.

        Args:
            config: of the score: ``layer``, ``rows``, ``part`` and ``reads``.

        Raises:
            ConfigError: for a place that the network does not have.
        """
        place, rows, part = config["layer"], config["rows"], config.get("part", {})
        classes = part.get("classes")
        rest = {name: value for name, value in part.items() if name != "classes"}
        by_moments = classes is not None and config["reads"] != READS[-1]
        if (in_hand := canonical([place, rest])) != self._in_hand:
            self._whole, self._parts, self._classes, self._in_hand = {}, {}, [], in_hand
        slot = canonical([rows, by_moments])
        if slot not in self._whole:
            whole = self._read(place, rows, rest)
            self._whole[slot] = class_moments(whole) if by_moments else whole
        if classes is None:
            return self._whole[slot]
        if classes != self._classes:  # the scores of a part stand together
            self._parts, self._classes = {}, classes
        if slot not in self._parts:
            self._parts[slot] = self._whole[slot].only_classes(classes)
        return self._parts[slot]

    def _read(self, place: str, rows: str, part: dict[str, Any]) -> FeatureSet:
        """What metrics see at one place, "" for those that read no features."""
        unit, artifact = self._unit, self._artifact
        held = sample(unit.config["target"]["task"], artifact.arrays, place, rows, part)
        moments = moments_of(artifact, place)
        if place and held["features"] is None and not moments:
            raise ConfigError(f"the network has {_what(place)}. Leave that level or that source out of the sweep.")
        if moments:
            held = held | dict.fromkeys(("features", "labels", "targets"))
        source = artifact.facts | own_data(artifact, place) | held.pop("source", {})
        return FeatureSet(
            **held, moments=Moments.from_arrays(moments) if moments else None, source=source, seeds=Seeds(unit.id)
        )


def _what(place: str) -> str:
    """What a source lacks that has nothing at ``place``."""
    if place == PREDICTION:
        return "no head whose predictions could be read"
    things = {"local": "objects", "pixel": "pixels"}
    layer, reading = layer_of(place), place.partition("/")[0]
    lacks = "no layer" if layer == place else f"no map to read {things[reading]} from at layer"
    return f"{lacks} '{layer}'"

"""The schema of ``conf/level/NAME.yaml``: where features are read."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PREDICTION = "prediction"
"""The reading, and the place, of what the source's head predicts."""

OWN = {"classification": "global", "regression": "global", "detection": "local", "segmentation": "pixel"}
"""The reading that suits each task: one vector for each thing that has a label."""


class Level(BaseModel):
    """A place in the network where features are read, and how.

    Attributes:
        reading: ``global``, the mean over all positions, one vector an image; ``local``, the mean over ROI-Align's
            7 × 7 bins, one vector an object, for targets with boxes; ``pixel``, the vector at each of some pixels, for
            targets with a class a pixel; ``prediction``, what the source's own head predicts, whatever the layer;
            ``task``, that of these which suits the target's task (:data:`OWN`), so that one level serves several.
        layer: ``penultimate`` (what the source's head sees), or the dotted name of a module of the network, such as
            ``stages.1`` or ``blocks.1``; of a detector also ``pyramid`` (by ROI-Align on the map that an object's size
            calls for; global: the coarsest map but one) and ``pyramid.0`` to ``pyramid.3``.
        rows: on a target with objects, what counts as a sample of a global reading: each ``object``, with its image's
            vector, or each ``image``, with the class and box of its largest object.
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"title"})

    reading: Literal["global", "local", "pixel", "prediction", "task"]
    layer: str = Field(default="penultimate", min_length=1)
    rows: Literal["object", "image"] = "object"
    title: str = ""

    @model_validator(mode="after")
    def _rows_of_global(self) -> "Level":
        if self.reading != "global" and self.rows != "object":
            raise ValueError(f"rows=image goes with reading=global, not with reading={self.reading}")
        if self.reading == PREDICTION and self.layer != "penultimate":
            raise ValueError("reading=prediction reads the source's head; it takes no layer")
        return self

    def on(self, task: str) -> "Level":
        """The level as it is read on targets of ``task``."""
        return self.model_copy(update={"reading": OWN[task]}) if self.reading == "task" else self

    @property
    def place(self) -> str:
        """Where a pass keeps the features: the layer, ``READING/LAYER``, or ``prediction``."""
        if self.reading == PREDICTION:
            return PREDICTION
        return self.layer if self.reading == "global" else f"{self.reading}/{self.layer}"

    def key(self) -> dict[str, Any]:
        """What changes the features, as plain JSON values."""
        plain = {"rows"} if self.rows == "object" else set()  # which older keys do not say
        return self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY) | plain)


def layer_of(place: str) -> str:
    """The layer of a place, however it is read."""
    reading, _, layer = place.partition("/")
    return layer if reading in ("local", "pixel") and layer else place

"""The schema of ``conf/level/NAME.yaml``: where features are read."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Level(BaseModel):
    """A place in the network where one vector an image is read.

    Attributes:
        reading: ``global``, the mean over all positions.
        layer: ``penultimate`` (what the source's head sees), or the dotted name of a module of the network, such as
            ``stages.1`` or ``blocks.1``.
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"title"})

    reading: Literal["global"]
    layer: str = Field(default="penultimate", min_length=1)
    title: str = ""

    def key(self) -> dict[str, Any]:
        """What changes the features, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY))

"""The schema of ``conf/target/NAME.yaml``: a data set and its task."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "validation", "test"]


class Sizes(BaseModel):
    """How many images each split has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: int = Field(ge=2)
    validation: int = Field(ge=2)
    test: int = Field(ge=2)


class Target(BaseModel):
    """A data set plus a task.

    Attributes:
        task: what is predicted.
        function: ``package.module:function`` or ``file.py:function``, called as
            ``function(split, size, seeds, **parameters)``.
        parameters: what the function gets beside the split, its size and its random streams.
        sizes: images a split.
        classes: how many classes the labels have; what the function returns is held to it.
        image_size: height and width of the images in pixels.
        seed: draws another data set from the same function.
        version: raise it when the function's result changes.
        family: targets of one family are not independent (subsets of one data set, say).
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"family", "title"})

    task: Literal["classification"]
    function: str = Field(pattern=r".+:.+")
    parameters: dict[str, Any] = Field(default_factory=dict)
    sizes: Sizes
    classes: int = Field(ge=2)
    image_size: int = Field(ge=8)
    seed: int = Field(default=0, ge=0)
    version: int = Field(default=1, ge=1)
    family: str = ""
    title: str = ""

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY))

"""The schemas of ``conf/target/NAME.yaml``: a data set and its task; one schema a task."""

from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "validation", "test"]


class Sizes(BaseModel):
    """How many images each split has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: int = Field(ge=2)
    validation: int = Field(ge=2)
    test: int = Field(ge=2)


class SomeOrAll(BaseModel):
    """How many images each split has: so many, drawn by the target's seed, or all that there are (null)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


class Target(BaseModel):
    """A data set plus a task: what the schemas of all tasks share.

    Attributes:
        task: what is predicted.
        function: ``package.module:function`` or ``file.py:function``, called as
            ``function(split, size, seeds, **parameters)``.
        folder: of a set of the user's, in ``paths.data``; the function gets it as ``folder``. Of its path only the last
            name is part of the identity, for data may move.
        parameters: what the function gets beside the split, its size and its random streams.
        classes: how many classes the labels have; what the function returns is held to it.
        seed: draws another data set from the same function.
        version: raise it when the function's result changes.
        family: targets of one family are not independent (subsets of one data set, say).
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"family", "folder", "title"})

    task: str
    function: str = Field(pattern=r".+:.+")
    parameters: dict[str, Any] = Field(default_factory=dict)
    classes: int = Field(ge=2)
    seed: int = Field(default=0, ge=0)
    version: int = Field(default=1, ge=1)
    folder: str = ""
    family: str = ""
    title: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function gets by name."""
        return {**self.parameters, **({"folder": self.folder} if self.folder else {})}

    def located(self, data: str) -> Self:
        """This target with the absolute path of its folder, looked for in ``data``."""
        if not self.folder:
            return self
        return self.model_copy(update={"folder": str(Path(data).expanduser().resolve() / self.folder)})

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        name = {"folder": PurePath(self.folder).name} if self.folder else {}
        return {**self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY)), **name}


class ClassificationTarget(Target):
    """Labelled images.

    Attributes:
        sizes: images a split.
        image_size: height and width of the images in pixels.
    """

    task: Literal["classification"]
    sizes: Sizes
    image_size: int = Field(ge=8)


class DetectionTarget(Target):
    """Images with objects: boxes, classes and, where there are any, masks.

    Attributes:
        sizes: images a split.
        image_size: height and width in pixels to which a forward pass resizes images; boxes follow.
        scored: so many images of the train split, drawn by the seed, are read for features; all where null.
        only_classes: the classes that are kept, by name; images without any of them are left out. All where empty.
        broken: what happens to annotations that cannot be used: ``refuse`` the target, or ``drop`` them and say so.
    """

    task: Literal["detection"]
    classes: int = Field(ge=1)
    sizes: SomeOrAll = SomeOrAll()
    image_size: int = Field(ge=8)
    scored: int | None = Field(default=None, ge=1)
    only_classes: tuple[str, ...] = ()
    broken: Literal["refuse", "drop"] = "refuse"

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        return {name: value for name, value in super().key().items() if name != "scored" or value is not None}


AnyTarget = Annotated[ClassificationTarget | DetectionTarget, Field(discriminator="task")]

TARGETS: dict[str, type[Target]] = {"classification": ClassificationTarget, "detection": DetectionTarget}
"""The schema of each task's targets."""


def target_of(content: dict[str, Any]) -> Target:
    """A target from its resolved config, by the schema of its task."""
    return TARGETS[content["task"]].model_validate(content)

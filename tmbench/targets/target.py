"""What the schemas of all targets share: where the data come from, and what a forward pass reads of them."""

from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from tmbench.functions import portable
from tmbench.identity import canonical

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
        seed: draws another data set from the same function.
        version: raise it when the function's result changes.
        family: targets of one family are not independent (subsets of one data set, say).
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"family", "folder", "title"})

    drawn_by: ClassVar[str] = ""
    """The key whose ``number`` tells the members of an option apart."""

    task: str
    function: str = Field(pattern=r".+:.+")
    parameters: dict[str, Any] = Field(default_factory=dict)
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

    @property
    def outputs(self) -> int:
        """How many numbers a head for it gives, of each image or position."""
        raise NotImplementedError

    def data_set(self) -> str:
        """A text that is equal for targets of the same images, whatever of them is used or predicted."""
        key = Target.key(self)
        return canonical(portable([key.get(name) for name in ("function", "parameters", "folder", "seed", "version")]))

    def is_known_from(self, other: "Target") -> bool:
        """Whether a source that was trained on ``other`` has seen this target's images with the labels in question."""
        return self.data_set() == other.data_set()

    def members(self) -> dict[str, Self]:
        """The targets that the option stands for, by what follows its name: itself alone, or parts drawn by a rule."""
        return {"": self}

    @property
    def rule(self) -> str:
        """By which the members of the option are drawn, for people; "" for a target that stands for itself."""
        return ""

    def whole(self) -> Self:
        """The data set that a forward pass reads: itself, or that of which it is a part."""
        return self

    def part(self) -> dict[str, Any]:
        """What of a pass over :meth:`whole` belongs to it, as plain JSON values; empty for all of it."""
        return {}

    def reading(self) -> dict[str, Any]:
        """What changes what a forward pass reads of the data, and not the data; plain JSON values."""
        return {}

    def key_of_passes(self) -> dict[str, Any]:
        """What changes the data or what a forward pass reads of them, as plain JSON values."""
        return {**self.key(), **self.reading()}

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        name = {"folder": PurePath(self.folder).name} if self.folder else {}
        return {**self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY)), **name}

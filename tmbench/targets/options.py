"""The schemas of ``conf/target/NAME.yaml``: a data set and its task; one schema a task."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tmbench.targets.subsets import ClassSubset, class_subsets
from tmbench.targets.target import Sizes, SomeOrAll, Split, Target

__all__ = [
    "TARGETS",
    "AnyTarget",
    "ClassificationTarget",
    "DetectionTarget",
    "RegressionTarget",
    "SegmentationTarget",
    "Split",
    "Target",
    "target_of",
]


class ClassificationTarget(Target):
    """Labelled images.

    Attributes:
        classes: how many classes the labels have; what the function returns is held to it.
        sizes: images a split.
        image_size: height and width of the images in pixels.
        subset: makes the option stand for many targets, each of some of the classes.
    """

    drawn_by: ClassVar[str] = "subset"

    task: Literal["classification"]
    classes: int = Field(ge=2)
    sizes: Sizes
    image_size: int = Field(ge=8)
    subset: ClassSubset | None = None

    @model_validator(mode="after")
    def _subsets_exist(self) -> Self:
        if self.subset is not None:
            class_subsets(self.subset, self.classes)  # which says what is wrong
        return self

    @property
    def kept(self) -> tuple[int, ...]:
        """The classes that are kept, ascending, as the function numbers them."""
        if self.subset is None:
            return tuple(range(self.classes))
        if self.subset.number is None:
            raise ValueError("the option stands for many targets; take one of members()")
        return class_subsets(self.subset, self.classes)[self.subset.number]

    @property
    def outputs(self) -> int:
        """How many classes it has."""
        return len(self.kept)

    def members(self) -> dict[str, Self]:
        """One target a class subset, by its number."""
        if self.subset is None or self.subset.number is not None:
            return {"": self}
        return {
            f"{number:03d}": self.model_copy(update={"subset": self.subset.model_copy(update={"number": number})})
            for number in range(self.subset.count)
        }

    @property
    def rule(self) -> str:
        """How many classes a subset has."""
        sizes = {"random": "random size", "half": "half of the classes"}
        return "" if self.subset is None else sizes[self.subset.rule]

    def whole(self) -> Self:
        """The data set with all of its classes."""
        return self.model_copy(update={"subset": None})

    def part(self) -> dict[str, Any]:
        """The classes that are kept."""
        return {} if self.subset is None else {"classes": list(self.kept)}

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values; of a subset its classes, however they were drawn."""
        plain = {name: value for name, value in super().key().items() if name != "subset"}
        return plain | ({"only": list(self.kept)} if self.subset is not None else {})


class DetectionTarget(Target):
    """Images with objects: boxes, classes and, where there are any, masks.

    Attributes:
        sizes: images a split.
        image_size: height and width in pixels to which a forward pass resizes images; boxes follow.
        classes: how many classes the objects have; what the function returns is held to it.
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

    @property
    def outputs(self) -> int:
        """How many classes it has, the ground left out."""
        return self.classes

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        return {name: value for name, value in super().key().items() if name != "scored" or value is not None}


class Sampling(BaseModel):
    """Which pixels of the train split metrics see.

    Attributes:
        images: so many images, drawn by ``seed``; all where null.
        pixels: at most so many of each image, as evenly over its classes as these allow.
        seed: another seed draws other images and pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int | None = Field(default=150, ge=1)
    pixels: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0)


class SegmentationTarget(Target):
    """Images with a class for each pixel.

    Attributes:
        classes: how many classes the pixels have; what the function returns is held to it.
        sizes: images a split; all where null.
        image_size: height and width in pixels to which images are resized; labels follow, by the nearest pixel.
        sampling: which pixels metrics see.
        broken: what happens to images that cannot be used: ``refuse`` the target, or ``drop`` them and say so.
    """

    task: Literal["segmentation"]
    classes: int = Field(ge=2)
    sizes: SomeOrAll = SomeOrAll()
    image_size: int = Field(ge=8)
    sampling: Sampling = Sampling()
    broken: Literal["refuse", "drop"] = "refuse"

    @property
    def outputs(self) -> int:
        """How many classes it has."""
        return self.classes

    def reading(self) -> dict[str, Any]:
        """Which pixels are read; a fine-tuning sees all of them."""
        return {"sampling": self.sampling.model_dump(mode="json")}

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        return {name: value for name, value in super().key().items() if name != "sampling"}


class Draws(BaseModel):
    """Makes an option stand for ``count`` targets, each with training images of its own drawing.

    Attributes:
        count: how many.
        number: which of them; null in an option file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=1, le=1000)
    number: int | None = Field(default=None, ge=0)


class RegressionTarget(Target):
    """Images with numbers to predict: points in the image, or other numbers.

    Attributes:
        sizes: images a split, before those are left out that lack a wanted point; all where null.
        image_size: height and width in pixels to which images are resized; points follow.
        points: the names of all points that the function gives, in its order; each is two outputs, x then y.
        numbers: the names of all other numbers that it gives. An option has either points or numbers.
        only: the points or numbers that are predicted; all where empty.
        draws: makes the option stand for many targets of other training images.
        broken: what happens to images and annotations that cannot be used: ``refuse`` the target, or ``drop`` them and
            say so. That a point is hidden is nothing broken: the image is left out, and counted.
    """

    drawn_by: ClassVar[str] = "draws"

    task: Literal["regression"]
    sizes: SomeOrAll = SomeOrAll()
    image_size: int = Field(ge=8)
    points: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    draws: Draws | None = None
    broken: Literal["refuse", "drop"] = "refuse"

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if bool(self.points) == bool(self.numbers):
            raise ValueError(
                "name the points or the numbers that the function gives, in its order (points: or numbers:)"
            )
        for names in (self.points, self.numbers, self.only):
            if len(set(names)) < len(names):
                raise ValueError(f"a name stands twice: {', '.join(names)}")
        if unknown := [name for name in self.only if name not in self.names]:
            raise ValueError(f"only: no '{unknown[0]}' among {', '.join(self.names)}")
        if self.draws is not None and self.sizes.train is None:
            raise ValueError("draws: say by sizes.train how many images each takes; of all, every drawing is the same")
        if self.draws is not None and self.draws.number is not None and self.draws.number >= self.draws.count:
            raise ValueError(f"draws: number {self.draws.number} of {self.draws.count}; they count from 0")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All points, or all numbers."""
        return self.points or self.numbers

    @property
    def chosen(self) -> tuple[str, ...]:
        """Those that are predicted, in the function's order."""
        return tuple(name for name in self.names if not self.only or name in self.only)

    @property
    def columns(self) -> tuple[int, ...]:
        """Where they stand among all outputs of the function: of a point its x and its y."""
        rows = [self.names.index(name) for name in self.chosen]
        return tuple(2 * row + axis for row in rows for axis in (0, 1)) if self.points else tuple(rows)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The name of each output: ``beak.x``, ``beak.y``."""
        return tuple(f"{name}.{axis}" for name in self.chosen for axis in "xy") if self.points else self.chosen

    def is_known_from(self, other: Target) -> bool:
        """Whether ``other`` has these images, and all that is predicted here."""
        known = other.chosen if isinstance(other, RegressionTarget) else ()
        return super().is_known_from(other) and set(self.chosen) <= set(known)

    @property
    def outputs(self) -> int:
        """How many numbers it has."""
        return len(self.columns)

    def members(self) -> dict[str, Self]:
        """One target a drawing of training images, by its number."""
        if self.draws is None or self.draws.number is not None:
            return {"": self}
        return {
            f"{number:03d}": self.model_copy(update={"draws": self.draws.model_copy(update={"number": number})})
            for number in range(self.draws.count)
        }

    @property
    def rule(self) -> str:
        """How many training images are drawn."""
        return "" if self.draws is None else f"{self.sizes.train} training images"

    def whole(self) -> Self:
        """The same images with all points or numbers."""
        return self.model_copy(update={"only": ()})

    def part(self) -> dict[str, Any]:
        """The columns that are predicted."""
        return {} if len(self.chosen) == len(self.names) else {"columns": list(self.columns)}

    def key(self) -> dict[str, Any]:
        """What changes the data, as plain JSON values."""
        plain = {name: value for name, value in super().key().items() if name != "draws"} | {"only": list(self.chosen)}
        return plain | ({"draw": self.draws.number} if self.draws is not None else {})


AnyTarget = Annotated[
    ClassificationTarget | DetectionTarget | SegmentationTarget | RegressionTarget, Field(discriminator="task")
]

TARGETS: dict[str, type[Target]] = {
    "classification": ClassificationTarget,
    "detection": DetectionTarget,
    "segmentation": SegmentationTarget,
    "regression": RegressionTarget,
}
"""The schema of each task's targets."""


def target_of(content: dict[str, Any]) -> Target:
    """A target from its resolved config, by the schema of its task."""
    return TARGETS[content["task"]].model_validate(content)

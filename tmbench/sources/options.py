"""The schema of ``conf/source/NAME.yaml``: an architecture and where its weights come from."""

from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.recipes import ON, AnyRecipe
from tmbench.sources.resources import Resources
from tmbench.targets.options import AnyTarget, ClassificationTarget, Target


class Part(BaseModel):
    """A part of a source's option: no unknown keys, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(Part):
    """A network without its head.

    Attributes:
        function: ``package.module:function`` or ``file.py:function``, called as
            ``function(classes, image_size, **parameters)``; gives a network with timm's interface.
        parameters: what the function gets beside that.
        version: raise it when the function builds another network.
    """

    function: str = Field(pattern=r".+:.+")
    parameters: dict[str, Any] = Field(default_factory=dict)
    version: int = Field(default=1, ge=1)


class Input(Part):
    """What the network expects: ``size`` pixels, and channels normalised by ``mean`` and ``std`` (white being 1)."""

    size: int = Field(ge=8)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)


class RandomWeights(Part):
    """Weights as initialised; such a source has no head."""

    kind: Literal["random"]
    seed: int = Field(default=0, ge=0)

    def key(self) -> dict[str, Any]:
        """What changes the weights, as plain JSON values."""
        return self.model_dump(mode="json")


class FileWeights(Part):
    """Weights from a file that somebody published, or that the user has; read without unpickling.

    Attributes:
        file: the file's name, in the folder ``paths.weights``, or its absolute path.
        layout: whose names and shapes its entries have; see :mod:`tmbench.sources.published`.
        url: where it is offered, for the message when it is missing.
        sha256: of the file; the worker refuses another. Without it the file's name and url are what is known of it.
        head_classes: how many classes the file's head predicts, where the layout keeps it; 0 without a head.
        accuracy: what its authors report of that head, in 0..1; a baseline ranks by it.
    """

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"file"})

    kind: Literal["file"]
    file: str = Field(min_length=1)
    layout: Literal[
        "timm", "torchvision", "torchvision_detection", "torchvision_segmentation", "moco_v3", "beit", "mae"
    ]
    url: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    head_classes: int = Field(default=0, ge=0)
    accuracy: float | None = Field(default=None, gt=0, le=1)

    def key(self) -> dict[str, Any]:
        """What changes the weights, as plain JSON values."""
        name = {} if self.sha256 else {"name": PurePath(self.file).name}
        return {**self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY)), **name}


class Pretraining(Part):
    """Weights that the study trains itself, on a data set of its own.

    Attributes:
        target: the data set.
        recipe: how; a detection recipe makes the source a detector.
        seed: another seed trains another source.
        start: where it starts; from random weights where null.
    """

    kind: Literal["pretrain"]
    target: AnyTarget
    recipe: AnyRecipe
    seed: int = Field(default=0, ge=0)
    start: FileWeights | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Pretraining":
        if self.start is None and not self.recipe.trains_everything:
            raise ValueError("pretraining from random weights needs a recipe with trainable=full")
        if len(self.recipe.learning_rates) != 1:
            raise ValueError("pretraining runs once: give its recipe exactly one learning rate")
        if not self.recipe.trains_everything and self.recipe.task != "detection":
            raise ValueError("pretraining trains every weight: give it a recipe with trainable=full")
        if isinstance(self.recipe, DetectionRecipe) and self.recipe.backend != "torchvision":
            raise ValueError("detectors are pretrained with backend=torchvision")
        if ON[self.recipe.task] != self.target.task:
            raise ValueError(f"a {self.recipe.task} recipe does not train on a {self.target.task} data set")
        return self

    def key(self) -> dict[str, Any]:
        """What changes the weights, as plain JSON values."""
        return {
            "kind": self.kind,
            "target": self.target.key(),
            "recipe": self.recipe.key(),
            "seed": self.seed,
            **({"start": self.start.key()} if self.start else {}),
        }


class Source(Part):
    """A pretrained model.

    Attributes:
        architecture: the network.
        input: what it is fed.
        weights: random, pretrained by the study, or from a file.
        resources: what any work with it needs; a recipe may need more.
        family: sources of one family are not independent (one architecture, say).
        layer: the network ends there, and the mean over that module's output feeds a head; the whole network where "".
            A sweep writes such a source ``NAME@LAYER``.
        beside: further sources, whose features are joined with its own. A sweep writes such a source ``NAME+OTHER``.
        initialisation: what its weights are the result of (``supervised``, ``mae``), the same word in every family;
            random weights need none. The table of truths compares sources by it.
        size: number of parameters, where it is known beforehand; a pass counts them.
        title: a few words for people.
    """

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"family", "initialisation", "resources", "size", "title"})

    architecture: Architecture
    input: Input
    weights: Annotated[RandomWeights | Pretraining | FileWeights, Field(discriminator="kind")]
    resources: Resources = Resources()
    family: str = ""
    layer: str = ""
    beside: dict[str, "Source"] = Field(default_factory=dict)
    initialisation: str = ""
    size: int = Field(default=0, ge=0)
    title: str = ""

    @model_validator(mode="after")
    def _joins(self) -> "Source":
        for name, other in self.beside.items():
            if other.input != self.input:
                raise ValueError(
                    f"beside.{name}: sources whose features are joined see the same input (input:), but this one's is "
                    f"{other.input.size} pixels and the first one's {self.input.size}, or their mean or std differ"
                )
            if other.beside:
                raise ValueError(f"beside.{name}: it has sources beside it of its own; name all of them in one list")
            if other.detector is not None or self.detector is not None:
                raise ValueError(f"beside.{name}: a detector's features are not joined with others")
        return self

    @property
    def parts(self) -> tuple["Source", ...]:
        """The sources whose features it gives: itself alone, and those beside it."""
        return (self.model_copy(update={"beside": {}}), *self.beside.values())

    def whole(self) -> "Source":
        """The source that a forward pass runs: the network that this one is cut from, or itself."""
        return self if self.beside else self.model_copy(update={"layer": ""})

    @property
    def cut_at(self) -> str:
        """The module at which the network that is read ends; "" for a whole one, and a joined one, read at its end."""
        return "" if self.beside else self.layer

    @property
    def initialised_by(self) -> str:
        """Its ``initialisation``; ``random`` for random weights, "" where nobody said."""
        is_random = all(isinstance(part.weights, RandomWeights) for part in self.parts)
        return self.initialisation or ("random" if is_random else "")

    @property
    def pretrained_on(self) -> Target | None:
        """The data set that the study pretrains it on; None for random weights."""
        return self.weights.target if isinstance(self.weights, Pretraining) else None

    @property
    def minutes(self) -> float:
        """Estimated minutes of its pretraining."""
        return self.weights.recipe.minutes if isinstance(self.weights, Pretraining) else 0.0

    @property
    def predicts(self) -> str:
        """The task whose outputs the source's own head predicts; "" without a head."""
        if self.layer or self.beside:
            return ""
        match self.weights:
            case Pretraining(recipe=recipe) if recipe.task in ("classification", "segmentation", "regression"):
                return recipe.task
            case FileWeights(layout="torchvision_segmentation", head_classes=classes) if classes:
                return "segmentation"
            case FileWeights(head_classes=classes) if classes:
                return "classification"
        return ""

    @property
    def has_head(self) -> bool:
        """Whether the source predicts a class of each image, as LEEP needs."""
        return self.predicts == "classification"

    @property
    def head_size(self) -> int:
        """How many outputs the head of the network itself has; 0 without a head."""
        match self.weights:
            case Pretraining(target=target, recipe=recipe) if recipe.task in ("classification", "regression"):
                return target.outputs
            case FileWeights(head_classes=classes):
                return classes
        return 0

    @property
    def tells_accuracy(self) -> bool:
        """Whether it is known how well the source's head does on its own data."""
        if isinstance(self.weights, FileWeights):
            return self.weights.accuracy is not None and not self.beside and not self.layer
        return self.pretrained_on is not None and self.pretrained_on.task == "classification" and self.has_head

    @property
    def has_own_data(self) -> bool:
        """Whether the images it was pretrained on are at hand, with a label each."""
        return self.has_head and isinstance(self.pretrained_on, ClassificationTarget)

    @property
    def detector(self) -> DetectionRecipe | None:
        """The recipe of the detector that the study pretrains around the architecture; None for other sources."""
        recipe = self.weights.recipe if isinstance(self.weights, Pretraining) else None
        return recipe if isinstance(recipe, DetectionRecipe) else None

    @property
    def start(self) -> FileWeights | None:
        """The file that its weights, or the start of its pretraining, are read from."""
        if isinstance(self.weights, FileWeights):
            return self.weights
        return self.weights.start if isinstance(self.weights, Pretraining) else None

    def located(self, weights: str, data: str) -> "Source":
        """This source with absolute paths: of its file, looked for in ``weights``, and its data set, in ``data``."""
        update: dict[str, Any] = {}
        if self.beside:
            others = {name: other.located(weights, data) for name, other in self.beside.items()}
            return self.parts[0].located(weights, data).model_copy(update={"beside": others})
        if self.start is not None:
            path = Path(weights).expanduser().resolve() / self.start.file
            update["start"] = self.start.model_copy(update={"file": str(path)})
        if isinstance(self.weights, FileWeights):
            return self.model_copy(update={"weights": update["start"]})
        if isinstance(self.weights, Pretraining):
            update["target"] = self.weights.target.located(data)
            return self.model_copy(update={"weights": self.weights.model_copy(update=update)})
        return self

    def key(self) -> dict[str, Any]:
        """What changes the network, as plain JSON values."""
        return {
            "architecture": self.architecture.model_dump(mode="json"),
            "input": self.input.model_dump(mode="json"),
            "weights": self.weights.key(),
            **({"layer": self.layer} if self.layer else {}),
            **({"beside": [other.key() for other in self.beside.values()]} if self.beside else {}),
        }

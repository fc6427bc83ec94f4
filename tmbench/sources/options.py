"""The schema of ``conf/source/NAME.yaml``: an architecture and where its weights come from."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tmbench.sources.recipe import Recipe
from tmbench.sources.resources import Resources
from tmbench.targets.options import Target


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


class Pretraining(Part):
    """Weights that the study trains itself, from scratch, on a data set of its own."""

    kind: Literal["pretrain"]
    target: Target
    recipe: Recipe
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _trains_everything(self) -> "Pretraining":
        if self.recipe.trainable != "full":
            raise ValueError("pretraining starts from random weights and needs a recipe with trainable=full")
        if len(self.recipe.learning_rates) != 1:
            raise ValueError("pretraining runs once: give its recipe exactly one learning rate")
        return self

    def key(self) -> dict[str, Any]:
        """What changes the weights, as plain JSON values."""
        return {
            "kind": self.kind,
            "target": self.target.key(),
            "recipe": self.recipe.key(),
            "seed": self.seed,
        }


class Source(Part):
    """A pretrained model.

    Attributes:
        architecture: the network.
        input: what it is fed.
        weights: random, or pretrained by the study.
        resources: what any work with it needs; a recipe may need more.
        family: sources of one family are not independent (one architecture, say).
        title: a few words for people.
    """

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"family", "resources", "title"})

    architecture: Architecture
    input: Input
    weights: Annotated[RandomWeights | Pretraining, Field(discriminator="kind")]
    resources: Resources = Resources()
    family: str = ""
    title: str = ""

    @property
    def pretrained_on(self) -> Target | None:
        """The data set that the study pretrains it on; None for random weights."""
        return self.weights.target if isinstance(self.weights, Pretraining) else None

    @property
    def minutes(self) -> float:
        """Estimated minutes of its pretraining."""
        return self.weights.recipe.minutes if isinstance(self.weights, Pretraining) else 0.0

    @property
    def has_head(self) -> bool:
        """Whether the source predicts classes of its own, as LEEP needs."""
        return self.head_classes > 0

    @property
    def head_classes(self) -> int:
        """How many classes the source's head has; 0 without a head."""
        return self.weights.target.classes if isinstance(self.weights, Pretraining) else 0

    def key(self) -> dict[str, Any]:
        """What changes the network, as plain JSON values."""
        return {
            "architecture": self.architecture.model_dump(mode="json"),
            "input": self.input.model_dump(mode="json"),
            "weights": self.weights.key(),
        }

"""The schema of ``conf/recipe/TASK/NAME.yaml``: how a network is trained.

It stands beside the sources because pretraining one needs it, and the truth imports sources and not the reverse.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from tmbench.sources.resources import Resources

Rate = Annotated[float, Field(gt=0)]


class Recipe(BaseModel):
    """How the ground truth is fine-tuned, and how a source is pretrained: what the schemas of all tasks share.

    Attributes:
        task: what it is for.
        learning_rates: the candidates; validation chooses, and pretraining takes exactly one.
        measure: what the truth is.
        version: raise it when the same values train differently.
        minutes: estimated minutes of one unit on the resources below.
        resources: what fine-tuning by this recipe needs.
        title: a few words for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"minutes", "resources", "title"})

    task: str
    learning_rates: tuple[Rate, ...] = Field(min_length=1)
    measure: str
    version: int = Field(default=1, ge=1)
    minutes: float = Field(default=1.0, ge=0)
    resources: Resources = Resources()
    title: str = ""

    @property
    def trains_everything(self) -> bool:
        """Whether it trains every weight, as pretraining from random weights must."""
        return True

    def key(self) -> dict[str, Any]:
        """What changes the result, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(self.NOT_IDENTITY))


class EpochRecipe(Recipe):
    """Training by passes over all images: what the schemas of several tasks share.

    Attributes:
        trainable: ``head`` alone, on the frozen features; ``half``, the last stage too; ``full``, every weight.
        optimizer: AdamW, or SGD with Nesterov momentum 0.9.
        epochs: passes over the training images.
        batch_size: images a step; the last step of an epoch is as large as the others, or one smaller.
        weight_decay: on matrices and kernels, not on biases and norms.
        schedule: what the learning rate does after the warm-up.
        warm_up: share of all steps in which the learning rate rises from 0.
    """

    trainable: Literal["head", "half", "full"]
    optimizer: Literal["adamw", "sgd"] = "adamw"
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: float = Field(default=0.0, ge=0, lt=1)

    @property
    def trains_everything(self) -> bool:
        """Whether it trains every weight, as pretraining from random weights must."""
        return self.trainable == "full"


class ClassificationRecipe(EpochRecipe):
    """Training on labelled images.

    Attributes:
        augment: ``shift`` moves each image by up to two pixels.
    """

    task: Literal["classification"]
    augment: Literal["none", "shift"] = "none"
    measure: Literal["accuracy"] = "accuracy"


class RegressionRecipe(EpochRecipe):
    """Training on images with numbers, down the mean squared error.

    Attributes:
        augment: ``colour``, jitter of brightness, contrast and colour, and blur; ``affine``, that and a small turn,
            scaling and shift, which points follow. Images are not mirrored: left and right have names.
        tolerance: a point is predicted correctly (PCK) within this share of its image's reference length.
    """

    task: Literal["regression"]
    augment: Literal["none", "colour", "affine"] = "none"
    tolerance: float = Field(default=0.1, gt=0)
    measure: Literal["negative_mse", "negative_mse_over_variance", "pck"] = "negative_mse"


class SegmentationRecipe(EpochRecipe):
    """Training on images with a class for each pixel, down the cross-entropy of the pixels that have one.

    Attributes:
        decoder: what stands on the network's maps: ``linear``, one 1 × 1 convolution; ``fcn``, a 3 × 3 convolution
            before it; ``deeplab``, atrous spatial pyramid pooling before these. A network of torchvision's with a head
            of its own keeps that one and gets new classes.
        fused: whether the decoder sees the last maps of all stages, brought to the finest and stacked (HRNetV2's
            head), in place of the last map alone.
        channels: of the decoder's inner maps.
        augment: ``mirror`` exchanges left and right in half of the images.
    """

    task: Literal["segmentation"]
    decoder: Literal["linear", "fcn", "deeplab"] = "linear"
    fused: bool = False
    channels: int = Field(default=64, ge=4)
    augment: Literal["none", "mirror"] = "none"
    measure: Literal["miou", "pixel_accuracy"] = "miou"

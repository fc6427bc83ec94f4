"""The schema of ``conf/recipe/detection/NAME.yaml``: a detector around a source, and how it is trained.

Knows no torch: a plan reads recipes. Where torchvision's and detectron2's defaults differ (box loss, ROI-Align,
anchors, proposals), the recipe says what both are told.
"""

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tmbench.sources.recipe import Recipe


class Part(BaseModel):
    """A part of a recipe: no unknown keys, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlainViT(Part):
    """How a vision transformer runs on images larger than those of its pretraining; other sources pass it over.

    Attributes:
        window: height and width in tokens of non-overlapping attention windows; 0 for global attention everywhere.
        global_blocks: blocks that attend globally all the same, spread evenly: the last of each such share of blocks.
        relative_position: none; ``bias``, tables of one bias a head and offset (BEiT's form: one table shared by the
            windowed blocks, one by the global blocks); ``decomposed``, ViTDet's form by height and width.
        drop_path: largest rate of stochastic depth, rising linearly from 0 over the blocks.
    """

    window: int = Field(default=0, ge=0)
    global_blocks: int = Field(default=4, ge=0)
    relative_position: Literal["none", "bias", "decomposed"] = "none"
    drop_path: float = Field(default=0.0, ge=0, lt=1)


class Pyramid(Part):
    """Maps of strides 4, 8, 16, 32 (and 64, by pooling) for the heads.

    Attributes:
        kind: ``fpn``, a feature pyramid network: over the last four stages of a convolutional source, or over four
            blocks of a ViT at the end of each quarter, brought to strides 4 to 32 (Li et al. 2021); ``simple``, all
            scales from a ViT's last map (ViTDet, Li et al. 2022).
        channels: of each map.
        norm: after each of its convolutions, and those of the box and mask heads: batch normalisation (over the batch
            at hand), over the channels of each position (``layer``), or none.
    """

    kind: Literal["fpn", "simple"] = "fpn"
    channels: int = Field(default=256, ge=8)
    norm: Literal["batch", "layer", "none"] = "batch"


class Heads(Part):
    """torchvision's region proposal network, box head and mask head.

    Attributes:
        masks: whether there is a mask head (Mask R-CNN), or none (Faster R-CNN).
        rpn_convolutions: 3 × 3 convolutions before the proposals.
        box_convolutions: 3 × 3 convolutions of the box head; 0 for two linear layers and no convolution.
        box_width: width of the box head's linear layers.
        mask_convolutions: 3 × 3 convolutions of the mask head.
        mask_size: height and width of the maps that the mask head sees; its masks are twice as large.
        anchor_sizes: one a map, in pixels.
        anchor_ratios: height over width.
        rpn_samples: anchors of an image in the loss, half of them positive at most.
        box_samples: proposals of an image in the loss, a quarter of them positive at most.
        proposals: of an image, after suppression; in training and in testing.
        box_loss: ``l1``, or ``smooth_l1`` with β = 1/9, torchvision's own.
        aligned: whether ROI-Align is shifted by half a pixel; torchvision's own models do not.
        sampling_ratio: points along each axis of a ROI-Align bin; 0 for as many as there are pixels.
        detections: of an image at most.
        least_score: of a detection.
    """

    masks: bool = True
    rpn_convolutions: int = Field(default=2, ge=1)
    box_convolutions: int = Field(default=4, ge=0)
    box_width: int = Field(default=1024, ge=8)
    mask_convolutions: int = Field(default=4, ge=1)
    mask_size: int = Field(default=14, ge=4)
    anchor_sizes: tuple[float, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    anchor_ratios: tuple[float, ...] = Field(default=(0.5, 1.0, 2.0), min_length=1)
    rpn_samples: int = Field(default=256, ge=2)
    box_samples: int = Field(default=512, ge=2)
    proposals: tuple[int, int] = (1000, 1000)
    box_loss: Literal["l1", "smooth_l1"] = "l1"
    aligned: bool = True
    sampling_ratio: int = Field(default=0, ge=0)
    detections: int = Field(default=100, ge=1)
    least_score: float = Field(default=0.05, ge=0, lt=1)


class DetectionRecipe(Recipe):
    """A Faster or Mask R-CNN around a source, and its training.

    Attributes:
        backend: whose layers: torchvision's, or detectron2's where the user has installed it.
        trainable: ``head``, all but the source's backbone, which stays frozen (its batch norms too); ``full``, every
            weight.
        vit: for vision transformers.
        pyramid: between backbone and heads.
        heads: proposals, boxes, masks.
        image_size: height and width in pixels of what the network sees; images are scaled to fit and padded.
        augment: ``flip``, left and right; ``jitter``, also large-scale jitter: a random scale, then a crop or padding.
        scales: smallest and largest scale of the jitter, relative to fitting ``image_size``.
        optimizer: AdamW or Adam with β = (0.9, 0.999), or SGD with momentum 0.9.
        epochs: passes over the training images.
        batch_size: images a step at most; all steps of an epoch are equally large, or one image smaller.
        accumulate: in so many parts of equal size, one after the other, to save memory.
        weight_decay: on matrices and kernels, not on norms, biases and position embeddings.
        layer_decay: the learning rate's factor from one block of a ViT to the one below it; 1 for none.
        schedule: what the learning rate does after the warm-up: half a cosine to 0, ``steps`` (a tenth from each of
            ``milestones`` on), or constant.
        milestones: shares of all steps, rising.
        warm_up: share of all steps in which the learning rate rises from 0.
        clip: largest norm of the gradient; none where null.
        precision: of the forward pass; weights are float32 always.
        average: decay of an exponential moving average of the weights, which is then what is measured; 0 for none.
        recompute: recompute activations of the backbone's blocks in the backward pass (activation checkpointing).
        curve_every: epochs between measurements on validation; 0 for none but that of the reported epoch.
        report: which epoch's weights are measured on the test split: the ``last``, or the ``best`` on validation.
        measure: what the truth is; all of COCO's numbers are recorded beside it.
    """

    task: Literal["detection"]
    backend: Literal["torchvision", "detectron2"] = "torchvision"
    trainable: Literal["head", "full"]
    vit: PlainViT = PlainViT()
    pyramid: Pyramid = Pyramid()
    heads: Heads = Heads()
    image_size: int = Field(ge=32)
    augment: Literal["none", "flip", "jitter"] = "flip"
    scales: tuple[float, float] = (0.1, 2.0)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    weight_decay: float = Field(default=0.0, ge=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.889, 0.963)
    warm_up: float = Field(default=0.0, ge=0, lt=1)
    clip: float | None = Field(default=None, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    average: float = Field(default=0.0, ge=0, lt=1)
    recompute: bool = False
    curve_every: int = Field(default=1, ge=0)
    report: Literal["last", "best"] = "last"
    measure: Literal["box_ap", "box_ap50", "mask_ap", "mask_ap50"] = "box_ap"

    @property
    def trains_everything(self) -> bool:
        """Whether it trains every weight, as pretraining from random weights must."""
        return self.trainable == "full"

    @model_validator(mode="after")
    def _fits_together(self) -> "DetectionRecipe":
        if self.measure.startswith("mask") and not self.heads.masks:
            raise PydanticCustomError("recipe", "measure={m} needs heads.masks=true", {"m": self.measure})
        if self.batch_size % self.accumulate:
            facts = {"b": self.batch_size, "a": self.accumulate}
            raise PydanticCustomError("recipe", "batch_size={b} is no multiple of accumulate={a}", facts)
        if self.report == "best" and not self.curve_every:
            raise PydanticCustomError("recipe", "report=best needs curve_every=1 or more", {})
        if not 0 < self.scales[0] <= self.scales[1]:
            raise PydanticCustomError("recipe", "scales are a smallest and a largest, both above 0", {})
        bounds = (0.0, *self.milestones, 1.0)
        if any(later <= earlier for earlier, later in pairwise(bounds)):
            given = ", ".join(f"{share:g}" for share in self.milestones)
            text = "milestones=[{m}] are shares of all steps: give numbers that rise, between 0 and 1"
            raise PydanticCustomError("recipe", text, {"m": given})
        return self

"""detectron2's layers behind the interface of torchvision's detectors, where the user has installed it.

Vision transformer, pyramids, proposals, heads, sampling, matching and suppression are detectron2's; a convolutional
body is the source's own, and images are scaled as for torchvision's layers. Where the defaults of the two differ, the
recipe says what both are told; what remains different:

* anchors are not rounded to whole pixels; they stand on the corners of the grid, as torchvision's do;
* the loss of proposals is divided by ``rpn_samples``, be there so many anchors to sample or not;
* fresh layers are drawn from detectron2's distributions;
* position embeddings keep their size, and are resized in each pass;
* attention is written out, so that its memory is quadratic in the tokens of a window, or of the image.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator.rpn import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import (
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
    StandardROIHeads,
)
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN as TorchvisionDetector

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources import network as networks
from tmbench.sources.detection.canvas import Canvas
from tmbench.sources.detection.detector import BOX_SIZE
from tmbench.sources.detection.pyramids import MAPS
from tmbench.sources.detection.recipe import DetectionRecipe, Heads
from tmbench.sources.detection.regions import BETA
from tmbench.sources.options import Source
from tmbench.truth.detectron2_backbone import NORMS, backbone, map_name


class Detector(GeneralizedRCNN):
    """A detector of detectron2's that is called as torchvision's are.

    Attributes:
        transform: scales images and objects to the square; its ``image_mean`` is the colour of padding.
    """

    def __init__(self, transform: Canvas, **parts: nn.Module) -> None:
        """``parts`` are detectron2's: ``backbone``, ``proposal_generator``, ``roi_heads``."""
        super().__init__(pixel_mean=transform.image_mean, pixel_std=transform.image_std, **parts)
        self.transform = transform

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        """In training the losses by name, otherwise what is found in each image.

        Args:
            images: (3, h, w) float, RGB in 0..1.
            targets: ``boxes`` (k, 4), ``labels`` (k,) with 0 for the ground, ``masks`` (k, h, w) where there are any.

        Returns:
            In evaluation ``boxes`` in pixels of the image that was given, ``labels``, ``scores`` and, with a mask
            head, ``masks`` (k, 1, h, w) of 0 and 1, for each image.
        """
        told = targets if self.training and targets is not None else [None] * len(images)
        inputs = [self._input(image, target) for image, target in zip(images, told, strict=True)]
        with EventStorage():  # detectron2 notes statistics of each step there
            try:
                outputs = super().forward(inputs)
            except FloatingPointError:  # proposals that are not finite: the training knows what to say of such a loss
                return {"loss_rpn_loc": torch.tensor(math.nan, device=self.device)}
        return outputs if self.training else [_found(output["instances"]) for output in outputs]

    def _input(self, image: Tensor, target: dict[str, Tensor] | None) -> dict[str, Any]:
        """What detectron2 asks for; it then normalises the image and pads it to the square."""
        height, width = image.shape[-2:]
        image, target = self.transform.resize(image, target)
        given = {"image": image, "height": height, "width": width}
        return given if target is None else given | {"instances": _instances(target, image)}


def _instances(target: dict[str, Tensor], image: Tensor) -> Instances:
    """``target`` as detectron2 has it: the ground is its last class, not its first."""
    objects = Instances(tuple(image.shape[-2:]))
    objects.gt_boxes = Boxes(target["boxes"])
    objects.gt_classes = target["labels"] - 1
    if "masks" in target:
        objects.gt_masks = BitMasks(target["masks"])
    return objects


def _found(objects: Instances) -> dict[str, Tensor]:
    """Detections as torchvision gives them."""
    found = {"boxes": objects.pred_boxes.tensor, "labels": objects.pred_classes + 1, "scores": objects.scores}
    return found | ({"masks": objects.pred_masks[:, None].float()} if objects.has("pred_masks") else {})


def detector(
    source: Source, network: nn.Module | None, recipe: DetectionRecipe, classes: int, seeds: Seeds
) -> Detector:
    """A detector of detectron2's layers around the backbone of a source, in evaluation mode where the source computes.

    Wu, Kirillov, Massa, Lo, Girshick, Detectron2, https://github.com/facebookresearch/detectron2, 2019.

    The parameters of :func:`tmbench.sources.detection.detector.detector`; the source's own part is ``backbone.body``.

    Raises:
        ConfigError: where detectron2 has not what source and recipe ask for.
    """
    if isinstance(network, TorchvisionDetector):
        raise ConfigError(
            "backend=detectron2 builds around a backbone, and this source is a detector of torchvision's layers. Set "
            "backend=torchvision for it."
        )
    trunk = networks.fresh(source, seeds) if network is None else network
    with networks.drawing(seeds.integer("detector")):
        whole = backbone(trunk, recipe)
        names = [map_name(stride) for stride in whole.strides]
        parts = {
            "backbone": whole,
            "proposal_generator": _proposals(recipe.heads, recipe.pyramid.channels, names, whole.strides),
            "roi_heads": _regions(recipe, names[:MAPS], whole.strides[:MAPS], classes),
        }
    model = Detector(Canvas(recipe.image_size, source.input.mean, source.input.std), **parts)
    return model.to(memory_format=torch.channels_last).to(networks.place_of(trunk)).eval()


def _proposals(heads: Heads, channels: int, names: list[str], strides: Sequence[int]) -> RPN:
    ratios = list(heads.anchor_ratios)
    return RPN(
        in_features=names,
        head=StandardRPNHead(
            in_channels=channels, num_anchors=len(ratios), conv_dims=[channels] * heads.rpn_convolutions
        ),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[size] for size in heads.anchor_sizes], aspect_ratios=[ratios], strides=list(strides), offset=0.0
        ),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=heads.rpn_samples,
        positive_fraction=0.5,
        pre_nms_topk=(2 * heads.proposals[0], heads.proposals[1]),
        post_nms_topk=heads.proposals,
        nms_thresh=0.7,
        smooth_l1_beta=_beta(heads),
    )


def _beta(heads: Heads) -> float:
    """Below this difference the loss of boxes is quadratic; for detectron2 an L1 loss is a smooth one of β = 0."""
    return BETA if heads.box_loss == "smooth_l1" else 0.0


def _regions(recipe: DetectionRecipe, names: list[str], strides: Sequence[int], classes: int) -> StandardROIHeads:
    heads, channels, norm = recipe.heads, recipe.pyramid.channels, NORMS[recipe.pyramid.norm]
    box_head = FastRCNNConvFCHead(
        ShapeSpec(channels=channels, height=BOX_SIZE, width=BOX_SIZE),
        conv_dims=[channels] * heads.box_convolutions,
        fc_dims=[heads.box_width] * (1 if heads.box_convolutions else 2),
        conv_norm=norm,
    )
    predictor = FastRCNNOutputLayers(
        box_head.output_shape,
        box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
        num_classes=classes,
        test_score_thresh=heads.least_score,
        test_nms_thresh=0.5,
        test_topk_per_image=heads.detections,
        smooth_l1_beta=_beta(heads),
    )
    return StandardROIHeads(
        box_in_features=names,
        box_pooler=_pooler(BOX_SIZE, strides, heads),
        box_head=box_head,
        box_predictor=predictor,
        num_classes=classes,
        batch_size_per_image=heads.box_samples,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1]),
        **(_mask_parts(heads, names, strides, channels, norm, classes) if heads.masks else {}),
    )


def _mask_parts(
    heads: Heads, names: list[str], strides: Sequence[int], channels: int, norm: Any, classes: int
) -> dict[str, Any]:
    head = MaskRCNNConvUpsampleHead(
        ShapeSpec(channels=channels, height=heads.mask_size, width=heads.mask_size),
        num_classes=classes,
        conv_dims=[channels] * (heads.mask_convolutions + 1),  # the last is that of the enlarging one
        conv_norm=norm,
    )
    pooler = _pooler(heads.mask_size, strides, heads)
    return {"mask_in_features": names, "mask_pooler": pooler, "mask_head": head}


def _pooler(size: int, strides: Sequence[int], heads: Heads) -> ROIPooler:
    kind = "ROIAlignV2" if heads.aligned else "ROIAlign"  # shifted by half a pixel, or not
    pooler = ROIPooler(size, [1 / stride for stride in strides], heads.sampling_ratio, kind)
    pooler.register_forward_pre_hook(_maps_as_float32)
    return pooler


def _maps_as_float32(_: nn.Module, arguments: tuple[list[Tensor], Any]) -> tuple[list[Tensor], Any]:
    """detectron2 rounds boxes to the type of the maps, and bfloat16 has 8 bits for them."""
    maps, boxes = arguments
    return [each.float() for each in maps], boxes

"""Detectors: torchvision's Faster R-CNN and Mask R-CNN around the backbone of a source."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources import network as networks
from tmbench.sources.detection.backbones import STAGES, ConvolutionalBody, WindowedViT, is_transformer
from tmbench.sources.detection.canvas import Canvas, canvas_size
from tmbench.sources.detection.precision import in_full_precision
from tmbench.sources.detection.pyramids import MAPS, norm, pyramid
from tmbench.sources.detection.recipe import DetectionRecipe, Heads
from tmbench.sources.detection.regions import ProposalNetwork, RegionHeads, RegionPool, scales_of
from tmbench.sources.detection.takeover import take_over
from tmbench.sources.options import Source

BOX_SIZE = 7
"""Height and width of the maps that the box head sees."""


class Backbone(nn.Module):
    """A body (the source's network without its head) and a pyramid over its maps.

    Attributes:
        body: gives maps by name, finest first.
        pyramid: makes of them maps of ``out_channels``.
        strides: of the pyramid's maps, in pixels.
        frozen: whether the body stays as it is: no gradients, and its norms in evaluation mode in training too.
    """

    def __init__(self, body: nn.Module, maps: nn.Module, channels: int, strides: Sequence[int], frozen: bool) -> None:
        """``maps`` is the pyramid; ``channels`` and ``strides`` are those of its maps."""
        super().__init__()
        self.body, self.pyramid = body, maps
        self.out_channels, self.strides, self.frozen = channels, tuple(strides), frozen
        body.requires_grad_(not frozen)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(n, 3, h, w) → a map (n, channels, h / stride, w / stride) for each stride."""
        maps = self.pyramid(self.body(images))
        return OrderedDict(list(maps.items())[: len(self.strides)])

    def train(self, mode: bool = True) -> "Backbone":
        """Training or evaluation mode; a frozen body is always in the latter."""
        super().train(mode)
        self.body.train(mode and not self.frozen)
        return self


class Detector(GeneralizedRCNN):
    """A torchvision detector whose backbone is a :class:`Backbone`.

    Attributes:
        fresh: names of the parameters that are not the source's.
    """

    fresh: frozenset[str] = frozenset()


def new_parts(model: Detector) -> frozenset[str]:
    """Names of the parameters that were drawn, and did not come with the source.

    ``trainable: head`` trains all but ``backbone.body``, fresh or not.
    """
    return model.fresh


def detector(
    source: Source, network: nn.Module | None, recipe: DetectionRecipe, classes: int, seeds: Seeds
) -> Detector:
    """A torchvision detector around the backbone of a source, in evaluation mode where the source computes.

    Its parts are ``backbone.body``, ``backbone.pyramid``, ``rpn`` and ``roi_heads``. It takes a list of (3, h, w)
    float images, RGB in 0..1; the class that the target calls c is c + 1, 0 being the ground. Fresh layers are drawn
    on the CPU, from ``seeds`` alone. With ``trainable: head`` the body is frozen.

    Args:
        source: the option of the source; its input says how images are normalised.
        network: what gave the source's weights; it stays as it is. A classification network of timm's interface; or
            a detector built here, of which all but the class, box and mask predictors is taken over; or a detector of
            torchvision's (:func:`tmbench.sources.zoo.torchvision_detector`), which keeps its anchors and heads, the
            predictors apart, whatever the recipe says of ``pyramid`` and ``heads``; or None for a body drawn afresh.
        recipe: windows, pyramid, heads, what is frozen.
        classes: of the target.
        seeds: draws the fresh layers.

    Raises:
        ConfigError: where source and recipe do not fit.
    """
    old = network if isinstance(network, Detector) else None
    trunk = networks.fresh(source, seeds) if network is None or old is not None else network
    with networks.drawing(seeds.integer("detector")):
        build = _kept if isinstance(trunk, GeneralizedRCNN) else _built
        model = build(trunk, recipe, classes + 1)
    model.transform = Canvas(recipe.image_size, source.input.mean, source.input.std)
    if old is not None:
        alone = take_over(model, old, recipe, source.detector or recipe)
        model.fresh = alone & {name for name, _ in model.named_parameters()}
    in_full_precision(model)
    # Convolutions run faster with the channels last.
    return model.to(memory_format=torch.channels_last).to(networks.place_of(trunk)).eval()


def _built(trunk: nn.Module, recipe: DetectionRecipe, outputs: int) -> Detector:
    """A detector whose pyramid and heads are the recipe's; ``outputs`` counts the ground."""
    heads, kind = recipe.heads, recipe.pyramid
    frozen = recipe.trainable == "head"
    body: Any
    if is_transformer(trunk):
        taps = 1 if kind.kind == "simple" else STAGES
        body = WindowedViT(trunk, canvas_size(recipe.image_size), recipe.vit, taps, recipe.recompute and not frozen)
    else:
        body = ConvolutionalBody(trunk)
    form = "vit" if isinstance(body, WindowedViT) else "convolutional"
    maps, strides = pyramid(form, body.channels, body.strides, kind, len(heads.anchor_sizes))
    backbone = Backbone(body, maps, kind.channels, strides, frozen)
    model = Detector(backbone, _proposals(heads, kind.channels), _regions(recipe, strides[:MAPS], outputs), None)
    place = "backbone.body."
    added = tuple(place + name for name in body.added)
    model.fresh = frozenset(name for name, _ in model.named_parameters() if not name.startswith(place) or name in added)
    return model


def _proposals(heads: Heads, channels: int) -> ProposalNetwork:
    sizes = tuple((size,) for size in heads.anchor_sizes)
    anchors = AnchorGenerator(sizes, (heads.anchor_ratios,) * len(sizes))
    rpn = ProposalNetwork(
        anchors,
        RPNHead(channels, len(heads.anchor_ratios), heads.rpn_convolutions),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=heads.rpn_samples,
        positive_fraction=0.5,
        # Before suppression twice as many a map in training, and as many in testing: detectron2's proportion.
        pre_nms_top_n={"training": 2 * heads.proposals[0], "testing": heads.proposals[1]},
        post_nms_top_n={"training": heads.proposals[0], "testing": heads.proposals[1]},
        nms_thresh=0.7,
    )
    rpn.box_loss = heads.box_loss
    return rpn


def _regions(recipe: DetectionRecipe, strides: Sequence[int], outputs: int) -> RegionHeads:
    heads, channels, layer = recipe.heads, recipe.pyramid.channels, norm(recipe.pyramid.norm)
    box_head: nn.Module
    if heads.box_convolutions:
        shape = (channels, BOX_SIZE, BOX_SIZE)
        box_head = FastRCNNConvFCHead(shape, [channels] * heads.box_convolutions, [heads.box_width], layer)
    else:
        box_head = TwoMLPHead(channels * BOX_SIZE**2, heads.box_width)
    regions = RegionHeads(
        RegionPool(strides, BOX_SIZE, heads.sampling_ratio, heads.aligned),
        box_head,
        FastRCNNPredictor(heads.box_width, outputs),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=heads.box_samples,
        positive_fraction=0.25,
        bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
        score_thresh=heads.least_score,
        nms_thresh=0.5,
        detections_per_img=heads.detections,
    )
    regions.box_loss = heads.box_loss
    if heads.masks:
        regions.mask_roi_pool = RegionPool(strides, heads.mask_size, heads.sampling_ratio, heads.aligned)
        regions.mask_head = MaskRCNNHeads(channels, [channels] * heads.mask_convolutions, 1, layer)
        regions.mask_predictor = MaskRCNNPredictor(channels, channels, outputs)
    return regions


def _kept(trunk: GeneralizedRCNN, recipe: DetectionRecipe, outputs: int) -> Detector:
    """A detector of torchvision's with fresh predictors; ``outputs`` counts the ground."""
    trunk = deepcopy(trunk)
    regions, body = trunk.roi_heads, trunk.backbone.body
    if recipe.heads.masks and not regions.has_mask():
        raise ConfigError(
            "the source is a Faster R-CNN, and the recipe has a mask head. Set heads.masks to false in the recipe's "
            "option file, or choose a Mask R-CNN."
        )
    strides = tuple(4 * 2**i for i in range(MAPS))
    channels = trunk.backbone.out_channels
    regions.box_predictor = FastRCNNPredictor(regions.box_predictor.cls_score.in_features, outputs)
    regions.box_roi_pool.scales, regions.box_roi_pool.map_levels = scales_of(strides)
    if recipe.heads.masks:
        before, between = regions.mask_predictor.conv5_mask.weight.shape[:2]
        regions.mask_predictor = MaskRCNNPredictor(before, between, outputs)
        regions.mask_roi_pool.scales, regions.mask_roi_pool.map_levels = scales_of(strides)
    else:
        regions.mask_roi_pool = regions.mask_head = regions.mask_predictor = None
    frozen = recipe.trainable == "head"
    backbone = Backbone(body, trunk.backbone.fpn, channels, (*strides, 2 * strides[-1]), frozen)
    model = Detector(backbone, trunk.rpn, regions, None)
    predictors = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")
    model.fresh = frozenset(name for name, _ in model.named_parameters() if name.startswith(predictors))
    return model

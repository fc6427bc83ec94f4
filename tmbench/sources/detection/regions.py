"""torchvision's region proposals and region heads, where a recipe may ask for what they have no option for.

That is an L1 loss of boxes, and ROI-Align shifted by half a pixel: what detectron2 does. Sampling, matching,
suppression and the other losses are torchvision's.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper

BETA = 1 / 9
"""Below this difference torchvision's smooth L1 loss is quadratic."""


def box_loss(kind: str, predicted: Tensor, wanted: Tensor) -> Tensor:
    """The sum over (k, 4) offsets: ``l1``, or ``smooth_l1`` as torchvision has it."""
    if kind == "l1":
        return nn.functional.l1_loss(predicted, wanted, reduction="sum")
    return nn.functional.smooth_l1_loss(predicted, wanted, beta=BETA, reduction="sum")


class ProposalNetwork(RegionProposalNetwork):
    """torchvision's region proposal network with a choice of the boxes' loss.

    Ren et al., Faster R-CNN, NeurIPS 2015.
    """

    box_loss = "smooth_l1"

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The losses of objectness and of boxes, over a sample of the anchors of n images.

        Args:
            objectness: (anchors of all images, 1) logits.
            pred_bbox_deltas: (anchors of all images, 4).
            labels: of each image, (anchors,): 1 object, 0 ground, -1 neither.
            regression_targets: of each image, (anchors, 4).
        """
        positive, negative = (torch.cat(masks).bool() for masks in self.fg_bg_sampler(labels))
        chosen = positive | negative
        boxes = box_loss(self.box_loss, pred_bbox_deltas[positive], torch.cat(regression_targets)[positive])
        found = nn.functional.binary_cross_entropy_with_logits(objectness.flatten()[chosen], torch.cat(labels)[chosen])
        return found, boxes / chosen.sum()


class RegionHeads(RoIHeads):
    """torchvision's box and mask heads with a choice of the boxes' loss.

    Girshick, Fast R-CNN, ICCV 2015; He et al., Mask R-CNN, ICCV 2017.
    """

    box_loss = "smooth_l1"

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """In training the losses, otherwise the detections of each image; as torchvision's."""
        if not self.training or targets is None or self.box_loss == "smooth_l1":
            return super().forward(features, proposals, image_shapes, targets)
        proposals, matched, labels, offsets = self.select_training_samples(proposals, targets)
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        logits, predicted = self.box_predictor(self.box_head(pooled))
        losses = self._box_losses(logits, predicted, torch.cat(labels), torch.cat(offsets))
        if self.has_mask():
            positive = [each > 0 for each in labels]
            regions = [boxes[some] for boxes, some in zip(proposals, positive, strict=True)]
            objects = [which[some] for which, some in zip(matched, positive, strict=True)]
            masks = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, regions, image_shapes)))
            wanted, classes = ([target[name] for target in targets] for name in ("masks", "labels"))
            losses["loss_mask"] = maskrcnn_loss(masks, regions, wanted, classes, objects)
        return [], losses

    def _box_losses(self, logits: Tensor, predicted: Tensor, labels: Tensor, offsets: Tensor) -> dict[str, Tensor]:
        positive = torch.where(labels > 0)[0]
        of_class = predicted.view(len(labels), -1, 4)[positive, labels[positive]]
        return {
            "loss_classifier": nn.functional.cross_entropy(logits, labels),
            "loss_box_reg": box_loss(self.box_loss, of_class, offsets[positive]) / len(labels),
        }


class RegionPool(MultiScaleRoIAlign):
    """torchvision's ROI-Align on the map that suits each region, with its option ``aligned``.

    The scales of the maps are told. torchvision guesses them from the sizes of the first images that come, without
    their padding, and is wrong for the rest of the training when those are all wide ones.
    """

    def __init__(self, strides: Sequence[int], size: int, sampling_ratio: int, aligned: bool) -> None:
        """Regions of maps of ``strides``, named ``0``, ``1`` and so on, as ``size`` × ``size`` bins.

        Args:
            strides: in pixels, finest first.
            size: bins along each axis.
            sampling_ratio: points along each axis of a bin; 0 for as many as there are pixels.
            aligned: whether regions are shifted by half a pixel.
        """
        super().__init__([str(i) for i in range(len(strides))], size, sampling_ratio)
        self.aligned = aligned
        self.scales, self.map_levels = scales_of(strides)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """(regions of all images, c, size, size) of the (k, 4) ``boxes`` of each image, in its pixels."""
        images = torch.cat([each.new_full((len(each), 1), i) for i, each in enumerate(boxes)])
        regions = torch.cat([images, torch.cat(boxes)], dim=1)
        levels = self.map_levels(boxes)
        maps = [x[name] for name in self.featmap_names]
        pooled = maps[0].new_zeros((len(regions), maps[0].shape[1], *self.output_size))
        for level, (each, scale) in enumerate(zip(maps, self.scales, strict=True)):
            rows = torch.where(levels == level)[0]
            bins = roi_align(each, regions[rows], self.output_size, scale, self.sampling_ratio, self.aligned)
            pooled[rows] = bins.to(pooled.dtype)
        return pooled


def scales_of(strides: Sequence[int]) -> tuple[list[float], LevelMapper]:
    """The scales of maps, and what finds the map for a box: one of 224 pixels is of stride 16, as in the FPN paper."""
    finest, coarsest = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
    return [1 / stride for stride in strides], LevelMapper(finest, coarsest)

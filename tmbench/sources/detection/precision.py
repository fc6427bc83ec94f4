"""What a detector computes in float32 when the rest is told to use a smaller type.

Coordinates of boxes: bfloat16 has 8 bits for them, so that beyond 512 pixels two neighbours are 4 apart. torchvision
makes anchors of the type of the maps, and decodes boxes in the type of the predicted offsets.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN


def in_full_precision(model: GeneralizedRCNN) -> None:
    """Have ``model`` place anchors and decode boxes in float32 under autocast; its layers compute as told."""
    model.rpn.anchor_generator.register_forward_pre_hook(_maps_of_float32)
    predictors = (model.rpn.head, model.roi_heads.box_predictor, model.roi_heads.mask_predictor)
    for module in predictors:
        if module is not None:
            module.register_forward_hook(_outputs_as_float32)


def _maps_of_float32(_: nn.Module, arguments: tuple[Any, list[Tensor]]) -> tuple[Any, list[Tensor]]:
    """The generator reads shapes and types of maps alone, so that a single number does for each."""
    images, maps = arguments
    return images, [each.new_zeros((), dtype=torch.float32).expand(each.shape) for each in maps]


def _outputs_as_float32(_: nn.Module, __: Any, outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.float()
    return type(outputs)(_outputs_as_float32(_, __, each) for each in outputs)

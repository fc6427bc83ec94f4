"""Small sets of coloured boxes and a torchvision Mask R-CNN of a few thousand parameters to train on them."""

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from tmbench.sources.detection.evaluation import encoded
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.targets.detection import DetectionImages, Objects, no_objects

SIZE = 64
WIDTH = 8
COLOURS = np.array([[230, 40, 40], [40, 200, 60]], np.uint8)


def scenes(count, seed=0, empty=()):
    """``count`` images of one or two boxes of two colours, with masks; those in ``empty`` show none."""
    generator = np.random.default_rng(seed)
    images, objects = [], []
    for i in range(count):
        image = generator.integers(90, 130, (SIZE, SIZE, 3)).astype(np.uint8)
        if i in empty:
            images.append(image)
            objects.append(no_objects())
            continue
        boxes, labels, masks = [], [], []
        for _ in range(int(generator.integers(1, 3))):
            x1, y1 = generator.integers(0, 36, 2)
            x2, y2 = x1 + generator.integers(14, 28), y1 + generator.integers(14, 28)
            label = int(generator.integers(0, 2))
            image[y1:y2, x1:x2] = COLOURS[label]
            bitmap = np.zeros((SIZE, SIZE), bool)
            bitmap[y1:y2, x1:x2] = True
            boxes.append([x1, y1, x2, y2])
            labels.append(label)
            masks.append(encoded(bitmap))
        areas = np.array([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes], float)
        boxes = np.array(boxes, np.float32)
        objects.append(Objects(boxes, np.array(labels), np.zeros(len(labels), bool), areas, tuple(masks)))
        images.append(image)
    return DetectionImages.of_arrays(["red", "green"], images, objects)


class Convolutions(nn.Sequential):
    """Two strided convolutions with a batch norm between."""

    def __init__(self):
        first, second = nn.Conv2d(3, WIDTH, 4, 4), nn.Conv2d(WIDTH, WIDTH, 3, 2, 1)
        super().__init__(first, nn.BatchNorm2d(WIDTH), nn.ReLU(), second)


class Transformer(nn.Module):
    """A ViT that draws at each step which paths it drops."""

    def __init__(self):
        super().__init__()
        options = {"img_size": SIZE, "patch_size": 8, "num_classes": 0, "embed_dim": WIDTH, "depth": 2, "num_heads": 2}
        vit = VisionTransformer(**options, class_token=False, global_pool="avg", drop_path_rate=0.3)
        self.patch_embed, self.blocks, self.pos_embed = vit.patch_embed, vit.blocks, vit.pos_embed

    def forward(self, images):
        tokens = self.blocks(self.patch_embed(images) + self.pos_embed)
        return tokens.mT.unflatten(2, (SIZE // 8, SIZE // 8))


class Backbone(nn.Module):
    out_channels = WIDTH

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, images):
        return self.body(images)


def tiny_detector(body=Convolutions, seed=1):
    """The same weights for the same seed; samples of proposals are smaller than what there is, so that it draws."""
    torch.manual_seed(seed)
    model = MaskRCNN(
        Backbone(body()),
        min_size=SIZE,
        max_size=SIZE,
        rpn_anchor_generator=AnchorGenerator(((16, 24),), ((1.0,),)),
        rpn_batch_size_per_image=16,
        rpn_pre_nms_top_n_train=40,
        rpn_post_nms_top_n_train=24,
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_test=24,
        box_batch_size_per_image=12,
        box_roi_pool=MultiScaleRoIAlign(["0"], 4, 2),
        box_head=TwoMLPHead(WIDTH * 16, 16),
        box_predictor=FastRCNNPredictor(16, 3),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 6, 2),
        mask_head=MaskRCNNHeads(WIDTH, (WIDTH,), 1),
        mask_predictor=MaskRCNNPredictor(WIDTH, WIDTH, 3),
    )
    torch.seed()
    return model


def recipe(**changes):
    """Two epochs of small batches; ``changes`` to it."""
    content = {"task": "detection", "trainable": "full", "epochs": 2, "batch_size": 4, "learning_rates": [0.003]}
    defaults = {"image_size": SIZE, "weight_decay": 0.05, "warm_up": 0.2, "clip": 1.0, "measure": "box_ap"}
    return DetectionRecipe.model_validate(content | defaults | changes)

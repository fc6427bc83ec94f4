"""Networks of timm and torchvision by name, without weights: those come from files (tmbench/sources/published)."""

from typing import TYPE_CHECKING, Any, Literal

from tmbench.errors import unknown

if TYPE_CHECKING:  # a plan reads the signatures below, and knows no torch
    from torch import nn

TRANSFORMERS = ("vision_transformer", "vision_transformer_hybrid")
"""timm's modules whose networks take images of any size when they are told to."""

COCO_CLASSES = 90
"""Classes of torchvision's published detectors: COCO's numbers, of which ten are never used."""

Published = Literal[
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"
]

Segmenters = Literal[
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
]


def timm_network(classes: int, image_size: int, name: str, **more: Any) -> "nn.Module":
    """The network ``name`` of timm; a vision transformer is built for ``image_size``, and takes images of other sizes.

    Args:
        classes: outputs of the head; 0 for none.
        image_size: height and width in pixels.
        name: as timm spells it, without a tag of weights: ``resnet50``, ``vit_base_patch16_224``.
        more: what ``timm.create_model`` gets beside that.

    Raises:
        ConfigError: when timm has no network of that name.
    """
    import timm

    if not timm.is_model(name):
        raise unknown("network of timm", name, timm.list_models())
    if timm.models.is_model_in_modules(name, TRANSFORMERS):
        more = {"img_size": image_size, "dynamic_img_size": True, **more}
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **more)
    return network


def plain_vit(
    classes: int,
    image_size: int,
    patch: int = 8,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    mlp_ratio: float = 4.0,
) -> "nn.Module":
    """A small ViT without a class token, the mean over its patches feeding the head.

    Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021.

    Args:
        classes: outputs of the head; 0 for none.
        image_size: height and width in pixels; images of other sizes are taken too.
        patch: height and width of a patch in pixels.
        width: channels of a token.
        depth: transformer blocks.
        heads: attention heads.
        mlp_ratio: how much wider than a token the MLPs are.
    """
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_size,
        patch_size=patch,
        num_classes=classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=mlp_ratio,
        class_token=False,
        global_pool="avg",
        dynamic_img_size=True,
    )


def torchvision_detector(classes: int, image_size: int, name: Published, epsilon: float = 0.0) -> "nn.Module":
    """The detector ``name`` of torchvision, as its published weights fit it; fine-tuning replaces its predictors.

    Li et al., Benchmarking detection transfer learning with vision transformers, arXiv 2111.11429, 2021, whose heads
    those named ``_v2`` have; Ren et al., Faster R-CNN, NeurIPS 2015; He et al., Mask R-CNN, ICCV 2017.

    Args:
        classes: of the weights, without the ground; COCO's 90 where 0.
        image_size: passed over: the recipe says what the detector sees.
        name: of torchvision's function.
        epsilon: added to the variance in the frozen batch norms of the first versions: 0 for torchvision's weights
            (they were trained so), 1e-5 for others.

    Raises:
        ConfigError: when there is no such detector.
    """
    from functools import partial
    from typing import get_args

    from torchvision.models import detection
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    if name not in get_args(Published):
        raise unknown("detector of torchvision", name, get_args(Published))
    outputs = (classes or COCO_CLASSES) + 1
    if name.endswith("_v2"):
        build = getattr(detection, name)
        return build(weights=None, weights_backbone=None, num_classes=outputs)
    # torchvision's own function has frozen norms only when it downloads weights.
    frozen = partial(FrozenBatchNorm2d, eps=epsilon)
    trunk = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=frozen, trainable_layers=5)
    kind = detection.MaskRCNN if name.startswith("mask") else detection.FasterRCNN
    network: nn.Module = kind(trunk, outputs)
    return network


def torchvision_segmenter(classes: int, image_size: int, name: Segmenters) -> "nn.Module":
    """The segmentation network ``name`` of torchvision, without the auxiliary head of its training.

    Fine-tuning replaces what tells the classes; on a target of another task its trunk serves, with timm's interface.

    Long et al., Fully convolutional networks for semantic segmentation, CVPR 2015; Chen et al., Rethinking atrous
    convolution for semantic image segmentation, arXiv 1706.05587, 2017; Howard et al., Searching for MobileNetV3,
    ICCV 2019.

    Args:
        classes: of the weights; the published 21 where 0.
        image_size: passed over: images of all sizes are taken.
        name: of torchvision's function.

    Raises:
        ConfigError: when there is no such network.
    """
    from typing import get_args

    from torchvision.models import segmentation

    from tmbench.sources.segmentation.torchvision_networks import VOC_CLASSES, as_segmenter

    if name not in get_args(Segmenters):
        raise unknown("segmentation network of torchvision", name, get_args(Segmenters))
    build = getattr(segmentation, name)
    return as_segmenter(build(weights=None, weights_backbone=None, num_classes=classes or VOC_CLASSES))

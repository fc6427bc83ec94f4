"""Small networks of timm's classes for small images; for studies that pretrain their sources themselves."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a plan reads the signatures below, and knows no torch
    from torch import nn

PATCH = 8
"""Height and width of a ViT's patch in pixels."""

POSITION_STD = 0.4
"""Standard deviation of a ViT's position embeddings before training."""


def residual_network(
    classes: int, image_size: int, widths: Sequence[int] = (16, 32, 64, 128), blocks: int = 1
) -> "nn.Module":
    """A ResNet of basic blocks: a 3 × 3 stem of stride 2, then stages of ``widths``, all but the first of stride 2.

    ``blocks`` is the number of blocks a stage. He et al., Deep residual learning for image recognition, CVPR 2016.
    """
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    stages = [
        ByoBlockCfg(type="basic", d=blocks, c=width, s=1 if i == 0 else 2, gs=0, br=1.0)
        for i, width in enumerate(widths)
    ]
    config = ByoModelCfg(blocks=tuple(stages), stem_chs=widths[0], stem_pool="")
    return ByobNet(config, num_classes=classes)


def vision_transformer(
    classes: int, image_size: int, stem: Sequence[int] = (24, 48), width: int = 96, depth: int = 2, heads: int = 4
) -> "nn.Module":
    """A ViT whose 8 × 8 patches are embedded by a few convolutions; the mean over patches feeds the head.

    Args:
        classes: outputs of the head; 0 for none.
        image_size: height and width in pixels.
        stem: channels of the 3 × 3 convolutions of stride 2 before the patches; at most three.
        width: channels of a token.
        depth: transformer blocks, each with an MLP twice as wide as the tokens.
        heads: attention heads.

    Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, with the stem of Xiao et al., Early convolutions
    help transformers see better, NeurIPS 2021.
    """
    from timm.layers import ConvNormAct, HybridEmbed
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    convolutions = [ConvNormAct(before, after, 3, stride=2) for before, after in pairwise((3, *stem))]

    def embed(img_size: int, patch_size: int, embed_dim: int, **other: Any) -> "nn.Module":
        rest = patch_size // 2 ** len(stem)
        known = {name: other[name] for name in ("in_chans", "bias")}
        return HybridEmbed(
            nn.Sequential(*convolutions), img_size=img_size, patch_size=rest, embed_dim=embed_dim, **known
        )

    network: nn.Module = VisionTransformer(
        img_size=image_size,
        patch_size=PATCH,
        num_classes=classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2.0,
        class_token=False,
        global_pool="avg",
        embed_layer=embed,
    )
    # timm's 0.02 is meant for long schedules. Positions that differ from the first step on save tens of epochs.
    nn.init.trunc_normal_(network.pos_embed, std=POSITION_STD)  # type: ignore[arg-type]
    return network

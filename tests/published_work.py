"""Small networks, and their weights under the names of published files."""

import torch
from timm.models.beit import Beit
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

from tmbench.sources.network import load_weights
from tmbench.sources.options import FileWeights

CLASSES = 3
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


def drawn(network, seed=0):
    """``network`` with every parameter and buffer drawn anew, so that no two are equal; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator) * 0.2
            value.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return network.eval()


def transformer(classes=CLASSES, **more):
    return VisionTransformer(**{**SMALL, "num_classes": classes, **more})


def residual(classes=CLASSES):
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)


def beit(classes=0, **more):
    options = {"use_abs_pos_emb": False, "use_rel_pos_bias": True, "init_values": 0.1, "global_pool": "token"}
    return Beit(**{**SMALL, "num_classes": classes, **options, **more})


def detector(classes=5):
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    heads = {"box_head": TwoMLPHead(256 * 49, 8), "box_predictor": FastRCNNPredictor(8, classes)}
    return FasterRCNN(backbone, **heads)


def option(path, layout, **more):
    return FileWeights.model_validate({"kind": "file", "file": str(path), "layout": layout, **more})


def loaded_into(network, loaded):
    """``network`` with what was read, in evaluation mode."""
    load_weights(network, loaded.weights)
    return network.eval()


def moco_v3(encoder, projector="head"):
    """A checkpoint of MoCo v3's training around ``encoder``, whose own head it has not."""
    names = {n: v for n, v in encoder.state_dict().items() if not n.startswith(("head.", "fc."))}
    mlp = nn.Sequential(nn.Linear(16, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4, bias=False))
    projected = {f"{projector}.{name}": value for name, value in mlp.state_dict().items()}
    both = {
        **{f"module.base_encoder.{name}": value for name, value in {**names, **projected}.items()},
        **{f"module.momentum_encoder.{name}": value + 1 for name, value in {**names, **projected}.items()},
        **{f"module.predictor.{name}": value for name, value in mlp.state_dict().items()},
    }
    return {
        "epoch": 300,
        "arch": "vit_base",
        "state_dict": both,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1}]},
    }


def mae(encoder, decoder=True):
    """A checkpoint of MAE's pretraining; its authors also publish the encoder alone."""
    names = {n: v for n, v in encoder.state_dict().items() if not n.startswith("head.")}
    block = transformer(0, depth=1, embed_dim=8).blocks[0].state_dict()
    rest = {
        "mask_token": torch.zeros(1, 1, 8),
        "decoder_pos_embed": torch.zeros(1, 17, 8),
        "decoder_embed.weight": torch.zeros(8, 16),
        **{f"decoder_blocks.0.{name}": value for name, value in block.items()},
        "decoder_pred.weight": torch.zeros(192, 8),
    }
    return {"model": {**names, **(rest if decoder else {})}}


def beit_pretraining(network):
    """A checkpoint of BEiT's pretraining of ``network``, which shares its table between the blocks."""
    index = torch.zeros(17, 17, dtype=torch.long)
    rest = {
        "mask_token": torch.zeros(1, 1, 16),
        "lm_head.weight": torch.zeros(40, 16),
        "lm_head.bias": torch.zeros(40),
        "rel_pos_bias.relative_position_index": index,
    }
    return {"model": {**network.state_dict(), **rest}}


TORCHVISION_BLOCK = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.linear_1",
    "mlp.fc2": "mlp.linear_2",
    "attn.qkv.": "self_attention.in_proj_",
}


def torchvision_names(state):
    """timm's transformer as torchvision's published files have it."""
    outside = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "patch_embed.proj": "conv_proj"}
    outside |= {"norm.": "encoder.ln.", "head.": "heads.head."}
    out = {}
    for name, value in state.items():
        table, new = outside, name
        if name.startswith("blocks."):
            _, block, new = name.split(".", 2)
            table = TORCHVISION_BLOCK
        for ours, theirs in table.items():
            if new.startswith(ours):
                new = theirs + new.removeprefix(ours)
                break
        out[f"encoder.layers.encoder_layer_{block}.{new}" if table is TORCHVISION_BLOCK else new] = value
    return out

"""What of a detector is trained, and how fast: frozen parts, weight decay, layer-wise decay of the learning rate."""

import re

import torch
from torch import nn

from tmbench.errors import ConfigError
from tmbench.sources.detection.recipe import DetectionRecipe

NOT_DECAYED = ("bias", "pos_embed", "cls_token", "reg_token", "rel_pos")
"""Parts of names of tables: of positions, of tokens. Weight decay passes them over, as it does biases and norms."""

EMBEDDINGS = ("patch_embed.", "pos_embed", "cls_token", "reg_token", "norm_pre.")
"""Beginnings of the names, in a ViT, of what comes before its first block."""

OF_BLOCK = re.compile(r"(?:blocks\.|biases\.(?:window|global)_)(\d+)\.")
"""How the name of a block's weights begins in a ViT, or that of its own table of biases, as BEiT has one a block."""

BODY = "backbone.body."
"""How the names of a source's own weights begin in a detector."""


def set_training(model: nn.Module, recipe: DetectionRecipe) -> None:
    """``model`` in training mode; with ``trainable: head`` its backbone's body is frozen, its batch norms too."""
    model.train()
    if recipe.trainable == "head":
        body: nn.Module = model.backbone.body  # type: ignore[union-attr,assignment]
        body.eval().requires_grad_(False)


def optimizer_of(model: nn.Module, recipe: DetectionRecipe, rate: float) -> torch.optim.Optimizer:
    """The recipe's optimiser over what of ``model`` is trained; each group's ``factor`` scales its learning rate.

    Raises:
        ConfigError: for a layer decay on a source without blocks.
    """
    groups = parameter_groups(model, recipe.weight_decay, recipe.layer_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, betas=(0.9, 0.999), fused=True)


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, object]]:
    """The trained parameters of ``model``, grouped by weight decay and by the ``factor`` on the learning rate.

    A ViT of L blocks has layers 0 (embeddings), 1 to L (its blocks), and L + 1 (all else: pyramid, heads, and tables
    that several blocks share); the factor of layer i is ``layer_decay`` to the power L + 1 - i.

    Li et al., Exploring plain vision transformer backbones for object detection, ECCV 2022.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    blocks = 1 + max((_block(name) for name, _ in model.named_parameters()), default=-1)
    if layer_decay < 1 and not blocks:
        raise ConfigError("layer_decay is for vision transformers, and this source has no blocks: set it to 1.")
    groups: dict[tuple[float, float], dict[str, object]] = {}
    for name, parameter in trained.items():
        spared = parameter.ndim <= 1 or any(part in name for part in NOT_DECAYED)
        decay, factor = 0.0 if spared else weight_decay, layer_decay ** (blocks + 1 - _layer(name, blocks))
        group = groups.setdefault((decay, factor), {"params": [], "weight_decay": decay, "factor": factor})
        group["params"].append(parameter)  # type: ignore[attr-defined]
    return list(groups.values())


def _block(name: str) -> int:
    """The number of the ViT's block that a parameter belongs to; -1 for none."""
    # Of the body itself: stages of convolutional networks have blocks too, which are no such layers.
    found = OF_BLOCK.match(name.removeprefix(BODY)) if name.startswith(BODY) else None
    return int(found[1]) if found else -1


def _layer(name: str, blocks: int) -> int:
    if (block := _block(name)) >= 0:
        return block + 1
    embeds = name.startswith(BODY) and name.removeprefix(BODY).startswith(EMBEDDINGS)
    return 0 if embeds else blocks + 1

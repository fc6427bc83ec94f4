"""GPU memory of one training step of a detector on a ViT, estimated before anything is built; knows no torch.

Counted is what torch keeps from the forward pass for the backward pass, beside weights, gradients and moments, and a
little for what is at work. In 16 bits (autocast) norms and the residual stream stay in float32, as torch has them.
"""

import math
from dataclasses import dataclass, fields

from tmbench.sources.detection.recipe import DetectionRecipe

GB = 2**30
"""Bytes of a GB, as GPUs are sold."""

FULL = 4
"""Bytes of a float32."""

BOX_SIZE = 7
"""Height and width of the maps that the box head sees."""

STRIDES = (4, 8, 16, 32)
"""Of the maps that come of convolutions."""


@dataclass(frozen=True)
class Transformer:
    """The numbers of a ViT.

    Attributes:
        width: channels of a token.
        depth: blocks.
        heads: attention heads.
        patch: height and width of a patch in pixels.
        mlp_ratio: how much wider than a token the MLPs are.
        layer_scale: whether each branch has one.
        fused: whether attention is fused, as torch has it for GPUs; otherwise each block keeps all of its attention,
            as in the libraries of 2021 and 2022, and on CPUs where a recipe adds to the logits.
    """

    width: int
    depth: int
    heads: int
    patch: int = 16
    mlp_ratio: float = 4.0
    layer_scale: bool = False
    fused: bool = True


@dataclass(frozen=True)
class Memory:
    """GB of one training step.

    Attributes:
        weights: in float32, their average where there is one, and their copies in 16 bits.
        gradients: of all that is trained.
        moments: of the optimiser.
        body: activations of the ViT.
        pyramid: activations of the pyramid, without the maps that it gives.
        proposals: those maps, and the activations of the region proposal network.
        regions: activations of the box head and the mask head.
        working: what is made and dropped on the way: gradients of the largest activations.
    """

    weights: float
    gradients: float
    moments: float
    body: float
    pyramid: float
    proposals: float
    regions: float
    working: float

    @property
    def total(self) -> float:
        """Their sum."""
        return sum(getattr(self, field.name) for field in fields(self))


def estimate(recipe: DetectionRecipe, vit: Transformer, classes: int = 80) -> Memory:
    """The memory of one step by ``recipe`` on images of ``recipe.image_size``, ``batch_size / accumulate`` at a time.

    Args:
        recipe: of a detector on a ViT; other sources need another sum.
        vit: the source's numbers.
        classes: of the target.
    """
    images = recipe.batch_size // recipe.accumulate
    trained = recipe.trainable == "full"
    body, rest = _body_weights(recipe, vit), _other_weights(recipe, vit, classes)
    copies = FULL * (2 if recipe.average else 1) + (0 if recipe.precision == "float32" else 2)
    moments = FULL if recipe.optimizer == "sgd" else 2 * FULL
    learning = rest + (body if trained else 0)
    parts = {
        "weights": (body + rest) * copies,
        "gradients": learning * FULL,
        "moments": learning * moments,
        "body": images * body_bytes(recipe, vit) if trained else 0,
        "pyramid": images * pyramid_bytes(recipe, vit),
        "proposals": images * _proposal_bytes(recipe),
        "regions": images * _region_bytes(recipe, classes),
        "working": images * 2 * _largest(recipe, vit),
    }
    return Memory(**{name: value / GB for name, value in parts.items()})


def body_bytes(recipe: DetectionRecipe, vit: Transformer) -> float:
    """Bytes of the activations that the ViT keeps for one image."""
    small, (rows, tokens) = _bytes(recipe), _grid(recipe, vit)
    blocks = _windows(recipe, vit)
    kept = [_block_bytes(recipe, vit, window) for window in blocks]
    shared = 0.0
    if recipe.vit.relative_position == "bias" and vit.fused:
        attending = {window or rows for window in blocks}
        shared = sum(vit.heads * extent**4 * small for extent in attending)
    # Where blocks are recomputed: the input of each, and all of the one that is at hand.
    whole = vit.depth * tokens * vit.width * FULL + max(kept) if recipe.recompute else sum(kept)
    return whole + shared + 3 * recipe.image_size**2 * small


def _block_bytes(recipe: DetectionRecipe, vit: Transformer, window: int) -> float:
    """Bytes of what one block keeps; ``window`` is 0 where it attends globally."""
    small, (rows, tokens) = _bytes(recipe), _grid(recipe, vit)
    padded = (math.ceil(rows / window) * window) ** 2 if window else tokens
    together = window**2 if window else tokens
    stream = 2 * tokens * vit.width * FULL  # what the two norms see
    branches = tokens * vit.width * small * (1 + 2 * vit.mlp_ratio + (2 if vit.layer_scale else 0))
    attention = padded * vit.width * small * 5  # input, queries, keys, values, output
    logits = padded * together * vit.heads
    if not vit.fused:  # their softmax in float32, and in the type of the values; scaled queries and keys
        attention += logits * (FULL if small == FULL else FULL + small) + 2 * padded * vit.width * small
    elif recipe.vit.relative_position == "decomposed":
        attention += logits * small  # what is added to them, of each image
    return stream + branches + attention


def pyramid_bytes(recipe: DetectionRecipe, vit: Transformer) -> float:
    """Bytes of the activations that the pyramid keeps for one image, without the maps that it gives."""
    small, (_, tokens) = _bytes(recipe), _grid(recipe, vit)
    simple, normed = recipe.pyramid.kind == "simple", recipe.pyramid.norm != "none"
    total = 0.0
    for stride in _strides(recipe):
        width, area = float(vit.width), float(tokens)
        for i in range(power := int(math.log2(vit.patch / stride)) if stride < vit.patch else 0):
            width, area = (width / 2 if simple else width), area * 4
            if i < power - 1:  # a norm (in float32), a GELU, and the next convolution's input
                total += width * area * ((2 * FULL if normed else small) + small)
        if stride > vit.patch:  # pooled, with indices of 8 bytes
            area /= (stride / vit.patch) ** 2
            total += width * area * 8
        lateral = width * area * small
        smoothed = recipe.pyramid.channels * area * small * (3 if normed else 1)
        total += lateral + smoothed
    return total


def _proposal_bytes(recipe: DetectionRecipe) -> float:
    area = sum((recipe.image_size / stride) ** 2 for stride in _strides(recipe))
    return recipe.pyramid.channels * area * _bytes(recipe) * (1 + recipe.heads.rpn_convolutions)


def _region_bytes(recipe: DetectionRecipe, classes: int) -> float:
    heads, channels, small = recipe.heads, recipe.pyramid.channels, _bytes(recipe)
    each = 1 if recipe.pyramid.norm == "none" else 2
    boxes = heads.box_samples * (channels * BOX_SIZE**2 * (1 + each * heads.box_convolutions) + 2 * heads.box_width)
    pixels = heads.box_samples / 4 * heads.mask_size**2
    masks = pixels * (channels * (1 + each * heads.mask_convolutions + 4) + 4 * classes) if heads.masks else 0
    return (boxes + masks) * small


def _largest(recipe: DetectionRecipe, vit: Transformer) -> float:
    """Bytes of the largest activation: the finest map, before or after it is narrowed, or the first of the MLP."""
    _, tokens = _grid(recipe, vit)
    finer = max(1.0, vit.patch / STRIDES[0])
    wide = vit.width / (finer if recipe.pyramid.kind == "simple" else 1)
    finest = max(wide, recipe.pyramid.channels) * tokens * finer**2
    return max(finest, tokens * vit.width * vit.mlp_ratio) * _bytes(recipe)


def _body_weights(recipe: DetectionRecipe, vit: Transformer) -> float:
    rows, tokens = _grid(recipe, vit)
    block = (4 + 2 * vit.mlp_ratio) * vit.width**2 + (9 + vit.mlp_ratio) * vit.width
    relative = 0.0
    if recipe.vit.relative_position == "decomposed":
        extents = [window or rows for window in _windows(recipe, vit)]
        relative = sum(2 * (2 * extent - 1) for extent in extents) * vit.width / vit.heads
    elif recipe.vit.relative_position == "bias":
        relative = sum((2 * (window or rows) - 1) ** 2 for window in set(_windows(recipe, vit))) * vit.heads
    return vit.depth * block + (3 * vit.patch**2 + 1 + tokens) * vit.width + relative


def _other_weights(recipe: DetectionRecipe, vit: Transformer, classes: int) -> float:
    heads, channels = recipe.heads, recipe.pyramid.channels
    smooth = 9 * channels**2
    total = heads.rpn_convolutions * smooth + channels * 5 * len(heads.anchor_ratios)
    for stride in _strides(recipe):
        width = vit.width
        for _ in range(int(math.log2(vit.patch / stride)) if stride < vit.patch else 0):
            narrower = width // 2 if recipe.pyramid.kind == "simple" else width
            total += 4 * width * narrower
            width = narrower
        total += width * channels + smooth
    total += heads.box_convolutions * smooth + channels * BOX_SIZE**2 * heads.box_width
    total += 0 if heads.box_convolutions else heads.box_width**2
    total += heads.box_width * 5 * (classes + 1)
    if heads.masks:
        total += heads.mask_convolutions * smooth + 4 * channels**2 + channels * (classes + 1)
    return total


def _grid(recipe: DetectionRecipe, vit: Transformer) -> tuple[int, int]:
    """Rows of tokens, and tokens."""
    rows = math.ceil(recipe.image_size / STRIDES[-1]) * STRIDES[-1] // vit.patch
    return rows, rows**2


def _windows(recipe: DetectionRecipe, vit: Transformer) -> list[int]:
    """The window of each block; 0 where it attends globally."""
    window = recipe.vit.window if recipe.vit.window < _grid(recipe, vit)[0] else 0
    everywhere = min(recipe.vit.global_blocks, vit.depth)
    return [0] * everywhere + [window] * (vit.depth - everywhere)


def _strides(recipe: DetectionRecipe) -> tuple[int, ...]:
    return STRIDES[: len(recipe.heads.anchor_sizes)]


def _bytes(recipe: DetectionRecipe) -> int:
    """Of an activation."""
    return FULL if recipe.precision == "float32" else 2

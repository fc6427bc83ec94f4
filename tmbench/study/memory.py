"""The GPU memory that fine-tunings of detectors on ViTs will take, said by ``plan`` before anything runs.

Knows no torch.
"""

import re
from typing import Any

from tmbench.sources.detection.memory import Transformer, estimate
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.options import Source
from tmbench.study.plan import Plan

SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
"""Width, depth and heads of the sizes of ViTs, as timm names them."""

_NAME = re.compile(r"(vit|deit3?|beit)_(tiny|small|base|large|huge)_patch(\d+)_")


def transformer_of(source: Source) -> Transformer | None:
    """The numbers of a source's ViT; None for other networks, and where only building it would tell."""
    parameters = source.architecture.parameters
    if found := _NAME.match(str(parameters.get("name", ""))):
        kind, size, patch = found.groups()
        width, depth, heads = SIZES[size]
        return Transformer(width, depth, heads, patch=int(patch), layer_scale=kind != "vit" and kind != "deit")
    if {"patch", "width", "depth", "heads"} <= parameters.keys():
        return Transformer(**{name: parameters[name] for name in ("width", "depth", "heads", "patch")})
    return None


def step_memory(plan: Plan) -> list[dict[str, Any]]:
    """For each recipe that asks for a GPU: the source whose training step takes most, and the estimated GB."""
    largest: dict[str, dict[str, Any]] = {}
    for batch in plan.units.batches:
        if batch.stage != "truth" or not batch.resources.gpus or batch.config["recipe"]["task"] != "detection":
            continue
        vit = transformer_of(plan.options.source[batch.source])
        if vit is None:
            continue
        # Of the batch itself: a sweep's tuning changes recipes.
        recipe = DetectionRecipe.model_validate(batch.config["recipe"])
        gigabytes = estimate(recipe, vit, plan.options.target[batch.target].outputs).total
        if gigabytes > largest.get(batch.recipe, {"gb": 0.0})["gb"]:
            largest[batch.recipe] = {"recipe": batch.recipe, "source": batch.source, "gb": round(gigabytes, 1)}
    return list(largest.values())

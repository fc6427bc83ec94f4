"""A detector's weights in another detector, for other classes."""

from typing import Any

from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.detection.positions import resized
from tmbench.sources.detection.recipe import DetectionRecipe

PREDICTORS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")
"""What knows the classes."""

MASKS = ("roi_heads.mask_head.", "roi_heads.mask_predictor.")
"""What a Faster R-CNN does without."""

SHAPING = (
    ("image_size",),
    *(("vit", key) for key in ("window", "relative_position", "global_blocks")),
    *(("pyramid", key) for key in ("kind", "channels", "norm")),
    *(("heads", key) for key in ("rpn_convolutions", "box_convolutions", "box_width", "mask_convolutions")),
    *(("heads", key) for key in ("anchor_sizes", "anchor_ratios")),
)
"""The keys of a recipe that decide on names and shapes of weights."""


def take_over(new: nn.Module, old: nn.Module, recipe: DetectionRecipe, theirs: DetectionRecipe) -> frozenset[str]:
    """Copy the weights of ``old`` into ``new``, all but the predictors'.

    Position embeddings are resized. A mask head that only one of them has stays fresh, or is left out.

    Args:
        new: built by ``recipe``.
        old: built by ``theirs``, around the same architecture.
        recipe: of the detector that takes over.
        theirs: of the other.

    Returns:
        The names in ``new`` that stay as they were.

    Raises:
        ConfigError: when other names or shapes differ; names the keys of the recipes to make equal.
    """
    before, after = old.state_dict(), new.state_dict()
    alone = MASKS if not any(name.startswith(MASKS) for name in before) else ()
    fresh = {name for name in after if name.startswith((*PREDICTORS, *alone))}
    copied = {name: _fitted(before.get(name), value) for name, value in after.items() if name not in fresh}
    dropped = MASKS if not any(name.startswith(MASKS) for name in after) else ()
    lost = [name for name in before if name not in after and not name.startswith((*PREDICTORS, *dropped))]
    wrong = [name for name, value in copied.items() if value is None] + lost
    if wrong:
        raise ConfigError(_sentence(wrong, recipe, theirs))
    new.load_state_dict(copied, strict=False)
    return frozenset(fresh)


def _fitted(old: Tensor | None, new: Tensor) -> Tensor | None:
    """``old`` as it fits in the place of ``new``; None where it does not."""
    if old is None or old.shape == new.shape:
        return old
    # Only position embeddings are resized; they alone have a leading 1 and end in the width of a token.
    positions = old.dim() == 4 and len(old) == len(new) == 1 and old.shape[-1] == new.shape[-1]
    return resized(old, (new.shape[1], new.shape[2])) if positions else None


def _sentence(wrong: list[str], recipe: DetectionRecipe, theirs: DetectionRecipe) -> str:
    pairs = [(".".join(path), _value(theirs, path), _value(recipe, path)) for path in SHAPING]
    differences = [f"{key}: {old}, not {new}" for key, old, new in pairs if old != new]
    what = "; ".join(differences) or "the recipes agree, so the source's architecture is another one"
    return (
        f"the source's detector does not fit this recipe ({len(wrong)} weights, the first being {wrong[0]}). "
        f"Set in the recipe's option file what it was pretrained with: {what}."
    )


def _value(recipe: DetectionRecipe, path: tuple[str, ...]) -> Any:
    value: Any = recipe
    for key in path:
        value = getattr(value, key)
    return list(value) if isinstance(value, tuple) else value

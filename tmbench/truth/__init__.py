"""Truth: what fine-tuning a source on a target really reaches. One module, or folder, a task.

Light to import: torch is loaded by :func:`fine_tune`.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tmbench.sources.checkpoints import UNSAVED, Checkpoints

if TYPE_CHECKING:
    import numpy as np

    from tmbench.identity import Seeds
    from tmbench.sources.options import Source
    from tmbench.sources.recipe import Recipe
    from tmbench.targets.options import Target


@dataclass(frozen=True)
class Truth:
    """What fine-tuning reached.

    Attributes:
        measures: on the test split, by name, and what the choices were made by; larger is better.
        details: what was tried and how it went, as plain JSON values.
    """

    measures: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


def fine_tune(
    source: "Source",
    weights: "dict[str, np.ndarray] | None",
    target: "Target",
    recipe: "Recipe",
    seeds: "Seeds",
    checkpoints: Checkpoints = UNSAVED,
) -> Truth:
    """Fine-tune ``source`` on ``target`` by ``recipe``: the function of that name in ``tmbench.truth.TASK``.

    Args:
        source: the source's option.
        weights: its weights; None for a random source.
        target: the target's option.
        recipe: the recipe's option, of the target's task.
        seeds: draws the new head, the order of the batches and the augmentation.
        checkpoints: where the work goes on from, and is saved.

    Raises:
        Diverged: when the loss becomes infinite or NaN.
    """
    truth: Truth = import_module(f"tmbench.truth.{recipe.task}").fine_tune(
        source, weights, target, recipe, seeds, checkpoints
    )
    return truth

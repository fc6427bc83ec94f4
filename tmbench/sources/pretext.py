"""The schema of ``conf/recipe/pretext/NAME.yaml``: how to pretrain a source on images with objects.

Knows no torch; the training is in :mod:`tmbench.sources.pretexts`.
"""

from typing import Literal

from pydantic import Field

from tmbench.sources.recipe import Recipe


class PretextRecipe(Recipe):
    """A pretext task.

    Attributes:
        objective: ``presence``, which classes an image shows (several at once); ``dense``, the class of each position,
            by a linear map of the last tokens; ``masked``, the pixels of hidden patches (a masked autoencoder).
        epochs: passes over the training images.
        batch_size: images a step.
        weight_decay: on matrices and kernels, not on biases and norms.
        warm_up: share of all steps in which the learning rate rises from 0; half a cosine follows.
        hidden: share of patches that ``masked`` hides.
        measure: what its record tells: the loss on held-out images, negated.
    """

    task: Literal["pretext"]
    objective: Literal["presence", "dense", "masked"]
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    weight_decay: float = Field(default=0.05, ge=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    hidden: float = Field(default=0.6, gt=0, lt=1)
    measure: Literal["negative_loss"] = "negative_loss"

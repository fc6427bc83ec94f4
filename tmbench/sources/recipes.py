"""The recipes of all tasks: a schema each, found by the key ``task``."""

from typing import Annotated, Any

from pydantic import Field

from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.pretext import PretextRecipe
from tmbench.sources.recipe import ClassificationRecipe, Recipe

AnyRecipe = Annotated[ClassificationRecipe | DetectionRecipe | PretextRecipe, Field(discriminator="task")]

RECIPES: dict[str, type[Recipe]] = {
    "classification": ClassificationRecipe,
    "detection": DetectionRecipe,
    "pretext": PretextRecipe,
}
"""The schema of each task's recipes."""

ON = {"classification": "classification", "detection": "detection", "pretext": "detection"}
"""Recipe's task → the task of the targets that it trains on."""


def recipe_of(content: dict[str, Any]) -> Recipe:
    """A recipe from its resolved config, by the schema of its task."""
    return RECIPES[content["task"]].model_validate(content)

"""The recipes of all tasks: a schema each, found by the key ``task``."""

from typing import Annotated, Any

from pydantic import Field

from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.pretext import PretextRecipe
from tmbench.sources.recipe import ClassificationRecipe, Recipe, RegressionRecipe, SegmentationRecipe

AnyRecipe = Annotated[
    ClassificationRecipe | DetectionRecipe | PretextRecipe | SegmentationRecipe | RegressionRecipe,
    Field(discriminator="task"),
]

RECIPES: dict[str, type[Recipe]] = {
    "classification": ClassificationRecipe,
    "detection": DetectionRecipe,
    "pretext": PretextRecipe,
    "segmentation": SegmentationRecipe,
    "regression": RegressionRecipe,
}
"""The schema of each task's recipes."""

ON = {task: "detection" if task == "pretext" else task for task in RECIPES}
"""Recipe's task → the task of the targets that it trains on."""


def recipe_of(content: dict[str, Any]) -> Recipe:
    """A recipe from its resolved config, by the schema of its task."""
    return RECIPES[content["task"]].model_validate(content)

"""The schema of a sweep's ``tuning``, and the grid that a stage asks for as far as its results are known.

The protocol is that of Li et al., Benchmarking detection transfer learning with vision transformers, 2021: a grid over
learning rate and weight decay at a short schedule, extended while its best point lies on the edge, then the drop path
at a longer one; a larger model takes over what a smaller one of the same initialisation has chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tmbench.sources.recipe import Rate, Recipe
from tmbench.study.options import Option

EXTENDED = ("learning_rate", "weight_decay")
"""The axes of a grid that are extended, by the factor between their two outermost values."""

AXES = (*EXTENDED, "drop_path")


class Stage(Option):
    """A grid of fine-tunings, of which the best on validation is taken over by the later stages and the truths.

    Attributes:
        name: of the stage.
        recipe: what is trained; the values below take the place of its own.
        learning_rate, weight_decay, drop_path: the values of the grid, rising; an axis without any is not varied.
        extensions: so often the grid grows at most, where the best point lies at an end of the learning rates or of
            the weight decays.
        inherit: family of sources → the family whose choice it takes over, from the source of equal initialisation;
            such sources train nothing in this stage.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    recipe: str
    learning_rate: tuple[Rate, ...] = ()
    weight_decay: tuple[float, ...] = ()
    drop_path: tuple[float, ...] = ()
    extensions: int = Field(default=3, ge=0)
    inherit: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_grid(self) -> "Stage":
        if not self.axes:
            raise PydanticCustomError("tuning", "name values of {axes}", {"axes": " or ".join(AXES)})
        for axis, values in self.axes.items():
            if list(values) != sorted(set(values)) or values[0] < 0:
                raise PydanticCustomError("tuning", "the values of {axis} should rise from 0 or more", {"axis": axis})
        if self.drop_path and self.drop_path[-1] >= 1:
            raise PydanticCustomError("tuning", "drop_path is a share below 1", {})
        if chained := set(self.inherit) & set(self.inherit.values()):
            raise PydanticCustomError("tuning", "'{f}' cannot inherit and be inherited from", {"f": min(chained)})
        return self

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """The axes that the grid varies, with their values."""
        return {axis: getattr(self, axis) for axis in AXES if getattr(self, axis)}


Setting = Mapping[str, float]
"""Values by axis."""


@dataclass(frozen=True)
class Grid:
    """A grid as far as its results are known.

    Attributes:
        axes: the values of each axis, with those that were added.
        best: the best point, by axis; None while a result is awaited.
        edge: the axes at an end of which the best point lies, of those that have several values.
        extensions: how often it was extended.
    """

    axes: dict[str, tuple[float, ...]]
    best: Setting | None
    edge: tuple[str, ...] = ()
    extensions: int = 0

    @property
    def points(self) -> list[dict[str, float]]:
        """Every point, by axis; the last axis changes fastest."""
        return points_of(self.axes)


def points_of(axes: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Every combination of the values of ``axes``."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def grown(stage: Stage, result: Callable[[Setting], float | None]) -> Grid:
    """The grid of ``stage``, extended while its best point lies on the edge and all results are known.

    Args:
        stage: where it begins, and how often it is extended.
        result: of a point: more is better, −inf for one that failed for good, None while it is awaited. Of equal
            points the first is the best.
    """
    axes = stage.axes
    for extensions in range(stage.extensions + 1):
        results = [(result(point), point) for point in points_of(axes)]
        known = [(value, point) for value, point in results if value is not None]
        if len(known) < len(results) or max(value for value, _ in known) == -float("inf"):
            return Grid(axes, None, extensions=extensions)
        best = max(known, key=lambda one: one[0])[1]
        edge = tuple(a for a, values in axes.items() if len(values) > 1 and best[a] in (values[0], values[-1]))
        further = {axis: _extended(axes[axis], best[axis]) for axis in edge if axis in EXTENDED}
        if extensions == stage.extensions or all(further[axis] == axes[axis] for axis in further):
            break
        axes = {**axes, **further}
    return Grid(axes, best, edge, extensions)


def _extended(values: tuple[float, ...], best: float) -> tuple[float, ...]:
    """``values`` with one more at the end where ``best`` lies; the same where no factor leads on from there."""
    lower = best == values[0]
    outer, inner = (values[0], values[1]) if lower else (values[-1], values[-2])
    if 0 in (outer, inner):
        return values
    # Twelve digits, so that 1.6e-4 doubled is 3.2e-4 whatever the factor's last bit.
    added = float(f"{outer * (outer / inner):.12g}")
    return (added, *values) if lower else (*values, added)


def applied(recipe: Recipe, setting: Setting) -> Recipe:
    """``recipe`` with the values of ``setting`` in place of its own."""
    update: dict[str, object] = {}
    if "learning_rate" in setting:
        update["learning_rates"] = (setting["learning_rate"],)
    if "weight_decay" in setting:
        update["weight_decay"] = setting["weight_decay"]
    if "drop_path" in setting:
        update["vit"] = getattr(recipe, "vit").model_copy(update={"drop_path": setting["drop_path"]})  # noqa: B009
    return recipe.model_copy(update=update)

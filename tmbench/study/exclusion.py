"""What a sweep's ``exclude`` rules leave of some cells."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import INAPPLICABLE, Cells, axes_of
from tmbench.study.sweep import Sweep


def parts(sweep: Sweep, cells: Cells) -> list[Cells]:
    """What the sweep leaves of ``cells``: the same cells where no rule matches.

    A rule that names a recipe or a level beside a source or a target leaves different cells to different recipes and
    levels. These are then parts of their own, under the same scenario name: the setups of one are not those of the
    other. Recipes, levels, queries and candidates of which nothing is left are dropped.
    """
    left = _left(sweep, cells)
    if left.all():
        return [cells]
    left &= cells.eligible
    found = []
    for recipes, levels in _rectangles(left):
        mask = left[recipes[0], levels[0]]
        if mask.any():
            found.append(_restricted(cells, recipes, levels, mask))
    return found


def _left(sweep: Sweep, cells: Cells) -> NDArray[np.bool_]:
    """(R, L, Q, N) what no rule excludes."""
    queries, candidates = axes_of(cells.direction)
    axes = {"recipe": cells.recipes, "level": cells.levels, queries: cells.queries, candidates: cells.candidates}
    left = np.ones([len(names) for names in axes.values()], dtype=bool)
    for rule in sweep.exclude:
        if cells.scenario not in rule.get("scenario", (cells.scenario,)):
            continue
        matched = [np.array([axis not in rule or name in rule[axis] for name in names]) for axis, names in axes.items()]
        left[np.ix_(*matched)] = False
    return left


def _rectangles(left: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Recipes × levels to which the same cells are left; each pair of them is in one."""
    by_recipe: dict[bytes, list[int]] = {}
    for recipe, of_levels in enumerate(left):
        by_recipe.setdefault(of_levels.tobytes(), []).append(recipe)
    found = []
    for recipes in by_recipe.values():
        by_level: dict[bytes, list[int]] = {}
        for level, mask in enumerate(left[recipes[0]]):
            by_level.setdefault(mask.tobytes(), []).append(level)
        found += [(recipes, levels) for levels in by_level.values()]
    return found


def _restricted(cells: Cells, recipes: Sequence[int], levels: Sequence[int], mask: NDArray[np.bool_]) -> Cells:
    """The cells of some recipes and levels, those outside ``mask`` (Q, N) being no cells of the study."""
    cells = replace(
        cells,
        present=mask,
        truth=np.where(mask[..., None], cells.truth, np.nan),
        scores=np.where(mask, cells.scores, np.nan),
        state=np.where(mask, cells.state, INAPPLICABLE).astype(np.int8),
        combined=tuple(
            replace(
                one,
                parts=np.where(mask, one.parts, np.nan),
                state=np.where(mask, one.state, INAPPLICABLE).astype(np.int8),
            )
            for one in cells.combined
        ),
    )
    return cells.only(
        recipes=[cells.recipes[i] for i in recipes],
        levels=[cells.levels[i] for i in levels],
        queries=[cells.queries[i] for i in np.flatnonzero(mask.any(axis=1))],
        candidates=[cells.candidates[i] for i in np.flatnonzero(mask.any(axis=0))],
    )

"""What a sweep's ``exclude`` rules leave of some cells, each group of queries by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import INAPPLICABLE, Cells, axes_of
from tmbench.study.names import is_among, place_of
from tmbench.study.sweep import Sweep


def parts(sweep: Sweep, cells: Cells) -> list[Cells]:
    """What the sweep leaves of ``cells``: the same cells where no rule matches and all queries are of one group.

    A rule that names a recipe or a level beside a source or a target leaves different cells to different recipes and
    levels. These are then parts of their own, under the same scenario name: the setups of one are not those of the
    other. Recipes, levels, queries and candidates of which nothing is left are dropped.

    Queries of several groups are never pooled: each group is a scenario of its own, ``SCENARIO_GROUP``.
    """
    left = _left(sweep, cells)
    found = [cells]
    if not left.all():
        left &= cells.eligible
        masks = [(recipes, levels, left[recipes[0], levels[0]]) for recipes, levels in _rectangles(left)]
        found = [_restricted(cells, *one) for one in masks if one[-1].any()]
    names: dict[str, str] = {}
    for group in dict.fromkeys(group for part in found for group in part.query_groups):
        name = f"{cells.scenario}_{place_of(group or 'others')}"
        while name in names.values():
            name += "_"
        names[group] = name
    return [one for part in found for one in _by_group(part, names)] if len(names) > 1 else found


def _by_group(cells: Cells, names: Mapping[str, str]) -> Iterator[Cells]:
    """The cells of each group of queries that is there, as the scenario of its name."""
    for group, name in names.items():
        own = np.array([one == group for one in cells.query_groups])
        if own.any():
            asked = cells.eligible[own].any(axis=0)
            yield replace(
                cells.only(
                    queries=[cells.queries[i] for i in np.flatnonzero(own)],
                    candidates=[cells.candidates[i] for i in np.flatnonzero(asked)],
                ),
                scenario=name,
            )


def _left(sweep: Sweep, cells: Cells) -> NDArray[np.bool_]:
    """(R, L, Q, N) what no rule excludes."""
    queries, candidates = axes_of(cells.direction)
    axes = {"recipe": cells.recipes, "level": cells.levels, queries: cells.queries, candidates: cells.candidates}
    left = np.ones([len(names) for names in axes.values()], dtype=bool)
    for rule in sweep.exclude:
        if cells.scenario not in rule.get("scenario", (cells.scenario,)):
            continue
        matched = [
            np.array([axis not in rule or is_among(name, rule[axis]) for name in names]) for axis, names in axes.items()
        ]
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

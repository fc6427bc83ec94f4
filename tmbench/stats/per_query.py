"""Each query on its own: agreement of scores and truth over full groups of candidates, not over pools."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import INAPPLICABLE, Array, Cells
from tmbench.stats.measures import Measure
from tmbench.stats.outcomes import Evaluation

COMMON = "common"
"""The group of candidates that all metrics of the field can score: the full pool of a comparison."""


@dataclass(frozen=True)
class QueryValue:
    """The value of one measure for one metric on one query over one group of candidates.

    ``candidates`` names the group: ``all`` (whatever this metric applies to), ``common``, ``without_random``
    (the common ones without random starts) or ``family:NAME`` (of these, one family). ``count`` is its size.
    ``value`` is NaN where a score or truth is missing or the measure undefined.
    """

    recipe: str
    level: str
    query: str
    measure: str
    metric: str
    kind: str
    candidates: str
    count: int
    value: float


def per_query(cells: Cells, measures: Mapping[str, Measure]) -> list[QueryValue]:
    """A row for each recipe, level, query, measure, metric and group of two candidates or more."""
    evaluation = Evaluation(cells, measures)
    found = []
    for recipe, recipe_name in enumerate(cells.recipes):
        for level, level_name in enumerate(cells.levels):
            states = cells.row_states(recipe, level)
            for query, query_name in enumerate(cells.queries):
                groups = _groups(cells, evaluation.candidates[query])
                known: dict[bytes, Array] = {}
                for metric, metric_name in enumerate(cells.names):
                    applies = states[metric, query] != INAPPLICABLE
                    for group, member in {"all": applies, **groups}.items():
                        if member.sum() < 2 or not applies.any():
                            continue
                        key = member.tobytes()
                        if key not in known:
                            known[key] = evaluation.on(recipe, level, query, np.flatnonzero(member))
                        found += [
                            QueryValue(
                                recipe=recipe_name,
                                level=level_name,
                                query=query_name,
                                measure=measure,
                                metric=metric_name,
                                kind=cells.all_kinds[metric],
                                candidates=group,
                                count=int(member.sum()),
                                value=float(value),
                            )
                            for measure, value in zip(measures, known[key][:, metric], strict=True)
                        ]
    return found


def _groups(cells: Cells, common: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The groups that are one and the same for every metric, by name."""
    pretrained = common & ~cells.random_start
    groups = {COMMON: common}
    if cells.random_start.any():
        groups["without_random"] = pretrained
    for name in dict.fromkeys(cells.families):
        if name:
            groups[f"family:{name}"] = pretrained & np.array([other == name for other in cells.families])
    return groups

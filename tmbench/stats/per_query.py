"""Each query on its own: agreement of scores and truth over full groups of candidates, not over pools."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import INAPPLICABLE, Cells, common_candidates
from tmbench.stats.measures import MeasureFunction

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


def per_query(cells: Cells, measures: Mapping[str, MeasureFunction]) -> list[QueryValue]:
    """A row for each recipe, level, query, measure, metric and group of two candidates or more."""
    found = []
    common = common_candidates(cells)
    truth = cells.mean_truth
    for recipe, recipe_name in enumerate(cells.recipes):
        for level, level_name in enumerate(cells.levels):
            scores, states = cells.rows(recipe, level), cells.row_states(recipe, level)
            for query, query_name in enumerate(cells.queries):
                groups = _groups(cells, common[query])
                for measure_name, function in measures.items():
                    for metric, metric_name in enumerate(cells.names):
                        applies = states[metric, query] != INAPPLICABLE
                        for group_name, member in {"all": applies, **groups}.items():
                            count = int(member.sum())
                            if count < 2 or not applies.any():
                                continue
                            value = _value(truth[recipe, query][member], scores[metric, query][member], function)
                            found.append(
                                QueryValue(
                                    recipe_name,
                                    level_name,
                                    query_name,
                                    measure_name,
                                    metric_name,
                                    cells.all_kinds[metric],
                                    group_name,
                                    count,
                                    value,
                                )
                            )
    return found


def _groups(cells: Cells, common: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    pretrained = common & ~cells.random_start
    families = {
        f"family:{name}": pretrained & np.array([other == name for other in cells.families])
        for name in dict.fromkeys(cells.families)
    }
    return {COMMON: common, "without_random": pretrained, **families}


def _value(truth: NDArray[np.float64], scores: NDArray[np.float64], function: MeasureFunction) -> float:
    if np.isnan(truth).any() or np.isnan(scores).any():
        return float("nan")
    return float(function(truth, scores))

"""Correlations over all queries thrown together, and what the mean of the query alone reaches there.

Truths of a query (a target, where sources are ranked) lie around a level of its own, so that whoever knows the levels
correlates with the pooled truth without knowing one candidate from another. Two numbers say how far that goes, both
from the truth alone, over just the cells that a metric's pooled value is over:

- ``share_between``: the share of the truth's variance that lies between queries, η²;
- the *mean of the query*, ``mean_of_query``. For Pearson's r each cell is predicted as the mean truth of the query's
  other candidates, so that its own truth is no part of its prediction. With n candidates on each query that gives

      r = ((n − 1) η² − (1 − η²)) / sqrt((n − 1)² η² + 1 − η²),

  a little below η, which is what the best prediction that is constant inside each query reaches.

Leaving a cell out moves its query's mean the other way: inside a query these predictions stand in exactly the reverse
order of the truth, whatever it is. Pearson's r hardly notices, for they lie close together; a correlation of ranks
would count each such pair against the baseline, which claims no order at all. For those the prediction is the plain
mean, one value a query. Inside a query the baseline counts as the constant that it stands for: correlation 0, as of
every constant score. Pooled the tables have 0 at least: where queries hardly differ, all that is left of Pearson's r is
the reverse order, down to −1, and one value for all cells would do better. A metric that is not above it has, pooled,
shown nothing about candidates; one that is above has not shown much either: the correlation per query says it.
"""

from collections.abc import Sequence

import numpy as np

from tmbench.stats.cells import Array
from tmbench.stats.columns import MeasureFunction
from tmbench.stats.correlations import pearson

QUERY_MEAN = "query_mean"
"""The name of the mean of the query in the tables."""


def mean_of_query(truth: Array, correlation: MeasureFunction) -> Array:
    """What is predicted for each candidate of a query by its ``truth`` (n,), n ≥ 2, to be judged by ``correlation``.

    Returns:
        (n,) the mean of the *other* candidates for ``pearson``; for any other the mean of all of them.
    """
    if correlation is not pearson or np.ptp(truth) == 0:
        return np.full_like(truth, truth.mean())
    others: Array = (truth.sum() - truth) / (len(truth) - 1)
    return others


def share_between(queries: Sequence[Array]) -> float:
    """η²: the sum of squares between the means of the queries, over that of all truths; NaN where all are equal.

    Args:
        queries: the truths (n,) of each query, which may differ in number.

    Returns:
        In [0, 1]. Where queries do not differ at all it is (Q − 1) / (N − 1) on average, for N cells of Q queries.

    Pearson, On the general theory of skew correlation and non-linear regression, 1905.
    """
    every = np.concatenate(queries) if len(queries) else np.empty(0)
    if not len(every) or np.ptp(every) == 0:
        return np.nan
    centre = every.mean()
    between = sum(len(truth) * (float(truth.mean()) - centre) ** 2 for truth in queries)
    return min(1.0, float(between / np.sum((every - centre) ** 2)))

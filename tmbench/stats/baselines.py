"""Baselines made from the truth itself, to hold beside the metrics."""

import numpy as np
from numpy.typing import NDArray

STATIC = "static"
"""The name of the leave-one-query-out ranking in every table."""

RANDOM = "random"
"""The name of the random ranking in every table: what each measure gives a choice that knows nothing."""


def static_scores(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The static ranking: how well a candidate did on the *other* queries, the same list whatever the pool.

    Args:
        truth: (Q, N) mean truth of each candidate on each query under one recipe; NaN where missing.

    Returns:
        (Q, N): for query q and candidate c the mean over the queries q' ≠ q of z[q', c], where z is the truth of
        a query standardised over its candidates (0 where they are all equal). NaN where no other query has a
        truth of c. It has seen true performance elsewhere, so it is not free; a metric that does not beat it has
        told nothing about the target.
    """
    there = ~np.isnan(truth)
    count = there.sum(axis=1, keepdims=True)
    filled = np.where(there, truth, 0.0)
    mean = filled.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(there, truth - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / np.maximum(count, 1))
    # Equal truths leave rounding behind, which must not be blown up to a ranking.
    varied = np.where(there, truth, -np.inf).max(axis=1) > np.where(there, truth, np.inf).min(axis=1)
    z = np.divide(centred, deviation, out=np.zeros_like(centred), where=varied[:, None] & (deviation > 0))
    others = there.sum(axis=0) - there
    total = np.stack([np.delete(z, query, axis=0).sum(axis=0) for query in range(len(truth))])
    return np.divide(total, others, out=np.full(truth.shape, np.nan), where=others > 0)

"""The closed form of setup stability equals its definition with scipy's Kendall tau."""

import itertools
import warnings

import numpy as np
import pytest

from tmbench.stats.bootstrap import Resampling, expanded_interval
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.stability import setup_stability

AXES = ("query", "measure", "pool")


def random_outcomes(seed, queries=4, measures=3, pools=5, metrics=4, distinct=3, missing=0.1):
    """Outcomes with many ties, constant rows, missing values and absent setups."""
    generator = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(range(queries), range(measures), range(pools))), dtype=np.int32)
    grid = grid[generator.random(len(grid)) < 0.9]
    values = generator.integers(0, distinct, (len(grid), metrics)) / distinct
    values[generator.random(len(grid)) < missing, 0] = np.nan
    zero = np.zeros(len(grid), dtype=np.int32)
    return Outcomes(
        values=values,
        inapplicable=np.zeros(values.shape, dtype=bool),
        metrics=tuple("abcdef"[:metrics]),
        kinds=("metric",) * metrics,
        scenario=zero,
        recipe=zero,
        level=zero,
        query=grid[:, 0],
        measure=grid[:, 1],
        pool=grid[:, 2],
        labels={
            "scenario": ("s",),
            "recipe": ("r",),
            "level": ("l",),
            "query": tuple(map(str, range(queries))),
            "measure": tuple(map(str, range(measures))),
        },
        directions=("source_selection",),
    )


def by_definition(outcomes, varied):
    """The mean over groups of the mean τ_b over pairs, each from scipy."""
    import scipy.stats

    held = [axis for axis in AXES if axis != varied]
    groups = {}
    for row in range(len(outcomes)):
        groups.setdefault(tuple(int(outcomes.axis(axis)[row]) for axis in held), []).append(outcomes.values[row])
    scores = []
    for members in groups.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [scipy.stats.kendalltau(a, b)[0] for a, b in itertools.combinations(members, 2)]
        found = [value for value in found if not np.isnan(value)]
        if found:
            scores.append(np.mean(found))
    return np.mean(scores)


@pytest.mark.parametrize("varied", AXES)
@pytest.mark.parametrize("seed", range(4))
def test_closed_form_equals_definition(seed, varied):
    outcomes = random_outcomes(seed)
    found = setup_stability(outcomes, varied, Resampling(0))
    assert found.value == pytest.approx(by_definition(outcomes, varied), abs=1e-12)
    assert found.missing == np.isnan(outcomes.values).any(axis=1).sum()


def test_extremes():
    outcomes = random_outcomes(0, missing=0)
    outcomes.values[:] = [0.1, 0.2, 0.3, 0.4]
    assert setup_stability(outcomes, "pool", Resampling(0)).value == pytest.approx(1)
    random = random_outcomes(1, queries=10, measures=4, pools=30, distinct=10**9, missing=0)
    assert abs(setup_stability(random, "pool", Resampling(0)).value) < 0.02
    alone = outcomes.where(outcomes.query == 0)
    none = setup_stability(alone, "query", Resampling(100))
    assert np.isnan(none.value)
    assert none.groups == 0


@pytest.mark.parametrize("varied", AXES)
def test_interval_holds_the_value_and_needs_six_queries(varied):
    outcomes = random_outcomes(3, queries=7, pools=8)
    found = setup_stability(outcomes, varied, Resampling(500))
    assert found.low < found.value < found.high
    few = setup_stability(outcomes.where(outcomes.query < 5), varied, Resampling(500))
    assert np.isnan([few.low, few.high]).all()


def test_a_query_drawn_twice_is_not_paired_with_itself():
    outcomes = random_outcomes(5, queries=6, measures=1, pools=3)
    resampling = Resampling(200)
    found = setup_stability(outcomes, "query", resampling)
    # Slowly: every resampling rebuilt as a table, pairs of copies of one query left out.
    import scipy.stats

    samples = []
    for weights in resampling.weights(6):
        drawn = np.repeat(np.arange(6), weights.astype(int))
        scores = []
        for pool in range(3):
            rows = {
                int(outcomes.query[r]): outcomes.values[r]
                for r in range(len(outcomes))
                if outcomes.pool[r] == pool and np.ptp(outcomes.values[r]) > 0
            }
            pairs = [
                scipy.stats.kendalltau(rows[a], rows[b])[0]
                for a, b in itertools.combinations(drawn, 2)
                if a != b and a in rows and b in rows
            ]
            if pairs:
                scores.append(np.mean(pairs))
        samples.append(np.mean(scores) if scores else np.nan)
    low, high = expanded_interval(np.array(samples)[:, None], 6)
    assert (found.low, found.high) == pytest.approx((low[0], high[0]), abs=1e-9)

"""Outcomes: each equals its measure computed alone; what is missing stays missing and is counted."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.stats.cells import INAPPLICABLE, MISSING, OK
from tmbench.stats.measures import kendall_tau, weighted_tau
from tmbench.stats.outcomes import concatenate, evaluate, evaluate_study


def test_evaluate_is_the_measure_on_each_pool():
    generator = np.random.default_rng(0)
    truth, scores = generator.random(6), generator.random((3, 6))
    pools = np.array([[0, 1, 2], [5, 3, 1]])
    values = evaluate(truth, scores, pools, weighted_tau)
    for p, pool in enumerate(pools):
        for m in range(3):
            assert values[p, m] == weighted_tau(truth[pool], scores[m, pool])


def test_evaluate_leaves_gaps_where_inputs_are_missing():
    truth = np.array([1.0, 2.0, np.nan, 4.0])
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [np.nan, 2.0, 3.0, 1.0]])
    values = evaluate(truth, scores, np.array([[0, 1], [1, 3], [1, 2]]), kendall_tau)
    np.testing.assert_array_equal(values, [[1, np.nan], [1, -1], [np.nan, np.nan]])


def test_study_order_columns_and_values(make_cells, make_outcomes):
    cells = make_cells()
    outcomes = make_outcomes(cells)
    assert len(outcomes) == 2 * 6 * 4 * 56
    assert outcomes.metrics == (*cells.metrics, "static")
    row = 1234
    pool_numbers = {int(outcomes.pool[i]) for i in range(len(outcomes))}
    assert pool_numbers == set(range(56))
    same = (outcomes.pool == outcomes.pool[row]) & (outcomes.measure == 0)
    assert same.sum() == 12  # one for each recipe and query
    by_slice = dict(outcomes.slices())
    assert [tuple(key) for key in by_slice] == [
        ("demo", "head", "global", "source_selection"),
        ("demo", "full", "global", "source_selection"),
    ]
    assert sum(len(part) for part in by_slice.values()) == len(outcomes)


def test_pool_numbers_are_sets_whatever_the_query_and_order(make_cells):
    cells = make_cells(queries=2)
    pools = {0: np.array([[0, 1, 2], [1, 2, 3]]), 1: np.array([[3, 2, 1], [0, 1, 5]])}
    outcomes = evaluate_study(cells, lambda query: [pools[query]], {"kendall_tau": kendall_tau})
    first, second = outcomes.pool[outcomes.query == 0][:2], outcomes.pool[outcomes.query == 1][:2]
    assert first[1] == second[0]
    assert len({*first, *second}) == 3


@pytest.mark.parametrize(
    ("pool", "message"), [([[0, 0, 1]], "names a candidate twice"), ([[0, 1, 2], [2, 1, 0]], "same pool twice")]
)
def test_pools_that_count_twice_are_refused(make_cells, pool, message):
    with pytest.raises(ValueError, match=message):
        evaluate_study(make_cells(), lambda query: [np.array(pool)], {"kendall_tau": kendall_tau})


def test_missing_and_inapplicable_are_told_apart(make_cells):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 1] = MISSING
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    pools = np.array([[0, 1, 2], [2, 3, 4]])
    outcomes = evaluate_study(cells, lambda query: [pools], {"kendall_tau": kendall_tau})
    assert np.isnan(outcomes.values[0, 0])
    assert not outcomes.inapplicable[0].any()
    leep = outcomes.metrics.index("leep")
    assert np.isnan(outcomes.values[1, leep])
    assert outcomes.inapplicable[1, leep]
    assert outcomes.inapplicable[:, leep].sum() == 12
    assert leep in outcomes.field


def test_a_metric_that_never_applies_is_not_in_the_field(make_cells, make_outcomes):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 1] = INAPPLICABLE
    outcomes = make_outcomes(replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan)))
    assert [outcomes.metrics[m] for m in outcomes.field] == ["hscore", "leep", "gbc"]


def test_concatenate_scenarios(make_cells, make_outcomes):
    one = make_outcomes(make_cells(scenario="one"))
    two = make_outcomes(make_cells(seed=1, queries=7, scenario="two"))
    both = concatenate([one, two])
    assert len(both) == len(one) + len(two)
    assert both.labels["scenario"] == ("one", "two")
    assert len(both.labels["query"]) == 7
    parts = {key.scenario: part for key, part in both.slices()}
    np.testing.assert_array_equal(
        parts["two"].values, dict(two.slices())[("two", "full", "global", "source_selection")].values
    )
    with pytest.raises(ValueError, match="twice"):
        concatenate([one, one])

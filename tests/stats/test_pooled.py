"""The mean of the query and the variance between queries, beside loops, scipy and a closed form."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from tmbench.stats.correlations import kendall_tau, pearson, spearman
from tmbench.stats.pooled import mean_of_query, share_between


def queries(between=1.0, seed=0, sizes=(5, 9, 7, 4)):
    """Truths of queries at levels of their own."""
    generator = np.random.default_rng(seed)
    return [generator.normal(0, between) + generator.normal(0, 0.3, size) for size in sizes]


def test_the_mean_of_the_others_by_a_loop():
    (truth,) = queries(sizes=(6,))
    expected = [np.mean([truth[j] for j in range(6) if j != i]) for i in range(6)]
    np.testing.assert_allclose(mean_of_query(truth, pearson), expected, rtol=1e-13)
    assert pearson(truth, mean_of_query(truth, pearson)) == pytest.approx(-1)  # so it is no ranking


def test_a_truth_is_no_part_of_its_own_prediction():
    (truth,) = queries(sizes=(6,))
    changed = truth.copy()
    changed[2] += 5
    before, after = mean_of_query(truth, pearson), mean_of_query(changed, pearson)
    assert after[2] == pytest.approx(before[2], abs=1e-12)
    assert (np.delete(after, 2) > np.delete(before, 2)).all()


@pytest.mark.parametrize("correlation", [kendall_tau, spearman])
def test_correlations_of_ranks_get_one_value_a_query(correlation):
    (truth,) = queries(sizes=(6,))
    assert set(mean_of_query(truth, correlation)) == {truth.mean()}
    assert correlation(truth, mean_of_query(truth, correlation)) == 0


def test_equal_truths_give_that_truth():
    truth = np.full(7, 0.1)
    assert np.ptp(mean_of_query(truth, pearson)) == 0


def test_the_share_between_is_that_of_the_analysis_of_variance():
    found = queries()
    f, groups, cells = f_oneway(*found).statistic, len(found), sum(map(len, found))
    ratio = f * (groups - 1) / (cells - groups)
    assert share_between(found) == pytest.approx(ratio / (1 + ratio), rel=1e-12)
    assert share_between([truth - truth.mean() for truth in found]) == pytest.approx(0, abs=1e-12)
    assert share_between([np.full(3, 0.0), np.full(2, 1.0)]) == 1
    assert np.isnan(share_between([np.full(3, 0.5), np.full(2, 0.5)]))
    assert np.isnan(share_between([]))


@pytest.mark.parametrize("between", [0.0, 0.2, 3.0])
def test_the_closed_form_where_all_queries_have_as_many_candidates(between):
    n, found = 8, queries(between, sizes=(8,) * 5)
    share = share_between(found)
    every = np.concatenate(found)
    reached = pearson(every, np.concatenate([mean_of_query(truth, pearson) for truth in found]))
    expected = ((n - 1) * share - (1 - share)) / np.sqrt((n - 1) ** 2 * share + 1 - share)
    assert reached == pytest.approx(expected, rel=1e-10)
    constant = np.concatenate([np.full(n, truth.mean()) for truth in found])
    assert reached < pearson(every, constant) == pytest.approx(np.sqrt(share), rel=1e-10)

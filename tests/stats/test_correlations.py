"""Correlations against scipy, on tables heavy with ties, constants and infinite values."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tmbench.stats.correlations import (
    kendall_tau,
    pearson,
    spearman,
    weighted_tau,
    weighted_tau_by_score,
    weighted_tau_by_truth,
)


def _scipy(name, truth, scores):
    import scipy.stats

    calls = {
        weighted_tau: lambda: scipy.stats.weightedtau(truth, scores),
        weighted_tau_by_truth: lambda: scipy.stats.weightedtau(truth, scores, rank=None),
        weighted_tau_by_score: lambda: scipy.stats.weightedtau(scores, truth, rank=None),
        kendall_tau: lambda: scipy.stats.kendalltau(truth, scores),
        spearman: lambda: scipy.stats.spearmanr(truth, scores),
        pearson: lambda: scipy.stats.pearsonr(truth, scores),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return calls[name]()[0]


ALL = [weighted_tau, weighted_tau_by_truth, weighted_tau_by_score, kendall_tau, spearman, pearson]


def expected(function, truth, scores):
    """scipy's value; 0 for a constant score under a truth that varies, which is our policy, and none for inf."""
    if function is pearson and np.isinf([truth, scores]).any():
        return np.nan
    if (scores == scores[0]).all() and (truth != truth[0]).any():
        return 0.0
    return _scipy(function, truth, scores)


def assert_as_scipy(function, truth, scores):
    wanted = np.array([expected(function, a, s) for a, s in zip(truth, scores, strict=True)])
    np.testing.assert_allclose(function(truth, scores), wanted, atol=1e-12)


@st.composite
def tables(draw):
    """Truth and scores (rows, n) of few distinct values, so that ties abound; some rows constant, some infinite."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 30)))
    finite = [-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]
    values = st.sampled_from(draw(st.sampled_from([finite, finite[:2], [-np.inf, *finite, np.inf]])))
    return draw(arrays(np.float64, shape, elements=values)), draw(arrays(np.float64, shape, elements=values))


@pytest.mark.parametrize("function", ALL)
@settings(max_examples=100, deadline=None)
@given(table=tables())
def test_as_scipy_with_ties_constants_and_infinite_values(function, table):
    assert_as_scipy(function, *table)


@pytest.mark.parametrize("function", ALL)
@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 30), seed=st.integers(0, 2**32 - 1))
def test_as_scipy_without_ties(function, n, seed):
    generator = np.random.default_rng(seed)
    assert_as_scipy(function, generator.standard_normal((3, n)), generator.standard_normal((3, n)))


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("n", [32, 33, 64, 65, 126, 127, 128, 129, 200])
def test_many_candidates_do_not_overflow(function, n):
    generator = np.random.default_rng(n)
    truth = np.sort(generator.integers(0, 3 * n, (2, n)).astype(float), axis=1)
    scores = truth + generator.integers(0, n, (2, n))
    assert_as_scipy(function, truth, scores)
    assert_as_scipy(function, np.arange(n)[None] * 1.0, np.arange(n)[None] * 2.0)


def test_known_values():
    truth = np.array([3.0, 2.0, 1.0])
    assert weighted_tau(truth, truth) == 1
    assert weighted_tau(truth, -truth) == -1
    assert kendall_tau(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(1 / 3)
    assert spearman(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(1 / 2)
    # A weight 1 + 1/2, 1 + 1/3 and 1/2 + 1/3 for the pairs; the last one is discordant.
    assert weighted_tau(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(
        (1.5 + 4 / 3 - 5 / 6) / (1.5 + 4 / 3 + 5 / 6)
    )
    assert pearson(truth, np.array([6.0, 4.0, 2.0])) == pytest.approx(1)


def test_whose_ranks_weigh():
    """The truly worst candidate is put first: dear where the scores' ranks weigh, cheap where the true ones do."""
    truth, scores = np.array([4.0, 3.0, 2.0, 1.0]), np.array([4.0, 3.0, 2.0, 5.0])
    # Three of the six pairs are discordant: those of the last one, of rank 3 by truth and 0 by score.
    total = 3 * (1 + 1 / 2 + 1 / 3 + 1 / 4)
    by_truth = (total - 2 * (1 + 1 / 2 + 1 / 3 + 3 / 4)) / total
    by_score = (total - 2 * (3 + 1 / 2 + 1 / 3 + 1 / 4)) / total
    assert weighted_tau_by_truth(truth, scores) == pytest.approx(by_truth)
    assert weighted_tau_by_score(truth, scores) == pytest.approx(by_score)
    assert weighted_tau(truth, scores) == pytest.approx((by_truth + by_score) / 2)


@pytest.mark.parametrize("function", ALL)
def test_policies_for_constants(function):
    varied, constant = np.array([1.0, 2.0, 3.0]), np.full(3, 0.1)
    assert function(varied, constant) == 0
    assert np.isnan(function(constant, varied))
    assert np.isnan(function(constant, constant))
    assert np.isnan(function(np.array([1.0]), np.array([2.0])))


def test_infinite_values_are_ranks():
    truth, scores = np.array([1.0, 2.0, 3.0]), np.array([-np.inf, 0.0, np.inf])
    for function in ALL[:-1]:
        assert function(truth, scores) == 1
        assert function(scores, truth) == 1
    assert kendall_tau(truth, np.array([-np.inf, -np.inf, 0.0])) == pytest.approx(2 / np.sqrt(6))
    assert np.isnan(pearson(truth, scores))
    assert np.isnan(pearson(scores, truth))
    assert np.isnan(pearson(truth, np.full(3, np.inf)))


def test_pearson_of_tiny_huge_and_near_values():
    truth = np.array([1.0, 2.0, 4.0])
    wanted = np.corrcoef(truth, [1, 3, 2])[0, 1]
    for scale in (1e-300, 1e-200, 1e200, 1e300):
        assert pearson(truth, scale * np.array([1.0, 3.0, 2.0])) == pytest.approx(wanted)
        assert pearson(scale * truth, np.array([1.0, 3.0, 2.0])) == pytest.approx(wanted)
    # The mean of neighbouring numbers is rounded, so that this is no more than about right; scipy is no better.
    assert pearson(truth, np.array([1.0, 1.0, np.nextafter(1.0, 2.0)])) > 0.8

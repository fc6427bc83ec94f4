"""Measures against scipy, on tables heavy with ties."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tmbench.functions import find_function
from tmbench.stats.measures import MEASURES, kendall_tau, pearson, rel_at_1, weighted_tau


@st.composite
def tables(draw):
    """Truth and scores (S, n) of few distinct values, so that ties abound; some rows constant."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(2, 9)))
    values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0])
    return draw(arrays(np.float64, shape, elements=values)), draw(arrays(np.float64, shape, elements=values))


def by_scipy(function, truth, scores):
    """One value a row; 0 for a constant score under a truth that varies, which is our policy."""
    found = []
    for a, s in zip(truth, scores, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = function(a, s)[0]
        found.append(0.0 if np.ptp(s) == 0 and np.ptp(a) > 0 else value)
    return np.array(found)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(weighted_tau, "weightedtau"), (kendall_tau, "kendalltau"), (pearson, "pearsonr")]
)
@settings(max_examples=150, deadline=None)
@given(table=tables())
def test_measures_equal_scipy(ours, theirs, table):
    import scipy.stats

    np.testing.assert_allclose(ours(*table), by_scipy(getattr(scipy.stats, theirs), *table), atol=1e-12)


@pytest.mark.parametrize("n", [63, 64, 65, 127, 130])
def test_many_candidates_do_not_overflow(n):
    import scipy.stats

    generator = np.random.default_rng(n)
    truth = np.sort(generator.integers(0, 3 * n, (4, n)).astype(float), axis=1)
    scores = truth + generator.integers(0, n, (4, n))
    for ours, theirs in ((weighted_tau, scipy.stats.weightedtau), (kendall_tau, scipy.stats.kendalltau)):
        np.testing.assert_allclose(ours(truth, scores), by_scipy(theirs, truth, scores), atol=1e-12)


def test_known_values():
    truth = np.array([3.0, 2.0, 1.0])
    assert weighted_tau(truth, truth) == 1
    assert weighted_tau(truth, -truth) == -1
    assert kendall_tau(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(1 / 3)
    # A weight 1 + 1/2, 1 + 1/3 and 1/2 + 1/3 for the pairs; the last one is discordant.
    assert weighted_tau(truth, np.array([3.0, 1.0, 2.0])) == pytest.approx(
        (1.5 + 4 / 3 - 5 / 6) / (1.5 + 4 / 3 + 5 / 6)
    )
    assert pearson(truth, np.array([6.0, 4.0, 2.0])) == pytest.approx(1)


def test_rel_at_1_takes_the_expected_value_over_ties():
    truth = np.array([0.8, 0.4, 0.6])
    assert rel_at_1(truth, np.array([1.0, 0.0, 0.0])) == 1
    assert rel_at_1(truth, np.array([0.0, 1.0, 1.0])) == pytest.approx(0.5 / 0.8)
    assert rel_at_1(truth, np.zeros(3)) == pytest.approx(truth.mean() / 0.8)
    assert np.isnan(rel_at_1(np.zeros(3), truth))
    assert rel_at_1(np.full(3, 0.5), truth) == 1
    with pytest.raises(ValueError, match="ratio"):
        rel_at_1(-truth, truth)


@pytest.mark.parametrize("function", [weighted_tau, kendall_tau, pearson])
def test_policies_for_constants(function):
    varied, constant = np.array([1.0, 2.0, 3.0]), np.full(3, 0.1)
    assert function(varied, constant) == 0
    assert np.isnan(function(constant, varied))
    assert np.isnan(function(constant, constant))
    assert np.isnan(function(np.array([1.0]), np.array([2.0])))


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure(name):
    function = MEASURES[name].function
    generator = np.random.default_rng(1)
    truth, scores = generator.random((5, 1, 6)), generator.random((5, 3, 6))
    values = function(truth, scores)
    assert values.shape == (5, 3)
    assert values.dtype == np.float64
    assert ((MEASURES[name].low <= values) & (values <= MEASURES[name].high)).all()
    np.testing.assert_array_equal(values[2, 1], function(truth[2, 0], scores[2, 1]))
    np.testing.assert_array_equal(function(truth, np.broadcast_to(truth, scores.shape)), pytest.approx(1.0))
    assert function.__doc__
    assert "Range [" in function.__doc__
    for first, second in ((truth[0, 0], np.full(6, np.nan)), (np.full(6, np.nan), truth[0, 0])):
        with pytest.raises(ValueError, match="NaN"):
            function(first, second)
    with pytest.raises(ValueError, match="same number"):
        function(truth[0, 0], scores[0, 0, :4])


def test_infinite_scores_are_ranks():
    truth, scores = np.array([1.0, 2.0, 3.0]), np.array([-np.inf, 0.0, np.inf])
    assert weighted_tau(truth, scores) == kendall_tau(truth, scores) == rel_at_1(truth, scores) == 1
    assert kendall_tau(truth, np.array([-np.inf, -np.inf, 0.0])) == pytest.approx(2 / np.sqrt(6))
    assert np.isnan(pearson(truth, scores))


def test_pearson_of_tiny_and_huge_values():
    truth = np.array([1.0, 2.0, 4.0])
    expected = np.corrcoef(truth, [1, 3, 2])[0, 1]
    for scale in (1e-200, 1e200):
        assert pearson(truth, scale * np.array([1.0, 3.0, 2.0])) == pytest.approx(expected)


def test_option_files_name_the_measures():
    from pathlib import Path

    import yaml

    files = sorted((Path(__file__).parents[2] / "conf" / "measure").glob("*.yaml"))
    assert {file.stem for file in files} == set(MEASURES)
    for file in files:
        option = yaml.safe_load(file.read_text())
        assert find_function(option["function"]) is MEASURES[file.stem].function

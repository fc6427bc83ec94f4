"""What a choice gains or loses, against an average over every order of the tied candidates."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmbench.stats.selection import normalised_regret, regret, rel_at_1, rel_at_1_first, rel_at_k, top_k_hit

VALUES = st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0])


@st.composite
def rows(draw, most=6):
    """Truth and scores (n,) of few distinct values."""
    n = draw(st.integers(2, most))
    listed = st.lists(VALUES, min_size=n, max_size=n)
    return np.array(draw(listed)), np.array(draw(listed))


def averaged(value, scores):
    """The mean of ``value(order)`` over every order of the candidates that the scores allow."""
    orders = [p for p in itertools.permutations(range(len(scores))) if all(np.diff(scores[list(p)]) <= 0)]
    return np.mean([value(list(order)) for order in orders])


@settings(max_examples=150, deadline=None)
@given(row=rows(), k=st.integers(1, 8))
def test_the_first_k_in_every_order_of_the_tied(row, k):
    truth, scores = row
    best = averaged(lambda order: truth[order[:k]].max(), scores)
    hit = averaged(lambda order: truth.max() in truth[order[:k]], scores)
    np.testing.assert_allclose(rel_at_k(truth, scores, k=k), best / truth.max() if truth.max() > 0 else np.nan)
    np.testing.assert_allclose(top_k_hit(truth, scores, k=k), hit)


@settings(max_examples=150, deadline=None)
@given(row=rows())
def test_the_first_in_every_order_of_the_tied(row):
    truth, scores = row
    chosen = averaged(lambda order: truth[order[0]], scores)
    best, mean, top = truth.max(), truth.mean(), np.argmax(scores)
    relative = np.full(2, np.nan) if best == 0 else np.array([chosen, truth[top]]) / best
    np.testing.assert_allclose([rel_at_1(truth, scores), rel_at_1_first(truth, scores)], relative)
    np.testing.assert_allclose(rel_at_k(truth, scores, k=1), relative[0])
    np.testing.assert_allclose(regret(truth - 2, scores), best - chosen, atol=1e-15)
    wanted = np.nan if np.ptp(truth) == 0 else (best - chosen) / (best - mean)
    np.testing.assert_allclose(normalised_regret(truth - 2, scores), wanted, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(row=rows(most=30), k=st.integers(1, 40))
def test_many_tied_candidates(row, k):
    """Of the g tied at the k-th place, m find one: the i-th best of them is their best with C(g−i, m−1) of C(g, m)."""
    truth, scores = row
    n, k = len(truth), min(k, len(truth))
    border = np.sort(scores)[n - k]
    sure, tied = truth[scores > border], np.sort(truth[scores == border])[::-1]
    g, m = len(tied), k - len(sure)
    floor = sure.max(initial=-np.inf)
    best = sum(max(a, floor) * math.comb(g - i, m - 1) for i, a in enumerate(tied, start=1)) / math.comb(g, m)
    np.testing.assert_allclose(rel_at_k(truth + 1, scores, k=k), (best + 1) / (truth.max() + 1), rtol=1e-12)


@pytest.mark.parametrize("n", [65, 127, 128, 129, 150])
def test_many_candidates(n):
    generator = np.random.default_rng(n)
    truth, scores = generator.random(n), generator.integers(0, 3, n).astype(float)
    for k in (1, n // 2, n - 1, n, 2 * n):
        first = generator.permuted(np.tile(np.arange(n), (4000, 1)), axis=1)
        order = np.take_along_axis(first, np.argsort(-scores[first], axis=1, kind="stable"), axis=1)[:, :k]
        assert rel_at_k(truth, scores, k=k) == pytest.approx(truth[order].max(axis=1).mean() / truth.max(), abs=0.02)
        assert top_k_hit(truth, scores, k=k) == pytest.approx(np.mean(truth[order].max(1) == truth.max()), abs=0.04)


def test_known_values():
    truth = np.array([0.8, 0.4, 0.6])
    assert rel_at_1(truth, np.array([1.0, 0.0, 0.0])) == 1
    assert rel_at_1(truth, np.array([0.0, 1.0, 1.0])) == pytest.approx(0.5 / 0.8)
    assert rel_at_1_first(truth, np.array([0.0, 1.0, 1.0])) == 0.5
    assert rel_at_1(truth, np.zeros(3)) == pytest.approx(truth.mean() / 0.8)
    assert rel_at_k(truth, np.array([0.0, 1.0, 1.0]), k=2) == pytest.approx(0.6 / 0.8)
    assert top_k_hit(truth, np.zeros(3), k=2) == pytest.approx(2 / 3)
    assert regret(-truth, np.array([1.0, 0.0, 0.0])) == pytest.approx(0.4)
    assert normalised_regret(-truth, np.array([1.0, 0.0, 0.0])) == pytest.approx(2)
    assert normalised_regret(-truth, np.array([0.0, 1.0, 0.0])) == 0
    assert normalised_regret(truth, np.zeros(3)) == 1


def test_constant_truth():
    constant, scores = np.full(3, 0.1), np.array([1.0, 1.0, 0.0])
    assert rel_at_1(constant, np.zeros(3)) == rel_at_1_first(constant, scores) == rel_at_k(constant, scores) == 1
    assert top_k_hit(constant, scores, k=1) == 1
    assert regret(constant, scores) == 0
    assert np.isnan(normalised_regret(constant, scores))
    for function in (rel_at_1, rel_at_1_first, rel_at_k):
        assert np.isnan(function(np.zeros(3), scores))


def test_equal_choices_tie_exactly():
    """Three candidates of truth 0.1 are worth as much as one: (0.1 + 0.1 + 0.1) / 3 is not 0.1 in floating point."""
    truth = np.array([0.1, 0.1, 0.1, 0.3])
    several, one = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    for function in (rel_at_1, partial(rel_at_k, k=1), regret, normalised_regret):
        assert function(truth, several) == function(truth, one)


def test_infinite_values():
    truth, scores = np.array([1.0, 2.0, 4.0]), np.array([-np.inf, np.inf, 0.0])
    assert rel_at_1(truth, scores) == rel_at_1_first(truth, scores) == 0.5
    assert regret(truth, scores) == 2
    for infinite in (np.array([1.0, 2.0, np.inf]), np.array([-np.inf, 1.0, 2.0])):
        assert top_k_hit(infinite, scores, k=2) == 1
        assert top_k_hit(infinite, scores, k=1) == 0
        assert np.isnan(regret(infinite, scores))
        assert np.isnan(normalised_regret(infinite, scores))
    for function in (rel_at_1, rel_at_1_first, rel_at_k):
        assert np.isnan(function(np.array([1.0, 2.0, np.inf]), scores))


@pytest.mark.parametrize("function", [rel_at_1, rel_at_1_first, rel_at_k])
def test_ratios_refuse_negative_truth(function):
    with pytest.raises(ValueError, match=f"{function.__name__} is a ratio .* normalised_regret"):
        function(np.array([-1.0, 2.0]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("k", [0, -1, 1.5, "3"])
def test_k_is_a_whole_number(k):
    for function in (rel_at_k, top_k_hit):
        with pytest.raises(ValueError, match="whole number"):
            function(np.array([1.0, 2.0]), np.array([1.0, 2.0]), k=k)

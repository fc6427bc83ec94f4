"""Intervals over queries: weights by hand, families that move together, gaps, coverage."""

import numpy as np
import pytest

from tmbench.stats.bootstrap import Resampling, expanded_tail, group_of, interval, mean_of_sums, mean_of_values
from tmbench.stats.bootstrap import pair_weights as weights_of_pairs

ALONE = ("",)


def test_families_are_groups():
    assert group_of(["", "a", "", "b", "a"]).tolist() == [0, 1, 2, 3, 1]
    assert Resampling().groups(["", "a", "", "b", "a"]) == 4
    assert Resampling().groups([]) == 0


def test_weights_draw_as_many_groups_as_there_are():
    families = ["", "a", "", "b", "a"]
    weights = Resampling(4000, seed=3).weights(families)
    assert weights.shape == (4000, 5)
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    assert (weights[:, [0, 1, 2, 3]].sum(axis=1) == 4).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_array_equal(weights, Resampling(4000, seed=3).weights(families))
    assert (weights != Resampling(4000, seed=4).weights(families)).any()
    weights[:] = 0  # what is handed out is the caller's own
    assert Resampling(4000, seed=3).weights(families).any()


def test_weights_without_draws_or_queries():
    assert Resampling(0).weights(ALONE * 3).shape == (0, 3)
    assert Resampling(5).weights([]).shape == (5, 0)


@pytest.mark.parametrize(
    ("families", "given"),
    [(ALONE * 5, False), (ALONE * 6, True), (("a",) * 9, False), ((*ALONE * 5, "a", "a", "a"), True)],
)
def test_interval_needs_six_independent_queries(families, given):
    resampling = Resampling(500)
    assert resampling.gives_interval(families) == given
    assert not Resampling(0).gives_interval(families)
    values = np.random.default_rng(0).random((len(families), 2))
    estimate = mean_of_values(values, families, resampling)
    np.testing.assert_allclose(estimate.value, values.mean(axis=0))
    assert (np.isfinite(estimate.low) == given).all()
    if given:
        assert (estimate.low < estimate.value).all()
        assert (estimate.value < estimate.high).all()


def test_interval_depends_on_queries_and_not_on_the_number_of_setups():
    values = np.random.default_rng(0).random((8, 3))
    once = mean_of_sums(values, np.ones((8, 3)), ALONE * 8, Resampling(2000))
    often = mean_of_sums(1e5 * values, np.full((8, 3), 1e5), ALONE * 8, Resampling(2000))
    np.testing.assert_allclose([once.low, once.high, once.value], [often.low, often.high, often.value])
    assert often.count.tolist() == [800_000] * 3


def test_mean_of_sums_equals_resampling_the_values_themselves():
    generator = np.random.default_rng(1)
    counts = generator.integers(1, 9, 7)
    families = ("", "a", "", "", "a", "", "")
    values = [generator.random(count) for count in counts]
    resampling = Resampling(3000, seed=2, level=0.9)
    weights = resampling.weights(families).astype(int)
    samples = [np.concatenate([np.tile(v, w) for v, w in zip(values, row, strict=True)]).mean() for row in weights]
    low, high = interval(np.array(samples), 6, 0.9)
    sums = np.array([[value.sum()] for value in values])
    estimate = mean_of_sums(sums, counts[:, None], families, resampling)
    np.testing.assert_allclose([estimate.low[0], estimate.high[0]], [low, high])
    assert estimate.value[0] == pytest.approx(np.concatenate(values).mean())


def test_families_that_move_together_widen_the_interval():
    """Twelve queries that are copies of six say no more than the six."""
    values = np.random.default_rng(0).random((6, 1))
    families = [f"family_{i}" for i in range(6)]
    six = mean_of_values(values, families, Resampling(2000))
    twelve = mean_of_values(np.repeat(values, 2, axis=0), np.repeat(families, 2).tolist(), Resampling(2000))
    np.testing.assert_allclose([six.low, six.high], [twelve.low, twelve.high])
    apart = mean_of_values(np.repeat(values, 2, axis=0), ALONE * 12, Resampling(2000))
    assert (apart.high - apart.low < twelve.high - twelve.low).all()


def test_queries_without_values_are_left_out_column_by_column():
    values = np.random.default_rng(0).random((9, 3))
    values[:2, 1] = np.nan
    values[:4, 2] = np.nan
    families = ("", "", "a", "a", "", "", "", "", "")
    estimate = mean_of_values(values, families, Resampling(1000))
    np.testing.assert_allclose(estimate.value, np.nanmean(values, axis=0))
    assert estimate.count.tolist() == [9, 7, 5]
    assert np.isnan(estimate.low).tolist() == [False, False, True]
    fewer = mean_of_values(values[2:, [1]], families[2:], Resampling(1000))
    np.testing.assert_allclose([estimate.low[1], estimate.high[1]], [fewer.low[0], fewer.high[0]])


def test_nothing_to_average():
    estimate = mean_of_sums(np.zeros((7, 2)), np.zeros((7, 2)), ALONE * 7, Resampling(100))
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
    assert estimate.count.tolist() == [0, 0]
    assert mean_of_sums(np.zeros((7, 0)), np.zeros((7, 0)), ALONE * 7, Resampling(100)).value.shape == (0,)


def test_wrong_sums_are_refused():
    with pytest.raises(ValueError, match="a sum is NaN"):
        mean_of_sums(np.full((6, 1), np.nan), np.ones((6, 1)), ALONE * 6, Resampling(10))
    with pytest.raises(ValueError, match=r"families \(5,\) disagree"):
        mean_of_sums(np.ones((6, 1)), np.ones((6, 1)), ALONE * 5, Resampling(10))


def test_interval_reads_wider_percentiles_and_leaves_out_nan():
    samples = np.random.default_rng(0).normal(size=(20_000, 2, 3))
    low, high = interval(samples, 9)
    assert low.shape == high.shape == (2, 3)
    tail = expanded_tail(9, 0.95)
    assert tail < 0.025
    np.testing.assert_allclose(low, np.quantile(samples, tail, axis=0))
    np.testing.assert_allclose(high, np.quantile(samples, 1 - tail, axis=0))
    gaps = samples.copy()
    gaps[::2, 0, 0] = np.nan
    gaps[:, 1, 1] = np.nan
    low_with_gaps, _ = interval(gaps, 9)
    assert low_with_gaps[0, 0] == np.quantile(samples[1::2, 0, 0], tail)
    assert np.isnan(low_with_gaps[1, 1])
    assert low_with_gaps[0, 1] == low[0, 1]
    assert np.isnan(interval(samples, 1)[0]).all()
    assert np.isnan(interval(samples[:0], 9)[0]).all()


def test_interval_tends_to_the_plain_percentiles():
    assert expanded_tail(10_000, 0.95) == pytest.approx(0.025, abs=1e-4)


def test_pair_weights_by_listing_the_drawn_pairs():
    """Every draw as a list of copies: pairs of copies of one group are none, a family's own pairs come once a copy."""
    families = ("", "a", "a", "", "b", "a")
    group = group_of(families)
    weights = Resampling(50, seed=1).weights(families)
    found = weights_of_pairs(weights, families)
    first, second = np.triu_indices(6, k=1)
    for row, expected in zip(weights.astype(int), found, strict=True):
        copies = [(g, copy) for g in range(4) for copy in range(row[np.flatnonzero(group == g)[0]])]
        drawn = [(query, copy) for copy in copies for query in np.flatnonzero(group == copy[0])]
        count = np.zeros((6, 6))
        for i, (one, its_copy) in enumerate(drawn):
            for other, other_copy in drawn[i + 1 :]:
                if one != other and (its_copy == other_copy or its_copy[0] != other_copy[0]):
                    count[min(one, other), max(one, other)] += 1
        np.testing.assert_array_equal(expected, count[first, second])


def test_coverage_is_that_of_the_guide():
    """``benchmarks/coverage.py`` in small: six queries, the plain percentiles beside the expanded ones."""
    generator = np.random.default_rng(0)
    for draw, truth, wanted, plain_wanted in (
        (lambda: generator.normal(size=(6, 50)), 0.0, 0.94, 0.86),
        (lambda: generator.beta(0.4, 0.4, (6, 50)), 0.5, 0.94, 0.88),
        (lambda: generator.beta(0.5, 2, (6, 50)), 0.2, 0.89, 0.83),
    ):
        covered, plain = [], []
        for block in range(30):
            samples = Resampling(1000, seed=block).weights(ALONE * 6) @ draw() / 6
            low, high = interval(samples, 6)
            covered.append((low <= truth) & (truth <= high))
            ends = np.quantile(samples, [0.025, 0.975], axis=0)
            plain.append((ends[0] <= truth) & (truth <= ends[1]))
        assert np.mean(covered) == pytest.approx(wanted, abs=0.03)
        assert np.mean(plain) == pytest.approx(plain_wanted, abs=0.03)

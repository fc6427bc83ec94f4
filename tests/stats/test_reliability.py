"""Reliability of the truth by hand, and the noise ceiling against experiments whose true values are known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from tmbench.stats.reliability import noise_ceiling, noise_variance, reliability, seed_variance


def test_seed_variance_by_hand():
    truth = np.array([[0.1, 0.3], [0.5, 0.7], [0.9, 1.1]])
    within, icc = seed_variance(truth)
    assert within == pytest.approx(0.02)
    between = 2 * np.var([0.2, 0.6, 1.0], ddof=1)
    assert icc == pytest.approx((between - 0.02) / between)
    assert np.isnan(seed_variance(truth[:, :1])).all()
    within, icc = seed_variance(np.array([[0.1, 0.3], [0.5, np.nan], [np.nan, np.nan]]))
    assert within == pytest.approx(0.02)


def test_signal_and_noise(make_cells):
    cells = make_cells()
    rows = reliability(cells)
    assert len(rows) == 2 * 6
    assert [(row.recipe, row.query) for row in rows[:2]] == [("head", "target_0"), ("head", "target_1")]
    assert all(row.reliability > 0.9 and row.ratio > 3 and not row.weak for row in rows)
    one = rows[0]
    means = cells.mean_truth[0, 0]
    assert one.spread == pytest.approx(means.max() - means.min())
    assert one.random_start == pytest.approx(means[[4, 9]].mean())
    gains = [means[:4].max() - means[4], means[5:9].max() - means[9]]
    assert one.least_gain == pytest.approx(min(gains))
    noise = np.random.default_rng(0).normal(0.5, 0.1, cells.truth.shape)
    found = reliability(replace(cells, truth=noise))
    assert np.mean([row.weak for row in found]) > 0.8
    assert np.mean([row.ceiling_kendall_tau for row in found]) < 0.5
    assert all(0.7 < row.ceiling_kendall_tau < row.ceiling_weighted_tau + 0.1 < 1.1 for row in rows)


def test_one_seed_and_missing_runs(make_cells):
    cells = make_cells(seeds=1)
    truth = cells.truth.copy()
    truth[0, 0, 3] = np.nan
    row = reliability(replace(cells, truth=truth))[0]
    assert (row.candidates, row.missing, row.seeds) == (9, 1, 1)
    assert np.isnan([row.seed_sd, row.ratio, row.reliability, row.seed_tau]).all()
    assert not row.weak
    assert row.noise == ""
    assert np.isnan([row.noise_sd, row.ceiling_weighted_tau, row.ceiling_kendall_tau, row.test_size]).all()


def test_noise_is_known_from_seeds_or_else_from_the_test_size(make_cells):
    cells = make_cells(seeds=1)
    sizes = np.full((6, 10), 400.0)
    sizes[0, 2] = 100.0
    sizes[1, 5] = np.nan
    first, second, third = reliability(replace(cells, test_sizes=sizes))[:3]
    p = cells.mean_truth[0, 0]
    assert (first.noise, first.test_size) == ("binomial", 100)
    assert first.noise_sd == pytest.approx(np.sqrt(np.mean(p * (1 - p) / sizes[0])))
    assert (second.noise, np.isnan(second.ceiling_weighted_tau)) == ("", True)
    assert third.noise == "binomial"
    with_seeds = reliability(replace(make_cells(seeds=3), test_sizes=sizes))[0]
    assert (with_seeds.noise, with_seeds.test_size) == ("seeds", 100)
    assert with_seeds.noise_sd == pytest.approx(with_seeds.seed_sd / np.sqrt(3))


def test_a_truth_that_is_no_proportion_has_no_binomial_noise():
    assert noise_variance(np.array([[-0.1], [0.4]]), np.array([10.0, 10.0]))[0] == ""
    assert noise_variance(np.array([[55.0], [80.0]]), np.array([10.0, 10.0]))[0] == ""
    assert noise_variance(np.empty((0, 2)), np.empty(0))[0] == ""


def test_seeds_that_differ_in_number():
    kind, variance = noise_variance(np.array([[0.1, 0.3], [0.5, np.nan]]), np.full(2, np.nan))
    assert kind == "seeds"
    np.testing.assert_allclose(variance, [0.01, 0.02])


@pytest.mark.parametrize(("noise", "candidates"), [(0.2, 10), (0.5, 10), (0.5, 20), (0.8, 20)])
def test_ceiling_from_seeds_equals_an_experiment_with_known_truths(noise, candidates):
    """Of many worlds: the τ of the true values against three averaged seeds, and the ceiling that these seeds tell."""
    generator = np.random.default_rng(0)
    reached, told = [], []
    for _ in range(150):
        true = generator.normal(size=candidates)
        seeds = true[:, None] + np.sqrt(3) * noise * generator.normal(size=(candidates, 3))
        observed = seeds.mean(axis=1)
        reached.append([scipy.stats.weightedtau(observed, true)[0], scipy.stats.kendalltau(observed, true)[0]])
        told.append(noise_ceiling(observed, noise_variance(seeds, np.full(candidates, np.nan))[1], draws=100))
    np.testing.assert_allclose(np.mean(told, axis=0), np.mean(reached, axis=0), atol=0.04)


@pytest.mark.parametrize("images", [50, 200, 2000])
def test_ceiling_from_binomial_noise_equals_an_experiment_with_known_truths(images):
    generator = np.random.default_rng(1)
    reached, told = [], []
    for _ in range(150):
        true = generator.beta(20, 8, 16)
        observed = generator.binomial(images, true) / images
        reached.append([scipy.stats.weightedtau(observed, true)[0], scipy.stats.kendalltau(observed, true)[0]])
        told.append(
            noise_ceiling(observed, noise_variance(observed[:, None], np.full(16, float(images)))[1], draws=100)
        )
    np.testing.assert_allclose(np.mean(told, axis=0), np.mean(reached, axis=0), atol=0.04)


def test_ceiling_at_the_ends():
    means = np.array([0.2, 0.4, 0.7, 0.9])
    assert noise_ceiling(means, np.zeros(4)) == (1.0, 1.0)
    assert noise_ceiling(means, np.ones(4)) == (0.0, 0.0)
    assert noise_ceiling(np.full(4, 0.5), np.full(4, 0.1)) == (0.0, 0.0)
    for nothing in ((means[:1], np.zeros(1)), (means, np.full(4, np.nan)), (np.full(4, 0.5), np.zeros(4))):
        assert np.isnan(noise_ceiling(*nothing)).all()


def test_more_seeds_raise_the_ceiling(make_cells):
    found = [
        np.mean([row.ceiling_kendall_tau for row in reliability(make_cells(seeds=seeds, queries=12))])
        for seeds in (2, 4, 16)
    ]
    assert found[0] < found[1] < found[2] < 1


def test_target_selection_and_a_fixed_seed(make_cells):
    cells = replace(make_cells(), direction="target_selection")
    assert str(reliability(cells)) == str(reliability(cells))  # NaN is not equal to itself
    one, other = reliability(cells)[0], reliability(cells, seed=1)[0]
    assert one.ceiling_weighted_tau != other.ceiling_weighted_tau
    assert one.ceiling_weighted_tau == pytest.approx(other.ceiling_weighted_tau, abs=0.02)

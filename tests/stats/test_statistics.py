"""Win rate, pairwise comparison, intervals and reliability, by hand and by their definitions."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tmbench.stats.bootstrap import Resampling, expanded_interval, mean_over_setups
from tmbench.stats.jackknife import jackknife_interval
from tmbench.stats.outcomes import Outcomes
from tmbench.stats.pairwise import duels, holm, sign_flip
from tmbench.stats.per_query import per_query
from tmbench.stats.reliability import reliability, seed_variance
from tmbench.stats.win_rate import win_rate


def outcomes_of(values, query, kinds):
    """Outcomes of one scenario, recipe, level and measure."""
    values = np.asarray(values, dtype=float)
    rows = len(values)
    zero = np.zeros(rows, dtype=np.int32)
    query = np.asarray(query, dtype=np.int32)
    return Outcomes(
        values=values,
        inapplicable=np.zeros(values.shape, dtype=bool),
        metrics=tuple("abcdef"[: values.shape[1]]),
        kinds=kinds,
        scenario=zero,
        recipe=zero,
        level=zero,
        query=query,
        measure=zero,
        pool=np.arange(rows, dtype=np.int32),
        labels={
            "scenario": ("s",),
            "recipe": ("r",),
            "level": ("l",),
            "query": tuple(f"q{i}" for i in range(query.max() + 1)),
            "measure": ("m",),
        },
        directions=("source_selection",),
    )


def test_win_rate_by_hand():
    values = [
        [0.9, 0.5, 0.1, 1.0],  # a alone; the baseline d is better and takes no vote
        [0.5, 0.5, 0.1, 0.0],  # a and b
        [0.2, 0.2 + 1e-15, 0.2, 0.0],  # all three, but for rounding
        [0.1, 0.2, np.nan, 0.0],  # left out
    ]
    rate = win_rate(outcomes_of(values, [0, 0, 1, 1], ("metric",) * 3 + ("baseline",)), Resampling(0))
    assert rate.metrics.tolist() == [0, 1, 2]
    np.testing.assert_allclose(rate.strict, [1 / 3, 0, 0])
    np.testing.assert_allclose(rate.split.value, [(1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 3, 1 / 9])
    np.testing.assert_allclose(rate.all, [1, 2 / 3, 1 / 3])
    assert (rate.setups, rate.missing) == (3, 1)
    assert rate.split.value.sum() == pytest.approx(1)


def test_win_rate_without_a_complete_setup():
    rate = win_rate(outcomes_of([[np.nan, 1.0]], [0], ("metric",) * 2), Resampling(100))
    assert (rate.setups, rate.missing) == (0, 1)
    assert np.isnan(rate.split.value).all()
    assert np.isnan(rate.strict).all()


def test_duel_by_hand():
    found = duels(
        outcomes_of([[3, 1], [1, 1], [0, 2], [4, np.nan]], [0, 0, 1, 1], ("metric", "baseline")), Resampling(0)
    )
    one = found[0]
    assert (one.metric, one.other, one.setups) == ("a", "b", 3)
    assert (one.win, one.tie, one.loss) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (found[1].win, found[1].difference) == pytest.approx((1 / 3, 0.0))
    assert one.p == found[1].p == one.p_holm


def test_sign_flip_equals_enumeration():
    differences = np.array([0.3, 0.1, -0.05, 0.4, 0.2])
    means = [abs(np.mean(np.array(signs) * differences)) for signs in product((1, -1), repeat=5)]
    assert sign_flip(differences) == np.mean(np.array(means) >= abs(differences.mean()) - 1e-12)
    assert sign_flip(np.ones(6)) == 2 ** (1 - 6)
    assert sign_flip(np.zeros(6)) == 1
    assert sign_flip(np.ones(30)) == pytest.approx(1 / 100_001)
    assert np.isnan(sign_flip(np.empty(0)))


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06])


def test_interval_needs_six_queries():
    generator = np.random.default_rng(0)
    for queries, given in ((5, False), (6, True)):
        query = np.repeat(np.arange(queries), 10)
        estimate = mean_over_setups(generator.random((10 * queries, 2)), query, queries, Resampling(500))
        assert np.isfinite(estimate.low).all() == given
        if given:
            assert (estimate.low < estimate.value).all()
            assert (estimate.value < estimate.high).all()
    assert np.isnan(mean_over_setups(generator.random((60, 1)), query, 6, Resampling(0)).low).all()


def test_interval_depends_on_queries_and_not_on_the_number_of_setups():
    generator = np.random.default_rng(0)
    values = generator.random((8, 1))
    once = mean_over_setups(values, np.arange(8), 8, Resampling(2000))
    often = mean_over_setups(np.repeat(values, 100, axis=0), np.repeat(np.arange(8), 100), 8, Resampling(2000))
    np.testing.assert_allclose([once.low, once.high], [often.low, often.high])


def test_expanded_interval_covers_better_than_the_percentiles():
    generator = np.random.default_rng(0)
    covered = plain = 0
    for _ in range(400):
        weights = generator.multinomial(6, np.full(6, 1 / 6), size=500) / 6
        samples = weights @ generator.normal(size=6)
        low, high = expanded_interval(samples[:, None], 6)
        covered += low[0] <= 0 <= high[0]
        plain += np.quantile(samples, 0.025) <= 0 <= np.quantile(samples, 0.975)
    assert plain / 400 < 0.90 < covered / 400 < 0.98


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    without = [np.array([np.delete(values, i).mean()]) for i in range(4)]
    low, high = jackknife_interval(np.array([values.mean()]), without)
    reach = 3.182446305 * values.std(ddof=1) / 2
    np.testing.assert_allclose([low[0], high[0]], [3.5 - reach, 3.5 + reach])
    assert np.isnan(jackknife_interval(np.array([1.0]), without[:2])[0])


def test_seed_variance_by_hand():
    truth = np.array([[0.1, 0.3], [0.5, 0.7], [0.9, 1.1]])
    within, icc = seed_variance(truth)
    assert within == pytest.approx(0.02)
    between = 2 * np.var([0.2, 0.6, 1.0], ddof=1)
    assert icc == pytest.approx((between - 0.02) / between)
    assert np.isnan(seed_variance(truth[:, :1])).all()
    within, icc = seed_variance(np.array([[0.1, 0.3], [0.5, np.nan], [np.nan, np.nan]]))
    assert within == pytest.approx(0.02)


def test_reliability_of_signal_and_of_noise(make_cells):
    cells = make_cells()
    rows = reliability(cells)
    assert [(row.recipe, row.query) for row in rows[:2]] == [("head", "target_0"), ("head", "target_1")]
    assert all(row.reliability > 0.9 and row.ratio > 3 and not row.weak for row in rows)
    one = rows[0]
    means = cells.mean_truth[0, 0]
    assert one.spread == pytest.approx(means.max() - means.min())
    assert one.random_start == pytest.approx(means[[4, 9]].mean())
    gains = [means[:4].max() - means[4], means[5:9].max() - means[9]]
    assert one.least_gain == pytest.approx(min(gains))
    noise = np.random.default_rng(0).normal(0.5, 0.1, cells.truth.shape)
    assert np.mean([row.weak for row in reliability(replace(cells, truth=noise))]) > 0.8


def test_reliability_with_one_seed_and_missing_runs(make_cells):
    cells = make_cells(seeds=1)
    truth = cells.truth.copy()
    truth[0, 0, 3] = np.nan
    row = reliability(replace(cells, truth=truth))[0]
    assert (row.candidates, row.missing, row.seeds) == (9, 1, 1)
    assert np.isnan([row.seed_sd, row.ratio, row.reliability, row.seed_tau]).all()
    assert not row.weak


def test_per_query_groups(make_cells):
    from tmbench.stats.measures import kendall_tau

    cells = make_cells()
    found = {(row.recipe, row.query, row.metric, row.candidates): row for row in per_query(cells, {"k": kendall_tau})}
    truth = cells.mean_truth[1, 2]
    common = ~cells.random_start
    row = found["full", "target_2", "leep", "all"]
    assert (row.count, row.value) == (8, kendall_tau(truth[common], cells.scores[0, 2, 2, common]))
    assert found["full", "target_2", "hscore", "all"].count == 10
    assert found["full", "target_2", "hscore", "common"].count == 8
    row = found["full", "target_2", "hscore", "family:vit"]
    assert (row.count, row.value) == (4, kendall_tau(truth[5:9], cells.scores[0, 0, 2, 5:9]))
    assert ("full", "target_2", "static", "without_random") in found

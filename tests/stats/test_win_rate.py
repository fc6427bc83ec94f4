"""Win rates, their bounds and duels by hand: outcomes given, not computed."""

import numpy as np
import pytest

from tmbench.stats.bootstrap import Resampling
from tmbench.stats.outcomes import Outcomes, Slice
from tmbench.stats.pairwise import duel_sums, duels
from tmbench.stats.tally import Tally
from tmbench.stats.win_rate import win_rate, win_sums


def tally_of(values, kinds, signs=(1.0,), bounded=True):
    """The tally of one measure from ``values`` (queries, pools, metrics)."""
    values = np.asarray(values, dtype=float)[None]
    names = tuple("abcdef"[: values.shape[-1]])
    nothing = np.zeros(values.shape[1:], dtype=bool)
    field = np.flatnonzero([kind == "metric" for kind in kinds])
    outcomes = Outcomes(
        values, np.ones(values.shape[1:3], dtype=bool), nothing, nothing, np.array(signs), np.array([bounded]), field
    )
    queries = tuple(f"q{i}" for i in range(values.shape[1]))
    tally = Tally(Slice("s", "r", "l", "source_selection"), ("m",), queries, ("",) * len(queries), names, kinds, field)
    tally.sums = {"setups": np.full((1, len(queries)), values.shape[2]), **win_sums(outcomes), **duel_sums(outcomes)}
    return tally


def test_win_rate_by_hand():
    values = [
        [
            [0.9, 0.5, 0.1, 1.0],  # a alone; the baseline d is better and takes no vote
            [0.5, 0.5, 0.1, 0.0],  # a and b
        ],
        [
            [0.2, 0.2 + 1e-15, 0.2, 0.0],  # all three, but for rounding
            [0.1, 0.2, np.nan, 0.0],  # left out
        ],
    ]
    rate = win_rate(tally_of(values, ("metric",) * 3 + ("baseline",)), Resampling(0))
    assert rate.metrics.tolist() == [0, 1, 2]
    np.testing.assert_allclose(rate.strict, [1 / 3, 0, 0])
    np.testing.assert_allclose(rate.split.value, [(1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 3, 1 / 9])
    np.testing.assert_allclose(rate.all, [1, 2 / 3, 1 / 3])
    assert (rate.setups, rate.missing) == (3, 1)
    assert rate.split.value.sum() == pytest.approx(1)
    wins = np.array([1 + 1 / 2 + 1 / 3, 1 / 2 + 1 / 3, 1 / 3])
    np.testing.assert_allclose(rate.lowest, wins / 4)
    np.testing.assert_allclose(rate.as_loss, (wins + np.array([0, 1, 0])) / 4)
    np.testing.assert_allclose(rate.highest, (wins + np.array([0, 1, 1])) / 4)


def test_less_is_better():
    rate = win_rate(tally_of([[[0.1, 0.4]], [[0.3, 0.2]], [[0.0, 0.5]]], ("metric",) * 2, (-1.0,)), Resampling(0))
    np.testing.assert_allclose(rate.split.value, [2 / 3, 1 / 3])


def test_win_rate_without_a_complete_setup():
    rate = win_rate(tally_of([[[np.nan, 1.0]]], ("metric",) * 2), Resampling(100))
    assert (rate.setups, rate.missing) == (0, 1)
    assert np.isnan(rate.split.value).all()
    assert np.isnan(rate.strict).all()
    assert (rate.lowest.tolist(), rate.highest.tolist()) == ([0, 0], [1, 1])


def test_without_a_field():
    rate = win_rate(tally_of([[[0.3, 1.0]]], ("baseline",) * 2), Resampling(100))
    assert (len(rate.metrics), rate.setups, rate.missing) == (0, 0, 1)


def test_duel_by_hand():
    tally = tally_of([[[3, 1], [1, 1]], [[0, 2], [4, np.nan]]], ("metric", "baseline"))
    one, reverse = duels(tally, Resampling(0))
    assert (one.metric, one.other, one.setups) == ("a", "b", 3)
    assert (one.win, one.tie, one.loss) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (reverse.win, reverse.difference) == pytest.approx((1 / 3, 0.0))
    assert one.p == reverse.p == one.p_holm


def test_interval_of_a_win_rate_needs_six_queries():
    generator = np.random.default_rng(0)
    for queries, given in ((5, False), (6, True)):
        rate = win_rate(tally_of(generator.random((queries, 10, 3)), ("metric",) * 3), Resampling(500))
        assert np.isfinite(rate.split.low).all() == given
        if given:
            assert (rate.split.low < rate.split.value).all()
            assert (rate.split.value < rate.split.high).all()


def test_holm_corrects_metrics_among_themselves():
    """Three metrics and two baselines: 3 pairs of metrics, 7 others; no baseline makes a metric less certain."""
    values = np.random.default_rng(0).random((9, 4, 5)) + np.arange(5) * 0.15
    found = duels(tally_of(values, ("metric",) * 3 + ("baseline",) * 2), Resampling(0))
    alone = duels(tally_of(values[..., :3], ("metric",) * 3), Resampling(0))
    inside = {(one.metric, one.other): one.p_holm for one in found if {one.metric, one.other} <= set("abc")}
    assert inside == {(one.metric, one.other): one.p_holm for one in alone}
    others = {one.p_holm / one.p for one in found if not {one.metric, one.other} <= set("abc")}
    assert max(others) <= 7
    assert all(one.p <= one.p_holm <= 1 for one in found)


@pytest.mark.parametrize("scale", [1e-13, 1.0, 1e9])
def test_the_unit_of_a_measure_without_bounds_changes_nothing(scale):
    values = np.array([[[1.0, 2.0, 3.0], [2.0, 2.0 * (1 + 1e-15), 3.0]]]) * scale
    rate = win_rate(tally_of(values, ("metric",) * 3, (-1.0,), bounded=False), Resampling(0))
    np.testing.assert_allclose(rate.split.value, [0.75, 0.25, 0])

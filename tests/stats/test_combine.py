"""Combining parts: what the definition says, inside each pool, with nothing invented."""

import numpy as np
import pytest
from scipy.stats import zscore

from tmbench.stats.combine import sum_of_scaled, sum_of_standardised

PARTS = np.random.default_rng(0).normal(size=(4, 3, 6))


def test_standardised_is_the_sum_of_z_scores():
    assert np.allclose(sum_of_standardised(PARTS), zscore(PARTS, axis=-1).sum(axis=1), rtol=0, atol=1e-13)


def test_scaled_runs_from_0_to_1_in_each_part():
    low, high = PARTS.min(axis=-1, keepdims=True), PARTS.max(axis=-1, keepdims=True)
    assert np.array_equal(sum_of_scaled(PARTS), ((PARTS - low) / (high - low)).sum(axis=1))


@pytest.mark.parametrize("combine", [sum_of_scaled, sum_of_standardised])
class TestBoth:
    def test_a_pool_is_scored_by_itself(self, combine):
        assert np.array_equal(combine(PARTS)[2:3], combine(PARTS[2:3]))

    def test_a_constant_part_adds_nothing(self, combine):
        # 0.1 has a mean that is not 0.1; noise of 1e-17 must not be blown up to a ranking.
        constant = np.concatenate([PARTS[:1, :1], np.full((1, 1, 6), 0.1)], axis=1)
        assert np.array_equal(combine(constant), combine(PARTS[:1, :1]))
        assert np.array_equal(combine(np.full((1, 2, 7), 0.1)), np.zeros((1, 7)))

    def test_missing_stays_missing_and_infinite_infinite(self, combine):
        parts = PARTS.copy()
        parts[0, 0, 1], parts[1, 0, 2] = np.nan, np.inf
        scores = combine(parts)
        assert np.isnan(scores[0]).tolist() == [False, True, False, False, False, False]
        assert scores[1, 2] == np.inf
        assert np.isfinite(np.delete(scores[1], 2)).all()
        assert np.isnan(combine(np.full((1, 1, 3), np.nan))).all()

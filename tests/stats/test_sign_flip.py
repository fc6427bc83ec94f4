"""The sign-flip test against enumeration, and Holm's correction by hand."""

from itertools import product

import numpy as np
import pytest

from tmbench.stats import sign_flip as module
from tmbench.stats.sign_flip import holm, sign_flip, smallest_p


def enumerated(differences, group):
    """The share of all sign patterns over groups whose |mean| reaches the observed one."""
    means = [
        abs(np.mean([signs[g] * d for g, d in zip(group, differences, strict=True)]))
        for signs in product((1, -1), repeat=max(group) + 1)
    ]
    return np.mean(np.array(means) >= abs(np.mean(differences)) - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equals_enumeration(seed):
    generator = np.random.default_rng(seed)
    differences = generator.integers(-3, 6, 8) / 7  # ties between patterns, and zeros
    assert sign_flip(differences) == enumerated(differences, range(8))
    families = ["", "a", "b", "a", "", "b", "b", ""]
    assert sign_flip(differences, families) == enumerated(differences, [0, 1, 2, 1, 3, 2, 2, 4])


def test_unanimous_queries_reach_the_smallest_p():
    for n in (1, 2, 5, 6, 16, 20):
        assert sign_flip(np.full(n, 0.1)) == smallest_p(n) == 2.0 ** (1 - n)
    assert sign_flip(np.ones(9), ["a"] * 4 + [""] * 5) == smallest_p(6)
    assert sign_flip(np.ones(30)) == smallest_p(30) == 1 / 100_001
    assert sign_flip(np.zeros(6)) == 1
    assert np.isnan(sign_flip(np.empty(0)))
    assert np.isnan(smallest_p(0))


def test_equal_sums_that_rounding_parts_are_equal():
    """.1 + .2 ≠ .3 in binary: eight of the sixteen patterns have |sum| .4 or more, whatever the order of adding."""
    differences = np.array([0.1, 0.2, 0.3, -0.2])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert sign_flip(differences[order] * 1e-9) == enumerated([1, 2, 3, -2], range(4))


def test_random_patterns_come_near_the_exact_p(monkeypatch):
    differences = np.random.default_rng(1).normal(0.3, 1, 14)
    exact = sign_flip(differences)
    monkeypatch.setattr(module, "MOST_FLIPPED", 10)
    assert sign_flip(differences, seed=3) == sign_flip(differences, seed=3)
    assert sign_flip(differences, seed=3) == pytest.approx(exact, abs=0.01)


def test_level_is_kept_under_the_null():
    generator = np.random.default_rng(0)
    p = np.array([sign_flip(generator.standard_t(3, 9)) for _ in range(2000)])
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 0.02


def test_missing_differences_are_refused():
    with pytest.raises(ValueError, match="a difference is NaN"):
        sign_flip(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="2 differences and 3 families disagree"):
        sign_flip(np.ones(2), ["", "", ""])


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    assert holm(np.empty(0)).shape == (0,)
    assert np.isnan(holm(np.array([np.nan]))).all()

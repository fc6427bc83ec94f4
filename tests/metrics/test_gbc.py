import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from tests.metrics.cases import golden_cases
from tmbench.errors import ConfigError
from tmbench.metrics import score

CASES = golden_cases()
FEATURES, LABELS, _ = CASES["base"]


@given(
    st.integers(0, 2**32),
    st.integers(2, 40),
    st.integers(1, 100),
    st.integers(2, 6),
    st.integers(-12, 12),
    st.sampled_from(["spherical", "diagonal"]),
)
@settings(deadline=None, max_examples=150)
def test_bounds(seed, n, d, classes, scale, covariance):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    labels[:2] = 0, 1
    features = random.standard_normal((n, d)) * 10.0**scale
    result = score("gbc", features, labels, covariance=covariance)
    count = len(np.unique(labels))
    assert -count * (count - 1) - 1e-9 <= result.value <= 0
    if "log_overlap" in result.parts:
        assert -np.exp(result.parts["log_overlap"]) == pytest.approx(result.value)


def test_is_the_overlap_of_two_gaussians():
    """exp(-D) is ∫ √(p q), here integrated; the score holds it twice, for both orders of the pair."""
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1], 50)
    features = random.standard_normal((100, 2)) * np.where(labels, 0.6, 1.1)[:, None] + labels[:, None]
    moments = [(features[labels == c].mean(0), features[labels == c].var(0)) for c in (0, 1)]

    def root(y, x):
        point, product = np.array([x, y]), 1.0
        for mean, spread in moments:
            product *= np.exp(-np.sum((point - mean) ** 2 / spread) / 2) / (2 * np.pi * np.sqrt(spread.prod()))
        return np.sqrt(product)

    overlap, _ = dblquad(root, -8, 8, -8, 8, epsabs=1e-8)
    value = float(score("gbc", features, labels, covariance="diagonal"))
    assert value == pytest.approx(-2 * overlap, rel=1e-5)


def test_features_up_to_the_number_of_components_are_taken_as_they_are():
    whole = score("gbc", FEATURES, LABELS, components=None).value
    assert score("gbc", FEATURES, LABELS).value == whole
    assert score("gbc", FEATURES, LABELS, components=32).value == whole
    assert score("gbc", FEATURES, LABELS, components=16).value != whole


def test_wider_features_are_projected():
    features, labels, _ = CASES["relu_dead"]
    centred = features - features.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    projected = centred @ axes[:64].T
    expected = score("gbc", projected, labels, components=None).value
    assert score("gbc", features, labels).value == pytest.approx(expected, rel=1e-9)


def test_an_offset_costs_no_digits():
    assert score("gbc", FEATURES + 1e6, LABELS).value == pytest.approx(score("gbc", FEATURES, LABELS).value, rel=1e-6)


def test_well_separated_classes_keep_their_logarithm():
    values = [score("gbc", FEATURES + 1e3 * gap * LABELS[:, None], LABELS) for gap in (1, 2)]
    assert [result.value for result in values] == [0, 0]
    assert all("saturated" in result.flags for result in values)
    assert values[1].parts["log_overlap"] < values[0].parts["log_overlap"] < -745


@pytest.mark.parametrize(
    ("features", "labels"),
    [(FEATURES * 1e-6, LABELS), (FEATURES, np.r_[LABELS[:-1], 9])],
    ids=["scale below the floor", "class of one sample"],
)
def test_a_spread_that_is_the_floor_is_flagged(features, labels):
    assert "degenerate" in score("gbc", features, labels).flags


def test_an_unknown_covariance_is_refused():
    with pytest.raises(ConfigError, match="covariance='full' is not one of 'spherical', 'diagonal'"):
        score("gbc", FEATURES, LABELS, covariance="full")

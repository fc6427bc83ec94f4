import numpy as np
import pytest

from tests.metrics.cases import golden_cases
from tmbench.metrics import score

CASES = golden_cases()
FEATURES, LABELS, _ = CASES["base"]


@pytest.mark.parametrize(
    ("case", "published"),
    [("base", -0.511), ("imbalanced_singleton", -0.280), ("missing_class", -0.599), ("relu_dead", -0.318)],
)
def test_is_near_the_published_code(case, published):
    """A mixture depends on its start: the mean of five seeds against one run with five full components a class."""
    features, labels, _ = CASES[case]
    values = [score("nleep", features, labels, seed=seed).value for seed in range(5)]
    assert np.mean(values) == pytest.approx(published, abs=0.08)


@pytest.mark.parametrize(
    ("samples", "components"), [(500, 25.0), (250, 25.0), (120, 12.0), (20, 2.0)], ids=lambda v: str(v)
)
def test_components_stay_well_below_the_samples(samples, components):
    rows = np.random.default_rng(0).permutation(500)[:samples]
    assert score("nleep", FEATURES[rows], LABELS[rows]).parts["components"] == components


def test_a_single_component_gives_the_entropy_of_the_labels():
    tiny = score("nleep", FEATURES[::30], LABELS[::30])
    shares = np.bincount(LABELS[::30]) / len(LABELS[::30])
    assert tiny.value == pytest.approx(np.sum(shares * np.log(shares)))
    assert tiny.flags == ("degenerate",)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_is_invariant_to_scale_and_offset(scale):
    expected = score("nleep", FEATURES, LABELS).value
    assert score("nleep", scale * (FEATURES + 3.0), LABELS).value == pytest.approx(expected, rel=1e-6)


def test_is_invariant_to_a_rotation():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 32)))
    expected = score("nleep", FEATURES, LABELS).value
    assert score("nleep", FEATURES @ rotation, LABELS).value == pytest.approx(expected, rel=1e-6)


def test_keeps_the_share_of_variance_asked_for():
    power = np.sort(np.linalg.eigvalsh(np.cov(FEATURES.T)))[::-1]
    needed = int(np.sum(np.cumsum(power) / power.sum() <= 0.5)) + 1
    assert score("nleep", FEATURES, LABELS, variance=0.5).parts["dimensions"] == needed


@pytest.mark.parametrize("covariance", ["full", "diagonal", "spherical"])
def test_every_covariance_is_a_variant_of_its_own(covariance):
    value = score("nleep", FEATURES, LABELS, covariance=covariance).value
    assert -np.log(5) <= value <= 0
    assert (value == score("nleep", FEATURES, LABELS).value) == (covariance == "full")


def test_many_classes_take_diagonal_covariances():
    features, labels, _ = CASES["many_classes"]
    chosen = score("nleep", features, labels).value
    assert chosen == score("nleep", features, labels, covariance="diagonal").value


def test_an_iteration_that_stops_early_is_flagged():
    assert "not_converged" in score("nleep", FEATURES, LABELS, iterations=1).flags

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.cases import golden_cases
from tmbench.metrics import score

CASES = golden_cases()
FEATURES, LABELS, _ = CASES["base"]


def log_evidence(features, target, alpha, beta):
    """log p(t | X, α, β) / n straight from the model: t ~ N(0, I/β + XXᵀ/α)."""
    n = len(target)
    covariance = np.eye(n) / beta + features @ features.T / alpha
    _, logdet = np.linalg.slogdet(covariance)
    return (-0.5 * logdet - 0.5 * target @ np.linalg.solve(covariance, target) - 0.5 * n * np.log(2 * np.pi)) / n


@given(
    st.integers(0, 2**32),
    st.integers(4, 25),
    st.integers(1, 30),
    st.floats(-6, 6),
    st.floats(-4, 4),
)
@settings(deadline=None, max_examples=100)
def test_no_pair_of_precisions_has_more_evidence(seed, n, d, log_alpha, log_beta):
    random = np.random.default_rng(seed)
    features = random.standard_normal((n, d))
    labels = random.integers(0, 3, n)
    labels[:2] = 0, 1
    targets = [(labels == c).astype(float) for c in np.unique(labels)]
    some = np.mean([log_evidence(features, t, np.exp(log_alpha), np.exp(log_beta)) for t in targets])
    assert float(score("logme", features, labels)) >= some - 1e-9


def test_the_maximum_is_attained():
    """A dense search over both precisions of the model itself comes within its own resolution."""
    rows = np.random.default_rng(0).permutation(500)[:60]
    features, labels = FEATURES[rows][:, :8], LABELS[rows]
    grid = np.exp(np.linspace(-4, 8, 61))
    best = [
        max(log_evidence(features, (labels == c).astype(float), alpha, beta) for alpha in grid for beta in grid)
        for c in range(5)
    ]
    assert float(score("logme", features, labels)) == pytest.approx(np.mean(best), abs=2e-3)


@pytest.mark.parametrize("case", ["n_lt_d", "n_lt_d_f32"])
def test_the_limit_of_no_noise_counts(case):
    """With n = rank some targets have their supremum at τ → 0, where p = N(0, XXᵀ/α) at the best α."""
    features, labels, _ = CASES[case]
    gram = np.float64(features) @ np.float64(features).T
    _, logdet = np.linalg.slogdet(gram)
    values = []
    for c in range(10):
        target = (labels == c).astype(float)
        limit = (
            -logdet / 200 - 0.5 * np.log(target @ np.linalg.solve(gram, target) / 100) - 0.5 * np.log(2 * np.pi) - 0.5
        )
        ridge = np.exp(np.arange(-10, 20, 1e-4))[:, None]
        eigenvalues, vectors = np.linalg.eigh(gram)
        squares = (vectors.T @ target) ** 2
        inner = max(
            np.max(
                -np.log1p(eigenvalues / part).sum(1) / 200
                - 0.5 * np.log((squares * part / (part + eigenvalues)).sum(1) / 100)
                - 0.5 * np.log(2 * np.pi)
                - 0.5
            )
            for part in np.array_split(ridge, 50)
        )
        values.append(max(limit, inner))
    assert float(score("logme", features, labels)) == pytest.approx(np.mean(values), rel=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e12])
@pytest.mark.parametrize("case", ["base", "n_lt_d", "relu_dead"])
def test_is_invariant_to_the_scale_of_the_features(case, scale):
    features, labels, _ = CASES[case]
    expected = float(score("logme", features, labels))
    assert float(score("logme", scale * features, labels)) == pytest.approx(expected, rel=1e-9)


def test_is_invariant_to_a_rotation_and_to_zero_features():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))
    padded = np.hstack([FEATURES, np.zeros((500, 8))])
    expected = float(score("logme", FEATURES, LABELS))
    assert float(score("logme", padded, LABELS)) == pytest.approx(expected, rel=1e-12)
    assert float(score("logme", padded @ rotation, LABELS)) == pytest.approx(expected, rel=1e-9)


def test_wider_features_without_information_gain_nothing():
    """The published default grows with (d - n) / n: 0.5 at d = 240, 5.3 at d = 512."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, 50)
    values = [float(score("logme", random.standard_normal((50, d)), labels)) for d in (20, 100, 1000)]
    assert max(values) - min(values) < 0.15


def test_noise_is_no_better_than_a_single_constant():
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1], 200)
    no_weights = -0.5 * np.log(0.5) - 0.5 * np.log(2 * np.pi) - 0.5
    value = float(score("logme", random.standard_normal((400, 3)), labels))
    assert value == pytest.approx(no_weights, abs=0.02)
    assert value >= no_weights


def test_a_perfect_fit_is_flagged():
    fitted = score("logme", np.eye(5)[LABELS], LABELS)
    assert fitted.flags == ("saturated",)
    assert np.isfinite(fitted.value)
    assert fitted.value > 5


def test_features_that_are_all_zero_are_flagged():
    assert score("logme", np.zeros((500, 4)), LABELS).flags == ("degenerate",)

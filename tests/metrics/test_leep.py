import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.cases import golden_cases, without_column
from tmbench.metrics import Sample, score

_, LABELS, POSTERIORS = golden_cases()["base"]


def entropy(shares):
    shares = shares[shares > 0]
    return -np.sum(shares * np.log(shares))


def soft_conditional_entropy(labels, posteriors):
    """H(Y|Z) of the joint distribution of labels and soft source classes."""
    joint = np.stack([posteriors[labels == c].sum(0) for c in np.unique(labels)]) / len(labels)
    return entropy(joint.ravel()) - entropy(joint.sum(0))


@given(
    st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 20), st.integers(2, 6), st.sampled_from([0.1, 1, 30, 1e4])
)
@settings(deadline=None, max_examples=150)
def test_bounds(seed, n, source_classes, classes, sharpness):
    """-H(Y) ≤ -H(Y|Z) ≤ LEEP ≤ 0, by Jensen; at every sharpness of the posteriors."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    labels[:2] = 0, 1
    logits = sharpness * random.standard_normal((n, source_classes))
    sample = Sample(labels=labels, logits=logits)
    value = float(score("leep", labels=labels, logits=logits))
    assert -soft_conditional_entropy(labels, sample.posteriors) - 1e-9 <= value <= 1e-9
    assert -entropy(np.bincount(labels) / n) - 1e-9 <= value


def test_source_classes_without_mass_predict_nothing():
    padded = np.insert(POSTERIORS, [0, 7, 20], 0.0, axis=1)
    expected = float(score("leep", labels=LABELS, posteriors=POSTERIORS))
    assert float(score("leep", labels=LABELS, posteriors=padded)) == pytest.approx(expected, rel=1e-12)


def test_logits_are_turned_into_probabilities_in_float64():
    logits = np.log(POSTERIORS) + 1e4
    expected = float(score("leep", labels=LABELS, posteriors=POSTERIORS))
    assert float(score("leep", labels=LABELS, logits=logits)) == pytest.approx(expected, rel=1e-9)


def test_a_masked_class_is_minus_infinity_in_the_logits():
    logits = np.log(POSTERIORS)
    logits[:, 0] = -np.inf
    expected = float(score("leep", labels=LABELS, posteriors=without_column(POSTERIORS)))
    assert float(score("leep", labels=LABELS, logits=logits)) == pytest.approx(expected, rel=1e-12)


def test_the_order_of_source_classes_is_irrelevant():
    order = np.random.default_rng(0).permutation(20)
    expected = float(score("leep", labels=LABELS, posteriors=POSTERIORS))
    assert float(score("leep", labels=LABELS, posteriors=POSTERIORS[:, order])) == pytest.approx(expected, rel=1e-12)


def test_posteriors_that_say_nothing_give_the_entropy_of_the_labels():
    flat = score("leep", labels=LABELS, posteriors=np.full((500, 20), 0.05))
    assert flat.value == pytest.approx(-np.log(5), rel=1e-12)
    assert flat.flags == ("degenerate",)


def test_a_perfect_source_saturates():
    perfect = score("leep", labels=LABELS, posteriors=np.eye(5, dtype=np.float16)[LABELS])
    assert perfect.value == pytest.approx(0, abs=1e-12)
    assert perfect.flags == ("saturated",)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rounded_rows_stay_in_range(dtype):
    """Rows that sum to 1 only up to their dtype's rounding must not carry the score past its ends."""
    row = np.full((500, 7), 1 / 7).astype(dtype)
    assert score("leep", labels=LABELS, posteriors=row).value == pytest.approx(-np.log(5), rel=1e-12)

"""Class subsets scored from the moments of each class, against scoring each from its own raw features alone."""

import numpy as np
import pytest

from tmbench.metrics import FeatureSet, Moments, evaluate, find_metric, score
from tmbench.metrics.feature_set import class_moments, moments

CALLS = [
    ("hscore", {}),
    ("hscore", {"variant": "comparable"}),
    ("logme", {}),
    ("logme", {"variant": "scale_free"}),
    ("gbc", {}),
    ("gbc", {"variant": "comparable"}),
    ("gbc", {"covariance": "diagonal"}),
    ("gbc", {"covariance": "full"}),
    ("shrunk_hscore", {"variant": "comparable"}),
    ("transrate", {}),
]


def network_like(n, d, classes, dtype=np.float32, seed=0):
    """Features after a ReLU, correlated, some of them dead, with class means; and labels under odd ids."""
    random = np.random.default_rng(seed)
    labels = random.choice(classes, n, p=random.dirichlet(np.full(classes, 5.0)))
    labels[:classes] = np.arange(classes)
    mixing = np.linalg.qr(random.standard_normal((d, d)))[0] * np.arange(1, d + 1) ** -0.5
    means = 0.6 * random.standard_normal((classes, d))
    features = np.maximum((means[labels] + random.standard_normal((n, d))) @ mixing, 0).astype(dtype)
    features[:, ::9] = 0
    return features, 3 * labels + 1


CASES = {
    "classes smaller than the features": network_like(900, 100, 12),
    "classes larger": network_like(4000, 70, 7),
    "float64": network_like(1500, 80, 6, np.float64),
    "half precision": network_like(1500, 80, 6, np.float16),
    "fewer samples than features": network_like(60, 90, 5),
    "far from 0": (network_like(1200, 70, 6, np.float64)[0] + 1e4, network_like(1200, 70, 6, np.float64)[1]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("metric", "parameters"), CALLS)
def test_a_subset_scores_as_its_raw_features_do(name, metric, parameters):
    features, labels = CASES[name]
    whole = class_moments(FeatureSet(features, labels))
    assert whole.reads == "class_moments"
    random = np.random.default_rng(1)
    ids = np.unique(labels)
    for size in (2, len(ids) // 2, len(ids) - 1):
        chosen = random.choice(ids, size, replace=False)
        rows = np.isin(labels, chosen)
        part = evaluate(find_metric(metric), whole.only_classes(chosen.tolist()), parameters)
        alone = evaluate(find_metric(metric), FeatureSet(features[rows], labels[rows]), parameters)
        assert part.value == pytest.approx(alone.value, rel=1e-8)
        assert part.flags == alone.flags


def test_ill_conditioned_features_are_decomposed_by_their_root():
    """A scatter squares the condition number: where it hides dimensions, the root has them still."""
    random = np.random.default_rng(2)
    left = np.linalg.qr(random.standard_normal((900, 20)))[0]
    features = left * np.logspace(0, -8, 20) @ np.linalg.qr(random.standard_normal((20, 20)))[0]
    labels = random.integers(0, 6, 900)
    part = class_moments(FeatureSet(features, labels)).only_classes([0, 2, 5])
    rows = np.isin(labels, [0, 2, 5])
    values = np.linalg.svd(features[rows] - features[rows].mean(axis=0), compute_uv=False)
    assert part.centred.rank == 20
    np.testing.assert_allclose(part.centred.values, values, rtol=1e-6)


def test_variances_far_below_the_largest_are_taken_from_the_root():
    random = np.random.default_rng(3)
    features = random.standard_normal((400, 10)) * np.logspace(0, -7, 10)
    labels = random.integers(0, 2, 400)
    axes = np.linalg.qr(random.standard_normal((10, 10)))[0]
    small = np.linalg.svd(features, full_matrices=False)[2][-2:].T
    whole = class_moments(FeatureSet(features, labels))
    for given in (axes, small):
        expected = [np.var((features @ given)[labels == label], axis=0) for label in (0, 1)]
        np.testing.assert_allclose(whole.class_variances(given), expected, rtol=1e-8)


def test_what_a_class_adds_is_computed_once_for_all_subsets():
    features, labels = CASES["classes larger"]
    whole = class_moments(FeatureSet(features, labels))
    first, second = whole.only_classes([1, 4, 7]), whole.only_classes([4, 7, 10])
    assert first.scatter is not second.scatter
    assert first.moments.groups[1] is second.moments.groups[0]
    assert first.moments.groups[1].scatter is second.moments.groups[0].scatter


def test_moments_keep_the_precision_that_the_features_had():
    features, labels = CASES["half precision"]
    sample = FeatureSet(features, labels)
    assert class_moments(sample).epsilon == sample.epsilon == np.finfo(np.float16).eps
    assert class_moments(sample).rank_tolerance == pytest.approx(sample.rank_tolerance, rel=1e-12)


def test_what_does_not_fit_the_budget_stays_as_rows(monkeypatch):
    features, labels = CASES["classes larger"]
    sample = FeatureSet(features, labels)
    monkeypatch.setattr(moments, "BUDGET", 7 * 3 * 70 * 70 * 8 - 1)
    assert class_moments(sample) is sample
    part = sample.only_classes([1, 4])
    rows = np.isin(labels, [1, 4])
    alone = evaluate(find_metric("logme"), FeatureSet(features[rows], labels[rows])).value
    assert evaluate(find_metric("logme"), part).value == pytest.approx(alone, rel=1e-8)


def test_what_has_no_rows_or_no_labels_stays_as_it_is():
    features, labels = CASES["classes larger"]
    for sample in (
        FeatureSet(features),
        FeatureSet(labels=labels),
        FeatureSet(moments=Moments.of(features, labels, by_class=True)),
    ):
        assert class_moments(sample) is sample


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_fourth_moments_of_a_subset(far):
    features, labels = CASES["float64"]
    features = features + far * (labels % 2)[:, None]
    part = class_moments(FeatureSet(features, labels)).only_classes([1, 4, 16])
    own = features[np.isin(labels, [1, 4, 16])]
    expected = float(np.sum(np.sum((own - own.mean(axis=0)) ** 2, axis=1) ** 2))
    assert part.fourth_moment == pytest.approx(expected, rel=1e-10)
    assert part.statistics.centred_norm2 == pytest.approx(float(np.sum((own - own.mean(axis=0)) ** 2)), rel=1e-10)


def test_saturated_hscores_are_equal():
    """At the end of its range nothing that rounding leaves may rank sources."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 5)
    found = [float(score("hscore", generator.normal(size=(15, 40)) * scale, labels)) for scale in (1e-3, 1.0, 1e4)]
    assert found == [2.0, 2.0, 2.0]

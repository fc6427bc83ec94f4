"""Scores of regression: scikit-learn's, the ablation of λ, true labels of the source, bins, baselines."""

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from tmbench.errors import ConfigError
from tmbench.metrics import BadSample, FeatureSet, evaluate, find_metric, score
from tmbench.metrics.feature_set.rows import Rows
from tmbench.metrics.transrate import cells
from tmbench.study.compose import OptionFolders, describe_options

ABLATION = {
    name: option
    for name, option in describe_options("metric", list(OptionFolders([]).names("metric")), OptionFolders([])).items()
    if name == "linmse0" or name.startswith("linmse1_lambda_")
}


def drawn(n, d, k, seed=0):
    random = np.random.default_rng(seed)
    features = random.standard_normal((n, d)) * random.uniform(0.1, 5, d) + random.uniform(-5, 5, d)
    return features, random.standard_normal((n, k)) + 0.3 * features[:, :1]


def error(model, features, targets):
    return np.mean(np.sum((targets - model.predict(features).reshape(targets.shape)) ** 2, axis=1))


@pytest.mark.parametrize(("n", "d", "k"), [(200, 20, 2), (60, 59, 1), (50, 50, 3), (30, 80, 2), (12, 300, 10)])
def test_agrees_with_scikit_learn(n, d, k):
    """To 1e-8, for n ≥ d and for n < d."""
    features, targets = drawn(n, d, k)
    free = LinearRegression().fit(features, targets)
    for name, arrays in (("linmse", {"features": features}), ("labmse", {"predictions": features})):
        value = float(score(f"{name}0", targets=targets, **arrays))
        assert value == pytest.approx(-error(free, features, targets), rel=1e-8, abs=1e-8)
        for penalty in (0.01, 1.0, 20.0):
            short = Ridge(alpha=n * penalty, solver="svd").fit(features, targets)
            expected = error(short, features, targets) + penalty * np.sum(short.coef_**2)
            value = float(score(f"{name}1", targets=targets, penalty=penalty, **arrays))
            assert value == pytest.approx(-expected, rel=1e-8)


def test_the_ablation_has_eleven_values():
    penalties = [option["parameters"].get("penalty", 0.0) for option in ABLATION.values()]
    assert sorted(penalties) == list(range(0, 21, 2))


@pytest.mark.parametrize(("n", "d"), [(120, 30), (30, 120)])
def test_the_ablation_costs_one_decomposition(n, d, monkeypatch):
    """And no other factorisation: eigenvalues, singular values, QR and Cholesky are counted, in whatever order."""
    import scipy.linalg

    counts = Counter()

    def counted(module, name):
        real = getattr(module, name)

        def call(*arguments, **more):
            counts[name] += 1
            return real(*arguments, **more)

        monkeypatch.setattr(module, name, call)

    counted(Rows, "decompose")
    counted(scipy.linalg, "cholesky")
    features, targets = drawn(n, d, 2)
    sample = FeatureSet(features, targets=targets)
    values = {}
    for option in reversed(ABLATION.values()):
        metric = find_metric(option["function"])
        values[option["parameters"].get("penalty", 0.0)] = evaluate(metric, sample, option["parameters"]).value
    assert counts == {"decompose": 1}
    assert len(values) == 11
    assert [values[penalty] for penalty in sorted(values)] == sorted(values.values(), reverse=True)


def test_a_penalty_of_0_is_linmse0():
    with pytest.raises(ConfigError, match="penalty"):
        score("linmse1", *drawn(10, 3, 1)[:1], targets=np.arange(10.0), penalty=0.0)


@pytest.mark.parametrize("name", ["labmse0", "labmse1"])
def test_true_labels_stand_in_place_of_predictions(name):
    """Samples for which the source's label is hidden are left out."""
    labels, targets = drawn(40, 2, 2)
    partly = labels.copy()
    partly[::4, 1] = np.nan
    known = np.isfinite(partly).all(axis=1)
    found = score(name, targets=targets, source={"targets": partly}, source_labels="given")
    expected = score(name, targets=targets[known], predictions=labels[known])
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    predicted = score(name, targets=targets, source={"targets": partly}, predictions=np.zeros((40, 2)))
    assert predicted.flags == ("degenerate",)


def test_true_labels_that_are_not_there_are_refused():
    targets = np.arange(4.0)
    with pytest.raises(BadSample, match=r"source\.targets"):
        score("labmse0", targets=targets, source={"size": 3}, source_labels="given")
    nearly = np.array([[1.0], [np.nan], [np.nan], [np.nan]])
    with pytest.raises(BadSample, match="is known for 1 of 4 samples"):
        score("labmse0", targets=targets, source={"targets": nearly}, source_labels="given")
    with pytest.raises(BadSample, match="one row a sample, for 4 samples"):
        score("labmse0", targets=targets, source={"targets": np.ones((3, 1))}, source_labels="given")


def test_what_is_declared_follows_the_labels():
    metric = find_metric("labmse0")
    assert metric.needs_of() == ("predictions", "targets")
    assert metric.facts_of() == ()
    assert metric.needs_of({"source_labels": "given"}) == ("source", "targets")
    assert metric.facts_of({"source_labels": "given"}) == ("targets",)


def by_loop(targets, bins):
    cell = []
    for row in targets:
        place = []
        for value, column in zip(row, targets.T, strict=True):
            edges = np.linspace(column.min(), column.max(), bins + 1)
            place.append(next((i for i in range(bins) if value < edges[i + 1]), bins - 1))
        cell.append(tuple(place))
    return cell


@pytest.mark.parametrize(("bins", "k"), [(5, 2), (2, 10), (3, 1)])
def test_bins_are_equal_parts_of_each_range(bins, k):
    _, targets = drawn(80, 3, k)
    expected = by_loop(targets, bins)
    ids = {cell: i for i, cell in enumerate(sorted(set(expected)))}
    assert cells(targets, bins).tolist() == [ids[cell] for cell in expected]
    assert cells(np.column_stack([targets, np.ones(80)]), bins).tolist() == cells(targets, bins).tolist()


@pytest.mark.parametrize("variant", ["exact", "comparable", "uniform", "official", "projected"])
def test_binned_transrate_is_that_of_the_cells_as_classes(variant):
    features, targets = drawn(80, 6, 2)
    sample = FeatureSet(features, targets=targets)
    binned = evaluate(find_metric("transrate"), sample, {"bins": 3, "variant": variant}).value
    expected = float(score("transrate", features, cells(targets, 3), variant=variant))
    assert binned == pytest.approx(expected, rel=1e-9)
    assert evaluate(find_metric("transrate"), sample, {"bins": 3, "variant": variant}).value == binned


def test_binned_transrate_shares_the_decomposition(monkeypatch):
    features, targets = drawn(80, 6, 2)
    sample = FeatureSet(features, targets=targets)
    calls = []
    real = Rows.decompose
    monkeypatch.setattr(Rows, "decompose", lambda rows, tolerance: calls.append(1) or real(rows, tolerance))
    for name, parameters in (("linmse0", {}), ("logme", {}), ("transrate", {"bins": 5}), ("transrate", {"bins": 2})):
        evaluate(find_metric(name), sample, parameters)
    assert len(calls) == 1


def test_one_bin_is_refused():
    with pytest.raises(ConfigError, match="bins=1 puts all samples in one class"):
        find_metric("transrate").bind({"bins": 1})


LABELS = np.array([0, 0, 0, 5, 5, 9])


def test_baselines_of_labels():
    assert float(score("negative_log_classes", labels=LABELS)) == pytest.approx(-np.log(3))
    shares = np.array([3, 2, 1]) / 6
    assert float(score("negative_label_entropy", labels=LABELS)) == pytest.approx(np.sum(shares * np.log(shares)))
    assert float(score("sample_count", labels=LABELS)) == 6
    assert float(score("sample_count", targets=np.arange(4.0))) == 4


def test_target_variance_is_what_the_mean_reaches():
    _, targets = drawn(50, 2, 3)
    expected = -np.mean((targets - targets.mean(axis=0)) ** 2)
    assert float(score("negative_target_variance", targets=targets)) == pytest.approx(expected)


BASELINES = ["negative_log_classes", "negative_label_entropy", "sample_count", "negative_target_variance"]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_take_no_vote_and_read_no_features(name):
    metric = find_metric(name)
    assert (metric.kind, metric.reads_of(), metric.levels) == ("baseline", "", ())

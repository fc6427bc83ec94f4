"""What every metric owes to whoever reads its scores; a metric added to tmbench/metrics is tested here at once."""

import inspect
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tests.metrics.cases import awkward_cases, golden_cases, rank_deficient
from tmbench.identity import Seeds
from tmbench.metrics import BadSample, Sample, evaluate, find_metric, names

SOURCE = {"parameters": 11_000_000, "accuracy": 0.7}
FEATURES, LABELS, POSTERIORS = golden_cases()["base"]
AWKWARD = awkward_cases()

every_metric = pytest.mark.parametrize("name", names())


def sample(features=FEATURES, labels=LABELS, posteriors=POSTERIORS, seed=0):
    return Sample(features, labels, posteriors=posteriors, source=SOURCE, seeds=Seeds(f"seed {seed}"))


@every_metric
def test_declares_and_documents_itself(name):
    metric = find_metric(name)
    assert metric.name == name
    assert metric.tasks
    assert metric.needs
    assert metric.version >= 1
    assert len(metric.summary) > 10
    document = inspect.getdoc(metric.function)
    assert "sample." in document, "the docstring says what it reads, with shapes"
    if metric.kind == "metric":
        assert "Range [" in document or "Any real value" in document
        assert "O(" in document, "the docstring says what it costs"
        assert any(year in document for year in map(str, range(2015, 2040))), "the docstring names its source"


@every_metric
@pytest.mark.parametrize("case", AWKWARD)
def test_survives_what_features_do(name, case):
    """A finite score within the declared range (evaluate checks both), and no warning."""
    features, labels, posteriors = AWKWARD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = evaluate(find_metric(name), sample(features, labels, posteriors))
    assert math.isfinite(score.value)
    assert all(math.isfinite(part) for part in score.parts.values())
    assert score.seconds >= 0


@every_metric
@pytest.mark.parametrize("case", ["base", "n < d", "rank deficient", "singleton"])
def test_float32_scores_as_the_same_numbers_in_float64(name, case):
    features, labels, posteriors = (AWKWARD | {"base": (FEATURES, LABELS, POSTERIORS)})[case]
    single, whole = features.astype(np.float32), posteriors.astype(np.float32).astype(np.float64)
    metric = find_metric(name)
    stored = evaluate(metric, sample(single, labels, whole)).value
    if case == "rank deficient":
        # Widened float32 has lost its rank; the float64 original of the same features has not.
        wide, *_ = rank_deficient()
        assert stored == pytest.approx(evaluate(metric, sample(wide, labels, whole)).value, rel=1e-3)
    else:
        assert stored == pytest.approx(evaluate(metric, sample(single.astype(float), labels, whole)).value, rel=1e-9)


@every_metric
def test_rounding_the_features_to_float32_changes_little(name):
    metric = find_metric(name)
    rounded = evaluate(metric, sample(FEATURES.astype(np.float32), posteriors=POSTERIORS.astype(np.float32))).value
    assert rounded == pytest.approx(evaluate(metric, sample()).value, rel=1e-3 if metric.randomised else 1e-5)


@every_metric
@pytest.mark.parametrize("case", ["base", "singleton", "n < d"])
def test_the_order_of_samples_is_irrelevant(name, case):
    features, labels, posteriors = (AWKWARD | {"base": (FEATURES, LABELS, POSTERIORS)})[case]
    metric = find_metric(name)
    order = np.random.default_rng(3).permutation(len(labels))
    shuffled = evaluate(metric, sample(features[order], labels[order], posteriors[order]))
    assert shuffled.value == pytest.approx(evaluate(metric, sample(features, labels, posteriors)).value, rel=1e-8)


@every_metric
def test_class_ids_are_irrelevant(name):
    metric = find_metric(name)
    renamed = np.array([907, 3, 55, 12, 400])[LABELS]
    assert evaluate(metric, sample(labels=renamed)).value == pytest.approx(evaluate(metric, sample()).value, rel=1e-12)


@every_metric
def test_the_same_seed_gives_the_same_bits(name):
    metric = find_metric(name)
    first, second = evaluate(metric, sample(seed=7)), evaluate(metric, sample(seed=7))
    assert first.value == second.value
    assert first.parts == second.parts
    assert first.flags == second.flags


@every_metric
def test_only_a_randomised_metric_reads_the_seed(name):
    metric = find_metric(name)
    values = {evaluate(metric, sample(seed=seed)).value for seed in range(3)}
    assert (len(values) > 1) == metric.randomised


@every_metric
def test_sharing_a_sample_changes_no_score(name):
    metric, shared = find_metric(name), sample()
    for other in names():
        evaluate(find_metric(other), shared)
    assert evaluate(metric, shared).value == evaluate(metric, sample()).value


@every_metric
def test_the_inputs_stay_as_they_are(name):
    arrays = [FEATURES.copy(), LABELS.copy(), POSTERIORS.copy()]
    evaluate(find_metric(name), sample(*arrays))
    for after, before in zip(arrays, (FEATURES, LABELS, POSTERIORS), strict=True):
        assert after.flags.writeable
        np.testing.assert_array_equal(after, before)


@every_metric
def test_one_class_is_refused(name):
    metric = find_metric(name)
    if "labels" not in metric.needs:
        pytest.skip("reads no labels")
    with pytest.raises(BadSample, match=r"needs 2; all 500 labels are 0\. Take more samples"):
        evaluate(metric, sample(labels=np.zeros_like(LABELS)))


@every_metric
def test_better_separated_classes_score_higher(name):
    metric = find_metric(name)
    if metric.kind == "baseline":
        pytest.skip("knows nothing of the target")
    values = []
    for pull in (0.0, 0.5, 1.0):
        means = np.stack([FEATURES[c == LABELS].mean(0) for c in range(5)])
        features = FEATURES + pull * means[LABELS]
        posteriors = (POSTERIORS + pull * np.eye(20)[LABELS]) / (1 + pull)
        values.append(evaluate(metric, sample(features, LABELS, posteriors)).value)
    assert values == sorted(values)
    assert values[0] < values[-1]


@every_metric
def test_what_it_does_not_declare_it_does_not_read(name):
    metric = find_metric(name)
    given = {"features": FEATURES, "labels": LABELS, "posteriors": POSTERIORS, "source": SOURCE}
    needed = {need: array for need, array in given.items() if need in metric.needs}
    assert evaluate(metric, Sample(**needed, seeds=Seeds("seed 0"))).value == evaluate(metric, sample()).value
    for need in metric.needs:
        with pytest.raises(BadSample, match=f"has no {need}"):
            evaluate(metric, Sample(**{other: array for other, array in needed.items() if other != need}))


def test_importing_every_metric_imports_no_heavy_library():
    program = (
        "import sys, tmbench.metrics as m; m.names();"
        "print(*sorted({'scipy', 'sklearn', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

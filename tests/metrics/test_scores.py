import doctest
import importlib

import numpy as np
import pytest

import tmbench.metrics
from tmbench.errors import TmbenchError
from tmbench.metrics import BadSample, NotFinite, OutOfRange, Sample, Score, evaluate, metric, names

SAMPLE = Sample(np.eye(4), [0, 0, 1, 1])


def returning(result, **declared):
    @metric(tasks=("classification",), needs=("features", "labels"), **declared)
    def given(sample):
        return result

    return given


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32("nan")])
def test_what_is_not_finite_is_never_returned(value):
    with pytest.raises(NotFinite, match=r"metric 'given' gave (nan|-?inf) on Sample\(n=4, d=4, classes=2\)"):
        evaluate(returning(value), SAMPLE)


def test_an_infinity_may_be_declared_but_nan_may_not():
    assert evaluate(returning(-np.inf, infinite=True), SAMPLE).value == -np.inf
    with pytest.raises(NotFinite):
        evaluate(returning(np.nan, infinite=True), SAMPLE)


def test_a_value_outside_the_declared_range_is_refused():
    def range_of(n, d, classes, **parameters):
        return 0.0, float(classes - 1)

    assert evaluate(returning(1 + 1e-12, range=range_of), SAMPLE).value > 1
    with pytest.raises(OutOfRange, match=r"outside its range \[0, 1\]"):
        evaluate(returning(1.01, range=range_of), SAMPLE)


def test_numbers_and_scores_become_scores_of_python_floats():
    plain = evaluate(returning(np.float32(0.5)), SAMPLE)
    assert (plain.value, plain.flags, dict(plain.parts)) == (0.5, (), {})
    full = evaluate(returning(Score(np.float64(2.0), flags=("saturated",), parts={"rank": np.int64(3)})), SAMPLE)
    assert (full.flags, full.parts) == (("saturated",), {"rank": 3.0})
    assert {type(full.value), type(full.parts["rank"]), type(full.seconds)} == {float}
    assert float(full) == 2.0


@pytest.mark.parametrize("result", [None, "high", [1.0, 2.0], np.zeros(3)])
def test_what_is_no_number_is_refused(result):
    with pytest.raises(TmbenchError, match="return a number or a Score"):
        evaluate(returning(result), SAMPLE)


def test_an_unknown_flag_is_refused():
    with pytest.raises(ValueError, match="'satuated' is no flag"):
        Score(1.0, flags=("satuated",))


def test_what_is_missing_is_named():
    with pytest.raises(BadSample, match=r"needs features, labels; this sample has no labels\. It has: features"):
        evaluate(returning(1.0), Sample(np.eye(3)))


def test_a_metric_cannot_write_into_the_sample():
    @metric(tasks=("classification",), needs=("features",))
    def centring(sample):
        features = sample.features
        features -= features.mean(0)
        return 0.0

    with pytest.raises(ValueError, match="read-only"):
        evaluate(centring, SAMPLE)


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in names())])
def test_the_examples_of_the_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"tmbench.metrics{name}")).failed == 0


def test_the_public_names_exist():
    assert all(hasattr(tmbench.metrics, name) for name in tmbench.metrics.__all__)

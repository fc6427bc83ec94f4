"""The table of the measures, what holds for all of them, and how an option file becomes one."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tmbench.errors import ConfigError
from tmbench.stats import columns
from tmbench.stats.measures import MEASURES, Measure, bound, regret, rel_at_k
from tmbench.study.options import MeasureOption

FILES = sorted((Path(__file__).parents[2] / "conf" / "measure").glob("*.yaml"))
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@every_measure
def test_shape_and_range(measure):
    generator = np.random.default_rng(1)
    truth, scores = generator.random((5, 1, 6)), generator.random((5, 3, 6))
    values = measure.function(truth, scores)
    assert values.shape == (5, 3)
    assert values.dtype == np.float64
    assert ((measure.low <= values) & (values <= measure.high)).all()
    perfect, worst = measure.function(truth, np.broadcast_to(truth, scores.shape)), measure.function(truth, -truth)
    np.testing.assert_allclose(perfect, 1.0 if measure.better == "higher" else 0.0, atol=1e-15)
    assert ((worst < perfect[:, :1]) if measure.better == "higher" else (worst > perfect[:, :1])).any()
    assert measure.function(truth[0, 0], scores[0, 0]).shape == ()
    assert measure.function(np.empty((0, 1, 6)), np.empty((0, 3, 6))).shape == (0, 3)
    assert measure.function(truth, np.empty((5, 0, 6))).shape == (5, 0)


@every_measure
def test_documented(measure):
    documentation = getattr(measure.function, "func", measure.function).__doc__
    assert "Range [" in documentation
    assert "a row." in documentation


@every_measure
@settings(max_examples=30, deadline=None)
@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(2, 20)), seed=st.integers(0, 2**32 - 1))
def test_a_value_depends_on_its_own_row_to_the_last_bit(measure, shape, seed):
    """Whatever else is computed with it, however the leading axes broadcast, and however it is cut into chunks."""
    generator = np.random.default_rng(seed)
    rows, metrics, n = shape
    truth = generator.choice(generator.random(2 * n), (rows * 10, 1, n))
    scores = generator.choice(generator.random(2 * n), (rows * 10, metrics, n))
    together = measure.function(truth, scores)
    single = [[measure.function(a[0], s) for s in of_pool] for a, of_pool in zip(truth, scores, strict=True)]
    np.testing.assert_array_equal(together, single)
    np.testing.assert_array_equal(together, measure.function(np.repeat(truth, metrics, axis=1), scores))
    np.testing.assert_array_equal(together[0], measure.function(truth[0], scores[0]))
    np.testing.assert_array_equal(together[:, 0], measure.function(truth[:, 0], scores[:, 0]))
    np.testing.assert_array_equal(
        measure.function(scores, truth), measure.function(scores, np.repeat(truth, metrics, axis=1))
    )
    np.testing.assert_array_equal(together[None].repeat(2, 0), measure.function(truth[None], np.stack([scores] * 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "COMPARISONS_PER_CHUNK", 3 * n * n * metrics)
        np.testing.assert_array_equal(together, measure.function(truth, scores))


@every_measure
@settings(max_examples=20, deadline=None)
@given(at=st.integers(0, 11), in_truth=st.booleans())
def test_nan_is_never_ranked(measure, at, in_truth):
    truth, scores = np.arange(12.0).reshape(3, 4), np.ones((3, 4))
    (truth if in_truth else scores).flat[at] = np.nan
    with pytest.raises(ValueError, match="truth holds NaN" if in_truth else "scores holds NaN"):
        measure.function(truth, scores)


@every_measure
def test_arrays_must_fit(measure):
    for truth, scores in ((np.ones(6), np.ones(4)), (np.ones((2, 0)), np.ones((2, 0))), (np.float64(1), np.ones(1))):
        with pytest.raises(ValueError, match="same number of candidates"):
            measure.function(truth, scores)
    with pytest.raises(ValueError, match="broadcast"):
        measure.function(np.ones((2, 3)), np.ones((4, 3)))


@every_measure
def test_constant_scores_get_what_random_ones_do(measure):
    """The exact value of ``at_random`` against a mean over many random rankings."""
    generator = np.random.default_rng(3)
    truth = np.array([0.9, 0.2, 0.5, 0.7, 0.5, 0.1])
    simulated = measure.function(truth, generator.random((40_000, 6)))
    assert measure.at_random(truth) == pytest.approx(simulated.mean(), abs=5 * simulated.std() / 200)
    if measure.random is None:
        assert measure.function(truth, np.full(6, 7.0)) == measure.at_random(truth)


@every_measure
def test_arrays_are_not_changed(measure):
    truth, scores = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])
    truth.flags.writeable = scores.flags.writeable = False
    assert measure.function(truth, scores) == measure.function([3, 1, 2], [1, 1, 2])


def test_option_files_and_the_table_agree():
    assert {file.stem for file in FILES} == set(MEASURES)
    for file in FILES:
        bound_here, shipped = MeasureOption(**yaml.safe_load(file.read_text())).bind(file.stem), MEASURES[file.stem]
        assert replace(bound_here, function=shipped.function) == shipped
        first, second = (
            (getattr(f, "func", f), getattr(f, "keywords", {})) for f in (bound_here.function, shipped.function)
        )
        assert first == second
        assert file.read_text().startswith("# ")


@every_measure
def test_measures_travel_to_other_processes(measure):
    copy = pickle.loads(pickle.dumps(measure))
    assert copy.function([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == measure.function([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert replace(copy, function=measure.function) == measure


def test_a_function_of_ours_keeps_what_is_known_of_it():
    measure = bound("rel_at_2", rel_at_k, {"k": 2})
    assert measure == Measure("rel_at_2", "rel at 2", 0.0, 1.0, measure.function, ratio=True)
    assert measure.function(np.array([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 1.0])) == 0.5
    assert bound("my_regret", regret, better="lower").title == "regret"
    with pytest.raises(ConfigError, match=r"mine\.yaml: better is 'higher'.*Write 'better: lower'"):
        bound("my_regret", regret, where="mine.yaml")


def test_a_measure_of_your_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def worst_error(truth, scores, power=1):\n"
        "    return np.abs(truth - scores).max(axis=-1) ** power\n"
    )
    option = MeasureOption(
        function=f"{tmp_path}/mine.py:worst_error", parameters={"power": 2}, title="worst error²", better="lower"
    )
    measure = option.bind("worst_error")
    assert (measure.title, measure.better, measure.low, measure.high) == ("worst error²", "lower", -np.inf, np.inf)
    assert measure.function(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 9
    assert option.key() == {"function": option.function, "parameters": {"power": 2}, "better": "lower"}
    wrong = option.model_copy(update={"parameters": {"pover": 2}})
    with pytest.raises(ConfigError, match=r"worst_error\.yaml: no parameter is named 'pover'. Nearest: 'power'"):
        wrong.bind("worst_error")

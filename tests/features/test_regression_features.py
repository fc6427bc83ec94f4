"""Passes over images with numbers: what is kept, and what metrics see of it."""

import numpy as np
import pytest
import torch
from regression_work import dots, pretraining, source, target
from sklearn.linear_model import LinearRegression

from tmbench.errors import ConfigError
from tmbench.features import has_place, keep, read, sample
from tmbench.identity import Seeds
from tmbench.metrics import FeatureSet, evaluate, find_metric
from tmbench.sources import build
from tmbench.sources.network import as_input, in_batches, penultimate
from tmbench.sources.pretrain import pretrain

LOST = {"lost": 0.3}
WHOLE = target(only=[], parameters=LOST)
OF_DIM = pretraining(target(only=["dim"], parameters=LOST))


@pytest.fixture(scope="module")
def weights():
    torch.set_num_threads(1)
    return pretrain(OF_DIM, Seeds("a")).weights


@pytest.fixture(scope="module")
def arrays(weights):
    places = {"penultimate": "moments", "stages.1": "class_moments", "prediction": "rows"}
    return keep(build(OF_DIM, weights), OF_DIM, WHOLE, read(WHOLE), places)


def test_rows_are_kept_whatever_is_asked_for_and_nothing_is_dropped(arrays):
    data = read(WHOLE)
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        "features/penultimate": ((60, 8), np.float32),
        "features/stages.1": ((60, 8), np.float32),
        "features/prediction": ((60, 2), np.float32),
        "predictions": ((60, 2), np.float32),
        "targets": ((60, 4), np.float64),
        "labels": ((60,), np.int64),
        "source/targets": ((60, 2), np.float64),
    }
    assert np.array_equal(arrays["targets"], data.values, equal_nan=True)
    assert 5 < np.isnan(arrays["targets"][:, 2]).sum() < 40
    assert np.array_equal(arrays["source/targets"], data.values[:, 2:], equal_nan=True)


def test_features_and_predictions_are_the_networks(arrays, weights):
    network = build(OF_DIM, weights)
    data = read(WHOLE)
    inputs = as_input(np.stack([data.image(i) for i in range(60)]), OF_DIM.input)
    assert np.allclose(arrays["features/penultimate"], in_batches(network, inputs, penultimate), atol=1e-5)
    assert np.allclose(arrays["predictions"], in_batches(network, inputs), atol=1e-5)
    assert np.array_equal(arrays["predictions"], arrays["features/prediction"])


def test_a_sample_has_the_images_that_show_what_is_predicted(arrays):
    bright, dim, both = (
        sample("regression", arrays, "penultimate", "object", part)
        for part in ({"columns": [0, 1]}, {"columns": [2, 3]}, {})
    )
    shown = np.isfinite(arrays["targets"][:, 2])
    assert len(bright["targets"]) == 60
    assert np.array_equal(bright["targets"], arrays["targets"][:, :2])
    assert np.array_equal(dim["targets"], arrays["targets"][shown, 2:])
    assert np.array_equal(both["targets"], arrays["targets"][shown])
    assert np.array_equal(dim["features"], arrays["features/penultimate"][shown])
    assert np.array_equal(dim["predictions"], arrays["predictions"][shown])
    assert np.array_equal(bright["source"]["targets"], arrays["source/targets"], equal_nan=True)
    assert "labels" not in bright


def test_the_target_says_which_columns_are_its_own():
    assert target(only=["dim"]).part() == {"columns": [2, 3]}
    assert target(only=["dim"], parameters=LOST).whole() == WHOLE


def test_scores_of_a_sample_are_those_of_its_arrays(arrays):
    held = sample("regression", arrays, "penultimate", "object", {"columns": [2, 3]})
    given = FeatureSet(**held)
    model = LinearRegression().fit(held["features"].astype(float), held["targets"])
    error = np.mean(np.sum((held["targets"] - model.predict(held["features"].astype(float))) ** 2, axis=1))
    assert evaluate(find_metric("linmse0"), given).value == pytest.approx(-error, rel=1e-6)
    # The source's true labels are the targets themselves: nothing is left unexplained.
    assert evaluate(find_metric("labmse0"), given, {"source_labels": "given"}).value == pytest.approx(0, abs=1e-12)
    assert evaluate(find_metric("labmse0"), given).value < -1e-6


def test_a_source_of_other_images_shares_no_labels(weights):
    arrays = keep(build(OF_DIM, weights), OF_DIM, target(seed=1), read(target(seed=1)), {"penultimate": "rows"})
    assert "source/targets" not in arrays
    assert "predictions" in arrays
    assert sample("regression", arrays, "penultimate", "object", {})["source"] == {}


def test_a_random_source_predicts_nothing():
    network = build(source())
    arrays = keep(network, source(), WHOLE, read(WHOLE), {"penultimate": "rows"})
    assert set(arrays) == {"features/penultimate", "targets", "labels"}
    held = sample("regression", arrays, "", "object", {})
    assert held["features"] is None
    assert held["predictions"] is None
    assert not has_place(network, "regression", "prediction")
    with pytest.raises(ConfigError, match="no head"):
        keep(network, source(), WHOLE, read(WHOLE), {"prediction": "rows"})


def test_places(weights):
    network = build(OF_DIM, weights)
    assert has_place(network, "regression", "prediction")
    assert has_place(network, "regression", "stages.0")
    assert not has_place(network, "regression", "stages.9")


def test_the_pass_reads_images_that_hide_a_point():
    assert len(read(target(only=["dim"], parameters=LOST).whole())) == 60
    assert np.isnan(dots("train", 60, Seeds("x"), lost=0.3).values).any()

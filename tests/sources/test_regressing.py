"""Pretraining on numbers: a source whose head predicts in their own units."""

import numpy as np
import pytest
import torch
from cuts import CutAt, to_the_end
from regression_work import pretraining, recipe, target

from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.network import as_input, in_batches
from tmbench.sources.pretrain import pretrain
from tmbench.targets import load

NUMBERS = target(
    points=[],
    numbers=["bright.x", "bright.y", "dim.x", "dim.y"],
    only=["dim.x"],
    parameters={"numbers": True, "lost": 0.2},
)


def made(source, *checkpoints, seed="a"):
    torch.set_num_threads(1)
    torch.seed()
    return pretrain(source, Seeds(seed), *checkpoints)


@pytest.mark.parametrize("of", [target(), NUMBERS])
def test_the_head_predicts_in_the_numbers_own_units(of):
    source = pretraining(of)
    done = made(source)
    network = build(source, done.weights)
    assert network.get_classifier().out_features == of.outputs
    data = load(of, "test")
    images = np.stack([data.image(i) for i in range(len(data))])
    predicted = in_batches(network, as_input(images, source.input)).double().numpy()
    error = np.mean((predicted - data.values[:, list(of.columns)]) ** 2)
    assert done.measures["negative_mse"] == pytest.approx(-error, rel=1e-5)
    assert ("pck" in done.measures) == bool(of.points)
    assert len(done.details["loss"]) == 2
    assert done.measures["train_loss"] == done.details["loss"][-1]
    assert done.details["outputs"] == list(of.output_names)
    assert (done.details["hidden"]["train"] > 0) == (of is NUMBERS)


def test_training_lowers_the_loss():
    curve = made(pretraining(by=recipe(epochs=6, learning_rates=[0.02]))).details["loss"]
    assert curve[-1] < 0.8 * curve[0]


@pytest.mark.parametrize("augment", ["none", "affine"])
def test_a_pretraining_that_is_cut_goes_on_to_the_same_weights(augment):
    source = pretraining(by=recipe(augment=augment))
    checkpoints = CutAt(lambda moment: moment % 2 == 0)
    again, whole = to_the_end(lambda kept: made(source, kept), checkpoints), made(source)
    assert checkpoints.cuts == 3
    assert again.measures == whole.measures
    assert all(np.array_equal(again.weights[name], array) for name, array in whole.weights.items())

"""The training loop that heads, whole networks and pretraining share."""

import numpy as np
import pytest
import torch
from torch import nn

from tmbench.identity import Seeds
from tmbench.sources.network import as_input, in_batches, penultimate
from tmbench.sources.options import Input
from tmbench.sources.recipe import ClassificationRecipe as Recipe
from tmbench.sources.small import residual_network, vision_transformer
from tmbench.sources.training import TrainingState, train
from tmbench.truth.heads import new_head, with_new_head

INPUT = Input(size=32)


def recipe(**changes):
    content = {"task": "classification", "trainable": "head", "epochs": 3, "learning_rates": [0.01], "batch_size": 8}
    return Recipe.model_validate(content | changes)


class FrozenBackbone(nn.Module):
    """A head on a backbone that is run at every step but never changes."""

    def __init__(self, backbone, head):
        super().__init__()
        self.backbone = [backbone]  # in a list, so that its weights are not this module's parameters
        self.head = head

    def forward(self, inputs):
        with torch.no_grad():
            features = penultimate(self.backbone[0], inputs)
        return self.head(features)


@pytest.fixture
def data():
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    return as_input(images, INPUT), torch.from_numpy(np.arange(30) % 3)


@pytest.mark.parametrize("build", [residual_network, vision_transformer])
def test_features_computed_once_train_the_head_that_a_frozen_network_trains(build, data):
    inputs, labels = data
    backbone = build(0, 32).eval()
    features = in_batches(backbone, inputs, penultimate)
    cached, frozen = (new_head(features.shape[1], 3, Seeds("a")) for _ in range(2))
    first = train(cached, features, labels, recipe(), 0.01, Seeds("a"))
    second = train(FrozenBackbone(backbone, frozen), inputs, labels, recipe(), 0.01, Seeds("a"))
    assert np.allclose(first, second, rtol=1e-4)
    assert torch.allclose(cached.weight, frozen.weight, atol=1e-4)


@pytest.mark.parametrize("build", [residual_network, vision_transformer])
def test_a_new_head_depends_on_the_seed_and_not_on_the_old_one(build):
    few, many = (with_new_head(build(classes, 32), 3, Seeds("a")).get_classifier() for classes in (2, 40))
    other = with_new_head(build(2, 32), 3, Seeds("b")).get_classifier()
    assert torch.equal(few.weight, many.weight)
    assert not torch.equal(few.weight, other.weight)


@pytest.mark.parametrize("changes", [{"optimizer": "sgd"}, {"augment": "shift"}, {"schedule": "constant"}])
def test_each_way_to_train_lowers_the_loss_and_repeats(changes, data):
    inputs, labels = data
    curves = []
    for _ in range(2):
        network = residual_network(3, 32, widths=(8, 8))
        network.load_state_dict(START)
        curves.append(train(network, inputs, labels, recipe(epochs=6, **changes), 0.01, Seeds("a")))
        assert not network.training
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0]


START = residual_network(3, 32, widths=(8, 8)).state_dict()


def test_a_batch_never_holds_a_single_image(data):
    """17 images in batches of 8 are 8 and 9: batch norm on one image would fail or lie."""
    labels = data[1]
    seen = []

    class Spy(nn.Linear):
        def forward(self, batch):
            seen.append(len(batch))
            return super().forward(batch)

    train(Spy(4, 3), torch.randn(17, 4), labels[:17], recipe(epochs=1), 0.01, Seeds("a"))
    assert sorted(seen) == [8, 9]


def test_the_learning_rate_rises_and_falls_step_by_step(data, monkeypatch):
    """Two steps of warm-up and the six of a half cosine, over the ends of epochs."""
    rates = []
    real = TrainingState.step

    def step(state, loss, rate, images):
        real(state, loss, rate, images)
        rates.extend({group["lr"] for group in state._optimizer.param_groups})

    monkeypatch.setattr(TrainingState, "step", step)
    train(nn.Linear(4, 3), torch.randn(30, 4), data[1], recipe(epochs=2, warm_up=0.2), 0.3, Seeds("a"))
    falling = [0.15 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, *falling])


def test_each_step_draws_anew(data):
    """A network's own draws differ from step to step."""
    drawn = []

    class Drawing(nn.Linear):
        def forward(self, batch):
            drawn.append(float(torch.rand(())))
            return super().forward(batch)

    train(Drawing(4, 3), torch.randn(30, 4), data[1], recipe(), 0.01, Seeds("a"))
    assert len(drawn) == len(set(drawn)) == 12

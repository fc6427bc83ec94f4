"""A training that is cut and goes on ends where the uninterrupted one ends, bit for bit."""

import numpy as np
import pytest
import torch
from cuts import Cut, CutAt, to_the_end
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tmbench.identity import Seeds
from tmbench.sources.checkpoints import PartOf, Saved
from tmbench.sources.network import as_input, weights_of
from tmbench.sources.options import Input
from tmbench.sources.pretrain import pretrain
from tmbench.sources.recipe import ClassificationRecipe as Recipe
from tmbench.sources.small import residual_network
from tmbench.sources.training import TrainingState, train

IMAGES, EPOCHS, STEPS = 30, 3, 4  # batches of 7 and 8
RATE = 0.01


def recipe(**changes):
    content = {"task": "classification", "trainable": "full", "epochs": EPOCHS, "learning_rates": [RATE]}
    return Recipe.model_validate(content | {"batch_size": 8, "warm_up": 0.2, "weight_decay": 0.05} | changes)


def convolutions():
    """With batch norm, and weights that lie channels last in memory as the studies' do."""
    return residual_network(3, 32, widths=(8, 8)).to(memory_format=torch.channels_last)


def dropping():
    """A ViT that draws at each step: dropout in three places, and whole paths."""
    drops = {"drop_rate": 0.2, "pos_drop_rate": 0.1, "proj_drop_rate": 0.1, "drop_path_rate": 0.3}
    return VisionTransformer(img_size=32, patch_size=8, num_classes=3, embed_dim=16, depth=2, num_heads=2, **drops)


class Flat(nn.Linear):
    """A head, on pixels for features."""

    def __init__(self):
        super().__init__(3 * 32 * 32, 3)

    def forward(self, batch):
        return super().forward(batch.flatten(1))


NETWORKS = {"convolutions": convolutions, "dropping": dropping, "head": Flat}


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    return as_input(images, Input(size=32)), torch.from_numpy(np.arange(IMAGES) % 3)


def trained(name, data, *checkpoints, rate=RATE, seed="a", **changes):
    """Weights and curve of a training; begun in a random state of its own, as another process would."""
    torch.manual_seed(1)
    network = NETWORKS[name]()
    torch.seed()
    curve = train(network, *data, recipe(**changes), rate, Seeds(seed), *checkpoints)
    assert not network.training
    return weights_of(network), curve


def equal(first, second):
    (weights, curve), (others, other) = first, second
    return (
        curve == other
        and weights.keys() == others.keys()
        and all(np.array_equal(weights[name], others[name]) for name in weights)
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("augment", ["none", "shift"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_cut_at_every_kth_step_ends_where_the_uninterrupted_one_does(name, augment, optimizer, data):
    changes = {"augment": augment, "optimizer": optimizer}
    whole = trained(name, data, **changes)
    for k in (1, 2, 3, 5):
        checkpoints = CutAt(lambda moment, k=k: moment % k == 0)
        assert equal(to_the_end(lambda kept: trained(name, data, kept, **changes), checkpoints), whole)
        assert checkpoints.moments == EPOCHS * STEPS  # no step was done twice, none left out
        assert checkpoints.cuts == EPOCHS * STEPS // k


@pytest.mark.parametrize("moment", range(1, EPOCHS * STEPS + 1))
def test_a_training_cut_once_at_any_step_goes_on(moment, data):
    """The first and the last step and the ends of epochs among them."""
    whole = trained("convolutions", data, augment="shift")
    checkpoints = CutAt(lambda now: now == moment)
    assert equal(to_the_end(lambda kept: trained("convolutions", data, kept, augment="shift"), checkpoints), whole)
    assert checkpoints.cuts == 1


def test_what_a_network_draws_is_the_seeds_and_leaves_the_callers_stream_alone(data):
    assert equal(trained("dropping", data), trained("dropping", data))
    assert not equal(trained("dropping", data), trained("dropping", data, seed="b"))
    network = dropping()
    torch.manual_seed(5)
    train(network, *data, recipe(), RATE, Seeds("a"))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize(
    "other",
    [{"rate": 0.02}, {"seed": "b"}, {"epochs": 2}, {"weight_decay": 0.1}, {"optimizer": "sgd"}, {"name": "dropping"}],
    ids=str,
)
def test_the_state_of_another_training_is_passed_over(other, data):
    checkpoints = CutAt(lambda moment: moment == 5)
    with pytest.raises(Cut):
        trained(other.get("name", "convolutions"), data, checkpoints, **{k: v for k, v in other.items() if k != "name"})
    assert equal(trained("convolutions", data, checkpoints), trained("convolutions", data))
    assert checkpoints.moments == 5 + EPOCHS * STEPS


def test_the_state_of_fewer_images_is_passed_over(data):
    fewer = data[0][:29], data[1][:29]  # as many steps
    checkpoints = CutAt(lambda moment: moment == 5)
    with pytest.raises(Cut):
        trained("convolutions", fewer, checkpoints)
    assert equal(trained("convolutions", data, checkpoints), trained("convolutions", data))


def test_a_state_is_a_copy(data):
    """What is saved does not change while the training goes on."""

    class Collected(CutAt):
        def save(self, saved):
            states.append((saved, {name: array.copy() for name, array in saved.arrays.items()}))

    states = []
    trained("convolutions", data, Collected(lambda moment: moment % 5 == 1))
    assert len(states) == 3
    for saved, then in states:
        assert all(np.array_equal(saved.arrays[name], array) for name, array in then.items())
        assert saved.facts["steps"] in range(1, STEPS + 1)


def test_the_moments_of_a_fused_optimiser_keep_the_layout_of_the_weights(data):
    checkpoints = CutAt(lambda moment: moment == 2)
    with pytest.raises(Cut):
        trained("convolutions", data, checkpoints)
    network = convolutions()
    state = TrainingState(network, recipe(), RATE, Seeds("a"), IMAGES)
    state.resume(checkpoints.saved())
    moments = state._optimizer.state
    assert len(moments) == len(list(network.parameters()))
    for parameter, values in moments.items():
        assert values["exp_avg"].stride() == values["exp_avg_sq"].stride() == parameter.stride()
        assert values["step"].shape == ()
    assert any(not parameter.is_contiguous() for parameter in moments)


def test_a_part_saves_the_whole():
    whole = CutAt(lambda moment: True)
    part = PartOf(whole, lambda: Saved({"best/w": np.ones(1)}, {"tried": [1]}))
    assert part.saved() is None
    with pytest.raises(Cut):
        part.save(Saved({"w": np.zeros(2)}, {"steps": 3}))
    saved = whole.saved()
    assert saved.facts == {"tried": [1], "part": {"steps": 3}}
    assert {name: array.tolist() for name, array in saved.arrays.items()} == {"best/w": [1], "part/w": [0, 0]}
    assert part.saved().facts == {"steps": 3}
    assert part.saved().arrays.keys() == {"w"}
    with pytest.raises(Cut):
        whole.save(Saved({}, {"tried": [1, 2]}))  # between two parts
    assert part.saved() is None


@pytest.mark.parametrize("k", [1, 4])
def test_a_pretraining_that_is_cut_gives_the_same_weights(k, tiny_source):
    whole = pretrain(tiny_source, Seeds("a"))
    checkpoints = CutAt(lambda moment: moment % k == 0)
    again = to_the_end(lambda kept: pretrain(tiny_source, Seeds("a"), kept), checkpoints)
    assert again.measures == whole.measures
    assert again.details == whole.details
    assert equal((again.weights, []), (whole.weights, []))
    assert checkpoints.moments == 10

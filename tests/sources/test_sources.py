import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tmbench.identity import Seeds
from tmbench.sources import BadWeights, build
from tmbench.sources.network import as_input, parameter_count, weights_of
from tmbench.sources.options import Input, Source
from tmbench.sources.pretrain import pretrain
from tmbench.sources.training import Diverged
from tmbench.study.compose import OptionFolders, describe_options

FOLDERS = OptionFolders()
SOURCES = describe_options("source", list(FOLDERS.names("source")), FOLDERS)
SIZES = {"train": 600, "validation": 40, "test": 200}


def source(name, **changes):
    return Source.model_validate({**SOURCES[name], **changes})


def small(**recipe):
    """A residual network and a pretraining of seconds."""
    content = SOURCES["small_resnet_strokes"]
    weights = content["weights"]
    target = {**weights["target"], "sizes": SIZES, "parameters": {"classes": 6}, "classes": 6}
    weights = {
        **weights,
        "target": target,
        "recipe": {**weights["recipe"], "epochs": 8, "learning_rates": [0.03], **recipe},
    }
    return source(
        "small_resnet_strokes",
        architecture={**content["architecture"], "parameters": {"widths": [8, 16, 32]}},
        weights=weights,
    )


@pytest.fixture(scope="module")
def pretrained():
    torch.set_num_threads(1)
    return pretrain(small(), Seeds("a"))


def test_pretraining_learns(pretrained):
    assert pretrained.measures["accuracy"] > 0.6  # chance is 1 in 6
    assert pretrained.details["loss"][-1] < pretrained.details["loss"][0]


def test_pretraining_is_the_same_bit_for_bit(pretrained):
    again = pretrain(small(), Seeds("a"))
    assert again.measures == pretrained.measures
    assert all(np.array_equal(again.weights[name], array) for name, array in pretrained.weights.items())
    other = pretrain(small(), Seeds("b"))
    assert any(not np.array_equal(other.weights[name], array) for name, array in pretrained.weights.items())


def test_weights_come_back(pretrained):
    network = build(small(), pretrained.weights)
    assert all(np.array_equal(weights_of(network)[name], array) for name, array in pretrained.weights.items())
    assert not network.training


def test_a_loss_that_is_not_finite_ends_pretraining():
    with pytest.raises(Diverged, match="learning rate"):
        pretrain(small(learning_rates=[1e30], optimizer="sgd", warm_up=0.0), Seeds("a"))


def test_weights_of_another_architecture_are_refused(pretrained):
    with pytest.raises(BadWeights, match="not this architecture's"):
        build(source("small_resnet_strokes"), pretrained.weights)
    with pytest.raises(BadWeights, match="not given"):
        build(small(), None)
    with pytest.raises(BadWeights, match="takes none"):
        build(source("small_resnet_random"), pretrained.weights)
    short = dict(list(pretrained.weights.items())[1:])
    with pytest.raises(BadWeights, match="is missing"):
        build(small(), short)


@pytest.mark.parametrize("name", ["small_resnet_random", "small_vit_random"])
def test_a_random_source_is_the_same_wherever_it_is_built(name):
    torch.manual_seed(1)
    first = weights_of(build(source(name)))
    torch.manual_seed(2)
    second = weights_of(build(source(name)))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    other = weights_of(build(source(name, weights={"kind": "random", "seed": 1})))
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    assert not source(name).has_head


def test_building_leaves_the_callers_random_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(source("small_vit_random"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith("small_")])
def test_every_small_source_takes_images_and_gives_features(name):
    option = source(name)
    from tmbench.sources.network import fresh, penultimate

    network = fresh(option, Seeds("x"))
    images = np.zeros((2, 32, 32, 3), np.uint8)
    features = penultimate(network, as_input(images, option.input))
    assert features.shape == (2, network.num_features)
    assert parameter_count(network) > 1000
    assert option.has_head == ("random" not in name)


def test_input_is_normalised_and_resized():
    images = np.full((1, 16, 16, 3), 255, np.uint8)
    out = as_input(images, Input(size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))
    assert out.shape == (1, 3, 32, 32)
    assert torch.allclose(out, torch.tensor(2.0))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"kind": "random", "sed": 1}, "sed"),
        ({"kind": "borrowed"}, "borrowed"),
        (
            {
                **SOURCES["small_resnet_strokes"]["weights"],
                "recipe": {**SOURCES["small_resnet_strokes"]["weights"]["recipe"], "learning_rates": [0.1, 0.2]},
            },
            "exactly one learning rate",
        ),
        (
            {
                **SOURCES["small_resnet_strokes"]["weights"],
                "recipe": {**SOURCES["small_resnet_strokes"]["weights"]["recipe"], "trainable": "head"},
            },
            "trainable=full",
        ),
    ],
)
def test_wrong_options_are_refused(weights, says):
    with pytest.raises(ValidationError, match=says):
        source("small_resnet_strokes", weights=weights)

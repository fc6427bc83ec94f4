import numpy as np
import pytest
import torch

from tmbench.errors import ConfigError
from tmbench.features import extract
from tmbench.identity import Seeds
from tmbench.sources.network import as_input, fresh
from tmbench.sources.options import Source
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import LabelledImages, load
from tmbench.targets.options import ClassificationTarget as Target

FOLDERS = OptionFolders()
SOURCES = describe_options("source", ["small_resnet_letters", "small_vit_letters", "small_resnet_random"], FOLDERS)
DIGITS = describe_options("target", ["digits"], FOLDERS)["digits"]


@pytest.fixture(scope="module")
def data():
    return load(Target.model_validate({**DIGITS, "sizes": {"train": 300, "validation": 10, "test": 10}}), "train")


def network_of(name):
    torch.set_num_threads(1)
    source = Source.model_validate(SOURCES[name])
    return fresh(source, Seeds("x")), source


@pytest.mark.parametrize(("name", "layer"), [("small_resnet_letters", "stages.0"), ("small_vit_letters", "blocks.0")])
def test_one_pass_gives_layers_logits_and_labels(name, layer, data):
    network, source = network_of(name)
    arrays = extract(network, source, data, ["penultimate", layer])
    assert set(arrays) == {"features/penultimate", f"features/{layer}", "logits", "labels"}
    assert {array.dtype for key, array in arrays.items() if key != "labels"} == {np.dtype(np.float32)}
    assert arrays["features/penultimate"].shape == (300, network.num_features)
    assert arrays["logits"].shape == (300, source.head_size)
    with torch.inference_mode():
        logits = network(as_input(data.images, source.input)).numpy()
    assert np.allclose(arrays["logits"], logits, atol=1e-5)


def test_rows_follow_the_order_of_the_images(data):
    network, source = network_of("small_resnet_letters")
    order = np.random.default_rng(0).permutation(len(data))
    shuffled = LabelledImages(data.images[order], data.labels[order], data.classes)
    straight, other = extract(network, source, data), extract(network, source, shuffled)
    assert np.array_equal(other["labels"], straight["labels"][order])
    assert np.allclose(other["features/penultimate"], straight["features/penultimate"][order], atol=1e-5)


def test_a_random_start_has_no_logits(data):
    network, source = network_of("small_resnet_random")
    assert "logits" not in extract(network, source, data)


def test_an_unknown_layer_gets_the_nearest(data):
    network, source = network_of("small_resnet_letters")
    with pytest.raises(ConfigError, match=r"no layer is named 'stages\.00'.*stages\.0"):
        extract(network, source, data, ["stages.00"])


def test_the_network_is_left_as_it_was(data):
    network, source = network_of("small_resnet_letters")
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extract(network, source, data, ["stages.0"])
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())

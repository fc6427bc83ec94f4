"""Sources whose weights, or whose start, come from a file; and the options that ship for them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from published_work import detector, drawn
from safetensors.torch import save_file
from torch import nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources import BadWeights, build
from tmbench.sources.network import (
    fresh,
    parameter_count,
    published_weights,
    start_of,
    weight_layers,
    weights_of,
)
from tmbench.sources.options import FileWeights, Source
from tmbench.sources.pretrain import pretrain
from tmbench.study.compose import OptionFolders, describe_options

torch.set_num_threads(1)
ARCHITECTURE = {"function": "tmbench.sources.small:residual_network", "parameters": {"widths": [8, 8]}}


@pytest.fixture
def file_source(tmp_path):
    """A source of a small network whose file has a head of four classes, drawn at random."""
    path = tmp_path / "weights.safetensors"
    weights = {"kind": "file", "file": str(path), "layout": "timm", "head_classes": 4}
    source = Source.model_validate({"architecture": ARCHITECTURE, "input": {"size": 32}, "weights": weights})
    network = drawn(fresh(source, Seeds("published")))
    save_file({name: value.clone().contiguous() for name, value in network.state_dict().items()}, path)
    return source


def with_head(source, classes):
    weights = source.weights.model_copy(update={"head_classes": classes})
    return source.model_copy(update={"weights": weights})


def test_a_source_of_a_file_has_the_files_weights(file_source):
    network = build(file_source)
    from safetensors.numpy import load_file

    stored = load_file(file_source.weights.file)
    for name, array in weights_of(network).items():
        np.testing.assert_array_equal(array, stored[name])
    assert not network.training
    said = published_weights(network)
    assert (said["loaded"], said["head"], said["fresh"]) == (len(stored), "loaded", [])
    assert len(said["sha256"]) == 64
    assert published_weights(nn.Linear(1, 1)) == {}


def test_a_promised_head_must_be_there(file_source):
    with pytest.raises(BadWeights, match=r"no head of 5 classes \(it has head of 4 outputs\)"):
        build(with_head(file_source, 5))
    headless = build(with_head(file_source, 0))
    assert published_weights(headless)["left_out"] == {"head of 4 outputs": 2}


def test_a_source_of_a_file_takes_no_other_weights(file_source):
    with pytest.raises(BadWeights, match="its own file"):
        build(file_source, weights_of(build(file_source)))


def starting(tiny_source, file_source, **recipe):
    """The tiny source, whose pretraining begins with the file's weights."""
    changed = {"start": file_source.weights, "recipe": tiny_source.weights.recipe.model_copy(update=recipe)}
    return tiny_source.model_copy(update={"weights": tiny_source.weights.model_copy(update=changed)})


def test_a_start_from_a_file_keeps_what_the_file_holds_and_draws_the_rest(tiny_source, file_source):
    same = starting(tiny_source, file_source)  # four classes as well
    network = start_of(same, Seeds("a"))
    assert published_weights(network)["head"] == "loaded"
    other = same.model_copy(
        update={"weights": same.weights.model_copy(update={"start": with_head(file_source, 0).weights})}
    )
    network, drawn_head = weights_of(start_of(other, Seeds("a"))), weights_of(fresh(other, Seeds("a")))
    stored = weights_of(build(file_source))
    for name, array in network.items():
        np.testing.assert_array_equal(array, (drawn_head if name.startswith("head.fc") else stored)[name])
    assert not np.array_equal(network["head.fc.weight"], stored["head.fc.weight"])


def test_without_a_file_a_start_is_the_fresh_network(tiny_source):
    first, second = weights_of(start_of(tiny_source, Seeds("a"))), weights_of(fresh(tiny_source, Seeds("a")))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert published_weights(start_of(tiny_source, Seeds("a"))) == {}


def test_pretraining_goes_on_from_the_file(tiny_source, file_source):
    source = starting(tiny_source, file_source, learning_rates=(1e-12,), epochs=1)
    result = pretrain(source, Seeds("a"))
    stored = weights_of(build(file_source))
    assert result.details["start"]["head"] == "loaded"
    moved = {name: np.abs(result.weights[name] - stored[name]).max() for name in stored if "running" not in name}
    assert max(value for name, value in moved.items() if "num_batches" not in name) < 1e-9
    assert "start" not in pretrain(tiny_source, Seeds("a")).details


def test_pretraining_of_the_head_alone_is_refused(tiny_source, file_source):
    with pytest.raises(ConfigError, match="trainable=full"):
        pretrain(starting(tiny_source, file_source, trainable="head"), Seeds("a"))


def test_of_a_detector_the_backbone_counts():
    network = detector()
    assert parameter_count(network) == sum(parameter.numel() for parameter in network.backbone.parameters())
    assert weight_layers(network) == sum(isinstance(module, nn.Conv2d) for module in network.backbone.modules())


DETECTION = {
    "task": "detection",
    "trainable": "full",
    "image_size": 32,
    "epochs": 1,
    "batch_size": 1,
    "learning_rates": [0.001],
    "pyramid": {"channels": 8},
    "heads": {"masks": False, "box_convolutions": 0, "box_width": 8},
}
OBJECTS = {"task": "detection", "function": "nowhere:at_all", "classes": 3, "image_size": 32}


def test_a_pretrained_detector_is_built_whole():
    """The detector around the architecture, with every weight that its pretraining gave."""
    from tmbench.sources.detection.detector import detector as around

    weights = {"kind": "pretrain", "target": OBJECTS, "recipe": DETECTION}
    architecture = {**ARCHITECTURE, "parameters": {"widths": [8, 8, 8, 8]}}
    source = Source.model_validate({"architecture": architecture, "input": {"size": 32}, "weights": weights})
    trained = drawn(around(source, fresh(source, Seeds("a")), source.detector, 3, Seeds("a")))
    network = build(source, weights_of(trained))
    expected = weights_of(trained)
    assert all(np.array_equal(array, expected[name]) for name, array in weights_of(network).items())
    assert not network.training
    assert parameter_count(network) == sum(parameter.numel() for parameter in network.backbone.parameters())


PUBLISHED = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "conf" / "source").glob("*.yaml")
    if path.stem.startswith(("vit_", "resnet50", "fasterrcnn"))
)
MILLIONS = {"base": 85.8, "large": 303.3, "resnet50": 23.5}
"""Parameters without the head, as the papers say."""
OPTIONS = describe_options("source", PUBLISHED, OptionFolders())


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_options_of_published_weights(name):
    source = Source.model_validate(OPTIONS[name])
    assert source.resources.gpus == 1
    white = (np.ones(3) - source.input.mean) / source.input.std
    assert np.all((white > 0.9) & (white < 3))
    if isinstance(source.weights, FileWeights):
        assert source.weights.url.endswith(source.weights.file) or (not source.weights.url and "large_moco" in name)
        assert source.has_head == source.tells_accuracy == (source.head_size == 1000)
        assert source.has_head == (name.endswith("supervised") or "imagenet" in name)
    if "timm_network" in source.architecture.function:
        with torch.device("meta"):  # shapes without numbers
            from tmbench.sources.zoo import timm_network

            network = timm_network(source.head_size, source.input.size, **source.architecture.parameters)
        assert not any(key.startswith("fc_norm") for key in network.state_dict())
        millions = next(count for part, count in MILLIONS.items() if part in name)
        assert parameter_count(network) / 1e6 == pytest.approx(millions, rel=0.01)

"""Networks cut after a module, and networks joined: they read and train like the networks they are made of."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tmbench.errors import ConfigError
from tmbench.features import extract
from tmbench.identity import Seeds
from tmbench.sources import BadWeights, build
from tmbench.sources.freezing import freeze
from tmbench.sources.network import fresh, load_weights, parameter_count, penultimate, weights_of
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe, SegmentationRecipe
from tmbench.sources.segmentation.segmenter import segmenter
from tmbench.sources.segmentation.trunks import trunk_maps
from tmbench.sources.views import CutNetwork, JoinedNetworks, joined_weights, weights_of_part
from tmbench.sources.zoo import timm_network
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import LabelledImages
from tmbench.targets.options import ClassificationTarget
from tmbench.truth import fine_tune

NAMES = ["small_resnet_letters", "small_vit_letters", "small_resnet_random", "small_vit_random"]
SOURCES = describe_options("source", NAMES, OptionFolders())
DIGITS = describe_options("target", ["digits"], OptionFolders())["digits"]
HEAD = describe_options("recipe", ["classification/head"], OptionFolders())["classification/head"]


def source(name, **changes):
    torch.set_num_threads(1)
    return Source.model_validate({**SOURCES[name], **changes})


def weights(name):
    return weights_of(fresh(source(name), Seeds("trained")))


@pytest.fixture
def data():
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images, np.zeros(5, dtype=np.int64), tuple("ab"))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("small_resnet_letters", "stages.1.0.conv1_kxk"),
        ("small_resnet_letters", "stages.0"),
        ("small_vit_letters", "blocks.0"),
        ("small_resnet_random", "stages.2"),
        ("small_vit_random", "patch_embed"),
    ],
)
def test_its_penultimate_features_are_the_layers_of_the_whole(name, layer, data):
    """So that one pass over the whole network serves all of its layers."""
    trained = weights(name) if name.endswith("letters") else None
    of_whole = extract(build(source(name), trained), source(name), data, [layer])[f"features/{layer}"]
    cut = source(name, layer=layer)
    arrays = extract(build(cut, trained), cut, data)
    assert np.array_equal(arrays["features/penultimate"], of_whole)
    assert "logits" not in arrays


@pytest.mark.parametrize("layer", ["layer1.0", "layer4.1", "layer4.2.act1", "global_pool"])
def test_residual_networks_of_the_zoo(layer):
    """What comes after the module is neither computed nor there."""
    torch.manual_seed(0)
    whole = timm_network(10, 64, "resnet50").eval()
    images, found = torch.rand(2, 3, 64, 64), []
    hook = whole.get_submodule(layer).register_forward_hook(lambda module, given, out: found.append(out))
    with torch.no_grad():
        whole(images)
    hook.remove()
    everything = sum(parameter.numel() for parameter in whole.parameters())
    later = [whole.fc, *([whole.layer4[2]] if layer in ("layer1.0", "layer4.1") else [])]
    ran = []
    for module in later:
        module.register_forward_hook(lambda *_: ran.append(1))
    cut = CutNetwork(whole, layer, 64)
    ran.clear()  # one image is sent through it whole
    with torch.no_grad():
        assert torch.equal(cut.forward_features(images), found[0])
    assert not ran
    assert parameter_count(cut) <= everything - sum(p.numel() for module in later for p in module.parameters())
    assert not any(name.startswith("body.fc") for name in weights_of(cut))


def test_a_module_that_serves_several_times_gives_its_last_output():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Conv2d(3, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1)

        def forward_features(self, inputs):
            return self.last(self.again(self.first(self.again(inputs))))

        def forward_head(self, features, pre_logits=False):
            return features.mean((2, 3))

    network = Twice()
    images = torch.rand(2, 3, 8, 8)
    expected = torch.tanh(network.first(torch.tanh(images)))
    cut = CutNetwork(network, "again", 8)
    for _ in range(2):
        assert torch.allclose(cut.forward_features(images), expected)
    assert isinstance(cut.body.last, nn.Identity)


def test_all_of_a_cut_network_learns_by_the_gradient_of_its_whole():
    cut = CutNetwork(build(source("small_resnet_letters"), weights("small_resnet_letters")), "stages.1", 32)
    cut.reset_classifier(3)
    images = torch.rand(4, 3, 32, 32)
    cut(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in cut.parameters())
    # The same through the whole network's own modules.
    whole = build(source("small_resnet_letters"), weights("small_resnet_letters"))
    maps = whole.stages[1](whole.stages[0](whole.stem(images)))
    cut.head(maps.mean((2, 3))).square().sum().backward()
    for name, parameter in cut.body.named_parameters():
        assert torch.allclose(parameter.grad, whole.get_parameter(name).grad, rtol=1e-4, atol=1e-6), name


def test_half_of_a_cut_network_is_its_own_last_stage_and_head():
    cut = CutNetwork(build(source("small_resnet_letters"), weights("small_resnet_letters")), "stages.2", 32)
    cut.reset_classifier(3)
    freeze(cut, "half")
    trained = {name for name, parameter in cut.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in cut.named_parameters() if name.startswith(("body.stages.2.", "head."))}
    assert trained


def test_half_of_joined_networks_is_the_last_stage_of_each_and_the_head():
    parts = [build(source(name), weights(name)) for name in ("small_resnet_letters", "small_vit_letters")]
    joined = JoinedNetworks(parts, 32)
    joined.reset_classifier(3)
    freeze(joined, "half")
    trained = {name for name, parameter in joined.named_parameters() if parameter.requires_grad}
    last = ("parts.0.stages.3.", "parts.1.blocks.1.", "parts.1.norm", "parts.1.fc_norm", "head.")
    assert trained == {name for name, _ in joined.named_parameters() if name.startswith(last)}
    assert {name.split(".")[1] for name in trained if name.startswith("parts")} == {"0", "1"}


def pair(first, second, **changes):
    return source(first, beside={second: SOURCES[second]}, **changes)


def test_joined_features_stand_side_by_side(data):
    joined = pair("small_resnet_letters", "small_resnet_random")
    given = joined_weights([weights("small_resnet_letters"), None])
    arrays = extract(build(joined, given), joined, data)["features/penultimate"]
    each = [
        extract(build(source(name), own), source(name), data)["features/penultimate"]
        for name, own in (("small_resnet_letters", weights("small_resnet_letters")), ("small_resnet_random", None))
    ]
    assert np.array_equal(arrays, np.concatenate(each, axis=1))
    network = build(joined, given)
    assert network.num_features == arrays.shape[1]
    assert parameter_count(network) == sum(
        parameter_count(build(source(name), own))
        for name, own in (("small_resnet_letters", weights("small_resnet_letters")), ("small_resnet_random", None))
    )


def test_a_part_may_be_cut():
    joined = pair("small_resnet_letters", "small_vit_random", layer="stages.0")
    network = build(joined, joined_weights([weights("small_resnet_letters"), None]))
    assert network.num_features == 16 + 96
    assert [type(part).__name__ for part in network.parts] == ["CutNetwork", "VisionTransformer"]


def test_weights_of_parts_come_back():
    given = [{"a": np.zeros(1)}, None, {"a": np.ones(2), "b": np.ones(3)}]
    joined = joined_weights(given)
    assert set(joined) == {"0/a", "2/a", "2/b"}
    assert [weights_of_part(joined, number) for number in range(3)] == given
    assert joined_weights([None, None]) is None
    assert weights_of_part(None, 0) is None


def test_weights_that_are_missing_or_foreign_are_refused():
    joined = pair("small_resnet_letters", "small_vit_letters")
    with pytest.raises(BadWeights, match="not given"):
        build(joined, joined_weights([weights("small_resnet_letters"), None]))
    with pytest.raises(BadWeights, match="not this architecture's"):
        build(joined, joined_weights([weights("small_vit_letters"), weights("small_resnet_letters")]))


def test_no_such_place():
    with pytest.raises(ConfigError, match=r"stages\.9"):
        build(source("small_resnet_random", layer="stages.9"))
    with pytest.raises(ConfigError, match=r"does not come through .head\.fc."):
        CutNetwork(build(source("small_resnet_letters"), weights("small_resnet_letters")), "head.fc", 32)


def cut():
    return source("small_resnet_letters", layer="stages.2"), weights("small_resnet_letters")


def both():
    given = joined_weights([weights("small_resnet_letters"), weights("small_vit_letters")])
    return pair("small_resnet_letters", "small_vit_letters"), given


@pytest.mark.parametrize("view", [cut, both])
@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_they_are_fine_tuned(view, trainable):
    option, trained = view()
    target = ClassificationTarget.model_validate({**DIGITS, "sizes": {"train": 40, "validation": 20, "test": 20}})
    changes = {"trainable": trainable, "epochs": 2, "batch_size": 16, "learning_rates": [0.003]}
    recipe = ClassificationRecipe.model_validate({**HEAD, **changes})
    truth = fine_tune(option, trained, target, recipe, Seeds("truth"))
    losses = truth.details["rates"][0]["loss"]
    assert losses[-1] < losses[0]
    assert 0 <= truth.measures["accuracy"] <= 1


@pytest.mark.parametrize("view", [cut, both])
def test_a_copy_is_a_network_of_its_own(view):
    """Segmentation and resizing copy networks; the copy ends where it should, whatever becomes of the other."""
    network = build(*view())
    copied = copy.deepcopy(network)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = network(images)
        for parameter in network.parameters():
            parameter.zero_()
        assert torch.equal(copied(images), expected)


def test_maps_of_joined_networks_are_stacked_at_the_finest():
    network = build(*both())
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        (stacked,) = trunk_maps(network, images, fused=False)
        each = [trunk_maps(part, images, fused=False)[0] for part in network.parts]
    assert [tuple(one.shape) for one in each] == [(2, 128, 2, 2), (2, 96, 4, 4)]
    assert tuple(stacked.shape) == (2, 224, 4, 4)
    assert torch.equal(stacked[:, 128:], each[1])
    # The middle of a map that is made finer linearly lies between its values; corners are kept.
    assert torch.allclose(stacked[:, :128, [0, 0, 3, 3], [0, 3, 0, 3]], each[0].flatten(2))


@pytest.mark.parametrize("view", [cut, both])
@pytest.mark.parametrize("fused", [False, True])
def test_they_segment(view, fused):
    option, trained = view()
    decoder = {"task": "segmentation", "trainable": "full", "epochs": 1, "learning_rates": [0.01], "batch_size": 2}
    recipe = SegmentationRecipe.model_validate({**decoder, "fused": fused})
    model = segmenter(build(option, trained, task="segmentation"), recipe, 3, 32, Seeds("decoder"))
    logits = model(torch.rand(2, 3, 32, 32))
    assert logits.shape[:2] == (2, 3)
    logits.sum().backward()
    # All but what pools a part's map into one vector.
    assert {name for name, p in model.named_parameters() if p.grad is None} <= {
        "trunk.parts.1.fc_norm.weight",
        "trunk.parts.1.fc_norm.bias",
    }


@pytest.mark.parametrize("view", [cut, both])
def test_a_checkpoint_fits(view):
    option, trained = view()
    network = build(option, trained)
    network.reset_classifier(4)
    saved = weights_of(network)
    again = build(option, trained)
    again.reset_classifier(4)
    load_weights(again, saved)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), network.eval()(images))
        assert torch.equal(again.head(penultimate(again, images)), again(images))

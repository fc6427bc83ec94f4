"""Segmentation networks: maps of any trunk, decoders, and what is taken over from a source."""

import pytest
import timm
import torch
from segmentation_work import SIZE, recipe, source
from torch import nn
from torch.nn.functional import interpolate

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.network import build, parameter_count, weights_of
from tmbench.sources.resizing import at_size
from tmbench.sources.segmentation.decoders import LightDecoder, Stacked
from tmbench.sources.segmentation.segmenter import segmenter
from tmbench.sources.segmentation.trunks import trunk_maps

SEEDS = Seeds("a unit")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def images(count=2, size=SIZE):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


SOURCES = {
    "small": (source(), 16, 4),
    "resnet": (source("zoo:timm_network", name="resnet18"), 8, 1),
    "transformer": (source("zoo:plain_vit", width=16, depth=4, heads=2), 4, 4),
    "fixed transformer": (source("small:vision_transformer", width=16), 4, 4),
}
"""With the positions a side of the finest and of the last map."""


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_logits_have_the_resolution_of_the_finest_map(name, fused):
    option, finest, last = SOURCES[name]
    side = finest if fused else last
    model = segmenter(build(option), recipe(fused=fused), 5, SIZE, SEEDS)
    assert model(images()).shape == (2, 5, side, side)
    assert not model.training


def test_the_stages_that_are_stacked():
    resnet = timm.create_model("resnet18", num_classes=0).eval()
    assert [each.shape[1:] for each in trunk_maps(resnet, images(1), fused=True)] == [
        (64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)
    ]  # fmt: skip
    vit = build(source("zoo:plain_vit", width=16, depth=8, heads=2))
    wanted = vit.forward_intermediates(images(1), indices=[1, 3, 5, 7], norm=True, intermediates_only=True)
    torch.testing.assert_close(list(trunk_maps(vit, images(1), fused=True)), wanted)


def test_an_hrnet_gives_the_branches_of_its_last_stage():
    network = timm.create_model("hrnet_w18_small", num_classes=0).eval()
    found = []
    network.stage4.register_forward_hook(lambda module, arguments, output: found.extend(output))
    with torch.no_grad():
        network.forward_features(images(1, 64))
        wanted, found = found, []
        maps = trunk_maps(network, images(1, 64), fused=True)
    assert [each.shape[1:] for each in maps] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2)]
    torch.testing.assert_close(list(maps), list(wanted))


def test_fused_maps_are_those_of_a_convolution_over_their_stack():
    stacked = Stacked([3, 5], 4).eval()
    maps = [torch.rand(2, 3, 8, 8), torch.rand(2, 5, 2, 2)]
    whole = torch.cat([maps[0], interpolate(maps[1], (8, 8), mode="bilinear", align_corners=False)], dim=1)
    torch.testing.assert_close(stacked(maps), torch.relu(stacked.norm(stacked.convolution(whole))))


@pytest.mark.parametrize(
    ("kind", "fused", "convolutions"),
    [("linear", False, 1), ("linear", True, 2), ("fcn", False, 2), ("fcn", True, 3), ("deeplab", False, 8)],
)
def test_a_decoder_ends_in_one_convolution_that_tells_the_classes(kind, fused, convolutions):
    decoder = LightDecoder(recipe(decoder=kind, fused=fused), [6, 10] if fused else [10], 5).eval()
    assert sum(isinstance(module, nn.Conv2d) for module in decoder.modules()) == convolutions
    maps = [torch.rand(2, 6, 8, 8), torch.rand(2, 10, 4, 4)]
    features = decoder.features(maps)
    torch.testing.assert_close(decoder(maps), decoder.classifier(features))
    assert features.shape == (2, 10 if (kind, fused) == ("linear", False) else 8, *([8, 8] if fused else [4, 4]))


def test_a_source_of_another_task_stays_as_it_is_and_loses_its_head_in_the_copy():
    network = timm.create_model("resnet18", num_classes=7).eval()
    before = weights_of(network)
    model = segmenter(network, recipe(), 3, SIZE, SEEDS)
    assert network.get_classifier().out_features == 7
    assert not [name for name in weights_of(model) if name.startswith("trunk.fc")]
    with torch.no_grad():
        model.trunk.conv1.weight.zero_()
    assert (weights_of(network)["conv1.weight"] == before["conv1.weight"]).all()
    assert model.fresh == ("decoder",)
    assert parameter_count(model) == parameter_count(network)


def test_the_same_decoder_is_taken_over_and_another_one_is_new():
    theirs = recipe(decoder="fcn", fused=True)
    old = segmenter(build(source()), theirs, 5, SIZE, Seeds("its own"))
    same, other = (segmenter(old, by, 3, SIZE, SEEDS) for by in (theirs, recipe(decoder="fcn", fused=True, channels=9)))
    assert (same.fresh, other.fresh) == (("decoder.classifier",), ("decoder",))
    torch.testing.assert_close(same.decoder.features(old.maps(images())), old.decoder.features(old.maps(images())))
    assert same(images()).shape[1] == other(images()).shape[1] == 3
    assert old(images()).shape[1] == 5
    again = segmenter(old, theirs, 3, SIZE, SEEDS)
    assert all((value == weights_of(again)[name]).all() for name, value in weights_of(same).items())


def test_position_embeddings_follow_the_size():
    option = source("small:vision_transformer", width=16)
    old = segmenter(build(option), recipe(), 3, SIZE, SEEDS)
    assert at_size(old, option, SIZE) is old
    assert at_size(old, option, 48)(images(1, 48)).shape == (1, 3, 6, 6)
    with pytest.raises(ConfigError, match="no multiple of the source's patches"):
        at_size(old, option, 33)


class Vector(nn.Module):
    def reset_classifier(self, classes):
        """Has none."""

    def forward_features(self, batch):
        return batch.mean(dim=(2, 3))


def test_a_network_without_maps_is_refused():
    with pytest.raises(ConfigError, match="Vector gives no map"):
        segmenter(Vector(), recipe(), 3, SIZE, SEEDS)
    with pytest.raises(ConfigError, match="set fused=false"):
        segmenter(Vector(), recipe(fused=True), 3, SIZE, SEEDS)

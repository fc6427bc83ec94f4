"""torchvision's segmentation networks: their published files, what is read from them, and new classes."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from published_work import drawn, loaded_into, option
from segmentation_work import SIZE, pretrained, recipe, target
from timm.models import group_parameters
from torch import nn
from torch.nn.functional import interpolate
from torchvision.models import resnet, segmentation
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead

from tmbench.errors import TmbenchError
from tmbench.features.pixels import PixelReader
from tmbench.features.segmentation import has_place, keep, read
from tmbench.identity import Seeds
from tmbench.sources import BadWeights
from tmbench.sources.network import build, parameter_count, published_weights
from tmbench.sources.options import Source
from tmbench.sources.pretrain import pretrain
from tmbench.sources.published import read as read_weights
from tmbench.sources.segmentation.segmenter import Segmenter, segmenter
from tmbench.sources.segmentation.torchvision_networks import as_segmenter
from tmbench.sources.zoo import torchvision_segmenter
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.truth import fine_tune

NAMES = ("deeplabv3_resnet50_coco", "fcn_resnet50_coco", "lraspp_mobilenet_v3_coco")
LRASPP = "lraspp_mobilenet_v3_large"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tiny(kind, classes=21, auxiliary=True):
    """A DeepLabV3 or FCN of torchvision's classes, as its functions put them together, around a narrow ResNet."""
    body = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1])
    trunk = IntermediateLayerGetter(body, {"layer4": "out", **({"layer3": "aux"} if auxiliary else {})})
    head = DeepLabHead(512, classes) if kind is DeepLabV3 else FCNHead(512, classes)
    return drawn(kind(trunk, head, FCNHead(256, classes) if auxiliary else None))


def images(size=64):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [DeepLabV3, FCN])
def test_a_published_file_gives_the_predictions_of_torchvision(kind, tmp_path):
    theirs = tiny(kind)
    path = tmp_path / "published.pth"
    torch.save(theirs.state_dict(), path)
    ours = as_segmenter(tiny(kind, auxiliary=False).apply(_blank))
    loaded = read_weights(option(path, "torchvision_segmentation", head_classes=21), ours)
    assert loaded.report["head"] == "loaded"
    assert loaded.report["fresh"] == []
    assert {name.split(".")[0] for name in loaded.report["left_out"]["auxiliary head"]} == {"aux_classifier"}
    with torch.no_grad():
        wanted = theirs(images())["out"]
        found = interpolate(loaded_into(ours, loaded)(images()), (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, wanted)


def _blank(module):
    for parameter in module.parameters(recurse=False):
        nn.init.zeros_(parameter)


@pytest.fixture(scope="module")
def lraspp(tmp_path_factory):
    """A source with a file of drawn weights under torchvision's names, and the network that they are of."""
    torch.set_num_threads(1)
    theirs = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    path = tmp_path_factory.mktemp("weights") / "lraspp.pth"
    torch.save(theirs.state_dict(), path)
    content = describe_options("source", [NAMES[2]], OptionFolders())[NAMES[2]]
    weights = content["weights"] | {"file": str(path), "url": ""}
    return Source.model_validate({**content, "input": {"size": SIZE}, "weights": weights}), theirs.eval()


def test_an_option_is_built_from_its_file(lraspp):
    source, theirs = lraspp
    network = build(source, task="segmentation")
    assert isinstance(network, Segmenter)
    assert source.predicts == "segmentation"
    assert published_weights(network)["head"] == "loaded"
    with torch.no_grad():
        found = interpolate(network(images()), (64, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(found, theirs(images())["out"], rtol=1e-4, atol=1e-5)


def test_the_last_layers_see_the_penultimate_features(lraspp):
    source, _ = lraspp
    network = build(source, task="segmentation")
    with torch.no_grad():
        features = network.decoder.features(network.maps(images()))
        low, high = network.get_classifier()
        weight = torch.cat([low.weight, high.weight], dim=1)
        logits = nn.functional.conv2d(features, weight, low.bias + high.bias)
        torch.testing.assert_close(logits, network(images()), rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 40 + 128, 8, 8)


def test_a_file_of_other_classes_is_refused(lraspp):
    source, _ = lraspp
    weights = source.weights.model_copy(update={"head_classes": 20})
    with pytest.raises(BadWeights, match="no head of 20 classes"):
        build(source.model_copy(update={"weights": weights}), task="segmentation")


def test_new_classes_replace_the_last_layers_alone(lraspp):
    source, _ = lraspp
    network = build(source, task="segmentation")
    model = segmenter(network, recipe(decoder="deeplab", fused=True), 3, SIZE, Seeds("x"))
    assert model.fresh == ("decoder.classifier",)
    before, after = network.state_dict(), model.state_dict()
    assert before.keys() == after.keys()
    other = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rpartition(".")[0] for name in other} == {
        "decoder.head.low_classifier",
        "decoder.head.high_classifier",
    }
    assert model(images()).shape[1] == 3
    assert network(images()).shape[1] == 21


def test_on_other_tasks_the_trunk_serves(lraspp):
    source, _ = lraspp
    trunk = build(source)
    assert trunk(images()).shape == (2, 960)
    assert parameter_count(trunk) == parameter_count(build(source, task="segmentation"))
    trunk.reset_classifier(7)
    assert trunk(images()).shape == (2, 7)
    groups = group_parameters(trunk, trunk.group_matcher(coarse=True))
    last = groups[max(groups) - 1]
    assert {name.split(".")[1] for name in last} == {"13", "14", "15", "16"}
    assert sum(map(len, groups.values())) == len(list(trunk.parameters()))


@pytest.mark.parametrize("trainable", ["head", "half"])
def test_it_is_fine_tuned(lraspp, trainable):
    source, _ = lraspp
    found = fine_tune(source, None, target(train=4), recipe(trainable=trainable, epochs=1), Seeds("x"))
    assert 0 <= found.measures["miou"] <= 1
    assert found.details["fresh"] == ["decoder.classifier"]
    assert found.details["published_weights"]["head"] == "loaded"


def test_pixels_are_read_at_its_modules(lraspp):
    source, _ = lraspp
    network = build(source, task="segmentation")
    places = dict.fromkeys(("pixel/penultimate", "pixel/4", "pixel/decoder.head.cbr", "prediction"), "rows")
    assert all(has_place(network, place) for place in places)
    found = keep(network, source, target(), read(target()), places)
    widths = {name.removeprefix("features/"): array.shape[1] for name, array in found.items() if array.ndim == 2}
    assert widths == {
        "pixel/penultimate": 168, "pixel/4": 40, "pixel/decoder.head.cbr": 128, "logits": 21, "prediction": 21
    }  # fmt: skip
    with PixelReader(network, ["pixel/trunk.body.4", "pixel/penultimate"]) as reader:
        read_at = reader.read(images(), torch.tensor([1]), torch.tensor([0]))
    with torch.no_grad():
        low = network.maps(images())[0]
    torch.testing.assert_close(read_at["pixel/trunk.body.4"], low[1:, :, 0, 0])
    torch.testing.assert_close(read_at["pixel/penultimate"][:, :40], low[1:, :, 0, 0])


def test_it_starts_a_pretraining(lraspp):
    source, _ = lraspp
    option = pretrained(target(train=4), recipe(epochs=1), start=source.weights)
    option = option.model_copy(update={"architecture": source.architecture})
    made = pretrain(option, Seeds("x"))
    assert made.details["start"]["head"] == "loaded"
    network = build(option, made.weights, task="segmentation")
    assert network(images()).shape[1] == 3
    assert np.array_equal(network.state_dict()["trunk.body.0.0.weight"].numpy(), made.weights["trunk.body.0.0.weight"])


def test_options_name_what_torchvision_offers():
    enums = {
        "deeplabv3_resnet50": segmentation.DeepLabV3_ResNet50_Weights,
        "fcn_resnet50": segmentation.FCN_ResNet50_Weights,
        LRASPP: segmentation.LRASPP_MobileNet_V3_Large_Weights,
    }
    for content in describe_options("source", list(NAMES), OptionFolders()).values():
        published = enums[content["architecture"]["parameters"]["name"]].COCO_WITH_VOC_LABELS_V1
        assert content["weights"]["url"] == published.url
        assert content["weights"]["url"].endswith(content["weights"]["file"])
        assert content["weights"]["head_classes"] == len(published.meta["categories"])


def test_an_unknown_name_is_told_its_neighbours():
    with pytest.raises(TmbenchError, match="lraspp_mobilenet_v3_large"):
        torchvision_segmenter(21, SIZE, "lraspp_mobilenet_v3")


def test_the_body_gives_maps_by_name():
    network = as_segmenter(tiny(FCN, auxiliary=False))
    assert isinstance(network.trunk.body(images()), OrderedDict)
    assert network.trunk.num_features == 512

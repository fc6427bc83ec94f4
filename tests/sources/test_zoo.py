"""Networks by name."""

import pytest
import torch
from detectors_work import batch, built, recipe, source

from tmbench.errors import ConfigError
from tmbench.sources.zoo import plain_vit, timm_network, torchvision_detector


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_network_of_timms_by_name(name):
    network = timm_network(5, 64, name).eval()
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 5)


def test_a_transformer_takes_images_of_other_sizes():
    network = timm_network(0, 64, "test_vit").eval()
    assert network.patch_embed.grid_size == (4, 4)
    assert network.forward_features(torch.rand(1, 3, 96, 96)).shape[1] == 36 + network.num_prefix_tokens


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_network_of_timms_in_a_detector(name):
    model = built(source("zoo:timm_network", name=name), recipe())
    assert model.backbone.strides == (4, 8, 16, 32)
    assert sum(value.item() for value in model.train()(*batch()).values()) > 0


def test_unknown_names_offer_the_nearest():
    with pytest.raises(ConfigError, match=r"no network of timm is named 'resnet5'.*'resnet50'"):
        timm_network(5, 64, "resnet5")
    with pytest.raises(
        ConfigError, match=r"no detector of torchvision is named 'fasterrcnn'.*'fasterrcnn_resnet50_fpn'"
    ):
        torchvision_detector(5, 64, "fasterrcnn")


def test_a_plain_vit_takes_the_mean_of_its_patches():
    network = plain_vit(3, 64).eval()
    assert network.cls_token is None
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    tokens = network.forward_features(torch.rand(2, 3, 96, 96))
    assert tokens.shape == (2, 144, 64)
    assert torch.allclose(network.pool(tokens), tokens.mean(1), atol=1e-6)

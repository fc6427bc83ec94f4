"""What of a network is trained, by what its stages are called."""

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.freezing import freeze, training_mode
from tmbench.sources.network import weights_of
from tmbench.sources.recipe import ClassificationRecipe
from tmbench.sources.small import residual_network, vision_transformer
from tmbench.sources.training import train


def plain_vit():
    return VisionTransformer(img_size=32, patch_size=16, num_classes=3, embed_dim=16, depth=3, num_heads=2)


NETWORKS = {
    "small residual network": (lambda: residual_network(3, 32, widths=(8, 8, 8)), ("stages.2.", "head.")),
    "small transformer": (lambda: vision_transformer(3, 32, (8, 16), 32, 2, 2), ("blocks.1.", "fc_norm.", "head.")),
    "plain ViT": (plain_vit, ("blocks.2.", "norm.", "head.")),
    "timm resnet": (lambda: timm.create_model("resnet10t", num_classes=3), ("layer4.", "fc.")),
    "timm swin": (
        lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, img_size=32, embed_dim=12,
                                  depths=(1, 1), num_heads=(2, 2), window_size=4),
        ("layers.1.", "norm.", "head."),
    ),
}  # fmt: skip


def trained(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", NETWORKS)
def test_half_is_the_last_stage_with_all_that_follows(name):
    build, starts = NETWORKS[name]
    network = build()
    every = {name for name, _ in network.named_parameters()}
    freeze(network, "half")
    assert trained(network) == {name for name in every if name.startswith(starts)}
    assert 0 < len(trained(network)) < len(every)


@pytest.mark.parametrize("name", NETWORKS)
def test_head_is_the_classifier_and_full_is_everything(name):
    network = NETWORKS[name][0]()
    every = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    freeze(network, "full")
    assert trained(network) == every
    freeze(network, "head")
    assert len(trained(network)) == 2
    assert all(id(p) in map(id, network.get_classifier().parameters()) for p in network.parameters() if p.requires_grad)


def test_what_lies_outside_the_trunk_predicts_and_nothing_in_it_does():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = residual_network(0, 32, widths=(8, 8, 8))
            self.decoder = nn.Conv2d(8, 2, 1)

    for trainable, starts in (("head", ("decoder.",)), ("half", ("decoder.", "trunk.stages.2."))):
        whole = Whole()
        freeze(whole, trainable, trunk=whole.trunk)
        assert trained(whole) == {name for name, _ in whole.named_parameters() if name.startswith(starts)}


def test_a_network_without_stages_says_what_to_take_instead():
    class Flat(nn.Linear):
        def get_classifier(self):
            return self

    with pytest.raises(ConfigError, match=r"Flat does not tell its stages. Take trainable=head or trainable=full"):
        freeze(Flat(4, 3), "half")
    with pytest.raises(ConfigError, match="trainable=half trains the last of several stages"):
        freeze(VisionTransformer(img_size=32, patch_size=16, num_classes=3, embed_dim=16, depth=1, num_heads=2), "half")


def test_frozen_parts_stay_in_evaluation_mode():
    network = residual_network(3, 32, widths=(8, 8, 8))
    freeze(network, "half")
    training_mode(network)
    modes = {name: module.training for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {mode for name, mode in modes.items() if name.startswith("stages.2.")} == {True}
    assert {mode for name, mode in modes.items() if not name.startswith("stages.2.")} == {False}
    freeze(whole := residual_network(3, 32, widths=(8, 8)), "full")
    training_mode(whole)
    assert all(module.training for module in whole.modules())


@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_training_changes_what_is_trained_and_nothing_else(trainable):
    torch.set_num_threads(1)
    network = residual_network(3, 32, widths=(8, 8, 8))
    freeze(network, trainable)
    before = weights_of(network)
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(12, 3, 32, 32, generator=generator), torch.arange(12) % 3
    recipe = ClassificationRecipe(
        task="classification", trainable=trainable, epochs=1, batch_size=6, learning_rates=(0.01,), weight_decay=0.1
    )
    train(network, inputs, labels, recipe, 0.01, Seeds("a"))
    changed = {name for name, array in weights_of(network).items() if not np.array_equal(array, before[name])}
    starts = {"head": ("head.",), "half": ("head.", "stages.2."), "full": ("",)}[trainable]
    assert changed == {name for name in before if name.startswith(starts)}

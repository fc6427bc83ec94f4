"""Pyramids: strides, channels, norms, and how many maps."""

from collections import OrderedDict

import pytest
import torch
from timm.layers import LayerNorm2d
from torch import nn

from tmbench.errors import ConfigError
from tmbench.sources.detection.pyramids import BatchNorm, FourBlockPyramid, SimplePyramid, norm, pyramid, scales
from tmbench.sources.detection.recipe import Pyramid

SIZE = 64


def maps(stride, count, width=32):
    side = SIZE // stride
    return OrderedDict((str(i), torch.rand(2, width, side, side)) for i in range(count))


def options(kind="fpn", **changes):
    return Pyramid(**{"kind": kind, "channels": 8, "norm": "layer"} | changes)


@pytest.mark.parametrize("kind", ["fpn", "simple"])
@pytest.mark.parametrize("patch", [4, 8, 16, 32])
def test_strides_begin_at_four_whatever_the_patch(kind, patch):
    count = 4 if kind == "fpn" else 1
    each, strides = pyramid("vit", (32,) * count, (patch,) * count, options(kind), 5)
    outputs = each.eval()(maps(patch, count))
    assert strides == (4, 8, 16, 32, 64)
    assert list(outputs) == ["0", "1", "2", "3", "pool"]
    assert [tuple(one.shape) for one in outputs.values()] == [(2, 8, SIZE // each, SIZE // each) for each in strides]


def test_patches_that_give_no_whole_strides():
    assert scales(16) == (2, 1, 0, -1)
    assert scales(8) == (1, 0, -1, -2)
    with pytest.raises(ConfigError, match="patches of 14 pixels give no maps of strides 4"):
        scales(14)


@pytest.mark.parametrize("kind", ["fpn", "simple"])
@pytest.mark.parametrize("sizes", [1, 3, 4])
def test_fewer_anchor_sizes_make_fewer_maps(kind, sizes):
    count = 4 if kind == "fpn" else 1
    whole, _ = pyramid("vit", (32,) * count, (8,) * count, options(kind), 4)
    each, strides = pyramid("vit", (32,) * count, (8,) * count, options(kind), sizes)
    each.load_state_dict(whole.state_dict(), strict=False)
    assert strides == (4, 8, 16, 32)[:sizes]
    inputs = maps(8, count)
    expected, given = list(whole.eval()(inputs).values()), list(each.eval()(inputs).values())
    assert all(torch.equal(expected[i], given[i]) for i in range(sizes))
    # What is not asked for has no weights that would never learn.
    sum(one.sum() for one in given[:sizes]).backward()
    assert all(parameter.grad is not None for parameter in each.parameters())


def test_a_sixth_size_has_no_map():
    with pytest.raises(ConfigError, match="6 sizes, one a map; a pyramid has 5 maps at most"):
        pyramid("vit", (32,), (8,), options("simple"), 6)


def test_a_convolutional_source_has_its_own_strides():
    each, strides = pyramid("convolutional", (8, 16, 24, 32), (2, 4, 8, 16), options(norm="batch"), 5)
    inputs = OrderedDict((str(i), torch.rand(1, 8 * (i + 1), 32 // 2**i, 32 // 2**i)) for i in range(4))
    assert strides == (2, 4, 8, 16, 32)
    assert [one.shape[-1] for one in each(inputs).values()] == [64 // stride for stride in strides]


def test_a_convolutional_source_has_no_simple_pyramid():
    with pytest.raises(ConfigError, match=r"Set pyramid\.kind to fpn in the recipe's option file"):
        pyramid("convolutional", (8,) * 4, (2, 4, 8, 16), options("simple"), 4)


@pytest.mark.parametrize(("kind", "layer"), [("batch", BatchNorm), ("layer", LayerNorm2d), ("none", None)])
def test_each_convolution_of_a_pyramid_has_its_norm(kind, layer):
    for each in (FourBlockPyramid(32, 16, options(norm=kind), 4), SimplePyramid(32, 16, options(norm=kind), 4)):
        convolutions = [module for module in each.modules() if type(module) is nn.Conv2d]
        assert len(convolutions) == 8
        assert all((module.bias is None) == (layer is not None) for module in convolutions)
        layers = [module for module in each.modules() if isinstance(module, BatchNorm | LayerNorm2d | nn.GroupNorm)]
        # One between the two transposed convolutions, by groups in the pyramid of four blocks.
        assert len(layers) == (0 if layer is None else 9)


def test_a_norm_over_channels_is_of_each_position():
    layer = norm("layer")(8)
    values = 3 + 5 * torch.randn(2, 8, 4, 4)
    out = layer(values)
    assert torch.allclose(out.mean(1), torch.zeros(2, 4, 4), atol=1e-5)
    assert torch.allclose(out.var(1, unbiased=False), torch.ones(2, 4, 4), atol=1e-3)


def test_batch_normalisation_lets_nothing_pass():
    layer = norm("batch")(4).train()
    assert layer(torch.zeros(0, 4, 3, 3)).shape == (0, 4, 3, 3)
    assert torch.equal(layer.running_var, torch.ones(4))
    inputs = torch.rand(2, 4, 3, 3)
    assert torch.equal(layer(inputs), nn.BatchNorm2d(4).train()(inputs))


def test_the_simple_pyramid_sees_the_last_map_alone():
    each = SimplePyramid(32, 16, options("simple"), 4)
    with pytest.raises(ValueError, match="unpack"):
        each(maps(16, 4))
    widths = [
        (module.in_channels, module.out_channels) for module in each.modules() if type(module) is nn.ConvTranspose2d
    ]
    assert widths == [(32, 16), (16, 8), (32, 16)]


def test_the_pyramid_of_four_blocks_keeps_the_width():
    each = FourBlockPyramid(32, 16, options(), 4)
    widths = [
        (module.in_channels, module.out_channels) for module in each.modules() if type(module) is nn.ConvTranspose2d
    ]
    assert widths == [(32, 32)] * 3

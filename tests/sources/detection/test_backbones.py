"""Backbones: blocks that give what timm's give, windows, resized and relative positions."""

from functools import partial

import pytest
import torch
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM

from tmbench.errors import ConfigError
from tmbench.sources.detection.backbones import ConvolutionalBody, WindowedViT, group_ends
from tmbench.sources.detection.positions import OffsetBias
from tmbench.sources.detection.recipe import PlainViT
from tmbench.sources.small import residual_network, vision_transformer
from tmbench.sources.zoo import plain_vit


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(size=64, **changes):
    """A transformer whose every weight matters: timm initialises some to nothing."""
    options = {"img_size": size, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2, "num_classes": 0}
    return stirred(VisionTransformer(**options | changes))


def stirred(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def body(network, size=64, taps=4, **options):
    return WindowedViT(network, size, PlainViT(**options), taps).eval()


def images(size=64):
    return torch.rand(2, 3, size, size)


def timm_maps(network, inputs):
    """What each block of timm's gives."""
    return network.forward_intermediates(inputs, intermediates_only=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_token": False, "global_pool": "avg"},
        {"class_token": False, "global_pool": "avg", "init_values": 0.1, "qk_norm": True},
        {"class_token": False, "global_pool": "avg", "pre_norm": True},
    ],
)
def test_blocks_give_what_timms_give(changes):
    plain, inputs = network(**changes), images()
    for ours, theirs in zip(body(plain)(inputs).values(), timm_maps(plain, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_blocks_give_what_timms_give_at_another_size():
    pretrained = network(64, class_token=False, global_pool="avg")
    larger = network(96, class_token=False, global_pool="avg")
    positions = pretrained.pos_embed.detach().reshape(1, 8, 8, 32).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(positions, size=(12, 12), mode="bicubic", align_corners=False)
    larger.load_state_dict(pretrained.state_dict() | {"pos_embed": resized.flatten(2).transpose(1, 2)})
    inputs = images(96)
    for ours, theirs in zip(body(pretrained, 96)(inputs).values(), timm_maps(larger, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"reg_tokens": 2}, {"reg_tokens": 1, "no_embed_class": True}])
def test_class_tokens_are_dropped_with_their_positions(changes):
    with_token = network(**changes)
    without = network(class_token=False, global_pool="avg")
    state = {name: value for name, value in with_token.state_dict().items() if name in without.state_dict()}
    state["pos_embed"] = with_token.pos_embed[:, -64:]
    without.load_state_dict(state | {"norm.weight": torch.ones(32), "norm.bias": torch.zeros(32)}, strict=False)
    inputs = images()
    ours, theirs = body(with_token)(inputs), body(without)(inputs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_stem_of_convolutions_is_kept():
    hybrid = stirred(vision_transformer(0, 64, width=32, depth=2, heads=2))
    inputs = images()
    theirs = timm_maps(hybrid, inputs)
    ours = list(body(hybrid)(inputs).values())
    assert [each.shape for each in ours] == [(2, 32, 8, 8)] * 4
    # Two blocks serve as four.
    assert all(torch.allclose(ours[i], theirs[i // 2], atol=1e-5) for i in range(4))


def test_the_given_network_stays_as_it_is():
    plain = network()
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    inputs = images()
    features = plain.forward_features(inputs)
    body(plain, 96, window=5, drop_path=0.5).requires_grad_(False)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert torch.equal(plain.forward_features(inputs), features)


def test_groups_of_blocks_are_even():
    assert group_ends(12, 4) == (2, 5, 8, 11)
    assert group_ends(24, 4) == (5, 11, 17, 23)
    assert group_ends(4, 2) == (1, 3)
    assert group_ends(5, 2) == (2, 4)
    assert group_ends(2, 4) == (0, 0, 1, 1)


def test_the_last_block_of_each_group_is_global():
    assert body(network(depth=6), window=3, global_blocks=2).windows == (3, 3, 0, 3, 3, 0)
    assert body(network(depth=4), window=3, global_blocks=0).windows == (3, 3, 3, 3)
    assert body(network(depth=4), window=3, global_blocks=9).windows == (0, 0, 0, 0)


def test_windows_confine_what_tokens_see():
    plain, inputs = network(), images()
    changed = inputs.clone()
    changed[..., 32:] += 1  # the right half: other windows of 4 tokens
    windowed = body(plain, window=4, global_blocks=0)
    before, after = windowed(inputs)["3"], windowed(changed)["3"]
    assert torch.equal(before[..., :4], after[..., :4])
    assert not torch.allclose(before[..., 4:], after[..., 4:])
    everywhere = body(plain)
    assert not torch.allclose(everywhere(inputs)["3"][..., :4], everywhere(changed)["3"][..., :4], atol=1e-3)


@pytest.mark.parametrize("window", [8, 14])
def test_a_window_as_large_as_the_grid_is_global(window):
    plain, inputs = network(), images()
    windowed, everywhere = body(plain, window=window, global_blocks=0), body(plain)
    assert torch.equal(windowed(inputs)["3"], everywhere(inputs)["3"])


@pytest.mark.parametrize("window", [0, 3])
def test_windows_and_decomposed_positions_are_those_of_timms_sam(window):
    """timm's VisionTransformerSAM, which gives what detectron2's ViT gives, on the same weights."""
    plain = network(class_token=False, global_pool="avg", depth=2)
    sam = VisionTransformerSAM(
        img_size=64,
        patch_size=8,
        embed_dim=32,
        depth=2,
        num_heads=2,
        num_classes=0,
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=(1,),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    ours = stirred(body(plain, window=window, global_blocks=1, relative_position="decomposed", taps=2))
    sam.load_state_dict(ours.state_dict(), strict=False)
    assert set(ours.state_dict()) <= set(sam.state_dict())
    inputs = images()
    theirs = sam.eval().forward_intermediates(inputs, intermediates_only=True)
    for mine, other in zip(ours(inputs).values(), theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize("kind", ["bias", "decomposed"])
def test_relative_positions_begin_with_no_effect(kind):
    plain, inputs = network(), images()
    relative = body(plain, window=3, global_blocks=1, relative_position=kind)
    absolute = body(plain, window=3, global_blocks=1)
    assert torch.allclose(relative(inputs)["3"], absolute(inputs)["3"], atol=1e-5)
    assert relative.added == set(dict(relative.named_parameters())) - set(dict(absolute.named_parameters()))
    assert all(not dict(relative.named_parameters())[name].any() for name in relative.added)


def test_one_table_of_biases_for_windowed_blocks_and_one_for_global_ones():
    relative = body(network(), window=3, global_blocks=2, relative_position="bias")
    assert {name: tuple(relative.get_parameter(name).shape) for name in relative.added} == {
        "biases.window.table": (2, 5, 5),
        "biases.global.table": (2, 15, 15),
    }
    relative(images())["3"].sum().backward()
    assert all(relative.get_parameter(name).grad.abs().sum() > 0 for name in relative.added)


def test_a_bias_is_that_of_the_offset():
    bias = OffsetBias(1, (3, 4))
    with torch.no_grad():
        bias.table.copy_(torch.arange(35.0).view(1, 5, 7))
    matrix = bias((3, 4))[0, 0]
    for query in range(12):
        for key in range(12):
            rows, columns = query // 4 - key // 4, query % 4 - key % 4
            assert matrix[query, key] == bias.table[0, rows + 2, columns + 3]
    # A smaller grid has the offsets of a part of it.
    places = [0, 1, 4, 5]
    assert torch.equal(bias((2, 2))[0, 0], matrix[places][:, places])
    with pytest.raises(ConfigError, match=r"up to \(3, 4\) tokens, not \(4, 4\)"):
        bias((4, 4))


def beit(shared):
    options = {"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    kind = {"use_shared_rel_pos_bias": True} if shared else {"use_rel_pos_bias": True}
    return stirred(Beit(**options, **kind, use_abs_pos_emb=False, init_values=0.1, global_pool="token"))


@pytest.mark.parametrize("shared", [True, False])
def test_beit_keeps_its_layers_and_its_biases(shared):
    network, inputs = beit(shared), images()
    ours = body(network, taps=2, relative_position="bias")
    assert not ours.added
    for name, block in zip(ours.bias_of, network.blocks, strict=True):
        theirs = network.rel_pos_bias() if shared else block.attn._get_rel_pos_bias()
        assert torch.allclose(ours.biases[name]((8, 8)), theirs.view(1, 2, 65, 65)[:, :, 1:, 1:])
    # A block of BEiT's over the patches alone, its biases as a mask.
    tokens = network.patch_embed(inputs)
    for ours_after, block in zip(ours(inputs).values(), network.blocks, strict=True):
        patches = theirs_without_class_token(network, block, tokens, shared)
        assert torch.allclose(ours_after.flatten(2).transpose(1, 2), patches, atol=1e-5)
        tokens = patches


def theirs_without_class_token(network, block, tokens, shared):
    """BEiT's block written out, over patches alone."""
    attention = block.attn
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    parts = torch.nn.functional.linear(block.norm1(tokens), attention.qkv.weight, bias)
    queries, keys, values = parts.view(2, 64, 3, 2, 16).permute(2, 0, 3, 1, 4)
    table = network.rel_pos_bias() if shared else attention._get_rel_pos_bias()
    logits = queries @ keys.mT / 4 + table.view(1, 2, 65, 65)[:, :, 1:, 1:]
    mixed = (logits.softmax(-1) @ values).transpose(1, 2).reshape(2, 64, 32)
    tokens = tokens + block.gamma_1 * attention.proj(mixed)
    return tokens + block.gamma_2 * block.mlp(block.norm2(tokens))


def test_beit_needs_biases():
    with pytest.raises(ConfigError, match=r"Set vit\.relative_position to bias in the recipe's option file"):
        body(beit(True))


def test_recomputing_changes_no_gradient():
    plain, inputs = network(), images()
    gradients = []
    for recompute in (False, True):
        options = PlainViT(window=3, global_blocks=2, relative_position="bias", drop_path=0.3)
        each = WindowedViT(plain, 64, options, 4, recompute).train()
        torch.manual_seed(1)
        each(inputs)["3"].square().sum().backward()
        gradients.append([parameter.grad for parameter in each.parameters()])
    assert all(torch.allclose(one, two, rtol=1e-4, atol=1e-4) for one, two in zip(*gradients, strict=True))


def test_drop_path_rises_over_the_blocks():
    each = body(network(), drop_path=0.3)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in each.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])
    inputs = images()
    assert not torch.equal(each.train()(inputs)["3"], each(inputs)["3"])


def test_stages_of_a_convolutional_network():
    conv = residual_network(0, 64, widths=[8, 8, 16, 16]).eval()
    each = ConvolutionalBody(conv)
    inputs = images()
    maps = list(each(inputs).values())
    assert each.strides == tuple(64 // one.shape[-1] for one in maps)
    assert each.channels == tuple(one.shape[1] for one in maps)
    assert torch.allclose(maps[-1], conv.forward_features(inputs), atol=1e-6)


def test_networks_that_are_no_backbone_say_what_to_choose():
    with pytest.raises(ConfigError, match="Choose a source with a ResNet"):
        ConvolutionalBody(torch.nn.Linear(2, 2))
    strange = plain_vit(0, 64)
    strange.blocks[1] = torch.nn.Identity()
    with pytest.raises(ConfigError, match="not built of timm's plain transformer blocks"):
        body(strange)

"""Weights under the names of published files come into a network as they were, entry by entry and in what it gives."""

import numpy as np
import published_work as work
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from tmbench.sources import BadWeights
from tmbench.sources.network import weights_of
from tmbench.sources.published import read
from tmbench.sources.published.beit import as_vision_transformer

torch.set_num_threads(1)


def own_names(network):
    return network.state_dict()


CASES = {
    # name: (the network that was published, its file's content, the network to fill, layout, what stays fresh)
    "timm": (work.transformer, own_names, work.transformer, "timm", ()),
    "deit": (work.transformer, lambda n: {"model": n.state_dict()}, work.transformer, "timm", ()),
    "parallel": (
        work.residual, lambda n: {f"module.{k}": v for k, v in n.state_dict().items()}, work.residual, "timm", (),
    ),
    "torchvision transformer": (
        work.transformer, lambda n: work.torchvision_names(n.state_dict()), work.transformer, "torchvision", (),
    ),
    "torchvision resnet": (work.residual, own_names, work.residual, "torchvision", ()),
    "moco_v3": (work.transformer, work.moco_v3, lambda: work.transformer(0), "moco_v3", ()),
    "moco_v3 resnet": (work.residual, lambda n: work.moco_v3(n, "fc"), lambda: work.residual(0), "moco_v3", ()),
    "mae": (work.transformer, work.mae, lambda: work.transformer(0), "mae", ()),
    "mae encoder": (work.transformer, lambda n: work.mae(n, decoder=False), lambda: work.transformer(0), "mae", ()),
    "mae, averaged": (
        work.transformer, work.mae, lambda: work.transformer(0, global_pool="avg"), "mae",
        ("fc_norm.weight", "fc_norm.bias"),
    ),
    "beit": (
        lambda: work.beit(use_rel_pos_bias=False, use_shared_rel_pos_bias=True), work.beit_pretraining,
        lambda: work.beit(use_rel_pos_bias=False, use_shared_rel_pos_bias=True), "beit", (),
    ),
    "beit fine-tuned": (
        lambda: work.beit(3, global_pool="avg"), lambda n: {"module": n.state_dict()},
        lambda: work.beit(3, global_pool="avg"), "beit", (),
    ),
    "beit with positions": (
        lambda: work.beit(use_abs_pos_emb=True), lambda n: {"model": n.state_dict()},
        lambda: work.beit(use_abs_pos_emb=True), "beit", (),
    ),
    "detector": (work.detector, own_names, work.detector, "torchvision_detection", ()),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", CASES)
def test_weights_come_back(name, suffix, tmp_path):
    published, content, empty, layout, fresh = CASES[name]
    original, network = work.drawn(published()), work.drawn(empty(), seed=1)
    held = content(original)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(held, path)
    else:
        tensors = next((v for v in held.values() if isinstance(v, dict) and "lr" not in v), held)
        save_file({key: value.clone() for key, value in tensors.items()}, path)
    loaded = read(work.option(path, layout, head_classes=work.CLASSES), network)
    expected, before = weights_of(original), weights_of(network)
    assert loaded.weights.keys() == before.keys()
    assert tuple(loaded.report["fresh"]) == fresh
    assert sorted([*loaded.report["loaded"], *fresh]) == sorted(before)
    for key, array in loaded.weights.items():
        np.testing.assert_array_equal(array, before[key] if key in fresh else expected[key], err_msg=key)


def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def filled(network, state, layout, tmp_path, **more):
    torch.save(state, tmp_path / "weights.pth")
    return work.loaded_into(network, read(work.option(tmp_path / "weights.pth", layout, **more), network))


@pytest.mark.parametrize("published", [False, True])
def test_torchvisions_transformer_gives_the_same_in_timm(published, tmp_path):
    """Under the names of its code, and under the older ones of its published files."""
    theirs = work.drawn(torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 64, num_classes=3))
    state = theirs.state_dict()
    if published:
        state = {k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v for k, v in state.items()}
    ours = filled(work.transformer(), state, "torchvision", tmp_path, head_classes=3)
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=0, atol=1e-5)


def test_torchvisions_resnet_gives_the_same_in_timm(tmp_path):
    theirs = work.drawn(torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3))
    ours = filled(work.residual(), theirs.state_dict(), "torchvision", tmp_path, head_classes=3)
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=1e-5, atol=1e-5)


def test_a_table_that_blocks_share_gives_the_same_in_blocks_of_their_own(tmp_path):
    theirs = work.drawn(work.beit(use_rel_pos_bias=False, use_shared_rel_pos_bias=True))
    ours = filled(work.beit(), work.beit_pretraining(theirs), "beit", tmp_path)
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=0, atol=1e-5)


def test_beit_under_a_transformers_names_gives_the_same(tmp_path):
    """Where no bias by position stands between them: timm's transformer has none."""
    theirs = work.drawn(work.beit(use_rel_pos_bias=False))
    renamed = as_vision_transformer(theirs.state_dict())
    shape = {**work.SMALL, "num_classes": 0, "init_values": 0.1, "pos_embed": "none"}
    ours = VisionTransformer(**shape).eval()
    ours.load_state_dict(renamed)
    torch.testing.assert_close(ours(images()), theirs(images()), rtol=0, atol=1e-5)
    again = filled(VisionTransformer(**shape), {"model": theirs.state_dict()}, "beit", tmp_path)
    torch.testing.assert_close(again(images()), theirs(images()), rtol=0, atol=1e-5)


def test_every_block_has_its_table_of_relative_positions():
    shared = work.drawn(work.beit(use_rel_pos_bias=False, use_shared_rel_pos_bias=True)).state_dict()
    renamed = as_vision_transformer(shared)
    tables = {name: value for name, value in renamed.items() if "relative_position" in name}
    assert list(tables) == [f"blocks.{i}.attn.relative_position_bias_table" for i in range(2)]
    assert all(torch.equal(value, shared["rel_pos_bias.relative_position_bias_table"]) for value in tables.values())
    own = work.drawn(work.beit()).state_dict()
    kept = as_vision_transformer(own)
    assert torch.equal(
        kept["blocks.1.attn.relative_position_bias_table"], own["blocks.1.attn.relative_position_bias_table"]
    )
    bias = kept["blocks.1.attn.qkv.bias"]
    assert torch.equal(bias[:16], own["blocks.1.attn.q_bias"])
    assert not bias[16:32].any()
    assert torch.equal(bias[32:], own["blocks.1.attn.v_bias"])
    plain = work.transformer().state_dict()
    assert as_vision_transformer(plain).keys() == plain.keys()


def test_a_table_has_no_place_in_a_plain_transformer(tmp_path):
    network = work.transformer(0, init_values=0.1, pos_embed="none")
    with pytest.raises(BadWeights, match="relative_position_bias_table' has no place"):
        filled(network, work.beit_pretraining(work.beit()), "beit", tmp_path)


def test_a_detectors_older_names_are_read_as_torchvision_reads_them(tmp_path):
    theirs = work.drawn(work.detector())
    older = {}
    for name, value in theirs.state_dict().items():
        old = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        older[old.replace(".0.weight", ".weight").replace(".0.bias", ".bias") if "_blocks." in name else old] = value
    older["backbone.body.bn1.num_batches_tracked"] = torch.tensor(7)
    assert "backbone.fpn.inner_blocks.3.weight" in older
    torch.save(older, tmp_path / "weights.pth")
    loaded = read(work.option(tmp_path / "weights.pth", "torchvision_detection"), work.detector())
    reference = work.detector()
    reference.load_state_dict(dict(older))
    for name, array in weights_of(reference).items():
        np.testing.assert_array_equal(loaded.weights[name], array)
    assert loaded.report["left_out"] == {"computed": ["backbone.body.bn1.num_batches_tracked"]}


def test_a_detectors_predictor_for_other_classes_is_left_out(tmp_path):
    torch.save(work.drawn(work.detector(classes=9)).state_dict(), tmp_path / "weights.pth")
    loaded = read(work.option(tmp_path / "weights.pth", "torchvision_detection"), work.detector())
    assert loaded.report["head"] == "fresh"
    assert all(name.startswith("roi_heads.box_predictor.") for name in loaded.report["fresh"])
    assert len(loaded.report["fresh"]) == 4


def test_the_trained_encoder_of_moco_is_taken_and_the_other_where_there_is_no_other(tmp_path):
    original = work.drawn(work.transformer())
    content = work.moco_v3(original)
    torch.save(content, tmp_path / "both.pth")
    loaded = read(work.option(tmp_path / "both.pth", "moco_v3"), work.transformer(0))
    assert {reason: len(names) for reason, names in loaded.report["left_out"].items()} == {
        "predictor": 7,
        "projector": 7,
        "the other encoder": len(loaded.weights) + 7,
    }
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if "momentum" in k}
    torch.save(content, tmp_path / "one.pth")
    loaded = read(work.option(tmp_path / "one.pth", "moco_v3"), work.transformer(0))
    np.testing.assert_array_equal(loaded.weights["cls_token"], original.cls_token.detach().numpy() + 1)


def test_half_precision_comes_as_the_networks_own(tmp_path):
    original = work.drawn(work.transformer())
    torch.save({name: value.bfloat16() for name, value in original.state_dict().items()}, tmp_path / "weights.pth")
    loaded = read(work.option(tmp_path / "weights.pth", "timm", head_classes=3), work.transformer())
    assert all(array.dtype == np.float32 for array in loaded.weights.values())
    np.testing.assert_allclose(loaded.weights["head.bias"], original.head.bias.detach().numpy(), atol=2e-3)

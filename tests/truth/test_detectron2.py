"""detectron2's layers behind the interface of torchvision's detectors; skipped where they are not installed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from cuts import CutAt, to_the_end
from detectors_work import TINY_HEADS
from scenes_work import SIZE, scenes
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.detection.backbones import WindowedViT
from tmbench.sources.detection.detector import detector as of_torchvision
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.network import build
from tmbench.sources.options import Source
from tmbench.sources.small import residual_network
from tmbench.sources.training import Diverged
from tmbench.targets.options import DetectionTarget
from tmbench.truth import detection, fine_tune

INSTALLED = find_spec("detectron2") is not None
WHY = "detectron2 is not installed: no package index offers it, it is built from its source"
needs_detectron2 = pytest.mark.skipif(not INSTALLED, reason=WHY)

PATCHES = {"patch": 8, "width": 16, "depth": 4, "heads": 2}
VIT = {"architecture": {"function": "tmbench.sources.zoo:plain_vit", "parameters": PATCHES}}
CONVOLUTIONS = {
    "architecture": {
        "function": "tmbench.sources.small:residual_network",
        "parameters": {"widths": [8, 8, 16, 16]},
    }
}
LOSSES = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}
HEADS = {**TINY_HEADS, "least_score": 0.0}
SMALL = {
    "task": "detection",
    "backend": "detectron2",
    "trainable": "full",
    "pyramid": {"kind": "simple", "channels": 8, "norm": "layer"},
    "heads": HEADS,
    "image_size": SIZE,
    "epochs": 2,
    "batch_size": 4,
    "learning_rates": [0.003],
    "clip": 1.0,
}
TARGET = {
    "task": "detection",
    "function": f"{__file__}:two_colours",
    "classes": 2,
    "sizes": {"train": 8, "validation": 4, "test": 5},
    "image_size": SIZE,
}


def two_colours(split, size, seeds):
    return scenes(size, seed={"train": 1, "validation": 2, "test": 3}[split], empty=(1,))


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def source(**changes):
    return Source.model_validate({"input": {"size": SIZE}, "weights": {"kind": "random"}, **VIT, **changes})


def recipe(**changes):
    nested = {name: SMALL[name] | changes.pop(name) for name in ("pyramid", "heads") if name in changes}
    return DetectionRecipe.model_validate(SMALL | nested | changes)


def built(option=None, network=None, seed="a", **changes):
    """A detector of two classes."""
    option, chosen = option or source(), recipe(**changes)
    return detection.backend(chosen)(option, network or build(option), chosen, 2, Seeds(seed))


def batch(count=3, masks=True):
    """Images in 0..1 and targets; the second image shows nothing."""
    data = scenes(count, seed=5, empty=(1,))
    images = [torch.from_numpy(data.image(i)).permute(2, 0, 1).float() / 255 for i in range(count)]
    targets = []
    for i in range(count):
        one = data.objects(i)
        target = {"boxes": torch.from_numpy(one.boxes), "labels": torch.from_numpy(one.labels) + 1}
        if masks:
            bitmaps = one.bitmaps() if len(one) else np.zeros((0, SIZE, SIZE), bool)
            target["masks"] = torch.from_numpy(bitmaps.astype(np.uint8))
        targets.append(target)
    return images, targets


def tune(*checkpoints, **changes):
    target, option = DetectionTarget.model_validate(TARGET), source()
    return fine_tune(option, None, target, recipe(**changes), Seeds("a"), *checkpoints)


@pytest.mark.skipif(INSTALLED, reason="detectron2 is installed")
def test_without_detectron2_one_sentence_says_how_to_install_it():
    with pytest.raises(ConfigError, match=r"install it from its source .* or use backend=torchvision"):
        tune()


def test_torchvision_needs_no_detectron2():
    assert detection.backend(recipe(backend="torchvision")) is of_torchvision


FORMS = [
    pytest.param(source(), {}, id="simple"),
    pytest.param(source(), {"pyramid": {"kind": "fpn", "norm": "batch"}}, id="four blocks"),
    pytest.param(source(), {"heads": {"anchor_sizes": [8, 16, 32, 64, 128], "box_convolutions": 1}}, id="five maps"),
    pytest.param(source(), {"heads": {"anchor_sizes": [8, 16]}}, id="two maps"),
    pytest.param(source(**CONVOLUTIONS), {"pyramid": {"kind": "fpn", "norm": "none"}}, id="convolutions"),
    pytest.param(source(), {"vit": {"window": 3, "global_blocks": 2, "relative_position": "decomposed"}}, id="windows"),
    pytest.param(source(), {"heads": {"masks": False}, "trainable": "head"}, id="frozen, without masks"),
    pytest.param(source(), {"recompute": True, "vit": {"drop_path": 0.3}}, id="recomputed"),
]


@needs_detectron2
@pytest.mark.parametrize(("option", "changes"), FORMS)
def test_losses_and_gradients_are_finite_and_reach_what_is_trained(option, changes):
    model, masks = built(option, **changes).train(), recipe(**changes).heads.masks
    losses = model(*batch(masks=masks))
    assert set(losses) == (LOSSES | {"loss_mask"} if masks else LOSSES)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    parameters = dict(model.backbone.body.named_parameters())
    reached = [name for name, value in parameters.items() if value.grad is not None and bool(value.grad.any())]
    assert all(torch.isfinite(parameters[name].grad).all() for name in reached)
    if changes.get("trainable") == "head":
        assert not reached
        assert not model.backbone.body.training
    else:
        assert any("blocks" in name or "conv" in name for name in reached)


@needs_detectron2
@pytest.mark.parametrize(("option", "changes"), FORMS[:5])
def test_detections_are_in_pixels_of_the_images_that_were_given(option, changes):
    images = [torch.rand(3, 40, 80), torch.rand(3, SIZE, SIZE), torch.rand(3, 90, 30)]
    model = built(option, **changes).eval()
    with torch.no_grad():
        found = model(images)
    assert [set(one) for one in found] == [{"boxes", "labels", "scores", "masks"}] * 3
    for image, one in zip(images, found, strict=True):
        height, width = image.shape[-2:]
        count = len(one["scores"])
        assert 0 < count <= HEADS["detections"]
        assert one["boxes"].shape == (count, 4)
        assert one["masks"].shape == (count, 1, height, width)
        assert set(one["masks"].unique().tolist()) <= {0.0, 1.0}
        assert set(one["labels"].tolist()) <= {1, 2}
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([width, height, width, height])).all()
    # Boxes of the wide image use the width that a square of its height does not have.
    assert found[0]["boxes"][:, 2].max() > 41


@needs_detectron2
@pytest.mark.parametrize("label", [1, 2])
def test_the_ground_is_last_within_and_0_without(label):
    """What is trained with one label alone finds that label alone."""
    model = built(heads={"masks": False})
    images, targets = batch(masks=False)
    for target in targets:
        target["labels"] = torch.full_like(target["labels"], label)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    model.train()
    for _ in range(12):
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()(images)
    best = [int(one["labels"][one["scores"].argmax()]) for one in found]
    assert best == [label] * len(images)


def stirred(module):
    """``module``, no weight of which is nothing."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def transformer(**changes):
    options = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 4, "num_heads": 2, "num_classes": 0}
    return stirred(VisionTransformer(**options | changes))


@needs_detectron2
@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}, {"act_layer": "gelu_tanh"}, {"mlp_ratio": 2}], ids=str)
def test_blocks_give_what_timms_give(changes):
    changes = {"class_token": False, "global_pool": "avg", **changes}  # timm's blocks attend to the token
    network, images = transformer(**changes), torch.rand(2, 3, SIZE, SIZE)
    body = built(network=network, pyramid={"kind": "fpn"}).backbone.body
    with torch.no_grad():
        ours, theirs = body(images), network.forward_intermediates(images, intermediates_only=True)
    assert len(ours) == 4
    for mine, other in zip(ours.values(), theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-5, rtol=1e-5)


@needs_detectron2
def test_windows_and_decomposed_positions_give_what_ours_give():
    """On another size than that of pretraining, a window that does not divide it, with a class token left out."""
    vit = {"window": 3, "global_blocks": 1, "relative_position": "decomposed"}
    network, changes = transformer(img_size=32), {"pyramid": {"kind": "fpn"}, "vit": vit}
    theirs = stirred(built(network=network, **changes).backbone.body)
    ours = WindowedViT(network, SIZE, recipe(**changes).vit).eval()
    assert ours.windows == (3, 3, 3, 0)
    weights = theirs.state_dict()
    grid = weights.pop("pos_embed").unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    positions = nn.functional.interpolate(grid, size=(8, 8), mode="bicubic").permute(0, 2, 3, 1)
    ours.load_state_dict(weights | {"pos_embed": positions})
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        for mine, other in zip(ours(images).values(), theirs(images).values(), strict=True):
            assert torch.allclose(mine, other, atol=1e-5, rtol=1e-5)


def alike(model, other):
    """``model``, of detectron2's layers, with the weights of ``other``, of torchvision's: layers come in one order."""
    given = dict(other.state_dict())
    given["backbone.body.pos_embed"] = given["backbone.body.pos_embed"].flatten(1, 2)
    for part in ("weight", "bias"):
        scores, boxes, masks = (
            f"roi_heads.{name}.{part}"
            for name in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits")
        )
        given[scores] = given[scores].roll(-1, 0)  # the ground is torchvision's first class, and detectron2's last
        given[boxes], given[masks] = given[boxes][4:], given[masks][1:]  # it has a box and a mask in torchvision
    model.load_state_dict(dict(zip(model.state_dict(), given.values(), strict=True)))
    return model


ALIKE = {
    "heads": {
        "box_convolutions": 1,
        "anchor_ratios": [1.0],  # of whole pixels: torchvision rounds its anchors
        "rpn_samples": 1024,  # all that there are: samples are drawn in ways of their own
        "box_samples": 1024,
        "sampling_ratio": 2,
    }
}


def both(**changes):
    """A detector of torchvision's layers, no weight of which is nothing, and one of detectron2's with its weights."""
    changes = ALIKE | changes
    ours = stirred(built(backend="torchvision", **changes))
    return ours, alike(built(**changes), ours)


@needs_detectron2
@pytest.mark.parametrize(
    "vit", [{}, {"window": 3, "global_blocks": 1, "relative_position": "decomposed"}], ids=["plain", "windows"]
)
def test_with_the_same_weights_both_backends_find_the_same(vit):
    ours, theirs = both(vit=vit)
    images = [torch.rand(3, 40, 80), torch.rand(3, SIZE, SIZE), torch.rand(3, 90, 30)]
    with torch.no_grad():
        pairs = list(zip(ours(images), theirs(images), strict=True))
    for mine, other in pairs:
        assert len(mine["scores"]) == HEADS["detections"]
        assert torch.allclose(mine["scores"], other["scores"], atol=1e-5)
        assert torch.equal(mine["labels"], other["labels"])
        assert torch.allclose(mine["boxes"], other["boxes"], atol=1e-3)


@needs_detectron2
@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1"])
def test_with_the_same_weights_both_backends_lose_the_same(box_loss):
    """The losses of proposals are divided by what there was to sample in torchvision, by rpn_samples in detectron2."""
    ours, theirs = both(heads=ALIKE["heads"] | {"box_loss": box_loss})
    images, targets = batch()
    mine, other = ours.train()(images, targets), theirs.train()(images, targets)
    assert other["loss_cls"].item() == pytest.approx(mine["loss_classifier"].item(), rel=1e-4)
    assert other["loss_box_reg"].item() == pytest.approx(mine["loss_box_reg"].item(), rel=1e-4)
    share = other["loss_rpn_cls"] / mine["loss_objectness"]
    assert 0 < share < 1
    assert other["loss_rpn_loc"].item() == pytest.approx((share * mine["loss_rpn_box_reg"]).item(), rel=1e-4)
    assert other["loss_mask"].item() == pytest.approx(mine["loss_mask"].item(), rel=0.1)  # of masks half a pixel away


@needs_detectron2
def test_recomputing_saves_memory_and_changes_nothing():
    """In a body that drops paths: what is drawn is drawn again."""
    images, kept, gradients = torch.rand(4, 3, SIZE, SIZE), {}, {}
    for again in (False, True):
        body = built(recompute=again, vit={"drop_path": 0.5}).backbone.body.train()
        sizes = []
        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            (last,) = body(images).values()
        last.square().mean().backward()
        kept[again], gradients[again] = sum(sizes), [value.grad for value in body.parameters()]
    assert kept[True] < 0.3 * kept[False]
    assert all(torch.equal(*pair) for pair in zip(gradients[False], gradients[True], strict=True))


@needs_detectron2
def test_paths_are_dropped_in_training_alone():
    images = torch.rand(4, 3, SIZE, SIZE)
    whole, dropping = (built(vit={"drop_path": rate}).backbone.body for rate in (0.0, 0.9))
    assert torch.equal(whole(images)["0"], dropping(images)["0"])
    assert not torch.equal(whole.train()(images)["0"], dropping.train()(images)["0"])


@needs_detectron2
def test_the_sources_network_stays_as_it_is():
    network = transformer()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = built(network=network).train()
    sum(model(*batch()).values()).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@needs_detectron2
def test_what_is_drawn_comes_from_the_seeds_alone():
    first, again, other = (built(seed=seed).state_dict() for seed in "aab")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@needs_detectron2
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1"])
def test_both_backends_are_told_the_same(box_loss, aligned):
    heads = {"box_loss": box_loss, "aligned": aligned, "proposals": [40, 20], "sampling_ratio": 2}
    ours, theirs = (built(heads=heads, backend=name) for name in ("torchvision", "detectron2"))
    assert theirs.transform.image_mean == ours.transform.image_mean
    assert theirs.roi_heads.box_predictor.smooth_l1_beta == (0 if box_loss == "l1" else pytest.approx(1 / 9))
    rpn = theirs.proposal_generator
    assert rpn.smooth_l1_beta == theirs.roi_heads.box_predictor.smooth_l1_beta
    assert rpn.post_nms_topk == {True: 40, False: 20}
    assert rpn.pre_nms_topk == {True: ours.rpn._pre_nms_top_n["training"], False: ours.rpn._pre_nms_top_n["testing"]}
    for pooler in theirs.roi_heads.box_pooler.level_poolers:
        assert (pooler.aligned, pooler.sampling_ratio) == (aligned, 2)
    maps = list(ours.backbone(torch.zeros(1, 3, SIZE, SIZE)).values())
    images = type("Images", (), {"tensors": torch.zeros(1, 3, SIZE, SIZE), "image_sizes": [(SIZE, SIZE)]})
    mine, other = ours.rpn.anchor_generator(images, maps)[0], torch.cat([b.tensor for b in rpn.anchor_generator(maps)])
    assert mine.shape == other.shape
    assert (mine - other).abs().max() <= 0.5  # torchvision rounds its anchors


@needs_detectron2
def test_regions_are_pooled_as_torchvision_pools_them():
    ours, theirs = (built(backend=name) for name in ("torchvision", "detectron2"))
    maps = [torch.rand(1, 8, SIZE // stride, SIZE // stride) for stride in (4, 8, 16, 32)]
    boxes = torch.tensor([[3.2, 5.1, 20.7, 31.3], [0.0, 0.0, 64.0, 64.0], [10.5, 2.0, 60.0, 14.0]])
    of_ours = ours.roi_heads.box_roi_pool({str(i): each for i, each in enumerate(maps)}, [boxes], [(SIZE, SIZE)])
    from detectron2.structures import Boxes

    pooler = theirs.roi_heads.box_pooler
    assert torch.allclose(pooler(maps, [Boxes(boxes)]), of_ours, atol=1e-6)
    rounded = pooler([each.bfloat16().float() for each in maps], [Boxes(boxes)])
    assert torch.equal(pooler([each.bfloat16() for each in maps], [Boxes(boxes)]), rounded)


@needs_detectron2
def test_a_truth_of_a_few_steps():
    truth = tune(epochs=3, curve_every=2, augment="jitter", average=0.3)
    assert truth.measures.keys() >= {"box_ap", "box_ap50", "mask_ap", "validation_box_ap"}
    assert all(0 <= value <= 1 for value in truth.measures.values())
    (rate,) = truth.details["rates"]
    assert [entry["epoch"] for entry in rate["curve"]] == [1, 2, 3]
    assert rate["curve"][0]["losses"].keys() == {*LOSSES, "loss_mask"}


@needs_detectron2
def test_a_search_cut_at_every_moment_gives_the_same_truth():
    changes = {"learning_rates": [0.003, 0.01], "vit": {"drop_path": 0.3}, "accumulate": 2, "average": 0.3}
    checkpoints = CutAt(lambda moment: True)
    assert to_the_end(lambda kept: tune(kept, **changes), checkpoints) == tune(**changes)
    assert checkpoints.cuts >= 2 * 2 * 2


@needs_detectron2
def test_a_rate_that_diverges_is_recorded():
    with pytest.raises(Diverged, match=r"loss_\w+ is (nan|inf).* at learning rate 1e\+30"):
        tune(optimizer="sgd", clip=None, learning_rates=[1e30])


@needs_detectron2
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_detector_learns_what_it_is_shown(precision):
    truth = tune(epochs=12, curve_every=0, learning_rates=[0.01], precision=precision)
    (rate,) = truth.details["rates"]
    assert sum(rate["curve"][-1]["losses"].values()) < 0.8 * sum(rate["curve"][0]["losses"].values())
    assert truth.measures["box_ar100"] > 0


@needs_detectron2
@pytest.mark.parametrize(
    ("make", "changes", "sentence"),
    [
        (transformer, {"vit": {"relative_position": "bias"}}, r"vit\.relative_position=bias"),
        (lambda: transformer(init_values=0.1), {}, r"cannot be this VisionTransformer.*ls1.*backend=torchvision"),
        (lambda: transformer(qk_norm=True), {}, r"q_norm.*backend=torchvision"),
        (lambda: transformer(pre_norm=True), {}, r"a norm before its blocks.*backend=torchvision"),
        (lambda: transformer(patch_size=32), {}, r"four times at most.*backend=torchvision"),
        (transformer, {"heads": {"anchor_sizes": [4, 8, 16, 32, 64, 128]}}, r"heads\.anchor_sizes has 6 sizes"),
        (lambda: residual_network(0, 32, [8, 8, 8, 8]), {}, r"pyramid\.kind=fpn"),
    ],
)
def test_what_detectron2_cannot_be_is_one_sentence(make, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        built(network=make(), **changes)


@needs_detectron2
def test_a_detector_of_torchvisions_layers_stays_one():
    with pytest.raises(ConfigError, match="backend=torchvision"):
        built(network=built(backend="torchvision"))

"""Detectors: what they are built of, what is fresh, what is taken over, what stays as it is."""

import math

import pytest
import torch
import torchvision
from detectors_work import CLASSES, SIZE, batch, built, recipe, resnet, source, vit
from torchvision.models.detection import roi_heads as torchvision_heads
from torchvision.models.detection.rpn import RegionProposalNetwork

from tmbench.errors import ConfigError
from tmbench.sources import network as networks
from tmbench.sources.detection import regions
from tmbench.sources.detection.canvas import Canvas
from tmbench.sources.detection.detector import new_parts
from tmbench.sources.detection.regions import RegionPool
from tmbench.sources.options import Source

LOSSES = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}


def losses(model, seed=0, **changes):
    torch.manual_seed(seed)
    return model.train()(*batch(**changes))


def pretrained(source, recipe):
    """A source that the study makes a detector of by ``recipe``."""
    sizes = {"train": 2, "validation": 2, "test": 2}
    target = {"task": "detection", "function": "a:b", "classes": 5, "image_size": SIZE, "sizes": sizes}
    content = source.model_dump() | {
        "weights": {"kind": "pretrain", "target": target, "recipe": recipe.model_dump(mode="json")}
    }
    return Source.model_validate(content)


RECIPES = {
    "simple": (vit, {"pyramid": {"kind": "simple"}}),
    "four blocks, windows": (vit, {"vit": {"window": 3, "global_blocks": 2, "relative_position": "bias"}}),
    "all at once": (
        vit,
        {"vit": {"window": 3, "relative_position": "decomposed", "drop_path": 0.1}, "recompute": True},
    ),
    "batch norms": (vit, {"pyramid": {"norm": "batch"}}),
    "no norms": (resnet, {"pyramid": {"norm": "none"}}),
    "five maps": (resnet, {"heads": {"anchor_sizes": [4, 8, 16, 32, 64]}}),
    "two maps": (vit, {"heads": {"anchor_sizes": [8, 32]}}),
    "two linear layers": (vit, {"heads": {"box_convolutions": 0}}),
    "torchvision's ways": (vit, {"heads": {"box_loss": "smooth_l1", "aligned": False, "sampling_ratio": 2}}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_detector_trains_and_detects(name):
    kind, changes = RECIPES[name]
    model = built(kind(), recipe(**changes))
    given = losses(model)
    assert given.keys() == LOSSES | {"loss_mask"}
    assert all(math.isfinite(value.item()) for value in given.values())
    sum(given.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.roi_heads.score_thresh = 0.0
    with torch.inference_mode():
        (found,) = model.eval()([torch.rand(3, 40, 50)])
    assert len(found["boxes"]) > 0
    assert found["masks"].shape == (len(found["boxes"]), 1, 40, 50)
    assert found["boxes"][:, 2].max() <= 50
    assert found["boxes"][:, 3].max() <= 40
    assert set(found["labels"].tolist()) <= set(range(1, CLASSES + 1))


def test_a_faster_rcnn_has_no_masks():
    model = built(vit(), recipe(heads={"masks": False}))
    assert losses(model).keys() == LOSSES
    assert "masks" not in model.eval()([torch.rand(3, 40, 50)])[0]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_images_without_objects_can_be_learnt_from(norm):
    model = built(vit(), recipe(pyramid={"norm": norm}))
    given = losses(model, objects=0)
    sum(given.values()).backward()
    assert all(math.isfinite(value.item()) for value in given.values())
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def test_fresh_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = built(vit(), recipe(), seed="one")
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again, other = built(vit(), recipe(), seed="one"), built(vit(), recipe(), seed="other")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in one.state_dict().items())
    weight = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])


def test_the_body_is_the_sources():
    chosen = vit()
    network = networks.build(chosen)
    model = built(chosen, recipe(vit={"relative_position": "bias"}), network=network)
    assert torch.equal(model.backbone.body.blocks[2].mlp.fc1.weight, network.blocks[2].mlp.fc1.weight)
    names = {name for name, _ in model.named_parameters()}
    body = {name for name in names if name.startswith("backbone.body.")}
    assert new_parts(model) == (names - body) | {"backbone.body.biases.global.table"}


@pytest.mark.parametrize("kind", [vit, resnet])
def test_a_frozen_body_learns_nothing(kind):
    model = built(kind(), recipe(trainable="head"))
    before = {name: value.clone() for name, value in model.backbone.body.state_dict().items()}
    given = losses(model)
    assert not model.backbone.body.training
    assert model.backbone.pyramid.training
    sum(given.values()).backward()
    assert all(parameter.grad is None for parameter in model.backbone.body.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.pyramid.parameters())
    # Running means too.
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.body.state_dict().items())


def test_maps_and_anchors_have_the_same_strides():
    model = built(vit(), recipe())
    maps = model.backbone(torch.rand(1, 3, SIZE, SIZE))
    assert [SIZE // each.shape[-1] for each in maps.values()] == list(model.backbone.strides) == [4, 8, 16, 32]
    assert model.rpn.anchor_generator.sizes == ((8,), (16,), (32,), (64,))
    assert model.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def test_a_simple_pyramid_on_a_convolutional_source():
    with pytest.raises(ConfigError, match=r"Set pyramid\.kind to fpn in the recipe's option file"):
        built(resnet(), recipe(pyramid={"kind": "simple"}))


# What is torchvision's


def test_suppression_and_alignment_are_torchvisions():
    assert regions.roi_align is torchvision.ops.roi_align
    assert regions.maskrcnn_loss is torchvision_heads.maskrcnn_loss
    # None of these is ours: they call torchvision.ops.batched_nms.
    assert "filter_proposals" not in vars(regions.ProposalNetwork)
    assert "postprocess_detections" not in vars(regions.RegionHeads)
    assert torchvision.models.detection.rpn.box_ops.batched_nms is torchvision.ops.batched_nms


@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_are_pooled_as_torchvision_pools_them(ratio):
    maps = {str(i): torch.rand(2, 4, 256 // 2**i, 256 // 2**i) for i in range(4)}
    boxes = [torch.tensor([[3.0, 5, 40, 50], [0, 0, 900, 700]]), torch.tensor([[100.0, 100, 300, 350]])]
    theirs = torchvision.ops.MultiScaleRoIAlign(list(maps), 7, ratio)
    ours = RegionPool((4, 8, 16, 32), 7, ratio, aligned=False)
    sizes = [(1024, 1024)] * 2
    assert torch.allclose(ours(maps, boxes, sizes), theirs(maps, boxes, sizes), atol=1e-6)
    shifted = RegionPool((4, 8, 16, 32), 7, ratio, aligned=True)(maps, boxes, sizes)
    expected = torchvision.ops.roi_align(maps["0"], [boxes[0][:1], boxes[1][:0]], 7, 1 / 4, ratio, True)
    assert torch.equal(shifted[:1], expected)
    assert not torch.allclose(shifted, theirs(maps, boxes, sizes), atol=1e-3)


def test_scales_do_not_depend_on_the_first_images():
    """torchvision guesses them from images without padding: wide ones make it take a map of stride 4 for one of 2."""
    maps = {str(i): torch.rand(1, 4, 64 // 2**i, 64 // 2**i) for i in range(4)}
    boxes = [torch.tensor([[3.0, 5, 200, 80]])]
    theirs, ours = torchvision.ops.MultiScaleRoIAlign(list(maps), 7, 2), RegionPool((4, 8, 16, 32), 7, 2, False)
    ours(maps, boxes, [(100, 256)])
    theirs(maps, boxes, [(100, 256)])
    assert theirs.scales[0] == 1 / 2
    assert ours.scales[0] == 1 / 4


def test_losses_are_torchvisions_where_asked_for():
    """The same model with torchvision's own classes in place of ours gives the same losses."""
    model = built(vit(), recipe(heads={"box_loss": "smooth_l1"}))
    ours = losses(model)
    model.rpn.__class__, model.roi_heads.__class__ = RegionProposalNetwork, torchvision_heads.RoIHeads
    theirs = losses(model)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-5) for name in ours)


def test_only_the_losses_of_boxes_change_with_their_kind():
    smooth, plain = (losses(built(vit(), recipe(heads={"box_loss": kind}))) for kind in ("smooth_l1", "l1"))
    changed = {name for name in plain if plain[name].item() != pytest.approx(smooth[name].item(), rel=1e-5)}
    assert changed == {"loss_rpn_box_reg", "loss_box_reg"}
    # A smooth loss is less by at most half of beta an offset.
    assert all(plain[name] > smooth[name] for name in changed)
    offsets = torch.tensor([[0.5, -2.0, 0.05, 0.0]])
    assert regions.box_loss("l1", offsets, torch.zeros(1, 4)).item() == pytest.approx(2.55)


# The canvas


@pytest.mark.parametrize(("height", "width"), [(30, 60), (200, 50), (64, 64)])
def test_images_fill_a_square(height, width):
    canvas = Canvas(64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).train()
    target = {"boxes": torch.tensor([[0.0, 0.0, width, height]]), "masks": torch.ones(1, height, width).byte()}
    images, (scaled,) = canvas([torch.full((3, height, width), 0.75)], [target])
    inside = tuple(round(side * 64 / max(height, width)) for side in (height, width))
    assert images.tensors.shape == (1, 3, 64, 64)
    assert images.image_sizes == [inside]
    assert torch.allclose(scaled["boxes"], torch.tensor([[0.0, 0.0, inside[1], inside[0]]]))
    assert scaled["masks"].shape == (1, *inside)
    shown = images.tensors[0, 0]
    assert torch.allclose(shown[: inside[0], : inside[1]], torch.ones(inside), atol=1e-5)
    assert shown.sum().item() == pytest.approx(inside[0] * inside[1], rel=1e-4)


def test_a_square_is_a_multiple_of_the_coarsest_stride():
    model = built(vit(), recipe(image_size=70))
    images, _ = model.transform([torch.rand(3, 70, 30)])
    assert images.tensors.shape == (1, 3, 96, 96)
    assert model.backbone.body.grid == (12, 12)


# Small types


def test_boxes_are_of_full_precision_under_autocast():
    model = built(vit(), recipe())
    anchors, deltas = [], []
    model.rpn.anchor_generator.register_forward_hook(lambda _module, _inputs, output: anchors.append(output[0]))
    model.rpn.head.register_forward_hook(lambda _module, _inputs, output: deltas.extend(output[1]))
    model.roi_heads.score_thresh = 0.0
    with torch.inference_mode():
        model([torch.rand(3, SIZE, SIZE)])
        with torch.autocast("cpu", torch.bfloat16):
            maps = model.backbone(torch.rand(1, 3, SIZE, SIZE))
            (found,) = model([torch.rand(3, SIZE, SIZE)])
    assert maps["0"].dtype is torch.bfloat16
    assert anchors[1].dtype is torch.float32
    assert torch.equal(anchors[0], anchors[1])
    assert all(each.dtype is torch.float32 for each in deltas)
    assert found["boxes"].dtype is torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        given = losses(model)
    assert all(math.isfinite(value.item()) for value in given.values())


# Detectors as sources


def test_a_detector_gives_all_but_its_predictors():
    theirs = recipe()
    old = built(vit(), theirs, seed="pretraining", classes=5)
    chosen = pretrained(vit(), theirs)
    new = built(chosen, recipe(heads={"anchor_sizes": [4, 8, 16, 32], "detections": 7}), network=old, classes=2)
    before, after = old.state_dict(), new.state_dict()
    predictors = {name for name in after if "_predictor." in name}
    assert new_parts(new) == predictors
    assert all(torch.equal(after[name], before[name]) for name in after.keys() - predictors)
    assert new.roi_heads.box_predictor.cls_score.out_features == 3
    assert new.roi_heads.detections_per_img == 7


def test_a_detector_for_larger_images_has_its_positions_resized():
    theirs = recipe()
    old = built(vit(), theirs)
    new = built(pretrained(vit(), theirs), recipe(image_size=96), network=old)
    before, after = old.backbone.body.pos_embed, new.backbone.body.pos_embed
    assert after.shape == (1, 12, 12, 32)
    resized = torch.nn.functional.interpolate(before.permute(0, 3, 1, 2), size=(12, 12), mode="bicubic")
    assert torch.allclose(after, resized.permute(0, 2, 3, 1), atol=1e-6)


def test_a_mask_head_may_come_and_go():
    without, with_masks = recipe(heads={"masks": False}), recipe()
    gained = built(pretrained(vit(), without), with_masks, network=built(vit(), without))
    assert {name.split(".")[1] for name in new_parts(gained)} == {"box_predictor", "mask_head", "mask_predictor"}
    lost = built(pretrained(vit(), with_masks), without, network=built(vit(), with_masks))
    assert {name.split(".")[1] for name in new_parts(lost)} == {"box_predictor"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"pyramid": {"channels": 8}},
            r"in the recipe's option file what it was pretrained with: pyramid\.channels: 16, not 8",
        ),
        ({"pyramid": {"kind": "simple"}}, r"pyramid\.kind: fpn, not simple"),
        ({"heads": {"box_convolutions": 2}}, r"heads\.box_convolutions: 1, not 2"),
        ({"vit": {"relative_position": "bias"}}, r"vit\.relative_position: none, not bias"),
    ],
)
def test_recipes_that_do_not_fit_a_detector_name_the_keys(changes, words):
    theirs = recipe()
    with pytest.raises(ConfigError, match=words):
        built(pretrained(vit(), theirs), recipe(**changes), network=built(vit(), theirs))


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_a_detector_of_torchvisions_keeps_its_heads(name):
    chosen = source("zoo:torchvision_detector", name=name)
    network = networks.build(chosen)
    masks = name.startswith("mask")
    model = built(chosen, recipe(trainable="head", heads={"masks": masks}), network=network)
    assert network.roi_heads.box_predictor.cls_score.out_features == 91
    assert model.roi_heads.box_predictor.cls_score.out_features == CLASSES + 1
    assert torch.equal(model.backbone.body.layer3[0].conv1.weight, network.backbone.body.layer3[0].conv1.weight)
    parts = {"box_predictor", "mask_predictor"} if masks else {"box_predictor"}
    assert {name.split(".")[1] for name in new_parts(model)} == parts
    model.roi_heads.fg_bg_sampler.batch_size_per_image = 4  # of 512, which take seconds
    given = losses(model, count=1)
    assert all(math.isfinite(value.item()) for value in given.values())
    assert not any(parameter.requires_grad for parameter in model.backbone.body.parameters())


def test_a_faster_rcnn_of_torchvisions_has_no_masks_to_give():
    chosen = source("zoo:torchvision_detector", name="fasterrcnn_resnet50_fpn")
    with pytest.raises(ConfigError, match=r"Set heads\.masks to false in the recipe's option file"):
        built(chosen, recipe())


def test_torchvisions_first_detector_is_as_its_weights_were_trained():
    """With frozen norms of epsilon 0, under the names of the published file."""
    ours = networks.build(source("zoo:torchvision_detector", name="fasterrcnn_resnet50_fpn"))
    theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    names = {name for name in theirs.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(ours.state_dict()) == names
    assert ours.backbone.body.bn1.eps == 0
    assert not list(ours.backbone.body.bn1.parameters())

"""Pretext tasks: what they ask, that they are learnt, and that a training that is cut goes on bit for bit."""

import numpy as np
import pytest
import torch
from cuts import CutAt, to_the_end

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources import build
from tmbench.sources.network import as_input, fresh
from tmbench.sources.objectives import Masked, class_map, objective_of
from tmbench.sources.options import Source
from tmbench.sources.pretext import PretextRecipe
from tmbench.sources.pretrain import pretrain
from tmbench.sources.small import residual_network
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets.detection import DetectionImages, Objects, load

OBJECTIVES = ("presence", "dense", "masked")
OPTIONS = describe_options("source", [f"tiny_vit_{name}" for name in OBJECTIVES], OptionFolders())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def source_of(objective, train=24, **recipe):
    """A tiny ViT of two narrow blocks, and a pretraining of a few steps of eight."""
    content = OPTIONS[f"tiny_vit_{objective}"]
    weights = content["weights"]
    return Source.model_validate(
        {
            **content,
            "architecture": {**content["architecture"], "parameters": {"width": 32, "depth": 2, "heads": 2}},
            "weights": {
                **weights,
                "target": {**weights["target"], "sizes": {"train": train, "validation": 8, "test": 12}},
                "recipe": {**weights["recipe"], "epochs": 2, "batch_size": 8, **recipe},
            },
        }
    )


def data_of(source):
    return load(source.weights.target, "train")


def objective_for(source):
    network = fresh(source, Seeds("n"))
    return objective_of(source.weights.recipe, network, source.weights.target.classes, source.input.size)


def batch(objective, source, rows=(0, 1, 2), mirrored=(False, False, False)):
    data = data_of(source)
    given = objective.answers(data, np.array(rows), np.array(mirrored), np.random.default_rng(0))
    return torch.cat([as_input(data.image(row)[None], source.input) for row in rows]), given


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pretraining_that_is_cut_ends_where_the_uninterrupted_one_does(objective):
    source = source_of(objective)
    whole = pretrain(source, Seeds("a"))
    for k in (1, 4):
        checkpoints = CutAt(lambda moment, k=k: moment % k == 0)
        again = to_the_end(lambda kept: pretrain(source, Seeds("a"), kept), checkpoints)
        assert checkpoints.moments == 6  # no step was done twice, none left out
        assert again.measures == whole.measures
        assert again.details == whole.details
        assert again.weights.keys() == whole.weights.keys()
        assert all(np.array_equal(again.weights[name], whole.weights[name]) for name in whole.weights)
    assert not np.array_equal(
        pretrain(source, Seeds("b")).weights["blocks.0.mlp.fc1.weight"], whole.weights["blocks.0.mlp.fc1.weight"]
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_falls_and_the_weights_are_the_networks_own(objective):
    source = source_of(objective, train=48, epochs=5, learning_rates=[0.003])
    done = pretrain(source, Seeds("a"))
    curve = done.details["loss"]
    assert len(curve) == 5
    assert curve[-1] < 0.97 * curve[0]
    assert done.measures["train_loss"] == curve[-1]
    assert -2 * curve[0] < done.measures["negative_loss"] < 0
    assert done.weights.keys() == fresh(source, Seeds("x")).state_dict().keys()
    network = build(source, done.weights)
    assert not network.training
    assert isinstance(network.get_classifier(), torch.nn.Identity)
    before = fresh(source, Seeds("a")).state_dict()
    assert not np.array_equal(done.weights["patch_embed.proj.weight"], before["patch_embed.proj.weight"].numpy())


def test_presence_asks_for_the_classes_that_are_there():
    source = source_of("presence")
    objective, data = objective_for(source), data_of(source)
    _, answers = batch(objective, source)
    for row in range(3):
        assert np.flatnonzero(answers[row].numpy()).tolist() == sorted(set(data.objects(row).labels.tolist()))


def test_dense_asks_for_the_share_of_each_class():
    source = source_of("dense")
    objective, data = objective_for(source), data_of(source)
    _, answers = batch(objective, source)
    classes, side = len(data.classes), source.input.size // 8
    assert answers.shape == (3, classes + 1, side, side)
    assert torch.allclose(answers.sum(dim=1), torch.ones(3, side, side), atol=1e-5)
    painted = class_map(data, 0)
    for label in range(classes + 1):
        assert float(answers[0, label].mean()) == pytest.approx(np.mean(painted == label), abs=1e-5)
    _, mirrored = batch(objective, source, mirrored=(True, False, True))
    assert torch.equal(mirrored[0], answers[0].flip(-1))
    assert torch.equal(mirrored[1], answers[1])


@pytest.mark.parametrize("masks", [True, False])
def test_the_smaller_object_is_in_front_and_crowds_are_ground(masks):
    from pycocotools import mask

    boxes = np.array([[2, 2, 4, 4], [0, 0, 6, 6], [6, 6, 8, 8]], np.float32)
    bitmaps = np.zeros((3, 8, 8), np.uint8)
    for bitmap, (left, top, right, bottom) in zip(bitmaps, boxes.astype(int), strict=True):
        bitmap[top:bottom, left:right] = 1
    encoded = mask.encode(np.asfortranarray(bitmaps.transpose(1, 2, 0))) if masks else ()
    areas, crowd = np.array([4.0, 36.0, 4.0]), np.array([False, False, True])
    objects = Objects(boxes, np.array([1, 0, 1]), crowd, areas, tuple(encoded))
    data = DetectionImages.of_arrays(("a", "b"), [np.zeros((8, 8, 3), np.uint8)], [objects])
    painted = class_map(data, 0)
    expected = np.full((8, 8), 2)
    expected[:6, :6] = 0
    expected[2:4, 2:4] = 1
    assert np.array_equal(painted, expected)


def test_what_is_hidden_is_not_seen_and_alone_counts():
    source = source_of("masked")
    objective = objective_for(source).eval()
    assert isinstance(objective, Masked)
    inputs, seen = batch(objective, source)
    patches = (source.input.size // 8) ** 2
    assert seen.shape == (3, round(0.4 * patches))
    assert len({tuple(row) for row in seen.tolist()}) == 3
    hidden = torch.ones(3, patches).scatter(1, seen, 0.0)
    pixels = hidden.reshape(3, 1, 12, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    other = inputs + 3 * pixels * torch.randn_like(inputs)
    with torch.no_grad():
        assert torch.equal(objective._encoded(inputs, seen), objective._encoded(other, seen))
        assert not torch.equal(objective._encoded(inputs, seen), objective._encoded(inputs + 1, seen))
        plain = objective(inputs, seen)
        assert not torch.equal(objective(other, seen), plain)  # the answer changed
        # Each patch is normalised by itself: twice the contrast, and another brightness, are the same answer.
        brighter = inputs + 0.5 * pixels
        assert torch.allclose(objective(brighter, seen), plain, atol=1e-3)
    assert not objective.network.patch_drop._forward_hooks


def test_masked_is_for_vision_transformers():
    recipe = PretextRecipe(task="pretext", objective="masked", learning_rates=[0.001], epochs=1, batch_size=2)
    network = residual_network(0, 96, widths=(8, 8))
    with pytest.raises(ConfigError, match=r"hides patches .*ByobNet has none.*presence"):
        objective_of(recipe, network, 4, 96)
    for other in ("presence", "dense"):
        task = objective_of(recipe.model_copy(update={"objective": other}), network, 4, 96)
        assert task.head.weight.shape[0] in (4, 5)

"""Training of segmentation networks: the loss, mirrored images, frozen maps, and going on after a cut."""

import numpy as np
import pytest
import torch
from cuts import CutAt, to_the_end
from segmentation_work import SIZE, pretrained, recipe, source, squares, target
from torch import nn

from tmbench.identity import Seeds, content_id
from tmbench.sources.network import build, weights_of
from tmbench.sources.pretrain import pretrain
from tmbench.sources.segmentation import pictures as module
from tmbench.sources.segmentation.evaluation import evaluated
from tmbench.sources.segmentation.pictures import FrozenMaps, LabelMaps, Pictures
from tmbench.sources.segmentation.segmenter import Segmenter, segmenter
from tmbench.sources.segmentation.training import (
    images_of,
    learner,
    mirrored_images,
    mirrored_maps,
    pixel_loss,
    train,
)
from tmbench.targets.segmentation import at_size

SEEDS = Seeds("a unit")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def drawn(count=8, size=SIZE):
    return Pictures(squares("train", count, Seeds("images")), source().input, size)


def test_the_loss_is_the_mean_over_labelled_pixels():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8)
    labels[0, :5] = 255
    larger = nn.functional.interpolate(logits, (8, 8), mode="bilinear", align_corners=False)
    wanted = nn.functional.cross_entropy(larger, labels.long(), ignore_index=255)
    torch.testing.assert_close(pixel_loss(logits, labels), wanted)
    nothing = pixel_loss(logits, torch.full_like(labels, 255))
    nothing.backward()
    assert nothing == 0
    assert (logits.grad == 0).all()


def test_images_and_labels_are_mirrored_together():
    pictures = drawn()
    rows = torch.arange(8)
    images, labels = pictures[rows], pictures.labels(rows)
    turned, answers = mirrored_images(images, labels, np.random.default_rng(0))
    flags = np.random.default_rng(0).random(8) < 0.5
    assert 0 < flags.sum() < 8
    for i, flag in enumerate(flags):
        assert torch.equal(turned[i], images[i].flip(2) if flag else images[i])
        assert torch.equal(answers[i], labels[i].flip(1) if flag else labels[i])


@pytest.mark.parametrize("room", [2 << 30, 0])
def test_a_decoder_on_frozen_maps_sees_what_the_trunk_makes_of_the_images(room, monkeypatch):
    """Kept or, where they do not fit, computed when asked for."""
    monkeypatch.setattr(module, "KEPT", room)
    model = segmenter(build(source()), recipe(fused=True), 3, SIZE, SEEDS)
    pictures = drawn()
    maps = images_of(model, recipe(trainable="head", augment="mirror"), pictures, training=True)
    assert isinstance(maps, FrozenMaps)
    assert (maps._rows is None) == (room == 0)
    rows = torch.tensor([5, 0, 3])
    images, labels = pictures[rows], pictures.labels(rows)
    decoder = learner(model, recipe(trainable="head"), maps).eval()
    batch, answers = mirrored_maps(maps[rows], labels, np.random.default_rng(1))
    wanted, same = mirrored_images(images, labels, np.random.default_rng(1))
    torch.testing.assert_close(decoder(batch), model(wanted), rtol=1e-4, atol=1e-5)
    assert torch.equal(answers, same)
    held_out = images_of(model, recipe(trainable="head", augment="mirror"), pictures)
    torch.testing.assert_close(decoder(held_out[rows]), model(images), rtol=1e-4, atol=1e-5)


def test_images_are_resized_and_kept_as_far_as_they_fit(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3 * 4 * 48**2)
    data = squares("train", 5, Seeds("images"))
    pictures = Pictures(data, source().input, 48)
    for _ in range(2):
        labels = pictures.labels(torch.arange(5))
        for i in range(5):
            assert np.array_equal(labels[i].numpy(), at_size(data.image(i), data.labels(i), 48)[1])
    assert pictures[torch.tensor([4])].shape == (1, 3, 48, 48)
    assert len(pictures._kept) == 3


@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_it_trains_what_it_is_told_and_learns(trainable):
    by = recipe(trainable=trainable, epochs=12, fused=True, learning_rates=[0.03], augment="mirror")
    model = segmenter(build(source()), by, 3, SIZE, SEEDS)
    pictures, held_out = drawn(16), drawn(4)
    images = images_of(model, by, pictures, training=True)
    before = weights_of(model)
    network = learner(model, by, images)
    curve = train(network, images, LabelMaps(pictures), by, 0.03, SEEDS)
    assert curve[-1] < 0.7 * curve[0]
    after = weights_of(model)
    assert all((after[name] == before[name]).all() for name in before)  # a copy was trained
    reached = evaluated(network, images_of(model, by, held_out), LabelMaps(held_out), 3).numbers["miou"]
    assert reached > 0.4
    trained = weights_of(network) if trainable != "head" else None
    if trained is not None:
        changed = {name for name in before if not np.array_equal(before[name], trained[name])}
        assert any(name.startswith("decoder.") for name in changed)
        assert any(name.startswith("trunk.stages.2") for name in changed)
        assert any(name.startswith("trunk.stages.0") for name in changed) == (trainable == "full")


def test_a_pretraining_cut_at_every_third_step_ends_as_the_uninterrupted_one():
    option = pretrained(by=recipe(augment="mirror", decoder="deeplab", epochs=3))
    whole = pretrain(option, SEEDS)
    again = to_the_end(lambda kept: pretrain(option, SEEDS, kept), CutAt(lambda moment: moment % 3 == 0))
    assert whole.measures == again.measures
    assert whole.details == again.details
    assert all(np.array_equal(value, again.weights[name]) for name, value in whole.weights.items())


def test_pretraining_keeps_trunk_and_decoder():
    option = pretrained(target(train=24, seed=7), recipe(epochs=10, fused=True, learning_rates=[0.03]))
    made = pretrain(option, SEEDS)
    assert set(made.measures) == {"miou", "pixel_accuracy", "train_loss"}
    assert made.details["classes"]["red"]["iou"] > 0.3
    network = build(option, made.weights, task="segmentation")
    assert isinstance(network, Segmenter)
    on = option.pretrained_on
    seeds = Seeds(content_id({"target": on.parameters, "seed": on.seed, "version": on.version}))
    held_out = Pictures(squares("test", 6, seeds), option.input, SIZE)
    assert evaluated(network, held_out, LabelMaps(held_out), 3).numbers["miou"] == made.measures["miou"]
    trunk = build(option, made.weights)
    assert not isinstance(trunk, Segmenter)
    assert all(np.array_equal(value, made.weights[f"trunk.{name}"]) for name, value in weights_of(trunk).items())

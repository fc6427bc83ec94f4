"""Training detectors: cuts change nothing, the recipe's numbers do what they say."""

import numpy as np
import pytest
import torch
from cuts import Cut, CutAt, to_the_end
from pydantic import ValidationError
from scenes_work import Convolutions, Transformer, recipe, scenes, tiny_detector
from torch import nn

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.detection.batches import batches
from tmbench.sources.detection.evaluation import detections, evaluated
from tmbench.sources.detection.optimization import parameter_groups, set_training
from tmbench.sources.detection.training import Training, train
from tmbench.sources.network import weights_of
from tmbench.sources.training import Diverged, schedule
from tmbench.targets.detection import DetectionImages, Objects, no_objects

IMAGES, BATCH, STEPS, EPOCHS = 9, 6, 2, 2  # batches of 5 and 4
RATE = 0.003
ALL = {"augment": "jitter", "average": 0.5, "accumulate": 2, "scales": (0.5, 1.5)}


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images():
    return scenes(IMAGES, empty=(2, 5))


def by_sizes(model):
    """A judge that is cheap and depends on every weight."""
    total = sum(float(value.double().abs().sum()) for value in model.state_dict().values())
    assert not model.training
    return {"box_ap": float(np.sin(1e3 * total))}


def trained(images, *checkpoints, body=Convolutions, seed="a", rate=RATE, judge=None, **changes):
    """A training of the same start, begun in a random state of its own, as another process would."""
    model = tiny_detector(body)
    changes = {"batch_size": BATCH, **changes}
    return train(model, images, recipe(**changes), rate, Seeds(seed), *checkpoints, judge=judge)


def equal(first, second):
    return (
        (first.curve, first.epoch) == (second.curve, second.epoch)
        and first.weights.keys() == second.weights.keys()
        and all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)
    )


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (Convolutions, {}),
        (Transformer, {**ALL, "layer_decay": 0.5}),
        (Convolutions, {"optimizer": "sgd", "trainable": "head"}),
        (Convolutions, {"report": "best", "judge": by_sizes, "optimizer": "adam"}),
    ],
    ids=["plain", "everything", "head", "best"],
)
@pytest.mark.parametrize("k", [1, 3])
def test_a_training_cut_at_every_kth_moment_ends_where_the_uninterrupted_one_does(k, body, changes, images):
    whole = trained(images, body=body, **changes)
    checkpoints = CutAt(lambda moment: moment % k == 0)
    assert equal(to_the_end(lambda kept: trained(images, kept, body=body, **changes), checkpoints), whole)
    moments = EPOCHS * (STEPS + ("judge" in changes))  # after each measurement too
    assert (checkpoints.moments, checkpoints.cuts) == (moments, moments // k)


@pytest.mark.parametrize(
    "other", [{"seed": "b"}, {"rate": 0.01}, {"weight_decay": 0.1}, {"body": Transformer}], ids=str
)
def test_the_state_of_another_training_is_passed_over(other, images):
    checkpoints = CutAt(lambda moment: moment == 2)
    with pytest.raises(Cut):
        trained(images, checkpoints, **other)
    assert equal(trained(images, checkpoints), trained(images))


def test_the_seeds_decide_and_the_callers_stream_is_left_alone(images):
    assert equal(trained(images), trained(images))
    assert not equal(trained(images), trained(images, seed="b"))
    model = tiny_detector()
    torch.manual_seed(5)
    train(model, images, recipe(), RATE, Seeds("a"))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_training_lowers_the_loss_and_finds_the_objects():
    """On boxes of two colours, in 32 steps."""
    data = scenes(16, seed=3)
    model = tiny_detector()
    done = train(model, data, recipe(epochs=8, learning_rates=[0.02], batch_size=4, augment="none"), 0.02, Seeds("a"))
    totals = [sum(entry["losses"].values()) for entry in done.curve]
    assert totals[-1] < 0.7 * totals[0]
    assert set(done.curve[0]["losses"]) >= {"loss_mask", "loss_classifier", "loss_rpn_box_reg"}
    assert not model.training
    numbers = evaluated(data, detections(model, data)).numbers
    assert numbers["box_ap50"] > 0.02


def test_batches_prepared_ahead_are_those_prepared_in_turn(images):
    rows = [np.array([3, 1]), np.array([0, 2, 4]), np.array([5])]
    settings = images, rows, 1, tiny_detector(), recipe(augment="jitter"), Seeds("a")
    plain, ahead = list(batches(*settings)), list(batches(*settings, threads=3))
    assert [len(batch) for batch in ahead] == [2, 3, 1]
    for first, second in zip(plain, ahead, strict=True):
        for (image, target), (other, its) in zip(first, second, strict=True):
            assert torch.equal(image, other)
            assert all(torch.equal(target[name], its[name]) for name in target)
    unfinished = batches(*settings, threads=3)
    next(unfinished)
    unfinished.close()  # a training that diverges leaves no thread behind


def test_only_the_head_is_trained_and_batch_norms_of_the_body_stay(images):
    before = weights_of(tiny_detector())
    after = trained(images, trainable="head").weights
    assert any(name.startswith("backbone.body") and "running" in name for name in before)
    for name, value in before.items():
        same = np.array_equal(value, after[name])
        assert same == name.startswith("backbone.body."), name


def test_images_without_objects_are_trained_on():
    """Alone in their batch."""
    few, none = trained(scenes(4), batch_size=1), trained(scenes(4, empty=(1, 2, 3)), batch_size=1)
    assert 0.0 < none.curve[-1]["losses"]["loss_mask"] < 0.5 * few.curve[-1]["losses"]["loss_mask"]
    assert none.curve[-1]["losses"]["loss_objectness"] > 0.0


def test_sets_without_masks_train_a_detector_without_them():
    one = Objects(np.array([[5, 5, 30, 30]], np.float32), np.array([0]), np.array([False]), np.array([625.0]))
    data = DetectionImages.of_arrays(["red"], [np.zeros((64, 64, 3), np.uint8)] * 4, [one, no_objects(), one, one])
    model = tiny_detector()
    model.roi_heads.mask_roi_pool = model.roi_heads.mask_head = model.roi_heads.mask_predictor = None
    with pytest.raises(ConfigError, match=r"masks: false under heads"):
        train(model, data, recipe(), RATE, Seeds("a"))
    done = train(model, data, recipe(heads={"masks": False}), RATE, Seeds("a"))
    assert "loss_mask" not in done.curve[0]["losses"]


@pytest.mark.parametrize("start", [0, 1])
def test_a_loss_that_is_not_finite_stops_at_once_and_says_where(start, images):
    model = tiny_detector()
    calls = []

    def spoil(module, inputs, losses):
        calls.append(1)
        return losses | {"loss_mask": losses["loss_mask"] * (float("nan") if len(calls) > start else 1)}

    model.register_forward_hook(spoil)
    with pytest.raises(Diverged, match=rf"loss_mask is nan in step {start + 1} of epoch 1 at learning rate 0.003") as e:
        train(model, images, recipe(), RATE, Seeds("a"))
    assert e.value.failure == "nan"
    assert str(e.value).endswith("; lower learning_rates.")  # this recipe clips
    assert len(calls) == start + 1


def test_a_learning_rate_far_too_high_diverges(images):
    changes = {"rate": 1e30, "optimizer": "sgd", "warm_up": 0.0}
    with pytest.raises(Diverged, match="lower learning_rates or clip the gradient"):
        trained(images, clip=None, **changes)
    with pytest.raises(Diverged, match=r"lower learning_rates\.$"):
        trained(images, clip=1.0, **changes)


class Layered(nn.Module):
    """Parameters named as a ViT detector's are."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.body = Transformer()
        self.backbone.body.window_bias = nn.ParameterDict({"table": nn.Parameter(torch.zeros(2, 3, 3))})
        own = nn.ParameterDict({"table": nn.Parameter(torch.zeros(2, 3, 3))})
        self.backbone.body.biases = nn.ModuleDict({"global_1": own})
        self.backbone.pyramid = nn.Conv2d(3, 4, 1)
        self.backbone.pyramid.blocks = nn.ModuleList([nn.Linear(2, 2)])  # not the ViT's


def test_layer_decay_falls_from_the_heads_to_the_embeddings():
    model = Layered()
    groups = parameter_groups(model, 0.1, 0.5)
    settings = {id(p): (group["weight_decay"], group["factor"]) for group in groups for p in group["params"]}
    of = {name: settings[id(parameter)] for name, parameter in model.named_parameters()}
    body = "backbone.body."
    assert of[f"{body}patch_embed.proj.weight"] == (0.1, 0.125)  # two blocks: 0.5 to the power 3
    assert of[f"{body}pos_embed"] == (0.0, 0.125)
    assert of[f"{body}blocks.0.attn.qkv.weight"] == (0.1, 0.25)
    assert of[f"{body}blocks.0.attn.qkv.bias"] == (0.0, 0.25)
    assert of[f"{body}blocks.1.norm1.weight"] == (0.0, 0.5)
    assert of[f"{body}blocks.1.mlp.fc1.weight"] == (0.1, 0.5)
    assert of[f"{body}window_bias.table"] == (0.0, 1.0)  # shared by blocks
    assert of[f"{body}biases.global_1.table"] == (0.0, 0.5)  # the second block's
    assert of["backbone.pyramid.weight"] == (0.1, 1.0)
    assert of["backbone.pyramid.blocks.0.weight"] == (0.1, 1.0)
    assert len(settings) == len(list(model.parameters())) == sum(len(group["params"]) for group in groups)


def test_without_layer_decay_there_are_two_groups_and_frozen_weights_are_in_none():
    assert [group["factor"] for group in parameter_groups(Layered(), 0.1, 1.0)] == [1.0, 1.0]
    model = tiny_detector()
    set_training(model, recipe(trainable="head"))
    grouped = {id(p) for group in parameter_groups(model, 0.1, 1.0) for p in group["params"]}
    assert not grouped & {id(p) for p in model.backbone.body.parameters()}
    assert grouped >= {id(p) for p in model.roi_heads.parameters()}


def test_layer_decay_needs_blocks(images):
    with pytest.raises(ConfigError, match="no blocks"):
        trained(images, layer_decay=0.7)


def test_the_blocks_of_a_convolutional_body_are_no_layers(images):
    model = Layered()
    network = nn.Module()
    network.stages = nn.ModuleList([model.backbone.body])
    model.backbone.body = nn.Module()
    model.backbone.body.network = network  # stages.0.blocks.1, as timm's ConvNeXt has them
    with pytest.raises(ConfigError, match="no blocks"):
        parameter_groups(model, 0.1, 0.5)


def rates_of(images, monkeypatch, **changes):
    seen = []
    real = Training.step

    def step(training, batch, number, factor):
        real(training, batch, number, factor)
        seen.append([group["lr"] / group["factor"] for group in training._optimizer.param_groups])

    monkeypatch.setattr(Training, "step", step)
    trained(images, **changes)
    return seen


def test_the_learning_rate_follows_the_schedule(images, monkeypatch):
    changes = {"epochs": 5, "schedule": "steps", "milestones": (0.5, 0.9), "warm_up": 0.2, "rate": 0.03}
    seen = rates_of(images, monkeypatch, **changes)  # ten steps, two of warm-up
    expected = [0.01, 0.02, 0.03, 0.03, 0.03, 0.003, 0.003, 0.003, 0.003, 0.0003]
    assert [rates[0] for rates in seen] == pytest.approx(expected)
    assert all(len(set(rates)) == 1 for rates in seen)


def test_schedules():
    half = schedule(8, 0.0, "cosine")
    assert [half(step) for step in (0, 4)] == pytest.approx([1.0, 0.5])
    assert [schedule(4, 0.5, "constant")(step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_the_average_follows_the_weights_and_is_what_is_measured_and_kept(images):
    weights, measured = [], []

    class Seen(CutAt):
        def save(self, saved):
            weights.append({n.removeprefix("network/"): a for n, a in saved.arrays.items() if n.startswith("network/")})

    def judge(model):
        measured.append(weights_of(model))
        return {"box_ap": 0.0}

    done = trained(images, Seen(lambda moment: True), average=0.75, judge=judge, epochs=1)
    average = weights_of(tiny_detector())
    for step in weights[:STEPS]:
        average = {n: 0.75 * average[n] + 0.25 * step[n] if step[n].dtype.kind == "f" else step[n] for n in average}
    for name, value in average.items():
        assert np.allclose(done.weights[name], value, atol=1e-6), name
        assert np.array_equal(measured[0][name], done.weights[name])
    # The training itself goes on from its own weights.
    assert all(np.array_equal(weights[-1][name], weights[-2][name]) for name in average)


class Counting(nn.Module):
    """A detector without draws or norms whose loss is a mean over images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Module()
        self.backbone.body = nn.Identity()
        self.transform = nn.Module()
        self.transform.image_mean = [0.5, 0.5, 0.5]
        self.map = nn.Linear(3, 1)
        self.sizes = []

    def forward(self, images, targets):
        self.sizes.append(len(images))
        wanted = torch.stack([target["boxes"].sum() / 64 for target in targets])
        seen = self.map(torch.stack([image.mean(dim=(1, 2)) for image in images]))[:, 0]
        return {"loss": (seen - wanted).square().mean(), "other": seen.abs().mean()}


def test_accumulated_parts_are_the_whole_batch(images):
    done = {}
    for parts in (1, 2, 4):
        model = Counting()
        changes = {"batch_size": 12, "epochs": 3, "accumulate": parts, "optimizer": "sgd", "heads": {"masks": False}}
        done[parts] = train(model, images, recipe(**changes), 0.05, Seeds("a"))
        assert sum(model.sizes) == 3 * IMAGES
        assert len(model.sizes) == 3 * parts
    for parts in (2, 4):
        for name, value in done[1].weights.items():
            assert np.allclose(done[parts].weights[name], value, rtol=1e-5, atol=1e-6)
        for first, other in zip(done[1].curve, done[parts].curve, strict=True):
            assert other["losses"] == pytest.approx(first["losses"], rel=1e-5)


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(11, 8, [6, 5]), (8, 8, [8]), (3, 8, [3]), (5, 2, [2, 2, 1])], ids=str
)
def test_a_step_has_no_more_images_than_the_batch_size(count, size, sizes):
    model = Counting()
    train(model, scenes(count), recipe(batch_size=size, epochs=1, heads={"masks": False}), 0.01, Seeds("a"))
    assert model.sizes == sizes


@pytest.mark.parametrize("milestones", [(0.9, 0.5), (0.5, 0.5), (8, 11), (0.0,)], ids=str)
def test_milestones_that_do_not_rise_are_refused(milestones):
    with pytest.raises(ValidationError, match=r"milestones=\[.*\] are shares of all steps: give numbers that rise"):
        recipe(milestones=milestones)


def test_gradients_are_clipped(images):
    """Plain SGD's first step is as long as the learning rate times the clipped norm."""
    changes = {"optimizer": "sgd", "weight_decay": 0.0, "warm_up": 0.0, "epochs": 1, "batch_size": 9}
    before = weights_of(Counting())
    after = train(Counting(), images, recipe(**changes, clip=0.25, heads={"masks": False}), 0.1, Seeds("a")).weights
    moved = np.sqrt(sum(float(((after[name] - before[name]) ** 2).sum()) for name in before))
    assert moved == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize(
    ("every", "epochs", "expected"), [(1, 3, [1, 2, 3]), (2, 3, [2, 3]), (0, 3, [3]), (2, 4, [2, 4])]
)
def test_validation_is_measured_as_often_as_the_recipe_says(every, epochs, expected):
    done = trained(scenes(2), judge=by_sizes, curve_every=every, epochs=epochs)
    assert [entry["epoch"] for entry in done.curve if "validation" in entry] == expected
    assert done.validation == done.curve[-1]["validation"]


def test_the_best_epoch_or_the_last_is_reported():
    reached = {1: 0.1, 2: 0.5, 3: 0.5, 4: 0.2}

    def judge(model):
        seen.append(weights_of(model))
        return {"box_ap": reached[len(seen)]}

    results = {}
    for report in ("last", "best"):
        seen = []
        results[report] = trained(scenes(3), judge=judge, report=report, epochs=4), seen
    (last, _), (best, seen) = results["last"], results["best"]
    assert (last.epoch, last.validation["box_ap"]) == (4, 0.2)
    assert (best.epoch, best.validation["box_ap"]) == (2, 0.5)  # the first of equal ones
    assert all(np.array_equal(best.weights[name], seen[1][name]) for name in seen[1])
    assert not all(np.array_equal(best.weights[name], last.weights[name]) for name in seen[1])


def test_half_precision(images):
    done = trained(images, precision="bfloat16")
    assert not equal(done, trained(images))
    assert all(np.isfinite(value).all() for value in done.weights.values())
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        trained(images, precision="float16")

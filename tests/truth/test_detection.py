"""Fine-tuned detectors: what is chosen where, what is read when, and cuts that change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cuts import Cut, CutAt, to_the_end
from detectors_work import TINY_HEADS
from scenes_work import scenes

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.network import build
from tmbench.sources.options import Source
from tmbench.sources.pretrain import pretrain
from tmbench.sources.training import Diverged
from tmbench.targets import BadData
from tmbench.targets.detection import DetectionImages
from tmbench.targets.options import DetectionTarget
from tmbench.truth import detection, fine_tune

ASKED = []
"""The splits that were asked for, in order."""

DECODED = []
"""The split of each image that was decoded, in order."""


def two_colours(split, size, seeds, poisoned=False, maskless="", missing=""):
    """A target's function that notes what is asked of it.

    ``poisoned``: the test split's labels are exchanged; ``maskless``: the split that has no masks; ``missing``: the
    one that is not there.
    """
    ASKED.append(split)
    if split == missing:
        raise BadData(f"there is no {split}")
    data = scenes(size, seed={"train": 1, "validation": 2, "test": 3}[split], empty=(1,))
    if split == maskless:
        objects = [replace(data.objects(i), masks=()) for i in range(size)]
        return DetectionImages.of_arrays(data.classes, [data.image(i) for i in range(size)], objects)
    if split == "test" and poisoned:
        for i in range(size):
            labels = data.objects(i).labels
            labels[:] = 1 - labels
    return noted(data, split)


def noted(data, split):
    """``data`` whose images are noted when they are decoded."""

    def decode(i):
        DECODED.append(split)
        return data.image(i)

    return DetectionImages(data.classes, data.names, data.seen, decode, has_masks=data.has_masks)


TARGET = {
    "task": "detection",
    "function": f"{__file__}:two_colours",
    "classes": 2,
    "sizes": {"train": 8, "validation": 4, "test": 5},
    "image_size": 64,
}
SOURCE = {
    "architecture": {
        "function": "tmbench.sources.small:vision_transformer",
        "parameters": {"stem": [8, 8], "width": 16, "depth": 2, "heads": 2},
    },
    "input": {"size": 64},
    "weights": {"kind": "random"},
}
SMALL = {
    "task": "detection",
    "trainable": "full",
    "pyramid": {"kind": "simple", "channels": 8, "norm": "layer"},
    "heads": TINY_HEADS,
    "image_size": 64,
    "epochs": 2,
    "batch_size": 4,
    "learning_rates": [0.003],
    "clip": 1.0,
}
STEPS, EPOCHS = 2, 2
LONGER = {
    "epochs": 30,
    "curve_every": 10,
    "learning_rates": [0.01],
    "heads": SMALL["heads"] | {"masks": False, "least_score": 0.0},
}
"""Until something is found."""


def recipe(**changes):
    return DetectionRecipe.model_validate(SMALL | changes)


def tune(*checkpoints, seed="a", source=SOURCE, weights=None, parameters=None, **changes):
    torch.set_num_threads(1)
    torch.seed()
    ASKED.clear()
    target = DetectionTarget.model_validate({**TARGET, "parameters": parameters or {}})
    option = Source.model_validate(source)
    return fine_tune(option, weights, target, recipe(**changes), Seeds(seed), *checkpoints)


@pytest.fixture
def asked(monkeypatch):
    """The list in the module that the target's function is found in, which is another than this one."""
    from tmbench.functions import find_function

    module = find_function(TARGET["function"]).__globals__
    module["ASKED"].clear()
    return module["ASKED"]


@pytest.fixture
def decoded(asked):
    """The list of decoded images in that module."""
    from tmbench.functions import find_function

    found = find_function(TARGET["function"]).__globals__["DECODED"]
    found.clear()
    return found


def test_a_truth_tells_all_that_coco_does(asked):
    truth = tune(learning_rates=[0.003], epochs=3, curve_every=2)
    assert truth.measures.keys() >= {"box_ap", "box_ap50", "mask_ap", "mask_ap75", "box_ar100", "validation_box_ap"}
    assert all(0 <= value <= 1 for value in truth.measures.values())
    (rate,) = truth.details["rates"]
    assert [entry["epoch"] for entry in rate["curve"]] == [1, 2, 3]
    assert ["validation" in entry for entry in rate["curve"]] == [False, True, True]
    assert set(rate["curve"][0]["losses"]) >= {"loss_classifier", "loss_mask", "loss_objectness"}
    assert (truth.details["learning_rate"], truth.details["epoch"]) == (0.003, 3)
    assert truth.details["images"] == {"train": 8, "validation": 4, "test": 5}
    assert truth.details["problems"] == {"train": [], "validation": [], "test": []}
    assert truth.details["classes"].keys() == {"red", "green"}
    assert truth.details["classes"]["red"].keys() >= {"box_ap", "mask_ap"}


def test_a_measure_of_masks_needs_a_validation_split_with_masks():
    with pytest.raises(ConfigError, match=r"measures mask_ap, and the split 'validation' .* has no masks"):
        tune(parameters={"maskless": "validation"}, measure="mask_ap")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_fault_of_any_split_is_found_before_anything_is_trained(split, decoded, monkeypatch):
    monkeypatch.setattr(detection, "train", lambda *arguments: pytest.fail("it trained"))
    with pytest.raises(BadData, match=f"there is no {split}"):
        tune(parameters={"missing": split})
    assert decoded == []


def test_the_test_split_is_measured_once_after_the_choice(asked, decoded, monkeypatch):
    """No image of it is decoded before."""
    measured = []

    def evaluated(images, found, real=detection.evaluated):
        measured.append(len(images))
        return real(images, found)

    monkeypatch.setattr(detection, "evaluated", evaluated)
    tune(learning_rates=[0.003, 0.01], report="best")
    assert asked == ["train", "validation", "test"]
    assert measured == [4] * 2 * EPOCHS + [5]
    assert decoded.count("test") == 5
    assert decoded[-5:] == ["test"] * 5
    assert {"train", "validation"} <= set(decoded)


def test_labels_exchanged_on_test_change_the_truth_and_nothing_that_was_chosen():
    changes = {"report": "best", **LONGER}
    honest = tune(**changes)
    other = tune(parameters={"poisoned": True}, **changes)
    assert other.details["rates"] == honest.details["rates"]
    assert other.details["epoch"] == honest.details["epoch"]
    assert other.measures["validation_box_ap"] == honest.measures["validation_box_ap"]
    assert other.measures["box_ap"] != honest.measures["box_ap"]


def test_the_best_validation_chooses_the_rate_and_the_epoch(monkeypatch):
    reached = iter([0.1, 0.4, 0.2, 0.3, 0.4, 0.1])
    monkeypatch.setattr(detection, "_numbers", lambda model, images: {"box_ap": next(reached)})
    best = tune(learning_rates=[0.01, 0.003], epochs=3, report="best")
    assert (best.details["learning_rate"], best.details["epoch"]) == (0.01, 2)  # the first of equal ones
    assert best.measures["validation_box_ap"] == 0.4
    reached = iter([0.1, 0.4, 0.2, 0.2, 0.1, 0.3])
    last = tune(learning_rates=[0.01, 0.003], epochs=3, report="last")
    assert (last.details["learning_rate"], last.details["epoch"]) == (0.003, 3)
    assert [rate["epoch"] for rate in last.details["rates"]] == [3, 3]


def test_the_weights_of_the_best_epoch_are_those_that_are_measured(monkeypatch):
    """A training of 30 epochs that was best after 20 reaches on test what a training of 20 epochs does."""
    reached = iter([0.1, 0.9, 0.1, 0.1, 0.9])
    monkeypatch.setattr(detection, "_numbers", lambda model, images: {"box_ap": next(reached)})
    changes = {**LONGER, "schedule": "constant", "report": "best"}
    long, short = (tune(**changes | {"epochs": epochs}) for epochs in (30, 20))
    assert long.details["epoch"] == short.details["epoch"] == 20
    assert long.measures == short.measures
    assert short.measures["box_ar100"] > 0


TECHNIQUES = {
    "2021": {
        "vit": {"window": 2, "global_blocks": 1, "relative_position": "bias", "drop_path": 0.3},
        "pyramid": {"kind": "fpn", "channels": 8, "norm": "batch"},
        "augment": "jitter",
        "scales": (0.5, 2.0),
        "precision": "bfloat16",
        "accumulate": 2,
        "recompute": True,
        "average": 0.5,
    },
    "vitdet": {
        "vit": {"window": 2, "global_blocks": 1, "relative_position": "decomposed", "drop_path": 0.3},
        "layer_decay": 0.7,
        "schedule": "steps",
        "augment": "jitter",
        "weight_decay": 0.1,
    },
    "head": {"trainable": "head", "optimizer": "adam", "schedule": "constant", "clip": None},
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_each_set_of_techniques_trains_and_goes_on_from_a_cut(name):
    checkpoints = CutAt(lambda moment: moment % 2 == 0)
    whole = tune(**TECHNIQUES[name])
    assert to_the_end(lambda kept: tune(kept, **TECHNIQUES[name]), checkpoints) == whole
    assert checkpoints.cuts == 3
    losses = [sum(entry["losses"].values()) for entry in whole.details["rates"][0]["curve"]]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("k", [1, 3])
def test_a_search_cut_at_every_kth_moment_gives_the_same_truth(k):
    """The moments are the steps, the measurements and the end of each learning rate."""
    changes = {"learning_rates": [0.003, 0.01], "report": "best", "average": 0.3}
    checkpoints = CutAt(lambda moment: moment % k == 0)
    assert to_the_end(lambda kept: tune(kept, **changes), checkpoints) == tune(**changes)
    moments = 2 * (EPOCHS * (STEPS + 1) + 1)
    assert (checkpoints.moments, checkpoints.cuts) == (moments, moments // k)


@pytest.mark.parametrize("other", [{"seed": "b"}, {"weight_decay": 0.3}], ids=str)
def test_the_state_of_another_search_is_passed_over(other):
    checkpoints = CutAt(lambda moment: moment == 3)
    with pytest.raises(Cut):
        tune(checkpoints, **other)
    assert tune(checkpoints) == tune()


def test_a_rate_that_diverges_is_recorded_and_not_chosen():
    changes = {"optimizer": "sgd", "clip": None, "epochs": 2}
    truth = tune(learning_rates=[1e30, 0.001], **changes)
    assert truth.details["learning_rate"] == 0.001
    assert "at learning rate 1e+30" in truth.details["rates"][0]["diverged"]
    with pytest.raises(Diverged, match="every learning rate diverged") as problem:
        tune(learning_rates=[1e30], **changes)
    assert problem.value.failure == "nan"


def test_detectron2_is_used_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install it from its source .* or use backend=torchvision"):
        tune(backend="detectron2")


def test_a_target_without_masks_needs_a_recipe_without(monkeypatch):
    real = detection.load

    def without(target, split):
        data = real(target, split)
        data.has_masks = False
        return data

    monkeypatch.setattr(detection, "load", without)
    with pytest.raises(ConfigError, match=r"masks: false under heads"):
        tune()
    truth = tune(heads=SMALL["heads"] | {"masks": False}, epochs=1)
    assert "box_ap" in truth.measures
    assert "mask_ap" not in truth.measures


@pytest.mark.parametrize("report", ["last", "best"])
def test_a_detector_is_pretrained_and_fine_tuned(asked, report):
    plan = {"kind": "pretrain", "target": TARGET, "recipe": SMALL | {"report": report}, "seed": 3}
    option = {**SOURCE, "weights": plan}
    source = Source.model_validate(option)
    torch.set_num_threads(1)
    done = pretrain(source, Seeds("p"))
    assert asked == ["train", *(["validation"] if report == "best" else []), "test"]
    assert done.measures.keys() >= {"box_ap", "mask_ap"}
    assert [entry["epoch"] for entry in done.details["curve"]] == [1, 2]
    rebuilt = build(source, done.weights).state_dict()
    assert all(np.array_equal(rebuilt[name].numpy(), value) for name, value in done.weights.items())
    checkpoints = CutAt(lambda moment: moment % 2 == 0)
    again = to_the_end(lambda kept: pretrain(source, Seeds("p"), kept), checkpoints)
    assert all(np.array_equal(again.weights[name], value) for name, value in done.weights.items())
    assert again.measures == done.measures
    assert tune(source=option, weights=done.weights, epochs=1).measures.keys() >= {"box_ap", "mask_ap"}

"""Fine-tuning on images with a class a pixel: what is chosen, what is measured, and going on after a cut."""

import numpy as np
import pytest
import torch
from cuts import CutAt, to_the_end
from segmentation_work import pretrained, recipe, source, squares, target

from tmbench import truth
from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.pretrain import pretrain
from tmbench.sources.training import Diverged
from tmbench.targets.segmentation import SegmentationImages
from tmbench.truth import segmentation


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tune(option=None, weights=None, on=None, *checkpoints, seed="a", **changes):
    by = recipe(**{"fused": True, "epochs": 10, "learning_rates": [0.03]} | changes)
    return truth.fine_tune(option or source(), weights, on or target(), by, Seeds(seed), *checkpoints)


@pytest.fixture(scope="module")
def done():
    torch.set_num_threads(1)
    option = pretrained(target(train=24, seed=7), recipe(fused=True, epochs=10, learning_rates=[0.03]))
    return option, pretrain(option, Seeds("its own")).weights


@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_it_learns_and_says_what_it_reached(trainable):
    found = tune(on=target(train=16), trainable=trainable)
    classes = {"iou/ground", "iou/red", "iou/blue"}
    assert found.measures.keys() == {"miou", "pixel_accuracy", "validation_miou", *classes}
    assert found.measures["miou"] > 0.45
    assert found.measures["miou"] == pytest.approx(np.mean([found.measures[name] for name in classes]))
    assert found.details["images"] == {"train": 16, "validation": 4, "test": 6}
    assert found.details["problems"] == {"train": [], "validation": [], "test": []}
    assert found.details["fresh"] == ["decoder"]
    assert found.details["classes"]["red"]["iou"] == found.measures["iou/red"]


def test_a_pretrained_source_gives_its_decoder_too(done):
    option, weights = done
    found = tune(option, weights, trainable="head", epochs=6, learning_rates=[0.1])
    assert found.details["fresh"] == ["decoder.classifier"]
    assert tune(option, weights, trainable="head", epochs=1, channels=9).details["fresh"] == ["decoder"]
    random = tune(trainable="head", epochs=6, learning_rates=[0.1])
    assert found.measures["miou"] > 0.8 > 0.7 > random.measures["miou"]


def test_the_rate_is_chosen_on_validation_and_test_is_read_after(monkeypatch):
    """Test labels that are noise change the truth and nothing that was chosen."""
    rates = {"learning_rates": [0.0001, 0.03], "trainable": "head", "epochs": 4}
    honest = tune(**rates)
    order, real = [], segmentation.load

    def poisoned(option, split):
        order.append(split)
        data = real(option, split)
        if split != "test":
            return data
        labels = [np.where(data.labels(i) == 255, 255, 2 - data.labels(i) % 3).astype(np.uint8) for i in range(6)]
        return SegmentationImages.of_arrays(data.classes, [data.image(i) for i in range(6)], labels)

    monkeypatch.setattr(segmentation, "load", poisoned)
    other = tune(**rates)
    assert order == ["train", "validation", "test"]
    assert other.details["rates"] == honest.details["rates"]
    assert other.measures["validation_miou"] == honest.measures["validation_miou"]
    assert other.measures["miou"] != honest.measures["miou"]
    reached = {rate["learning_rate"]: rate["validation_miou"] for rate in honest.details["rates"]}
    assert reached[honest.details["learning_rate"]] == max(reached.values()) == honest.measures["validation_miou"]


def test_another_measure_chooses():
    found = tune(measure="pixel_accuracy", trainable="head", epochs=1, learning_rates=[0.001, 0.03])
    reached = {rate["learning_rate"]: rate["validation_pixel_accuracy"] for rate in found.details["rates"]}
    assert found.measures["validation_pixel_accuracy"] == max(reached.values())


@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_a_search_that_is_cut_gives_the_same_truth(trainable):
    """Also between two learning rates, where there is a best network already."""
    changes = {"trainable": trainable, "epochs": 2, "learning_rates": [0.03, 0.003], "augment": "mirror"}
    checkpoints = CutAt(lambda moment: moment in (2, 4, 5, 7))
    again = to_the_end(lambda kept: tune(None, None, None, kept, **changes), checkpoints)
    assert again == tune(**changes)
    assert checkpoints.cuts == 4


def test_the_seed_draws_head_order_and_augmentation():
    first, again, other = (tune(seed=seed, epochs=2, augment="mirror") for seed in "aab")
    assert first == again
    assert first.details["rates"] != other.details["rates"]


def test_images_of_another_size_than_the_source_was_built_for():
    option = source("small:vision_transformer", width=16)
    on = target(image_size=48)
    assert tune(option, None, on, trainable="head", epochs=1).details["images"]["test"] == 6
    with pytest.raises(ConfigError, match="image_size=36 of the target is no multiple"):
        tune(option, None, target(image_size=36), epochs=1)


def test_a_class_that_is_nowhere_has_no_number():
    evaluation = segmentation.Evaluation(np.array([[5, 1, 0], [2, 4, 0], [0, 0, 0]]))
    data = squares("test", 2, Seeds("x"))
    assert segmentation._measures(evaluation, data).keys() == {"miou", "pixel_accuracy", "iou/ground", "iou/red"}


def test_all_rates_diverging_is_a_failure():
    with pytest.raises(Diverged, match="every learning rate diverged"):
        tune(optimizer="sgd", epochs=2, learning_rates=[1e30])


def test_what_broken_data_left_out_is_said(monkeypatch):
    real = segmentation.load
    monkeypatch.setattr(segmentation, "load", lambda on, split: real(on, split).part(range(4), ["a.png: no mask."]))
    found = tune(trainable="head", epochs=1)
    assert found.details["problems"]["train"] == ["a.png: no mask."]
    assert found.details["images"]["train"] == 4

"""Intersection over union, against torchmetrics and against a plain loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_work import source, squares
from torch import nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from tmbench.identity import Seeds
from tmbench.sources.segmentation import evaluation
from tmbench.sources.segmentation.evaluation import Evaluation, confusion_of, evaluated
from tmbench.sources.segmentation.pictures import LabelMaps, Pictures
from tmbench.sources.training import Diverged
from tmbench.targets import BadData
from tmbench.targets.segmentation import SegmentationImages

IGNORED = 255


def masks(seed, classes, absent=(), ignored=0.3):
    """Random predictions and labels; the classes in ``absent`` occur in neither."""
    draw = np.random.default_rng(seed)
    there = np.setdiff1d(np.arange(classes), absent)
    labels, predicted = draw.choice(there, (2, 3, 12, 10))
    predicted = np.where(draw.random(labels.shape) < 0.5, labels, predicted)
    labels = np.where(draw.random(labels.shape) < ignored, IGNORED, labels)
    return torch.from_numpy(predicted), torch.from_numpy(labels.astype(np.uint8))


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_it_is_what_torchmetrics_says(seed, classes, missing):
    absent = range(min(missing, classes - 2))
    predicted, labels = masks(seed, classes, tuple(absent))
    found = Evaluation(confusion_of(predicted, labels, classes))
    options = {"num_classes": classes, "ignore_index": IGNORED, "validate_args": True}
    macro = MulticlassJaccardIndex(average="macro", **options)(predicted, labels.long())
    each = MulticlassJaccardIndex(average="none", **options)(predicted, labels.long())
    micro = MulticlassAccuracy(average="micro", **options)(predicted, labels.long())
    assert found.numbers["miou"] == pytest.approx(float(macro), abs=1e-6)
    assert found.numbers["pixel_accuracy"] == pytest.approx(float(micro), abs=1e-6)
    np.testing.assert_allclose(np.nan_to_num(found.iou), each.numpy(), atol=1e-6)


def test_a_class_that_is_only_predicted_counts_and_one_that_is_nowhere_does_not():
    predicted, labels = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8)
    found = Evaluation(confusion_of(predicted, labels, 4))
    np.testing.assert_allclose(found.iou, [1, 0.5, 0, math.nan])
    assert found.numbers == {"miou": 0.5, "pixel_accuracy": 0.75}
    assert found.by_class(("a", "b", "c", "d")) == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert found.told(("a", "b", "c", "d"))["d"] == {"iou": None, "pixels": 0}


def test_nothing_that_has_a_label_gives_no_number():
    assert math.isnan(Evaluation(np.zeros((3, 3), np.int64)).numbers["miou"])


class Colours(nn.Module):
    """Logits of four positions a side, from the image's own colours."""

    def forward(self, images):
        return nn.functional.avg_pool2d(images, 8)


def test_predictions_are_made_at_the_resolution_of_the_labels(monkeypatch):
    data = squares("test", 5, Seeds("x"))
    pictures = Pictures(data, source().input, 32)
    monkeypatch.setattr(evaluation, "VALUES", 3 * 32 * 32 * 2)  # two images at a time
    found = evaluated(Colours(), pictures, LabelMaps(pictures), 3)
    confusion = np.zeros((3, 3), np.int64)
    for i in range(5):
        logits = Colours()(pictures[torch.tensor([i])])
        larger = nn.functional.interpolate(logits, (32, 32), mode="bilinear", align_corners=False)[0].argmax(0)
        for predicted, label in zip(larger.reshape(-1).tolist(), data.labels(i).reshape(-1).tolist(), strict=True):
            if label != IGNORED:
                confusion[label, predicted] += 1
    np.testing.assert_array_equal(found.confusion, confusion)


def test_predictions_that_are_not_finite_are_no_predictions():
    pictures = Pictures(squares("test", 2, Seeds("x")), source().input, 32)
    with pytest.raises(Diverged, match="predictions are not finite"):  # argmax would take a class all the same
        evaluated(nn.Sequential(Colours(), nn.Threshold(1e9, math.nan)), pictures, LabelMaps(pictures), 3)


def test_labels_that_resizing_has_lost_are_told():
    data = squares("test", 2, Seeds("x"))
    labels = np.full((2, 32, 32), IGNORED, np.uint8)
    labels[:, 0, :2] = [0, 1]
    few = SegmentationImages.of_arrays(data.classes, [data.image(i) for i in range(2)], labels)
    pictures = Pictures(few, source().input, 8)
    with pytest.raises(BadData, match="of 2 images no labelled pixel is left at 8 × 8 pixels; raise image_size"):
        evaluated(Colours(), pictures, LabelMaps(pictures), 3)

"""COCO's numbers: those of pycocotools used directly, and what a perfect, an empty and a wrong detector get."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from tmbench.sources.detection.evaluation import Detected, detections, encoded, evaluated
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import DetectionImages, Objects

SIZE = (220, 240)
STATS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
STATS += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]


def disc(box):
    """An ellipse in ``box``, as a bitmap: a mask that its box does not tell."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    x1, y1, x2, y2 = box
    return ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1


def random_boxes(generator, count):
    corner = generator.uniform(0, 60, (count, 2))
    extent = np.exp(generator.uniform(np.log(8), np.log(150), (count, 2)))
    return np.concatenate([corner, corner + extent], axis=1).astype(np.float32)


def objects_of(boxes, labels, crowd=None, masks=True):
    bitmaps = [disc(box) for box in boxes] if masks else []
    return Objects(
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        labels=np.asarray(labels, np.int64),
        crowd=np.zeros(len(labels), bool) if crowd is None else np.asarray(crowd),
        areas=np.array([bitmap.sum() for bitmap in bitmaps] or [50.0] * len(labels), np.float64),
        masks=tuple(encoded(bitmap) for bitmap in bitmaps),
    )


def set_of(objects, classes=4):
    image = np.zeros((*SIZE, 3), np.uint8)
    return DetectionImages.of_arrays([f"class {c}" for c in range(classes)], [image] * len(objects), objects)


@pytest.fixture(scope="module")
def scene():
    """40 images of four classes, of which one has a crowd only; boxes found nearly, wrongly, or not at all."""
    generator = np.random.default_rng(0)
    annotated, found = [], []
    for i in range(40):
        count = int(generator.integers(0, 6))
        boxes, labels = random_boxes(generator, count), generator.integers(0, 3, count)
        crowd = generator.random(count) < 0.15
        if i == 7:
            boxes, labels, crowd = random_boxes(generator, 1), np.array([3]), np.array([True])
        annotated.append(objects_of(boxes, labels, crowd))
        seen = boxes[generator.random(len(boxes)) < 0.8]
        near = seen + generator.normal(0, 4, seen.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 4)
        wrong = random_boxes(generator, int(generator.integers(0, 5)))
        all_boxes = np.concatenate([near, wrong])
        given = generator.integers(0, 4, len(all_boxes))
        kept = labels[: len(near)]
        given[: len(kept)] = kept
        scores = generator.integers(0, 20, len(all_boxes)) / 20  # ties among them
        masks = tuple(encoded(disc(box)) for box in all_boxes)
        found.append(Detected(all_boxes, scores.astype(np.float32), given, masks))
    return set_of(annotated), found


def text(mask):
    return {"size": list(mask["size"]), "counts": mask["counts"].decode()}


def xywh(box):
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def by_pycocotools(images, found, kind, folder):
    """The twelve numbers as its users get them: JSON files, COCO, loadRes, summarize."""
    annotations, results = [], []
    for i in range(len(images)):
        objects = images.objects(i)
        for box, label, crowd, area, mask in zip(
            objects.boxes, objects.labels, objects.crowd, objects.areas, objects.masks, strict=True
        ):
            shape = {"bbox": xywh(box), "area": float(area), "iscrowd": int(crowd), "segmentation": text(mask)}
            annotations.append({"id": len(annotations) + 1, "image_id": i + 1, "category_id": int(label) + 1, **shape})
        for box, label, score, mask in zip(
            found[i].boxes, found[i].labels, found[i].scores, found[i].masks, strict=True
        ):
            shape = {"bbox": xywh(box)} if kind == "bbox" else {"segmentation": text(mask)}
            results.append({"image_id": i + 1, "category_id": int(label) + 1, "score": float(score), **shape})
    content = {
        "images": [{"id": i + 1, "height": SIZE[0], "width": SIZE[1]} for i in range(len(images))],
        "categories": [{"id": c + 1, "name": name} for c, name in enumerate(images.classes)],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(content))
    (folder / "found.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(folder / "found.json")), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize(("kind", "iou_type"), [("box", "bbox"), ("mask", "segm")])
def test_the_numbers_are_those_of_pycocotools(kind, iou_type, scene, tmp_path, capsys):
    images, found = scene
    ours = evaluated(images, found)
    assert capsys.readouterr().out == ""
    reference = by_pycocotools(images, found, iou_type, tmp_path)
    assert 0.05 < reference.stats[0] < 0.9
    for name, value in zip(STATS, reference.stats, strict=True):
        assert ours.numbers[f"{kind}_{name}"] == pytest.approx(value, abs=1e-12)
    assert len(ours.numbers) == 24
    for c in range(3):
        single = reference.eval["precision"][:, :, c, 0, 2]
        assert ours.classes[f"class {c}"][f"{kind}_ap"] == pytest.approx(single.mean(), abs=1e-12)
        assert ours.classes[f"class {c}"][f"{kind}_ar10"] == pytest.approx(reference.eval["recall"][:, c, 0, 1].mean())
    assert "class 3" not in ours.classes  # it has a crowd only, and nothing that could be found


def perfect(images):
    found = []
    for i in range(len(images)):
        objects = images.objects(i)
        single = ~objects.crowd
        masks = objects.part(single).masks
        found.append(Detected(objects.boxes[single], np.ones(single.sum(), np.float32), objects.labels[single], masks))
    return found


def test_a_perfect_detector_reaches_one_everywhere(scene):
    images, _ = scene
    numbers = evaluated(images, perfect(images)).numbers
    assert len(numbers) == 24
    for name, value in numbers.items():  # a rounding below 1, as pycocotools has it; one detection is less than all
        assert (value < 0.9) if name.endswith("_ar1") else (value == pytest.approx(1, abs=1e-12)), name


def nothing(masks=()):
    return Detected(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), masks)


def test_a_detector_that_finds_nothing_has_zero_and_not_minus_one(scene):
    images, _ = scene
    ours = evaluated(images, [nothing()] * len(images))
    assert set(ours.numbers.values()) == {0.0}
    assert {"box_ap", "mask_ap", "mask_ar100"} <= ours.numbers.keys()
    assert ours.classes.keys() == {"class 0", "class 1", "class 2"}


def test_a_range_of_areas_without_objects_has_no_number():
    images = set_of([objects_of([[10, 10, 80, 80]], [0])])  # 3,848 pixels: medium
    numbers = evaluated(images, perfect(images)).numbers
    assert numbers["box_ap_medium"] == pytest.approx(1)
    assert not {"box_ap_small", "mask_ap_large", "box_ar_large"} & numbers.keys()


def test_masks_are_matched_as_masks():
    """Right boxes with wrong masks, and half of the objects found."""
    images = set_of([objects_of([[10, 10, 60, 60], [70, 70, 140, 140]], [0, 0])])
    objects = images.objects(0)
    wrong = (encoded(~disc(objects.boxes[0])), encoded(~disc(objects.boxes[1])))
    numbers = evaluated(images, [Detected(objects.boxes, np.ones(2, np.float32), objects.labels, wrong)]).numbers
    assert (numbers["box_ap"], numbers["mask_ap"]) == (pytest.approx(1), 0.0)
    half = [Detected(objects.boxes[:1], np.ones(1, np.float32), objects.labels[:1], objects.masks[:1])]
    numbers = evaluated(images, half).numbers
    # Recalls up to .5 are reached, 51 of COCO's 101 points.
    assert numbers["box_ap"] == numbers["mask_ap"] == pytest.approx(51 / 101)
    assert numbers["box_ar100"] == 0.5


def test_what_lies_in_a_crowd_counts_neither_way():
    boxes = [[10, 10, 50, 50], [70, 60, 170, 150]]
    images = set_of([objects_of(boxes, [0, 0], [False, True])])
    inside = np.array([[75, 65, 95, 95], [10, 10, 50, 50], [100, 80, 130, 110]], np.float32)
    found = [Detected(inside, np.array([0.9, 0.5, 0.8], np.float32), np.zeros(3, np.int64))]
    assert evaluated(images, found).numbers["box_ap"] == pytest.approx(1)
    without = set_of([objects_of(boxes[:1], [0])])
    assert evaluated(without, found).numbers["box_ap"] == pytest.approx(1 / 3)


def test_sets_and_detectors_without_masks_have_box_numbers_only():
    boxes = [[10, 10, 50, 50]]
    bare = set_of([objects_of(boxes, [0], masks=False)])
    assert not any(name.startswith("mask") for name in evaluated(bare, perfect(bare)).numbers)
    masked = set_of([objects_of(boxes, [0])])
    found = [Detected(np.array(boxes, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))]
    assert not any(name.startswith("mask") for name in evaluated(masked, found).numbers)


def test_a_set_without_objects_has_no_average_precision():
    images = set_of([objects_of(np.zeros((0, 4)), [])])
    with pytest.raises(BadData, match="no object"):
        evaluated(images, [nothing()])


class Fixed(nn.Module):
    """Finds one object in each image, as large as the image, and sees whether gradients are recorded."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.batches = []

    def forward(self, images):
        assert not torch.is_grad_enabled()
        assert not self.training
        self.batches.append(len(images))
        found = []
        for image in images:
            assert image.dtype == torch.float32
            height, width = image.shape[1:]
            masks = torch.full((1, 1, height, width), 0.4)
            masks[..., : height // 2, :] = 0.6
            box = torch.tensor([[0.0, 0.0, width, height]])
            found.append({"boxes": box, "scores": image.max()[None], "labels": torch.tensor([2]), "masks": masks})
        return found


def test_detections_come_in_batches_with_labels_from_0_and_masks_as_run_lengths():
    shapes = [(40, 60), (50, 30), (20, 20)]
    images = [np.full((*shape, 3), 51, np.uint8) for shape in shapes]
    empty = [objects_of(np.zeros((0, 4)), [])] * 3
    model = Fixed().train()
    found = detections(model, DetectionImages.of_arrays(["a", "b"], images, empty), batch_size=2)
    assert model.batches == [2, 1]
    for one, (height, width) in zip(found, shapes, strict=True):
        assert one.boxes.tolist() == [[0, 0, width, height]]
        assert one.labels.tolist() == [1]
        assert one.scores[0] == pytest.approx(0.2)
        assert one.masks[0]["size"] == [height, width]
        assert run_lengths.area(one.masks[0]) == height // 2 * width

"""What a detector finds on a set, and COCO's numbers of it, by pycocotools.

The matching and the averages are pycocotools' own; here its objects are made in memory, its prints are silenced, and
its -1 ("nothing to find") is turned into the absence of that number.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn

from tmbench.sources.network import place_of
from tmbench.targets.bad_data import BadData
from tmbench.targets.detection import DetectionImages

Kind = Literal["box", "mask"]

IOU_TYPES: dict[Kind, str] = {"box": "bbox", "mask": "segm"}
"""What pycocotools calls the two ways to measure an overlap."""

AREAS = ("", "_small", "_medium", "_large")
"""COCO's ranges of area, as they end a number's name: all, below 32², to 96², above, in square pixels."""

MOST = (1, 10, 100)
"""Detections of an image that count, best first."""


@dataclass(frozen=True)
class Detected:
    """What a detector finds in one image; k detections, best first or in any order.

    Attributes:
        boxes: (k, 4) float32, x1, y1, x2, y2 in pixels of the image.
        scores: (k,) float32.
        labels: (k,) int64 in 0..C-1.
        masks: k COCO run-length masks of the image's size; () from a detector without masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """COCO's numbers of a detector on a set, in 0..1.

    Attributes:
        numbers: ``box_ap`` (over IoU .5 to .95), ``box_ap50``, ``box_ap75``, ``box_ap_small``, ``box_ap_medium``,
            ``box_ap_large``, ``box_ar1``, ``box_ar10``, ``box_ar100`` and ``box_ar_small`` …: means over the classes;
            the same for ``mask``, where there are masks. A number for which the set has no object is absent.
        classes: the same numbers of each class that the set has an object of, by its name.
    """

    numbers: dict[str, float]
    classes: dict[str, dict[str, float]]


def detections(model: nn.Module, images: DetectionImages, batch_size: int = 4) -> list[Detected]:
    """What ``model`` finds in each image of ``images``, boxes and masks in the image's own pixels; no gradients.

    Args:
        model: takes a list of (3, h, w) float images in 0..1 and gives a dict of ``boxes``, ``labels`` (0 being the
            background), ``scores`` and perhaps ``masks`` (k, 1, h, w) for each, as torchvision's detectors do; left in
            evaluation mode.
        images: the set.
        batch_size: images of one forward pass; their masks are in memory as bitmaps together.
    """
    place = place_of(model)
    model.eval()
    found = []
    with torch.no_grad():  # not inference_mode: what a model caches here it may train with later
        for start in range(0, len(images), batch_size):
            members = range(start, min(start + batch_size, len(images)))
            found += [_detected(one) for one in model([as_tensor(images.image(i)).to(place) for i in members])]
    return found


def as_tensor(image: np.ndarray) -> Tensor:
    """An (h, w, 3) uint8 image as (3, h, w) float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div_(255.0)


def evaluated(images: DetectionImages, found: Sequence[Detected]) -> Evaluation:
    """COCO's numbers of ``found``, one entry an image of ``images``.

    Crowd regions are ignored as COCO does: a detection that matches one counts neither way. Masks are measured where
    the set has them and the detector gave them, or gave nothing at all.

    Raises:
        BadData: when the set has no object to find.
    """
    numbers: dict[str, float] = {}
    classes: dict[str, dict[str, float]] = {}
    truth = _truth(images)
    anything = any(len(one.scores) for one in found)
    kinds: tuple[Kind, ...] = ("box", "mask")
    for kind in kinds[: 2 if images.has_masks and (not anything or any(one.masks for one in found)) else 1]:
        overall, single = _measured(kind, truth, _results(kind, images, found), images.classes)
        numbers |= overall
        for name, values in single.items():
            classes.setdefault(name, {}).update(values)
    if "box_ap" not in numbers:
        raise BadData("the images of this split show no object that is not a crowd; average precision needs one.")
    return Evaluation(numbers, classes)


def _detected(output: dict[str, Tensor]) -> Detected:
    masks: tuple[dict[str, Any], ...] = ()
    if "masks" in output:
        # One mask at a time: a hundred of a large image would be hundreds of megabytes in Fortran's order.
        masks = tuple(encoded(mask[0].gt(0.5).cpu().numpy()) for mask in output["masks"])
    return Detected(
        boxes=output["boxes"].float().cpu().numpy(),
        scores=output["scores"].float().cpu().numpy(),
        labels=output["labels"].cpu().numpy().astype(np.int64) - 1,
        masks=masks,
    )


def encoded(bitmap: np.ndarray) -> dict[str, Any]:
    """An (h, w) bool mask as a COCO run-length mask."""
    mask: dict[str, Any] = run_lengths.encode(np.asfortranarray(bitmap, dtype=np.uint8))
    return mask


def _truth(images: DetectionImages) -> COCO:
    annotations = []
    for i in range(len(images)):
        objects = images.objects(i)
        for k in range(len(objects.labels)):
            annotation = {
                "image_id": i,
                "category_id": int(objects.labels[k]),
                "bbox": _corner_and_size(objects.boxes[k]),
                "area": float(objects.areas[k]),
                "iscrowd": int(objects.crowd[k]),
            }
            annotations.append(annotation | ({"segmentation": objects.masks[k]} if objects.masks else {}))
    return _indexed(images, annotations)


def _results(kind: Kind, images: DetectionImages, found: Sequence[Detected]) -> COCO:
    """Detections as pycocotools keeps them. Their area, by which it sorts false ones, is that of what is measured."""
    annotations = []
    for i, one in enumerate(found):
        for k in range(len(one.scores)):
            box = _corner_and_size(one.boxes[k])
            shape: dict[str, Any] = {"bbox": box, "area": box[2] * box[3]}
            if kind == "mask":
                shape = {"segmentation": one.masks[k], "area": float(run_lengths.area(one.masks[k]))}
            facts = {"image_id": i, "category_id": int(one.labels[k]), "score": float(one.scores[k]), "iscrowd": 0}
            annotations.append(facts | shape)
    return _indexed(images, annotations)


def _corner_and_size(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _indexed(images: DetectionImages, annotations: list[dict[str, Any]]) -> COCO:
    """A COCO object in memory; ids of annotations begin at 1, for pycocotools takes 0 for "not matched"."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": int(h), "width": int(w)} for i, (h, w) in enumerate(images.sizes)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(images.classes)],
        "annotations": [one | {"id": number} for number, one in enumerate(annotations, start=1)],
    }
    with _silent():
        coco.createIndex()
    return coco


def _measured(
    kind: Kind, truth: COCO, results: COCO, classes: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The numbers of all classes together, and of each."""
    with _silent():
        evaluation = COCOeval(truth, results, IOU_TYPES[kind])
        evaluation.params.maxDets = list(MOST)
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recalls, classes, areas, most detections), and the same without recalls
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    overall = _twelve(kind, precision, recall)
    single = {
        name: _twelve(kind, precision[:, :, label : label + 1], recall[:, label : label + 1])
        for label, name in enumerate(classes)
    }
    return overall, {name: numbers for name, numbers in single.items() if numbers}


def _twelve(kind: Kind, precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """COCO's twelve numbers; without those that have nothing to be a mean of."""
    values = {f"ap{name}": precision[..., area, -1] for area, name in enumerate(AREAS)}
    values |= {"ap50": precision[0, ..., 0, -1], "ap75": precision[5, ..., 0, -1]}
    values |= {f"ar{most}": recall[..., 0, place] for place, most in enumerate(MOST)}
    values |= {f"ar{name}": recall[..., area, -1] for area, name in enumerate(AREAS) if name}
    counted = {name: array[array > -1] for name, array in values.items()}
    return {f"{kind}_{name}": float(np.mean(array)) for name, array in counted.items() if array.size}


@contextmanager
def _silent() -> Iterator[None]:
    """A context in which pycocotools' reports of its progress go nowhere."""
    with redirect_stdout(io.StringIO()):
        yield

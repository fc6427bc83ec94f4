"""TLogME's studies on real sets, run whole on small files of the same layout, with a full-size detector."""

import json
from itertools import count

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tmbench import aggregate, run
from tmbench.targets.voc import CLASSES

SIDE = 64
SMALL = {
    "target/small_voc.yaml": {"defaults": ["real1_voc2007@_here_", "_self_"], "image_size": SIDE},
    "target/small_wheat.yaml": {"defaults": ["real1_wheat@_here_", "_self_"], "image_size": SIDE},
    "target/small_birds.yaml": {
        "defaults": ["real2_birds@_here_", "_self_"],
        "image_size": SIDE,
        "sizes": {"train": 5, "validation": 3, "test": 3},
    },
    "target/small_ducks.yaml": {
        "defaults": ["small_birds@_here_", "_self_"],
        "only_classes": ["Car", "Duck", "Goose", "Swan", "Bird"],
    },
    "recipe/detection/small_real.yaml": {
        "defaults": ["/recipe/detection/tlogme_real@_here_", "_self_"],
        "image_size": SIDE,
        "epochs": 1,
        "batch_size": 3,
        "resources": {"gpus": 0},
    },
    "source/small_coco.yaml": {
        "defaults": ["fasterrcnn_resnet50_coco@_here_", "_self_"],
        "weights": {"file": "coco.safetensors", "url": ""},
        "resources": {"gpus": 0},
    },
}
"""Options of the studies, small enough for a test."""


def boxes_of(generator, labels):
    """A bright box for each label, in an image of noise."""
    pixels = generator.integers(0, 80, (SIDE, SIDE + 16, 3), dtype=np.uint8)
    boxes = []
    for label in labels:
        x, y = generator.integers(0, SIDE - 24, 2).tolist()
        width, height = generator.integers(12, 24, 2).tolist()
        pixels[y : y + height, x : x + width] = (200, 20 * (label % 10), 255 - 20 * (label % 10))
        boxes.append((x, y, width, height))
    return pixels, boxes


def write_voc(folder, images):
    """VOC's layout: split → for each image the labels of its objects."""
    generator = np.random.default_rng(0)
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for split, shown in images.items():
        names = [f"{split}{i:03d}" for i in range(len(shown))]
        (folder / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(names))
        for name, labels in zip(names, shown, strict=True):
            pixels, boxes = boxes_of(generator, labels)
            Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
            objects = "".join(
                f"<object><name>{CLASSES[label]}</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin>"
                f"<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
                for label, (x, y, w, h) in zip(labels, boxes, strict=True)
            )
            size = f"<size><width>{SIDE + 16}</width><height>{SIDE}</height><depth>3</depth></size>"
            (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{objects}</annotation>")


def write_coco(folder, names, images, folders):
    """COCO's layout: split → for each image the labels of its objects; ``folders`` names each split's images."""
    generator, number = np.random.default_rng(1), count(1)
    for (split, file), shown in images.items():
        place = folder / folders[split]
        place.mkdir(parents=True, exist_ok=True)
        listed, objects = [], []
        for i, labels in enumerate(shown):
            pixels, boxes = boxes_of(generator, labels)
            Image.fromarray(pixels).save(place / f"{split}{i}.png")
            listed.append({"id": i, "file_name": f"{split}{i}.png", "height": SIDE, "width": SIDE + 16})
            objects += [
                {
                    "id": next(number),
                    "image_id": i,
                    "category_id": label + 1,
                    "bbox": list(box),
                    "area": box[2] * box[3],
                }
                for label, box in zip(labels, boxes, strict=True)
            ]
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps({"images": listed, "annotations": objects, "categories": categories}))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The words of a study whose data and weights are small files in the working directory."""
    from safetensors.torch import save_file

    from tmbench.sources.zoo import torchvision_detector

    monkeypatch.chdir(tmp_path)
    for name, content in SMALL.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    write_voc(
        tmp_path / "data/VOCdevkit/VOC2007",
        {"train": [range(i, i + 4) for i in range(0, 20, 4)], "val": [[3], [4, 5], [6]], "test": [[1, 2], [8], [9]]},
    )
    splits = [("train", "train.json"), ("validation", "val.json"), ("test", "test.json")]
    write_coco(
        tmp_path / "data/wheat",
        ["wheat"],
        {split: [[0, 0], [0], [0, 0, 0]] for split in splits},
        dict.fromkeys(("train", "validation", "test"), "images"),
    )
    names = ["Car", "Duck", "Goose", "Swan", "Bird", "Boat"]
    shown = [[1, 2], [3, 4], [5], [0], [1, 5], [2, 3]]
    write_coco(
        tmp_path / "data/openimages",
        names,
        {(split, f"{split}.json"): shown for split in ("train", "validation", "test")},
        {split: split for split in ("train", "validation", "test")},
    )
    (tmp_path / "weights").mkdir()
    weights = torchvision_detector(0, 800, "fasterrcnn_resnet50_fpn").state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, "weights/coco.safetensors")
    paths = ["paths.data=data", "paths.weights=weights", "paths.store=store", "paths.out=out"]
    return ["--config-dir", "conf", *paths, "cluster=debug", "source=small_coco", "recipe=small_real"]


@pytest.mark.parametrize(
    ("sweep", "targets"),
    [("tlogme_real1", ["small_voc", "small_wheat", "small_birds"]), ("tlogme_real2", ["small_birds", "small_ducks"])],
)
def test_a_study_of_real_sets_runs_from_files_to_tables(study, tmp_path, sweep, targets):
    words = [f"sweep={sweep}", f"target=[{','.join(targets)}]", *study]
    assert run.main([*words, "--yes"]) == 0
    assert aggregate.main(words) == 0
    truth = pd.read_csv(tmp_path / f"out/{sweep}/tables/truth.csv")
    assert set(truth.target) == set(targets)
    assert truth["mean"].between(0, 1).all()
    cells = pd.read_csv(tmp_path / f"out/{sweep}/tables/cells.csv")
    assert {"local_pyramid", "global_pyramid"} <= set(cells.level)

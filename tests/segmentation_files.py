"""Small segmentation sets on disk, for the tests of the readers."""

import json

import numpy as np
from PIL import Image

from tmbench.targets.options import SegmentationTarget

HEIGHT, WIDTH = 6, 8


def mask(*numbers, dtype=np.uint8):
    """(HEIGHT, WIDTH): as many upright stripes of equal width as there are ``numbers``, each full of one."""
    return np.repeat(np.array(numbers, dtype=dtype)[np.arange(WIDTH) * len(numbers) // WIDTH][None], HEIGHT, axis=0)


def write_image(path, grey=90, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), grey, np.uint8)).save(path)


def write_mask(path, numbers, palette=None):
    """A PNG of grey values or colours; with ``palette`` (n, 3), of palette entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(numbers)
    if palette is not None:
        image = Image.fromarray(numbers, mode="P")
        image.putpalette(np.asarray(palette, np.uint8).reshape(-1).tolist())
    image.save(path)


def folder_set(root, masks, split="train", ending=".png"):
    """``root/images/SPLIT/a.png``, ``b.png``, … with these masks."""
    for name, numbers in zip("abcdefghijklmnopqrstuvwxyz", masks, strict=False):
        write_image(root / "images" / split / f"{name}{ending}")
        write_mask(root / "masks" / split / f"{name}.png", numbers)


def target(function, classes, parameters, **options):
    return SegmentationTarget(
        task="segmentation",
        function=f"tmbench.targets.{function}",
        classes=classes,
        parameters=parameters,
        image_size=8,
        **options,
    )


def folder_target(root, classes=3, *, splits=("train",), parameters=None, **options):
    places = {
        "images": {split: f"images/{split}" for split in splits},
        "masks": {split: f"masks/{split}" for split in splits},
    }
    given = {"classes": classes, "image_ending": ".png", **places, **(parameters or {})}
    return target("mask_folder:mask_folder", classes, given, folder=str(root), **options)


def segment_colours(ids):
    """(h, w, 3) uint8: panoptic colours of (h, w) segment ids."""
    ids = np.asarray(ids, dtype=np.int64)
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


def panoptic_set(root, ids, segments, categories, name="train"):
    """One image an array of ``ids`` (h, w), each with its ``segments`` (id, category, crowd)."""
    images, annotations = [], []
    for number, (of_image, described) in enumerate(zip(ids, segments, strict=True)):
        write_image(root / name / f"{number}.png", grey=number)
        write_mask(root / f"panoptic_{name}" / f"{number}.png", segment_colours(of_image))
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        info = [{"id": one, "category_id": category, "iscrowd": crowd} for one, category, crowd in described]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": info})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / f"{name}.json").write_text(json.dumps(content))


def labels_of(data):
    """Each image's stripes from left to right."""
    return [list(dict.fromkeys(data.labels(i)[0].tolist())) for i in range(len(data))]

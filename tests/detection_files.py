"""Small data sets on disk, in the layouts of COCO and Pascal VOC, for the tests of detection targets."""

import json

import numpy as np
from PIL import Image

from tmbench.targets.options import DetectionTarget

HEIGHT, WIDTH = 30, 40
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 40, "name": "cow"}]
"""Classes in the order of the ids, which have gaps: cat, dog, cow."""


def rectangle(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def picture(number, name=None, folder=None, **entry):
    """The entry of an image; with ``folder``, its file is written, in a grey of its own."""
    name = name or f"{number:03d}.png"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)).save(folder / name)
    return {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, **entry}


def annotation(number, image, category=2, box=(5, 6, 10, 8), **entry):
    """The entry of an object; its mask is its box."""
    masked = {"segmentation": [rectangle(*box)], "area": box[2] * box[3]}
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "iscrowd": 0,
        **masked,
        **entry,
    }


def write(path, images, annotations, categories=CATEGORIES):
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return str(path)


def coco_set(folder, count=12, first=1, name="train"):
    """``count`` images with an object each, the classes in turn; the JSON file's path."""
    images = [picture(first + i, folder=folder / "images") for i in range(count)]
    annotations = [annotation(100 + i, first + i, (2, 7, 40)[i % 3]) for i in range(count)]
    return write(folder / f"{name}.json", images, annotations)


def coco_target(annotations, images, classes=3, parameters=None, **options):
    return DetectionTarget(
        task="detection",
        function="tmbench.targets.coco:coco",
        parameters={"annotations": annotations, "images": str(images), **(parameters or {})},
        classes=classes,
        image_size=32,
        **options,
    )


def voc_object(name="cat", box=(6, 7, 15, 14), difficult=0):
    corners = "".join(f"<{tag}>{x}</{tag}>" for tag, x in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def voc_image(root, name, *objects, size=(WIDTH, HEIGHT)):
    """One image with its XML."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationObject"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 99, np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    text = f"<annotation><filename>{name}.jpg</filename>{sides}{''.join(objects)}</annotation>"
    (root / "Annotations" / f"{name}.xml").write_text(text)


def voc_list(root, name, *images):
    (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{image}\n" for image in images))


def voc_target(root, lists, classes=("cat", "dog"), parameters=None, **options):
    return DetectionTarget(
        task="detection",
        function="tmbench.targets.voc:voc",
        folder=str(root),
        parameters={"lists": lists, "classes": list(classes), **(parameters or {})},
        classes=len(classes),
        image_size=32,
        **options,
    )

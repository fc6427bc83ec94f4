import json

import numpy as np
import pytest
from detection_files import annotation, picture, rectangle, write
from segmentation_files import labels_of, mask, panoptic_set, target

from tmbench.errors import ConfigError
from tmbench.targets import BadData, load
from tmbench.targets.segmentation import IGNORED

# COCO panoptic

CATEGORIES = [
    {"id": 3, "name": "sky", "isthing": 0},
    {"id": 1, "name": "dog", "isthing": 1},
    {"id": 9, "name": "sea", "isthing": 0},
]
IDS = mask(0, 5, 70000, 258, dtype=np.int64)
PARTS = [(5, 1, 0), (70000, 9, 0), (258, 3, 0)]


def panoptic(root, classes=3, **parameters):
    places = {
        "annotations": {"train": "train.json"},
        "images": {"train": "train"},
        "masks": {"train": "panoptic_train"},
    }
    given = {**places, **parameters}
    options = {"broken": given.pop("broken", "refuse")}
    return target("coco_segmentation:coco_panoptic", classes, given, folder=str(root), **options)


def test_panoptic(tmp_path):
    panoptic_set(tmp_path, [IDS, IDS], [PARTS, [(5, 1, 1), *PARTS[1:]]], CATEGORIES)
    data = load(panoptic(tmp_path), "train")
    assert data.classes == ("dog", "sky", "sea")
    assert data.labels(0)[0].tolist() == [IGNORED, IGNORED, 0, 0, 2, 2, 1, 1]
    assert labels_of(data)[1] == [IGNORED, 2, 1]  # the dogs are a crowd
    assert data.image(1)[0, 0, 0] == 1


def test_stuff(tmp_path):
    panoptic_set(tmp_path, [IDS, IDS], [PARTS, PARTS], [*CATEGORIES, {"id": 4, "name": "cat", "isthing": 1}])
    merged = load(panoptic(tmp_path, stuff="merged", broken="drop"), "train")
    assert merged.classes == ("dog", "cat", "stuff")
    assert labels_of(merged)[0] == [IGNORED, 0, 2]
    panoptic_set(
        tmp_path, [IDS, IDS], [PARTS, [(5, 4, 0), *PARTS[1:]]], [*CATEGORIES, {"id": 4, "name": "cat", "isthing": 1}]
    )
    alone = load(panoptic(tmp_path, 2, stuff="ignored"), "train")
    assert alone.classes == ("dog", "cat")
    assert labels_of(alone) == [[IGNORED, 0], [IGNORED, 1]]
    with pytest.raises(ConfigError, match="classes, merged or ignored"):
        load(panoptic(tmp_path, stuff="none"), "train")


def test_broken_panoptic_files(tmp_path):
    panoptic_set(tmp_path, [IDS] * 4, [PARTS, PARTS[:2], [(5, 77, 0)], PARTS], CATEGORIES)
    (tmp_path / "panoptic_train/3.png").unlink()
    with pytest.raises(BadData) as error:
        load(panoptic(tmp_path), "train")
    text = str(error.value)
    assert "image 2 or its annotation cannot be read (KeyError: 77)" in text
    assert "1.png has the segment 258, which" in text
    assert "there is no mask" in text
    with pytest.raises(BadData, match=r"0\.png is the only image"):
        load(panoptic(tmp_path, broken="drop"), "train")


@pytest.mark.parametrize(
    ("part", "changes", "text", "left"),
    [
        ("images", {"file_name": "0.png"}, r"the images 0 and 1 are one file, .*0\.png", 3),
        ("images", {"id": 0}, r"image 0 \(.*1\.png\) has no annotation, or another has its id", 3),
        ("annotations", {"image_id": 0}, "image 0 has two annotations", 3),
        ("annotations", {"image_id": [1]}, "entry 1 of 'annotations' has no 'image_id'", 3),
    ],
)
def test_panoptic_images_that_stand_twice(tmp_path, part, changes, text, left):
    panoptic_set(tmp_path, [IDS] * 4, [PARTS] * 4, CATEGORIES)
    content = json.loads((tmp_path / "train.json").read_text())
    content[part][1].update(changes)
    (tmp_path / "train.json").write_text(json.dumps(content))
    with pytest.raises(BadData, match=text):
        load(panoptic(tmp_path), "train")
    assert len(load(panoptic(tmp_path, broken="drop"), "train")) == left


def test_panoptic_files_cannot_lead_out_of_the_folder(tmp_path):
    panoptic_set(tmp_path, [IDS] * 3, [PARTS] * 3, CATEGORIES)
    text = (tmp_path / "train.json").read_text()
    (tmp_path / "train.json").write_text(text.replace('"file_name": "1.png"', '"file_name": "../train/1.png"'))
    with pytest.raises(BadData, match=r"the file '\.\./train/1\.png' is not in"):
        load(panoptic(tmp_path), "train")
    assert len(load(panoptic(tmp_path, broken="drop"), "train")) == 2


# COCO instances


def instances(root, path, **options):
    places = {"annotations": {"train": path}, "images": "images"}
    return target("coco_segmentation:coco_instances", 4, places, folder=str(root), **options)


def test_smaller_objects_are_on_top_and_crowds_ignored(tmp_path):
    images = [picture(number, folder=tmp_path / "images") for number in (1, 2)]
    big, small = (0, 0, 20, 20), (5, 5, 4, 4)
    counts = {"counts": [0, 30 * 10, 30 * 30], "size": [30, 40]}  # the ten columns at the left
    annotations = [
        annotation(1, 1, 7, small),  # listed first, painted last
        annotation(2, 1, 2, big),
        annotation(3, 1, 40, (0, 0, 10, 30), iscrowd=1, segmentation=counts),
        annotation(4, 2, 40, (30, 0, 5, 5)),
        annotation(5, 2, 7, (10, 0, 5, 5)),
    ]
    data = load(instances(tmp_path, write(tmp_path / "train.json", images, annotations)), "train")
    assert data.classes == ("background", "cat", "dog", "cow")
    expected = np.zeros((30, 40), np.uint8)
    expected[:, :10] = IGNORED
    expected[0:20, 0:20] = 1
    expected[5:9, 5:9] = 2
    np.testing.assert_array_equal(data.labels(0), expected)
    assert data.present(1) == (0, 2, 3)


def test_an_image_with_an_object_that_is_no_use_is_no_use(tmp_path):
    images = [picture(number, folder=tmp_path / "images") for number in (1, 2, 3)]
    annotations = [annotation(number, number, (2, 7, 40)[number - 1]) for number in (1, 2, 3)]
    annotations.append(annotation(9, 2, 7, (0, 0, 9, 9), segmentation=[rectangle(0, 0, 900, 9)]))
    path = write(tmp_path / "train.json", images, annotations)
    with pytest.raises(BadData, match=r"image 2, annotation 9 has a polygon .* outside the image"):
        load(instances(tmp_path, path), "train")
    data = load(instances(tmp_path, path, broken="drop"), "train")
    assert [name[-7:] for name in data.names] == ["001.png", "003.png"]


def test_boxes_alone_label_no_pixel(tmp_path):
    images = [picture(number, folder=tmp_path / "images") for number in (1, 2)]
    annotations = [annotation(number, number, segmentation=[]) for number in (1, 2)]
    with pytest.raises(BadData, match="no object has a mask"):
        load(instances(tmp_path, write(tmp_path / "train.json", images, annotations)), "train")

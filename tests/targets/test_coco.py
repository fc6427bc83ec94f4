import json

import numpy as np
import pytest
from detection_files import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    annotation,
    coco_set,
    coco_target,
    picture,
    rectangle,
    write,
)
from PIL import Image
from pycocotools import mask

from tmbench.errors import ConfigError
from tmbench.targets import BadData, load


def one_image(folder, *annotations, **entry):
    """A target of a sound image 1 with three sound objects, and image 2 with ``annotations``."""
    sound = [annotation(10 + i, 1, category["id"]) for i, category in enumerate(CATEGORIES)]
    images = [picture(1, folder=folder / "images"), {**picture(2, folder=folder / "images"), **entry}]
    path = write(folder / "train.json", images, [*sound, *annotations])
    return coco_target({"train": path}, folder / "images")


def dropping(target):
    return target.model_copy(update={"broken": "drop"})


def box_mask(x, y, width, height):
    bitmap = np.zeros((HEIGHT, WIDTH), bool)
    bitmap[y : y + height, x : x + width] = True
    return bitmap


def test_classes_stand_in_the_order_of_their_ids_which_may_have_gaps(tmp_path):
    data = load(coco_target({"train": coco_set(tmp_path)}, tmp_path / "images"), "train")
    assert data.classes == ("cat", "dog", "cow")
    assert [data.objects(i).labels.tolist() for i in range(3)] == [[0], [1], [2]]
    assert data.has_masks
    assert data.problems == ()
    assert data.sizes.tolist() == [[HEIGHT, WIDTH]] * 12
    np.testing.assert_array_equal(data.objects(0).boxes, [[5, 6, 15, 14]])
    assert data.objects(0).areas.tolist() == [80.0]
    assert data.image(3).shape == (HEIGHT, WIDTH, 3)
    assert data.image(3)[0, 0, 0] == 4


def test_polygons_and_both_forms_of_run_lengths_give_one_mask(tmp_path):
    box = (5, 6, 10, 8)
    bitmap = box_mask(*box)
    packed = mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    flat = np.concatenate([[0], bitmap.T.ravel().astype(int), [2]])
    change = np.flatnonzero(np.diff(flat)) if flat[1] == 0 else None
    counts = np.diff(np.concatenate([[0], change])).tolist()
    forms = [
        [rectangle(*box)],
        {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()},
        {"size": [HEIGHT, WIDTH], "counts": counts},
    ]
    target = one_image(tmp_path, *[annotation(i, 2, segmentation=form) for i, form in enumerate(forms)])
    objects = load(target, "train").objects(1)
    assert objects.bitmaps().shape == (3, HEIGHT, WIDTH)
    for found in objects.bitmaps():
        np.testing.assert_array_equal(found, bitmap)


@pytest.mark.parametrize("seed", range(20))
def test_compressed_run_lengths_of_any_mask_are_understood(seed):
    from tmbench.targets.runs import BadMask, run_lengths

    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 300, 2).tolist())
    bitmap = generator.random(shape) < generator.choice([0.001, 0.5, 0.999])
    if seed == 0:
        bitmap[:] = True
    packed = mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    text = packed["counts"].decode()
    found = run_lengths({"size": list(shape), "counts": text}, *shape)
    np.testing.assert_array_equal(mask.decode(found).astype(bool), bitmap)
    with pytest.raises(BadMask, match=r"run lengths"):
        run_lengths({"size": list(shape), "counts": text + "1"}, *shape)


def test_several_polygons_are_one_mask(tmp_path):
    parts = [rectangle(2, 3, 5, 5), rectangle(20, 10, 6, 4)]
    target = one_image(tmp_path, annotation(1, 2, box=(2, 3, 24, 11), segmentation=parts))
    found = load(target, "train").objects(1).bitmaps()[0]
    np.testing.assert_array_equal(found, box_mask(2, 3, 5, 5) | box_mask(20, 10, 6, 4))


def test_crowds_are_marked_and_do_not_count_as_objects(tmp_path):
    target = one_image(tmp_path, annotation(1, 2, iscrowd=1))
    data = load(target, "train")
    assert data.objects(1).crowd.tolist() == [True]
    assert data.objects(0).crowd.tolist() == [False] * 3
    alone = write(tmp_path / "crowd.json", [picture(2)], [annotation(1, 2, iscrowd=1)])
    with pytest.raises(BadData, match="none of the 1 images has an object"):
        load(coco_target({"test": alone}, tmp_path / "images"), "test")


def test_masks_can_be_left_unread_and_need_not_be_there(tmp_path):
    path = coco_set(tmp_path)
    data = load(coco_target({"train": path}, tmp_path / "images", parameters={"masks": False}), "train")
    assert not data.has_masks
    assert data.objects(0).masks == ()
    content = json.loads((tmp_path / "train.json").read_text())
    for one in content["annotations"]:
        one["segmentation"] = []
        del one["area"]
    path = write(tmp_path / "train.json", content["images"], content["annotations"])
    data = load(coco_target({"train": path}, tmp_path / "images"), "train")
    assert not data.has_masks
    assert data.objects(0).areas.tolist() == [80.0]  # the box's, where none is annotated


def test_a_set_that_has_masks_for_a_part_can_be_used_for_its_boxes(tmp_path):
    target = one_image(tmp_path, annotation(5, 2, segmentation=[]), annotation(6, 2, segmentation=[]))
    with pytest.raises(BadData, match=r"2 of them lack a mask: 'masks: false' in the target's parameters"):
        load(target, "train")
    boxes = target.model_copy(update={"parameters": {**target.parameters, "masks": False}})
    assert len(load(boxes, "train").objects(1)) == 2


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (annotation(77, 2, category="7"), "category_id 7 .* it is text and the ids in 'categories' are numbers"),
        (annotation(77, "2"), "of image 2, not listed, for it is text and the ids in 'images' are numbers"),
    ],
)
def test_ids_of_another_type_are_told_so(tmp_path, entry, says):
    with pytest.raises(BadData, match=rf"annotation 77 .*{says}: write both as numbers"):
        load(one_image(tmp_path, entry), "train")


def test_category_ids_that_are_text_throughout_are_understood(tmp_path):
    categories = [{**one, "id": str(one["id"])} for one in CATEGORIES]
    shown = [annotation(i, 1, one["id"]) for i, one in enumerate(categories)]
    path = write(tmp_path / "train.json", [picture(1, folder=tmp_path / "images")], shown, categories)
    data = load(coco_target({"train": path}, tmp_path / "images"), "train")
    assert data.objects(0).labels.tolist() == [1, 0, 2]
    path = write(tmp_path / "train.json", [picture(1)], [annotation(77, 1, 7)], categories)
    with pytest.raises(BadData, match=r"annotation 77 .* it is a number and the ids in 'categories' are text"):
        load(coco_target({"train": path}, tmp_path / "images"), "train")


def test_a_file_under_two_ids_is_refused_or_dropped(tmp_path):
    sound = [annotation(10 + i, 1, category["id"]) for i, category in enumerate(CATEGORIES)]
    images = [picture(1, folder=tmp_path / "images"), picture(2, name="001.png")]
    path = write(tmp_path / "train.json", images, [*sound, annotation(20, 2)])
    target = coco_target({"train": path}, tmp_path / "images")
    with pytest.raises(BadData, match=r"one thing .*train\.json: the file 001\.png has two ids, 1 and 2"):
        load(target, "train")
    data = load(dropping(target), "train")
    assert len(data) == len(data.problems) == 1
    assert len(data.objects(0)) == 3


def test_a_name_that_leads_out_of_the_folder_is_refused_or_dropped(tmp_path):
    sound = [annotation(10 + i, 1, category["id"]) for i, category in enumerate(CATEGORIES)]
    images = [picture(1, folder=tmp_path / "images"), picture(2, name="../secret.png", folder=tmp_path / "images")]
    path = write(tmp_path / "train.json", images, [*sound, annotation(20, 2)])
    target = coco_target({"train": path}, tmp_path / "images")
    with pytest.raises(BadData, match=r"train\.json, image 2: the file '\.\./secret\.png' is not in"):
        load(target, "train")
    assert len(load(dropping(target), "train")) == 1


RUNS = {"size": [HEIGHT, WIDTH]}
BROKEN = [
    (annotation(77, 2, box=(35, 6, 10, 8)), "outside the image"),
    (annotation(77, 2, box=(-3, 6, 10, 8)), "outside the image"),
    (annotation(77, 2, box=(5, 6, 0, 8)), "without area"),
    (annotation(77, 2, box=(5, 6, 10, -2)), "without area"),
    (annotation(77, 2, box=(5, 6, 10, 0.001)), "without area"),
    (annotation(77, 2, box=(5, 6, float("nan"), 8)), "not four finite numbers"),
    ({**annotation(77, 2), "bbox": [1, 2, 3]}, "cannot be read"),
    ({**annotation(77, 2), "bbox": None}, "cannot be read"),
    (annotation(77, 2, category=3), "class '3', which the set does not have"),
    (annotation(77, 99), "image 99, not listed"),
    (annotation(77, 2, segmentation=[]), "no mask"),
    (annotation(77, 2, segmentation=[[1, 2, 3, 4]]), "three or more x, y"),
    (annotation(77, 2, segmentation=[["a"] * 6]), "three or more x, y"),
    (annotation(77, 2, segmentation=[rectangle(5, 6, 1e12, 8)]), "outside the image"),
    (annotation(77, 2, segmentation=[rectangle(5, 6, 0.1, 0.1)]), "without a pixel"),
    (annotation(77, 2, segmentation={"size": [WIDTH, HEIGHT], "counts": [1200]}), "mask of size"),
    (annotation(77, 2, segmentation={**RUNS, "counts": [5, 10]}), "cover 15 pixels"),
    (annotation(77, 2, segmentation={**RUNS, "counts": [-5, 1205]}), "cover"),
    (annotation(77, 2, segmentation={**RUNS, "counts": "PPPP"}), "compressed text"),
    (annotation(77, 2, segmentation={**RUNS, "counts": "é\n"}), "compressed text"),
    (annotation(77, 2, segmentation={**RUNS, "counts": "11"}), "cover 2 pixels"),
    (annotation(77, 2, segmentation={**RUNS, "counts": [1.5, 2]}), "neither text nor"),
    (annotation(77, 2, segmentation="mask.png"), "neither polygons nor"),
]


@pytest.mark.parametrize(("entry", "says"), BROKEN)
def test_a_broken_annotation_is_refused_or_dropped(tmp_path, entry, says):
    target = one_image(tmp_path, annotation(5, 2), entry)
    with pytest.raises(BadData, match=r"one thing cannot be used: .*train.json.*77 .*broken: drop") as refusal:
        load(target, "train")
    assert says in str(refusal.value)
    data = load(dropping(target), "train")
    assert len(data.problems) == 1
    assert says in data.problems[0]
    assert len(data.objects(1)) == 1
    assert len(data) == 2


def damage_missing(path):
    path.unlink()


def damage_text(path):
    path.write_text("no image")


def damage_size(path):
    Image.new("RGB", (HEIGHT, WIDTH)).save(path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [(damage_missing, "there is no image"), (damage_text, "not an image"), (damage_size, "not the 40 × 30")],
)
def test_a_broken_image_is_refused_or_dropped(tmp_path, damage, says):
    target = one_image(tmp_path, annotation(5, 2))
    damage(tmp_path / "images" / "002.png")
    with pytest.raises(BadData, match=r"image 2.*002.png") as refusal:
        load(target, "train")
    assert says in str(refusal.value)
    data = load(dropping(target), "train")
    assert [name.rpartition("/")[2] for name in data.names] == ["001.png"]
    assert says in data.problems[0]


def test_an_image_that_is_cut_off_is_refused_or_dropped(tmp_path):
    target = one_image(tmp_path, annotation(5, 2))
    path = tmp_path / "images" / "002.png"
    path.write_bytes(path.read_bytes()[:-30])  # its header is whole
    with pytest.raises(BadData, match=r"image 2.*002.png is cut off"):
        load(target, "train")
    data = load(dropping(target), "train")
    assert len(data) == 1
    assert "002.png is cut off" in data.problems[0]


def test_a_jpeg_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "images" / "002.png"
    target = one_image(tmp_path, annotation(5, 2))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(path, "JPEG")
    load(target, "train")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadData, match=r"002.png is cut off"):
        load(target, "train")


def test_an_image_that_is_damaged_within_is_told_when_it_is_decoded(tmp_path):
    target = one_image(tmp_path, annotation(5, 2))
    path = tmp_path / "images" / "002.png"
    whole = path.read_bytes()
    at = whole.index(b"IDAT") + 6
    path.write_bytes(whole[:at] + bytes(8) + whole[at + 8 :])
    data = load(target, "train")
    with pytest.raises(BadData, match=r"002.png does not decode"):
        data.image(1)


def test_grey_values_of_more_than_8_bits_are_no_picture(tmp_path):
    target = one_image(tmp_path, annotation(5, 2))
    path = tmp_path / "images" / "002.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 40_000, np.uint16)).save(path)
    with pytest.raises(BadData, match=r"image 2.*002.png has more than 8 bits"):
        load(target, "train")
    assert len(load(dropping(target), "train")) == 1


def test_pixels_can_be_written_to(tmp_path):
    data = load(coco_target({"train": coco_set(tmp_path)}, tmp_path / "images"), "train")
    assert data.image(0).flags.writeable  # torch warns of others


def test_nothing_is_decoded_until_it_is_asked_for(tmp_path):
    data = load(coco_target({"train": coco_set(tmp_path)}, tmp_path / "images"), "train")
    for path in (tmp_path / "images").iterdir():
        Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(path)
    assert (data.image(0) == 9).all()


def test_a_box_over_the_edge_by_rounding_is_cut(tmp_path):
    data = load(one_image(tmp_path, annotation(5, 2, box=(-0.5, 20, 10, 10.75))), "train")
    np.testing.assert_array_equal(data.objects(1).boxes, [[0, 20, 9.5, 30]])


def test_an_image_that_shows_nothing_is_kept(tmp_path):
    data = load(one_image(tmp_path), "train")
    assert len(data) == 2
    assert len(data.objects(1)) == 0
    assert data.objects(1).boxes.shape == (0, 4)


def test_a_size_that_the_file_does_not_say_is_the_images(tmp_path):
    data = load(one_image(tmp_path, annotation(5, 2), height=None, width=0), "train")
    assert data.sizes.tolist() == [[HEIGHT, WIDTH]] * 2


def test_many_problems_are_counted_and_the_first_named(tmp_path):
    entries = [annotation(70 + i, 2, category=99) for i in range(8)]
    with pytest.raises(BadData, match=r"8 things.*annotation 70.*annotation 72.*and 5 more"):
        load(one_image(tmp_path, *entries), "train")


def test_entries_without_what_every_entry_has(tmp_path):
    sound = [annotation(10 + i, 1, category["id"]) for i, category in enumerate(CATEGORIES)]
    images = [picture(1, folder=tmp_path / "images"), {"id": 4}, picture(1, name="again.png"), "text"]
    path = write(tmp_path / "train.json", images, [*sound, "text", {"id": 66}])
    target = dropping(coco_target({"train": path}, tmp_path / "images"))
    problems = load(target, "train").problems
    assert len(problems) == 5
    assert any("second image has the id 1" in text for text in problems)
    assert any("annotation 66" in text for text in problems)


def test_only_classes_by_name(tmp_path):
    path = coco_set(tmp_path)
    target = coco_target({"train": path}, tmp_path / "images", classes=2, only_classes=("cow", "cat"))
    data = load(target, "train")
    assert data.classes == ("cat", "cow")  # the set's order
    assert len(data) == 8
    assert {int(label) for i in range(8) for label in data.objects(i).labels} == {0, 1}
    # A row's image and objects stay together: image numbers are their grey, classes take turns.
    assert all((data.image(i)[0, 0, 0] - 1) % 3 == (0, 2)[data.objects(i).labels[0]] for i in range(8))
    few = load(target.model_copy(update={"sizes": target.sizes.model_copy(update={"train": 5})}), "train")
    assert len(few) == 5
    with pytest.raises(ConfigError, match="'dogs'"):
        load(target.model_copy(update={"only_classes": ("dogs",)}), "train")


def test_a_count_is_drawn_by_the_seed_and_a_smaller_one_is_part_of_it(tmp_path):
    path = coco_set(tmp_path, 30)

    def names(count, seed=0):
        target = coco_target({"train": path}, tmp_path / "images", sizes={"train": count}, seed=seed)
        return load(target, "train").names

    assert names(12) == names(12)
    assert set(names(12)) < set(names(20))
    assert names(12) != names(12, seed=1)
    assert list(names(12)) == sorted(names(12))
    with pytest.raises(BadData, match=r"30 images, but .* asks for sizes.train=31"):
        names(31)


def test_a_draw_passes_over_images_that_cannot_be_used(tmp_path):
    path = coco_set(tmp_path, 12)
    (tmp_path / "images" / "003.png").unlink()
    target = dropping(coco_target({"train": path}, tmp_path / "images", sizes={"train": 11}))
    data = load(target, "train")
    assert len(data) == 11
    assert not any("003" in name for name in data.names)


def test_shares_of_the_train_file_are_disjoint_and_whole(tmp_path):
    path = coco_set(tmp_path, 30)
    shares = {"validation_share": 0.2, "test_share": 0.3}
    target = coco_target({"train": path}, tmp_path / "images", parameters=shares)
    names = {split: set(load(target, split).names) for split in ("train", "validation", "test")}
    assert [len(names[split]) for split in ("train", "validation", "test")] == [15, 6, 9]
    assert len(set.union(*names.values())) == 30
    other = target.model_copy(update={"seed": 1})
    assert set(load(other, "validation").names) != names["validation"]


def test_a_split_needs_a_file_or_a_share_and_not_both(tmp_path):
    path = coco_set(tmp_path)
    with pytest.raises(ConfigError, match="set validation_share"):
        load(coco_target({"train": path}, tmp_path / "images"), "validation")
    both = coco_target({"train": path, "test": path}, tmp_path / "images", parameters={"test_share": 0.1})
    with pytest.raises(ConfigError, match="test has its own annotations"):
        load(both, "test")
    with pytest.raises(ConfigError, match="'val' in annotations is no split"):
        load(coco_target({"train": path, "val": path}, tmp_path / "images"), "train")
    with pytest.raises(ConfigError, match="leave some"):
        load(coco_target({"train": path}, tmp_path / "images", parameters={"test_share": 1.0}), "train")


@pytest.mark.parametrize("split", ["train", "test"])
def test_files_of_two_splits_may_not_share_an_image(tmp_path, split):
    files = {"train": coco_set(tmp_path, 12), "test": coco_set(tmp_path, 6, first=10, name="test")}
    with pytest.raises(BadData, match=r"3 images are in both .*010.png"):
        load(coco_target(files, tmp_path / "images"), split)


def test_equal_names_in_two_folders_are_two_images(tmp_path):
    files = {"train": coco_set(tmp_path / "a"), "test": coco_set(tmp_path / "b")}
    folders = {"train": str(tmp_path / "a" / "images"), "test": str(tmp_path / "b" / "images")}
    target = coco_target(files, "", parameters={"images": folders})
    assert len(load(target, "train")) == len(load(target, "test")) == 12


def test_files_of_two_splits_have_the_same_categories(tmp_path):
    path = coco_set(tmp_path)
    other = write(tmp_path / "test.json", [picture(50)], [annotation(1, 50)], [{"id": 2, "name": "ant"}])
    with pytest.raises(BadData, match="different categories"):
        load(coco_target({"train": path, "test": other}, tmp_path / "images"), "train")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "no list 'images'"),
        ('{"images": [], "categories": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "every category needs"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "two categories have the id '1'",
        ),
    ],
)
def test_a_file_that_is_no_coco(tmp_path, text, says):
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(BadData, match=says):
        load(coco_target({"train": str(tmp_path / "train.json")}, tmp_path), "train")


def test_missing_files_and_empty_sets(tmp_path, monkeypatch):
    path = coco_set(tmp_path)
    with pytest.raises(BadData, match=r"there is no file .*relative to the working directory"):
        load(coco_target({"train": "nowhere.json"}, tmp_path), "train")
    with pytest.raises(BadData, match=r"there is no folder .*elsewhere: put it there, or correct its path"):
        load(coco_target({"train": path}, tmp_path / "elsewhere"), "train")
    target = coco_target({"train": "train.json"}, "images", folder="somewhere").located(str(tmp_path))
    with pytest.raises(
        BadData, match=r"no folder .*somewhere: put the set there, or set paths\.data \(or the target's"
    ):
        load(target, "train")
    target = coco_target({"train": "other.json"}, "images", folder=tmp_path.name).located(str(tmp_path.parent))
    with pytest.raises(BadData, match=r"no file .*other\.json: put it there, or correct its name .* paths\.data"):
        load(target, "train")
    with pytest.raises(BadData, match="there are no images"):
        load(coco_target({"test": write(tmp_path / "none.json", [], [])}, tmp_path), "test")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load(coco_target({"train": "~/train.json"}, "~/images"), "train")) == 12


def test_the_readers_print_nothing(tmp_path, capsys):
    load(coco_target({"train": coco_set(tmp_path)}, tmp_path / "images"), "train")
    assert capsys.readouterr() == ("", "")

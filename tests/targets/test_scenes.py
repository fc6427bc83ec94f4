import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import figures, load
from tmbench.targets.options import DetectionTarget
from tmbench.targets.runs import extents
from tmbench.targets.scenes import scenes

SPLITS = ("train", "validation", "test")
FACES = ["DejaVuSans", "STIXGeneral"]


def shipped():
    folders = OptionFolders()
    found = describe_options("target", list(folders.names("target")), folders)
    return {name: one for name, one in found.items() if one["function"] == "tmbench.targets.scenes:scenes"}


TARGETS = shipped()


def drawn(split="train", size=40, seed="unit", **options):
    return scenes(split, size, Seeds(seed), **{"figures": "shapes", **options})


def pixels(data):
    return [data.image(i).tobytes() for i in range(len(data))]


@pytest.mark.parametrize("name", TARGETS)
def test_every_shipped_set_gives_what_it_declares(name):
    target = DetectionTarget.model_validate({**TARGETS[name], "sizes": dict.fromkeys(SPLITS, 100)})
    seen = []
    for split in SPLITS:
        data = load(target, split)  # load itself checks classes, types and boxes
        assert len(data) == 100
        assert data.has_masks
        assert data.image(0).shape == (target.image_size, target.image_size, 3)
        seen.append(set(pixels(data)))
    assert not (seen[0] & seen[1]) | (seen[0] & seen[2]) | (seen[1] & seen[2])


def test_five_sets_on_black():
    black = [name for name, one in TARGETS.items() if name.endswith("_on_black")]
    assert len(black) == 5
    for name in black:
        data = load(DetectionTarget.model_validate({**TARGETS[name], "sizes": {"test": 64}}), "test")
        assert 1 < np.mean([len(data.objects(i)) for i in range(64)]) <= 5
        image = data.image(0)
        assert (image[0, 0] == 0).all()
        assert image.max() == 255


KINDS = {
    "shapes": {"turn": 180.0, "classes": 8},
    "glyphs": {"letters": "AEOX", "faces": FACES, "overlap": 0.5},
    "digits": {"ground": "black", "classes": 10},
    "signs": {"ground": "clutter"},
    "fabrics": {"ground": "textured"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_the_extents_of_the_masks_which_do_not_overlap(kind):
    data = drawn(figures=kind, most=4, **KINDS[kind])
    several = 0
    for i in range(len(data)):
        objects = data.objects(i)
        bitmaps = objects.bitmaps()
        np.testing.assert_array_equal(objects.boxes, extents(bitmaps))
        np.testing.assert_array_equal(objects.areas, bitmaps.sum(axis=(1, 2)))
        assert bitmaps.sum(axis=0).max() == 1
        assert objects.areas.min() >= 12
        several += len(objects) > 1
    assert several > 10


@pytest.mark.parametrize("kind", KINDS)
def test_figures_fill_their_tiles_and_are_not_cut(kind):
    options = {"classes": 4, **KINDS[kind]}
    made = {
        "shapes": lambda: figures.plain_shapes(8, 180.0),
        "glyphs": lambda: figures.characters(4, "AEOX", FACES, 15.0),
        "digits": lambda: figures.real_digits("train", 10),
        "signs": lambda: figures.signs(options["classes"], 15.0, Seeds("x")),
        "fabrics": lambda: figures.fabrics(options["classes"], 15.0, Seeds("x")),
    }[kind]()
    labels = np.arange(40) % len(made.classes)
    cover = made.cover(labels, 40, np.random.default_rng(0))
    assert cover.shape == (40, 40, 40)
    assert cover.min() >= 0
    assert cover.max() <= 1
    boxes = extents(cover > 0.5)
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    assert longest.min() > 24
    if kind != "digits":  # whose writers went to the edge
        assert max(cover[:, 0].max(), cover[:, -1].max(), cover[:, :, 0].max(), cover[:, :, -1].max()) < 0.95


def test_masks_lie_where_the_figures_are():
    data = drawn(ground="black", noise=0.0, overlap=0.0)
    for i in range(len(data)):
        union = data.objects(i).bitmaps().any(axis=0)
        bright = data.image(i)[..., 0] > 140
        assert not (bright & ~union).any()
        assert data.image(i)[union].min() > 110


def test_figures_are_lighter_than_a_plain_ground():
    data = drawn(noise=0.0, contrast=0.4)
    for i in range(len(data)):
        inside = data.objects(i).bitmaps().any(axis=0)
        grey = data.image(i).mean(axis=2)
        assert np.median(grey[inside]) > np.median(grey[~inside]) + 30


def test_colour_tells_the_classes_of_shapes_nothing():
    data = drawn(size=300, noise=0.0)
    colours = [[] for _ in data.classes]
    for i in range(len(data)):
        for label, bitmap in zip(data.objects(i).labels, data.objects(i).bitmaps(), strict=True):
            colours[label].append(data.image(i)[bitmap].mean())
    means = [np.mean(values) for values in colours]
    assert max(means) - min(means) < 15


def test_overlap_bounds_how_much_is_hidden():
    whole = {}
    for share in (0.0, 0.5):
        data = drawn(size=100, figures="shapes", classes=1, turn=0.0, scale=(0.4, 0.4), most=5, least=5, overlap=share)
        areas = np.concatenate([data.objects(i).areas for i in range(len(data))])
        whole[share] = areas
        assert areas.min() >= (1 - share) * areas.max() - 1
    assert whole[0.0].min() == whole[0.0].max()  # nothing is hidden
    assert whole[0.5].min() < 0.8 * whole[0.5].max()
    assert len(whole[0.5]) > len(whole[0.0])  # where hiding is allowed, more fit


def test_options_of_number_and_size():
    data = drawn(size=80, least=2, most=4, scale=(0.2, 0.25), overlap=0.0)
    counts = [len(data.objects(i)) for i in range(80)]
    assert set(counts) == {2, 3, 4}
    boxes = np.concatenate([data.objects(i).boxes for i in range(80)])
    assert (boxes[:, 2:] - boxes[:, :2]).max() <= 24


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others():
    for kind, options in KINDS.items():
        first = pixels(drawn(figures=kind, size=8, **options))
        assert first == pixels(drawn(figures=kind, size=8, **options))
        assert not set(first) & set(pixels(drawn(figures=kind, size=8, seed="other", **options)))


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    large = drawn(size=100)
    small = drawn(size=70)
    assert pixels(large)[:70] == pixels(small)
    assert [large.objects(i).boxes.tolist() for i in range(70)] == [small.objects(i).boxes.tolist() for i in range(70)]


def test_no_real_digit_is_in_two_splits(monkeypatch):
    from sklearn.datasets import load_digits

    shown = {}
    real = {image.tobytes() for image in load_digits().images.astype(np.float32) / 16.0}
    assert len(real) == 1797
    for split in SPLITS:
        taken = set()
        with monkeypatch.context() as patch:
            patch.setattr(figures, "enlarge", lambda grey, side, taken=taken: taken.update(g.tobytes() for g in grey))
            made = figures.real_digits(split, 10)
            made.cover(np.arange(20000) % 10, 8, np.random.default_rng(0))
        shown[split] = taken
    assert sum(map(len, shown.values())) == len(real)
    assert set.union(*shown.values()) == real


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": None}, "give sizes.train"),
        ({"least": 4}, "1 ≤ least ≤ most"),
        ({"overlap": 1.0}, "overlap < 1"),
        ({"scale": (0.2, 1.2)}, "scale"),
        ({"ground": "grass"}, "no ground is named 'grass'"),
        ({"figures": "cars"}, "no figures are named 'cars'"),
        ({"classes": 9}, "8 plain shapes"),
        ({"figures": "digits", "classes": 11}, "ten digits"),
        ({"figures": "glyphs", "letters": "AB", "faces": FACES}, r"and so 4 at least \(there are 2\)"),
        ({"figures": "glyphs", "letters": "ABCD"}, "faces"),
    ],
)
def test_options_that_fit_no_scene(options, says):
    with pytest.raises(ConfigError, match=says):
        drawn(**options)

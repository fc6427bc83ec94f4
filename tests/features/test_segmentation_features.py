"""A pass over images with a class a pixel: which pixels are read, and what of each layer, from one run."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_work import SIZE, pretrained, recipe, source, squares, target

from tmbench import features
from tmbench.errors import ConfigError
from tmbench.features import segmentation
from tmbench.features.pixels import PixelReader, balanced, cells
from tmbench.features.segmentation import has_place, keep, read, sample
from tmbench.identity import Seeds
from tmbench.metrics import Moments
from tmbench.sources.maps import as_map
from tmbench.sources.network import as_input, build, weights_of
from tmbench.sources.segmentation.segmenter import segmenter
from tmbench.targets import BadData
from tmbench.targets.segmentation import SegmentationImages, at_size

IGNORED = 255


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def evenly(sizes, count):
    """How many each class gives when one pixel after the other is taken, round after round; the last round apart."""
    shares = np.zeros(len(sizes), int)
    while True:
        able = shares < sizes
        if not able.any() or shares.sum() + able.sum() > count:
            return shares, count - shares.sum() if able.any() else 0
        shares += able


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 80))
@settings(max_examples=150, deadline=None)
def test_pixels_are_spread_as_evenly_as_the_classes_allow(seed, classes, count):
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.full(classes + 1, 0.5))
    labels = draw.choice([*range(classes), IGNORED], (9, 9), p=weights).astype(np.uint8)
    chosen = balanced(labels, count, np.random.default_rng(seed))
    flat = labels.reshape(-1)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, (flat != IGNORED).sum())
    assert (flat[chosen] != IGNORED).all()
    assert (np.diff(chosen) > 0).all()
    sizes = np.bincount(flat[flat != IGNORED], minlength=classes)
    found = np.bincount(flat[chosen], minlength=classes)
    least, left = evenly(sizes, count)
    assert ((found - least) >= 0).all()
    assert ((found - least) <= 1).all()
    assert (found - least).sum() == left


def test_each_pixel_of_a_class_is_as_likely_as_the_others():
    labels = np.repeat([[0, 0, 0, 0, 1, 1, 1, IGNORED]], 4, axis=0).astype(np.uint8)
    counts = np.zeros(labels.size)
    for seed in range(2000):
        counts[balanced(labels, 10, np.random.default_rng(seed))] += 1
    counts = counts.reshape(labels.shape) / 2000
    np.testing.assert_allclose(counts[:, :4], 5 / 16, atol=0.05)
    np.testing.assert_allclose(counts[:, 4:7], 5 / 12, atol=0.05)
    assert (counts[:, 7] == 0).all()


def test_the_cell_that_holds_a_pixel():
    positions = torch.arange(6 * 6)
    found = cells(positions, 6, (3, 2)).view(6, 6)
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert found[:, 0].tolist() == [0, 0, 2, 2, 4, 4]


def by_loop(network, option, on, data, outputs):
    """Labels, image and features of the sampled pixels, one image and one pixel after the other.

    ``outputs`` tells of a batch of one image the maps by place.
    """
    rows = {"labels": [], "image": []}
    for i in range(len(data)):
        image, labels = at_size(data.image(i), data.labels(i), on.image_size)
        expected = option.input.model_copy(update={"size": on.image_size})
        maps = outputs(network, as_input(image[None], expected))
        chosen = balanced(labels, on.sampling.pixels, segmentation._seeds(on).generator("pixels", i))
        for position in chosen.tolist():
            y, x = divmod(position, on.image_size)
            rows["labels"].append(int(labels[y, x]))
            rows["image"].append(i)
            for place, values in maps.items():
                height, width = values.shape[-2:]
                cell = values[0, :, int(y * height / on.image_size), int(x * width / on.image_size)]
                rows.setdefault(place, []).append(cell.numpy())
    return {name: np.array(values) for name, values in rows.items()}


def agree(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("size", [SIZE, 48])
@pytest.mark.parametrize(
    ("option", "layer"),
    [
        (source(), "stages.1"),
        (source("small:vision_transformer", width=16), "blocks.0"),
        (source("zoo:plain_vit", width=16, depth=2, heads=2), "blocks.1"),
    ],
)
def test_sampled_rows_are_those_of_a_plain_loop(option, layer, size, monkeypatch):
    monkeypatch.setattr(segmentation, "IMAGES", 3)
    on = target(image_size=size)
    data = read(on)
    network = build(option, task="segmentation")
    found = keep(network, option, on, data, {f"pixel/{layer}": "rows", "pixel/penultimate": "rows"})

    def outputs(network, inputs):
        from tmbench.sources.resizing import at_size as resized

        network, taken = resized(network, option, size), []
        hook = network.get_submodule(layer).register_forward_hook(lambda *given: taken.append(given[2]))
        with torch.no_grad():
            last = network.forward_features(inputs)
        hook.remove()
        return {f"features/pixel/{layer}": as_map(taken[0]), "features/pixel/penultimate": as_map(last)}

    agree(found, by_loop(network, option, on, data, outputs))
    assert len(found["labels"]) == 8 * 60
    assert set(found["labels"].tolist()) == {0, 1, 2}


def test_logits_of_the_decoder_are_those_of_the_whole_map():
    option = pretrained(by=recipe(decoder="fcn", fused=True))
    network = segmenter(build(source()), option.weights.recipe, 5, SIZE, Seeds("x"))
    on = target()
    data = read(on)
    places = {"pixel/penultimate": "rows", "pixel/stages.0": "rows", "prediction": "rows"}
    found = keep(network, option, on, data, places)

    def outputs(network, inputs):
        with torch.no_grad():
            maps, logits = network.maps(inputs), network(inputs)
            penultimate = network.decoder.features(maps)
        return {"features/pixel/penultimate": penultimate, "features/pixel/stages.0": maps[0], "logits": logits}

    prediction = found.pop("features/prediction")
    agree(found, by_loop(network, option, on, data, outputs))
    assert np.array_equal(prediction, found["logits"])
    assert found["logits"].shape == (480, 5)
    assert network.training is False
    assert not network.trunk.stages[0]._forward_hooks


def test_all_sources_and_layers_see_the_same_pixels():
    on = target()
    one, other = (
        keep(build(option), option, on, read(on), {"pixel/penultimate": "rows"})
        for option in (source(), source("zoo:plain_vit", width=16, depth=2, heads=2))
    )
    for name in ("labels", "image"):
        assert np.array_equal(one[name], other[name])
    again = target(sampling={"pixels": 60, "seed": 1})
    assert not np.array_equal(one["labels"], keep(build(source()), source(), again, read(again), {})["labels"])


def test_so_many_images_are_read_as_the_sampling_says():
    on = target(sampling={"pixels": 7, "images": 3})
    data = read(on)
    assert len(data) == 3
    assert np.bincount(keep(build(source()), source(), on, data, {})["image"]).tolist() == [7, 7, 7]
    assert len(read(target(sampling={"images": 50}))) == 8


def test_an_image_without_a_labelled_pixel_after_resizing_gives_no_row():
    images = squares("train", 3, Seeds("x"))
    labels = [images.labels(i).copy() for i in range(3)]
    labels[1][:] = IGNORED
    data = SegmentationImages.of_arrays(images.classes, [images.image(i) for i in range(3)], labels)
    found = keep(build(source()), source(), target(), data, {"pixel/penultimate": "rows"})
    assert np.unique(found["image"]).tolist() == [0, 2]
    for label in labels:
        label[:] = IGNORED
    with pytest.raises(BadData, match="of 3 images no labelled pixel is left at 32 × 32 pixels; raise image_size"):
        keep(build(source()), source(), target(), data, {"pixel/penultimate": "rows"})


def test_moments_are_those_of_the_rows():
    on = target()
    network = build(source())
    rows = keep(network, source(), on, read(on), {"pixel/penultimate": "rows"})
    kept = keep(network, source(), on, read(on), {"pixel/penultimate": "class_moments"})
    assert "features/pixel/penultimate" not in kept
    whole = Moments.of(rows["features/pixel/penultimate"], rows["labels"], None, by_class=True).arrays()
    for name, array in whole.items():
        np.testing.assert_allclose(kept[f"moments/pixel/penultimate/{name}"], array, rtol=1e-6, atol=1e-6)


def test_places_that_are_not_there():
    network = build(source())
    whole = segmenter(network, recipe(), 3, SIZE, Seeds("x"))
    assert has_place(network, "pixel/stages.1")
    assert has_place(whole, "pixel/stages.1")
    assert has_place(whole, "pixel/decoder.layers")
    assert has_place(whole, "prediction")
    assert not any(has_place(network, place) for place in ("prediction", "pixel/nothing", "penultimate", "stages.1"))
    with pytest.raises(ConfigError, match=r"layer.*'stages\.7'"):
        PixelReader(network, ["pixel/stages.7"])


def test_what_metrics_see():
    on = target()
    before = weights_of(build(source()))
    network = build(source())
    arrays = features.keep(network, source(), on, features.read(on), {"pixel/penultimate": "rows"})
    held = sample(arrays, "pixel/penultimate", "object", {})
    assert held["features"].shape == (480, 16)
    assert held["features"].dtype == np.float32
    assert held["logits"] is None
    assert held["labels"] is arrays["labels"]
    assert all(np.array_equal(value, before[name]) for name, value in weights_of(network).items())

"""A pass over images with objects: what is read, of which rows, and from one run of the network."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import MultiScaleRoIAlign, roi_align

from tmbench import features
from tmbench.errors import ConfigError
from tmbench.features.detection import batches, has_place, keep, sample
from tmbench.features.reading import Reader
from tmbench.identity import Seeds
from tmbench.metrics import FeatureSet, Moments, score_all
from tmbench.sources.detection.detector import detector
from tmbench.sources.detection.recipe import DetectionRecipe
from tmbench.sources.maps import as_map
from tmbench.sources.network import as_input, fresh
from tmbench.sources.options import Source
from tmbench.sources.zoo import plain_vit
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets.detection import DetectionImages, Objects
from tmbench.targets.options import DetectionTarget

SIZE = 64
SOURCES = describe_options(
    "source", ["small_resnet_letters", "small_resnet_random", "tiny_vit_random"], OptionFolders()
)
TARGET = DetectionTarget(task="detection", function="no.module:function", classes=3, image_size=SIZE)
COUNTS = (2, 0, 3, 1, 2, 4)
"""Objects of each image: one shows none."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def some_images(order=(0, 1, 2, 3, 4, 5), crowd=False):
    """Images of several sizes; image i is the same wherever ``order`` puts it."""
    images, objects = [], []
    for i in order:
        draw = np.random.default_rng(i)
        height, width = (int(side) for side in draw.integers(40, 120, 2))
        images.append(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        k = COUNTS[i]
        corner = draw.uniform(0, 0.5, (k, 2)) * (width, height)
        extent = draw.uniform(0.1, 0.45, (k, 2)) * (width, height)
        boxes = np.concatenate([corner, corner + extent], axis=1).astype(np.float32)
        ignored = np.arange(k) == 0 if crowd else np.zeros(k, bool)
        objects.append(Objects(boxes, draw.integers(0, 3, k), ignored, extent.prod(axis=1).astype(float)))
    return DetectionImages.of_arrays(("a", "b", "c"), images, objects)


def source_of(name, **changes):
    return Source.model_validate({**SOURCES[name], **changes})


@pytest.fixture(scope="module")
def resnet():
    source = source_of("small_resnet_letters")
    return fresh(source, Seeds("x")), source


@pytest.fixture(scope="module")
def vit():
    source = source_of("tiny_vit_random")
    return fresh(source, Seeds("x")), source


def inputs_of(data, source):
    expected = source.input.model_copy(update={"size": SIZE})
    return torch.cat([as_input(data.image(i)[None], expected) for i in range(len(data))])


def output_of(network, module, inputs):
    """What ``module`` gives for ``inputs``."""
    held = []
    hook = module.register_forward_hook(lambda module, arguments, output: held.append(output))
    with torch.inference_mode():
        network.forward_features(inputs)
    hook.remove()
    return held[0]


def rois(arrays):
    return torch.from_numpy(np.concatenate([arrays["image"][:, None], arrays["boxes"]], axis=1).astype(np.float32))


def bins_of(maps, arrays):
    """torchvision's ROI-Align as TLogME calls it, averaged over its bins."""
    scale = maps.shape[-1] / SIZE
    return roi_align(maps, rois(arrays), 7, scale, sampling_ratio=2, aligned=False).mean(dim=(2, 3)).numpy()


def test_local_features_are_the_mean_of_torchvisions_bins(resnet):
    network, source = resnet
    data = some_images()
    layers = ["stages.0", "stages.1", "penultimate"]
    arrays = keep(network, source, TARGET, data, {place: "rows" for n in layers for place in (n, f"local/{n}")})
    inputs = inputs_of(data, source)
    for layer in layers[:2]:
        maps = output_of(network, network.get_submodule(layer), inputs)
        assert np.allclose(arrays[f"features/local/{layer}"], bins_of(maps, arrays), atol=1e-5)
        assert np.allclose(arrays[f"features/{layer}"], maps.mean(dim=(2, 3)).numpy(), atol=1e-5)
    with torch.inference_mode():
        last = network.forward_features(inputs)
        head = network.forward_head(last, pre_logits=True)
        logits = network(inputs)
    assert np.allclose(arrays["features/local/penultimate"], bins_of(last, arrays), atol=1e-5)
    assert np.allclose(arrays["features/penultimate"], head.numpy(), atol=1e-5)
    assert np.allclose(arrays["logits"], logits.numpy(), atol=1e-5)


def test_boxes_follow_the_resize_and_crowds_are_left_out(resnet):
    data = some_images()
    arrays = keep(*resnet, TARGET, data, {"penultimate": "rows"})
    assert arrays["image"].tolist() == [0, 0, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5]
    assert arrays["image_sizes"].tolist() == [[SIZE, SIZE]] * len(data)
    assert arrays["boxes"].dtype == np.float32
    first = data.objects(0).boxes[1]
    height, width = data.sizes[0]
    assert height != width
    assert np.allclose(arrays["boxes"][1], first * SIZE / np.array([width, height, width, height]), atol=1e-4)
    single = keep(*resnet, TARGET, some_images(crowd=True), {"local/stages.1": "rows"})
    assert single["image"].tolist() == [0, 2, 2, 4, 5, 5, 5]
    assert len(single["features/local/stages.1"]) == len(single["labels"]) == 7
    assert np.array_equal(single["boxes"][0], arrays["boxes"][1])


@pytest.mark.parametrize("which", ["resnet", "vit"])
def test_each_object_has_its_row_whatever_the_order_of_images(which, request, monkeypatch):
    network, source = request.getfixturevalue(which)
    layer = {"resnet": "stages.1", "vit": "blocks.1"}[which]
    places = dict.fromkeys([layer, f"local/{layer}", "penultimate", "local/penultimate"], "rows")
    plain = keep(network, source, TARGET, some_images(), places)
    order = [4, 2, 5, 0, 1, 3]
    monkeypatch.setattr("tmbench.features.detection.IMAGES", 2)  # and in other company
    mixed = keep(network, source, TARGET, some_images(order), places)
    for name in ("labels", "boxes", "features/local/penultimate", f"features/local/{layer}"):
        for now, image in enumerate(order):
            rows, others = plain["image"] == image, mixed["image"] == now
            assert np.allclose(plain[name][rows], mixed[name][others], atol=1e-5), name
    for name in ("features/penultimate", f"features/{layer}"):
        assert np.allclose(plain[name][order], mixed[name], atol=1e-5)


def test_the_network_runs_once_for_all_places(resnet, monkeypatch):
    network, source = resnet
    monkeypatch.setattr("tmbench.features.detection.IMAGES", 4)
    runs = []
    hooks = [network.stem.register_forward_hook(lambda module, inputs, output: runs.append(len(output)))]
    layers = ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "penultimate"]
    arrays = keep(network, source, TARGET, some_images(), {p: "rows" for n in layers for p in (n, f"local/{n}")})
    hooks[0].remove()
    assert runs == [4, 2]
    assert sum(name.startswith("features/") for name in arrays) == 2 * len(layers)
    assert not any(module._forward_hooks for module in network.modules())


def test_what_works_in_place_changes_nothing_that_was_read():
    network = timm.create_model("resnet10t", num_classes=0).eval()  # its ReLUs write over the norms' outputs
    source = source_of("small_resnet_random")
    data = some_images()
    arrays = keep(network, source, TARGET, data, {"layer1.0.bn1": "rows"})
    inputs = inputs_of(data, source)
    before = []
    hook = network.get_submodule("layer1.0.bn1").register_forward_hook(
        lambda module, arguments, output: before.append(output.clone())
    )
    with torch.inference_mode():
        network.forward_features(inputs)
    hook.remove()
    assert before[0].min() < 0
    assert np.allclose(arrays["features/layer1.0.bn1"], before[0].mean(dim=(2, 3)).numpy(), atol=1e-5)


def test_samples_by_object_and_by_image(resnet):
    data = some_images()
    arrays = keep(*resnet, TARGET, data, {"penultimate": "rows", "local/penultimate": "rows"})
    objects = sample(arrays, "penultimate", "object", {})
    image = arrays["image"]
    assert np.array_equal(objects["features"], arrays["features/penultimate"][image])
    assert np.array_equal(objects["logits"], arrays["logits"][image])
    assert objects["targets"] is objects["boxes"] or np.array_equal(objects["targets"], objects["boxes"])
    assert np.array_equal(objects["labels"], np.concatenate([data.objects(i).labels for i in range(len(data))]))
    local = sample(arrays, "local/penultimate", "object", {})
    assert np.array_equal(local["features"], arrays["features/local/penultimate"])
    images = sample(arrays, "penultimate", "image", {})
    shown = [0, 2, 3, 4, 5]  # one image shows nothing
    assert np.array_equal(images["features"], arrays["features/penultimate"][shown])
    assert np.array_equal(images["logits"], arrays["logits"][shown])
    for row, i in enumerate(shown):
        boxes = arrays["boxes"][image == i]
        largest = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        assert np.array_equal(images["boxes"][row], boxes[largest])
        assert images["labels"][row] == data.objects(i).labels[largest]
    for held in (objects, local, images):
        assert FeatureSet(**held).provides >= {"features", "labels", "targets", "boxes", "image_sizes", "posteriors"}
    assert sample(arrays, "", "object", {})["features"] is None
    assert features.sample("detection", arrays, "penultimate", "image")["labels"].tolist() == images["labels"].tolist()


def test_moments_of_objects_score_as_their_rows(resnet):
    data = some_images()
    places = {"local/stages.1": "rows", "local/stages.0": "moments", "stages.0": "moments"}
    rows = keep(*resnet, TARGET, data, {**places, "local/stages.0": "rows"})
    sums = keep(*resnet, TARGET, data, places)
    assert "features/stages.0" in sums  # one row an image, which several objects share
    stored = {name.rpartition("/")[2]: a for name, a in sums.items() if name.startswith("moments/local/stages.0/")}
    held = FeatureSet(moments=Moments.from_arrays(stored))
    whole = FeatureSet(**sample(rows, "local/stages.0", "object", {}))
    metrics = ["tlogme", "logme", "linmse1"]
    by_rows, by_sums = score_all(whole, metrics), score_all(held, metrics)
    for metric in metrics:
        assert by_sums[metric].value == pytest.approx(by_rows[metric].value, rel=1e-6)


def test_a_vits_tokens_are_its_map():
    network, source = plain_vit(0, 96).eval(), source_of("tiny_vit_random")
    data = some_images()
    arrays = keep(network, source, TARGET, data, dict.fromkeys(["local/blocks.1", "blocks.1"], "rows"))
    tokens = output_of(network, network.blocks[1], inputs_of(data, source))
    side = SIZE // 8
    assert tokens.shape[1] == side * side  # the position embedding is resized: the source's own size is 96
    maps = tokens.reshape(len(data), side, side, -1).permute(0, 3, 1, 2)
    assert np.allclose(arrays["features/local/blocks.1"], bins_of(maps, arrays), atol=1e-5)
    assert np.allclose(arrays["features/blocks.1"], tokens.mean(dim=1).numpy(), atol=1e-5)


def test_prefix_tokens_are_no_positions_and_a_fixed_size_is_resized():
    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=96, num_classes=5, depth=2, embed_dim=24, num_heads=2
    ).eval()
    source = source_of("tiny_vit_random")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = some_images()
    arrays = keep(
        network, source, TARGET, data, dict.fromkeys(["blocks.0", "local/patch_embed", "penultimate"], "rows")
    )
    assert network.patch_embed.img_size == (96, 96)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    resized = timm.create_model(
        "vit_tiny_patch16_224", img_size=96, num_classes=5, depth=2, embed_dim=24, num_heads=2
    ).eval()
    resized.load_state_dict(before)
    resized.set_input_size((SIZE, SIZE))
    inputs = inputs_of(data, source)
    tokens = output_of(resized, resized.blocks[0], inputs)
    assert tokens.shape[1] == 1 + (SIZE // 16) ** 2
    assert np.allclose(arrays["features/blocks.0"], tokens[:, 1:].mean(dim=1).numpy(), atol=1e-5)
    assert arrays["features/local/patch_embed"].shape == (sum(COUNTS), 24)
    with torch.inference_mode():
        head = resized.forward_head(resized.forward_features(inputs), pre_logits=True)
    assert np.allclose(arrays["features/penultimate"], head.numpy(), atol=1e-5)  # the class token, as the head sees it


def test_a_size_that_patches_do_not_cover_is_refused(vit):
    with pytest.raises(ConfigError, match=r"image_size=60 .* patches of 8 pixels.*56 or 64"):
        keep(*vit, TARGET.model_copy(update={"image_size": 60}), some_images(), {"penultimate": "rows"})


def test_forms_of_maps():
    maps = torch.arange(2 * 6 * 4 * 4.0).reshape(2, 6, 4, 4)
    last = maps.permute(0, 2, 3, 1)
    tokens = maps.flatten(2).transpose(1, 2)
    with_class = torch.cat([torch.full((2, 1, 6), -1.0), tokens], dim=1)
    for output, prefix in ((maps, 0), (last, 0), (tokens, 0), (tokens, 1), (with_class, 1)):
        assert torch.equal(as_map(output, prefix), maps)
    assert as_map(torch.zeros(2, 6)) is None
    assert as_map(torch.zeros(2, 7, 6)) is None


def test_layers_without_positions_and_absent_ones(resnet):
    network, source = resnet
    assert has_place(network, "local/stages.1")
    assert not has_place(network, "local/stages.9")
    assert not has_place(network, "pyramid")
    assert not features.has_place(network, "classification", "local/stages.1")
    arrays = keep(network, source, TARGET, some_images(), dict.fromkeys(["head.fc", "local/head.flatten"], "rows"))
    assert not any("local" in name for name in arrays)
    with pytest.raises(ConfigError, match=r"'stages\.9'.*stages\.3"):
        keep(network, source, TARGET, some_images(), {"local/stages.9": "rows"})


def test_a_pass_that_is_left_leaves_the_network_as_it_was(resnet):
    network, source = resnet
    network.train()
    stream = batches(network, source, TARGET, some_images(), ["local/stages.0"])
    next(stream)
    assert not network.training
    stream.close()
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    network.eval()


def torchvisions():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
        return FasterRCNN(trunk, 4).eval()


def test_torchvisions_detector(monkeypatch):
    network = torchvisions()
    source, data = source_of("small_resnet_random"), some_images()
    layers = ["layer2", "backbone.body.layer2", "pyramid", "pyramid.0", "pyramid.3", "penultimate"]
    runs = []
    hook = network.backbone.register_forward_hook(lambda module, inputs, output: runs.append(1))
    arrays = keep(network, source, TARGET, data, {p: "rows" for n in layers for p in (n, f"local/{n}")})
    hook.remove()
    assert len(runs) == 1
    with torch.inference_mode():
        maps = network.backbone(inputs_of(data, source))
        boxes = [torch.from_numpy(arrays["boxes"][arrays["image"] == i]) for i in range(len(data))]
        shapes = [(SIZE, SIZE)] * len(data)
        pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
        wanted = pool(maps, boxes, shapes).mean(dim=(2, 3))
        heads = network.roi_heads
        seen = heads.box_head(heads.box_roi_pool(maps, boxes, shapes))
    assert np.allclose(arrays["features/local/pyramid"], wanted.numpy(), atol=1e-5)
    assert np.allclose(arrays["features/local/penultimate"], seen.numpy(), atol=1e-5)
    assert arrays["features/penultimate"].shape == (len(data), seen.shape[1])
    assert np.allclose(arrays["features/pyramid"], maps["3"].mean(dim=(2, 3)).numpy(), atol=1e-5)
    assert np.array_equal(arrays["features/pyramid"], arrays["features/pyramid.3"])
    assert np.allclose(arrays["features/local/pyramid.0"], bins_of(maps["0"], arrays), atol=1e-5)
    assert np.array_equal(arrays["features/local/layer2"], arrays["features/local/backbone.body.layer2"])
    assert "logits" not in arrays


RECIPE = {
    "task": "detection", "trainable": "full", "learning_rates": [0.001], "epochs": 1, "batch_size": 2, "image_size": 96,
    "pyramid": {"channels": 8, "norm": "layer"},
    "heads": {"box_width": 16, "box_convolutions": 1, "mask_convolutions": 1, "rpn_convolutions": 1},
}  # fmt: skip


@pytest.mark.parametrize(("which", "layer"), [("vit", "blocks.1"), ("resnet", "stages.1")])
def test_our_detectors_have_the_layers_of_their_sources(which, layer, request):
    network, source = request.getfixturevalue(which)
    built = detector(source, network, DetectionRecipe.model_validate(RECIPE), 3, Seeds("d"))
    data = some_images()
    source = source_of("small_resnet_random", input=source.input.model_dump())
    places = {p: "rows" for n in (layer, "pyramid", "pyramid.1", "penultimate") for p in (n, f"local/{n}")}
    target = TARGET.model_copy(update={"image_size": 96})  # at which neither resizes its positions
    arrays = keep(built, source, target, data, places)
    plain = keep(network, source, target, data, {layer: "rows", f"local/{layer}": "rows"})
    for name in (f"features/{layer}", f"features/local/{layer}"):  # the same weights at the same place
        assert np.allclose(arrays[name], plain[name], atol=1e-5), name
    assert arrays["features/local/pyramid"].shape == (sum(COUNTS), 8)
    assert arrays["features/pyramid"].shape == (len(COUNTS), 8)
    assert arrays["features/local/penultimate"].shape == (sum(COUNTS), 16)


def test_windows_of_a_windowed_block_are_no_images():
    class Cut(nn.Module):
        """Gives windows: more rows than images."""

        def __init__(self):
            super().__init__()
            self.windows = nn.Identity()

        def forward_features(self, inputs):
            self.windows(inputs.repeat(4, 1, 1, 1))
            return inputs

        def forward_head(self, last, pre_logits):
            return last.mean(dim=(2, 3))

    with Reader(Cut(), ["windows", "local/windows", "penultimate"]) as reader:
        found = reader.read(torch.zeros(2, 3, 8, 8), [torch.zeros(0, 4)] * 2)
    assert set(found) == {"penultimate"}


def test_a_set_of_one_image_size_and_one_of_many_agree(resnet):
    """An image that has the wanted width but another height is resized too."""
    image = np.random.default_rng(0).integers(0, 256, (SIZE // 2, SIZE, 3), dtype=np.uint8)
    objects = Objects(np.array([[0, 0, 30, 30]], np.float32), np.array([1]), np.zeros(1, bool), np.array([900.0]))
    data = DetectionImages.of_arrays(("a", "b", "c"), [image], [replace(objects)])
    arrays = keep(*resnet, TARGET, data, {"local/penultimate": "rows"})
    assert arrays["boxes"].tolist() == [[0, 0, 30, 60]]

import dataclasses

import numpy as np
import pytest

from tmbench.features import extract, keeping
from tmbench.features.extraction import BATCH, batches
from tmbench.features.keeping import keep
from tmbench.identity import Seeds
from tmbench.metrics import FeatureSet, Moments, names, score_all
from tmbench.metrics.registry import find_metric
from tmbench.sources.network import fresh, weight_layers
from tmbench.sources.options import Source
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import load
from tmbench.targets.options import ClassificationTarget as Target

FOLDERS = OptionFolders()
SOURCES = describe_options("source", ["small_resnet_letters", "small_vit_letters"], FOLDERS)
DIGITS = describe_options("target", ["digits"], FOLDERS)["digits"]


@pytest.fixture(scope="module")
def work():
    """A network, its source and more images than a batch has."""
    source = Source.model_validate(SOURCES["small_resnet_letters"])
    data = load(Target.model_validate({**DIGITS, "sizes": {"train": 540, "validation": 10, "test": 10}}), "train")
    return fresh(source, Seeds("x")), source, data


def test_batches_are_what_the_whole_is(work):
    network, source, data = work
    whole = extract(network, source, data, ["penultimate", "stages.0"])
    parts = list(batches(network, source, data, ["penultimate", "stages.0"]))
    assert [len(part["labels"]) for part in parts] == [BATCH, BATCH, 540 - 2 * BATCH]
    for name, array in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), array)


def test_an_iterator_that_is_closed_leaves_the_network_as_it_was(work):
    network, source, data = work
    network.train()
    stream = batches(network, source, data, ["stages.0"])
    next(stream)
    assert not network.training
    stream.close()
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    network.eval()


@pytest.mark.parametrize("kept", ["moments", "class_moments"])
def test_moments_give_the_scores_that_rows_give(work, kept):
    network, source, data = work
    rows = keep(network, source, data, {"penultimate": "rows", "stages.0": kept})
    sums = keep(network, source, data, {"penultimate": kept})
    assert set(rows) >= {"features/penultimate", "moments/stages.0/root", "logits", "labels"}
    assert not any(name.startswith("features/") for name in sums)
    assert np.array_equal(rows["logits"], sums["logits"])
    moments = Moments.from_arrays(
        {name.rpartition("/")[2]: array for name, array in sums.items() if name.startswith("moments/penultimate/")}
    )
    assert moments.reads == kept
    enough = ("moments", kept)
    metrics = [name for name in names("classification") if find_metric(name).reads_of() in enough]
    assert {"hscore", "shrunk_hscore", "logme"} <= set(metrics)
    by_rows = score_all(FeatureSet(rows["features/penultimate"], rows["labels"]), metrics)
    by_sums = score_all(FeatureSet(moments=moments), metrics)
    for name in metrics:
        assert by_sums[name].value == pytest.approx(by_rows[name].value, rel=1e-8), name
        assert by_sums[name].flags == by_rows[name].flags


def test_rows_of_one_batch_at_a_time(work, monkeypatch):
    network, source, data = work
    lengths = []

    class Watched(Moments):
        @classmethod
        def of(cls, features, *others, **more):
            lengths.append(len(features))
            return Moments.of(features, *others, **more)

    monkeypatch.setattr(keeping, "Moments", Watched)
    keep(network, source, data, {"penultimate": "moments"})
    assert lengths == [BATCH, BATCH, 540 - 2 * BATCH]


def test_more_classes_than_the_budget_has_room_for_keep_rows(work, monkeypatch):
    network, source, data = work
    many = dataclasses.replace(data, classes=tuple(map(str, range(10**6))))
    kept = keep(network, source, many, {"penultimate": "class_moments", "stages.0": "moments"})
    assert "features/penultimate" in kept
    assert "moments/stages.0/root" in kept


def test_layers_with_weights():
    for name, count in (("small_resnet_letters", 1 + 4 * 2 + 3), ("small_vit_letters", 2 + 1 + 2 * 4)):
        # Convolutions of the stem, of the blocks and of their short cuts; a ViT's block has four linear maps.
        assert weight_layers(fresh(Source.model_validate(SOURCES[name]), Seeds("x"))) == count

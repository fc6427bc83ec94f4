"""Truths of class subsets: the head's size, chance, and features shared between subsets."""

import numpy as np
import pytest
import torch

from tmbench.identity import Seeds
from tmbench.sources.network import as_input, build, fresh, in_batches, penultimate, weights_of
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe as Recipe
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import classification, load
from tmbench.targets.options import ClassificationTarget as Target
from tmbench.truth import frozen
from tmbench.truth.classification import fine_tune, over_chance
from tmbench.truth.frozen import frozen_features

FOLDERS = OptionFolders()
SOURCE = Source.model_validate(describe_options("source", ["small_resnet_random"], FOLDERS)["small_resnet_random"])
RECIPES = describe_options("recipe", ["classification/head", "classification/full"], FOLDERS)


@pytest.fixture(autouse=True)
def _nothing_kept():
    torch.set_num_threads(1)
    classification.WHOLE_SETS.clear()
    frozen.OF_CLASSES.clear()


def members(**changes):
    plain = {
        "task": "classification",
        "function": "tmbench.targets.strokes:strokes",
        "parameters": {"classes": 6},
        "sizes": {"train": 60, "validation": 60, "test": 60},
        "classes": 6,
        "image_size": 32,
        "subset": {"rule": "random", "count": 6},
    }
    return list(Target.model_validate(plain | changes).members().values())


def recipe(name, **changes):
    return Recipe.model_validate(
        {**RECIPES[f"classification/{name}"], "learning_rates": [0.01], "epochs": 2, **changes}
    )


def tune(target, name="head", seed="a"):
    return fine_tune(SOURCE, None, target, recipe(name), Seeds(seed))


@pytest.mark.parametrize(("accuracy", "classes", "found"), [(1.0, 7, 1.0), (0.5, 2, 0.0), (0.1, 10, 0.0), (0, 2, -1.0)])
def test_chance_is_0_and_certainty_1(accuracy, classes, found):
    assert over_chance(accuracy, classes) == pytest.approx(found)


@pytest.mark.parametrize("name", ["head", "full"])
def test_accuracy_over_chance_is_of_the_subsets_own_classes(name):
    target = members()[0]
    measures = tune(target, name).measures
    c = len(target.kept)
    assert c < 6
    assert measures["accuracy_over_chance"] == pytest.approx((measures["accuracy"] - 1 / c) / (1 - 1 / c))
    # Test images of the kept classes alone are counted.
    count = len(load(target, "test"))
    assert measures["accuracy"] * count == pytest.approx(round(measures["accuracy"] * count))


def test_shared_features_change_no_bit():
    alone = []
    for target in members():
        frozen.OF_CLASSES.clear()
        classification.WHOLE_SETS.clear()
        alone.append(tune(target))
    assert [tune(target) for target in members()] == alone
    assert [tune(target) for target in reversed(members())] == alone[::-1]


def test_features_are_the_networks_own():
    target = members()[1]
    for split in ("train", "test"):
        data = load(target, split)
        features, labels = frozen_features(SOURCE, None, target, split)
        expected = in_batches(build(SOURCE), as_input(data.images, SOURCE.input), penultimate)
        np.testing.assert_allclose(features.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)
        assert np.array_equal(labels.numpy(), data.labels)


def test_each_class_is_read_once(monkeypatch):
    read = []
    real = frozen.in_batches

    def counted(network, inputs, output):
        read.append(len(inputs))
        return real(network, inputs, output)

    monkeypatch.setattr(frozen, "in_batches", counted)
    for target in members():
        frozen_features(SOURCE, None, target, "train")
    assert read == [10] * len(set().union(*(target.kept for target in members())))


def test_other_weights_other_data_and_other_splits_are_not_mixed_up():
    target = members()[0]
    letters = describe_options("source", ["small_resnet_letters"], FOLDERS)["small_resnet_letters"]
    trained = Source.model_validate(letters)
    weights = weights_of(fresh(trained, Seeds("any")))
    first, _ = frozen_features(trained, weights, target, "train")
    again, _ = frozen_features(trained, {name: value.copy() for name, value in weights.items()}, target, "train")
    assert torch.equal(first, again)
    name = next(name for name, value in weights.items() if value.ndim == 4)
    changed = weights | {name: weights[name] * np.float32(1.5)}
    others = [
        frozen_features(trained, changed, target, "train")[0],
        frozen_features(trained, weights, target, "test")[0],
        frozen_features(trained, weights, members(seed=5)[0], "train")[0],
    ]
    assert not any(torch.equal(first, other) for other in others if other.shape == first.shape)


def test_a_source_of_other_weights_of_its_own_is_another():
    target = members()[0]
    other = SOURCE.model_copy(update={"weights": SOURCE.weights.model_copy(update={"seed": 77})})
    assert not torch.equal(
        frozen_features(SOURCE, None, target, "train")[0], frozen_features(other, None, target, "train")[0]
    )

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tmbench.identity import Seeds
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe as Recipe
from tmbench.sources.training import Diverged
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets import LabelledImages
from tmbench.targets.options import ClassificationTarget as Target
from tmbench.truth import classification
from tmbench.truth.classification import fine_tune

FOLDERS = OptionFolders()
SOURCE = describe_options("source", ["small_resnet_random"], FOLDERS)["small_resnet_random"]
DIGITS = describe_options("target", ["digits"], FOLDERS)["digits"]
RECIPES = {
    name.rpartition("/")[2]: content
    for name, content in describe_options("recipe", list(FOLDERS.names("recipe")), FOLDERS).items()
    if name.startswith("classification/")
}


def recipe(name, **changes):
    return Recipe.model_validate({**RECIPES[name], **changes})


@pytest.fixture
def digits():
    torch.set_num_threads(1)
    return Target.model_validate({**DIGITS, "parameters": {}, "sizes": {"train": 100, "validation": 60, "test": 200}})


def tune(target, seed="a", **changes):
    name = changes.pop("name", "head")
    return fine_tune(Source.model_validate(SOURCE), None, target, recipe(name, **changes), Seeds(seed))


def test_the_head_learns(digits):
    truth = tune(digits, learning_rates=[0.03])
    assert truth.measures["accuracy"] > 0.2
    assert truth.details["learning_rate"] == 0.03


def test_full_learns_more_than_the_head_of_a_random_network(digits):
    head = tune(digits, learning_rates=[0.03])
    full = tune(digits, name="full", learning_rates=[0.004])
    assert full.measures["accuracy"] > head.measures["accuracy"]


@pytest.mark.parametrize("name", ["head", "full"])
def test_the_same_seed_gives_the_same_bits(digits, name):
    first, again, other = (tune(digits, seed, name=name, epochs=2) for seed in ("a", "a", "b"))
    assert first == again
    assert first.details["rates"] != other.details["rates"]


def test_the_rate_is_chosen_on_validation_and_test_is_read_after(digits, monkeypatch):
    """Test labels that are noise change the truth and nothing that was chosen."""
    honest = tune(digits, learning_rates=[0.0001, 0.03])
    order = []
    real = classification.load

    def poisoned(target, split):
        order.append(split)
        data = real(target, split)
        if split != "test":
            return data
        return LabelledImages(data.images, (data.labels + 1) % 10, data.classes)

    monkeypatch.setattr(classification, "load", poisoned)
    other = tune(digits, learning_rates=[0.0001, 0.03])
    assert other.details == honest.details
    assert other.measures["validation_accuracy"] == honest.measures["validation_accuracy"]
    assert other.measures["accuracy"] != honest.measures["accuracy"]
    assert order[-1] == "test"
    assert order.count("test") == 1
    reached = {rate["learning_rate"]: rate["validation_accuracy"] for rate in honest.details["rates"]}
    assert reached[honest.details["learning_rate"]] == max(reached.values())


def test_a_rate_that_diverges_is_recorded_and_not_chosen(digits):
    truth = tune(digits, name="full", optimizer="sgd", warm_up=0.0, epochs=1, learning_rates=[1e30, 0.01])
    assert truth.details["learning_rate"] == 0.01
    assert "diverged" in truth.details["rates"][0]
    assert np.isfinite(truth.measures["accuracy"])


def test_all_rates_diverging_is_a_failure_of_class_nan(digits):
    with pytest.raises(Diverged, match="every learning rate diverged") as problem:
        tune(digits, name="full", optimizer="sgd", warm_up=0.0, epochs=1, learning_rates=[1e30])
    assert problem.value.failure == "nan"


def test_recipes_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError, match="epoch"):
        recipe("head", epoch=3)
    with pytest.raises(ValidationError, match="learning_rates"):
        recipe("head", learning_rates=[])
    assert recipe("head", minutes=9.0, title="x").key() == recipe("head").key()
    assert recipe("head", epochs=1).key() != recipe("head").key()

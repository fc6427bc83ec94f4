"""A search for the learning rate that is cut and goes on gives the truth that the uninterrupted one gives."""

import numpy as np
import pytest
import torch
from cuts import Cut, CutAt, to_the_end

from tmbench.identity import Seeds
from tmbench.sources.options import Source
from tmbench.sources.recipe import ClassificationRecipe as Recipe
from tmbench.study.compose import OptionFolders, describe_options
from tmbench.targets.options import ClassificationTarget as Target
from tmbench.truth.classification import fine_tune

FOLDERS = OptionFolders()
SOURCES = describe_options("source", ["small_resnet_random", "small_vit_random"], FOLDERS)
DIGITS = describe_options("target", ["digits"], FOLDERS)["digits"]
SIZES = {"train": 40, "validation": 30, "test": 40}
TARGET = Target.model_validate({**DIGITS, "parameters": {}, "sizes": SIZES})
STEPS, EPOCHS = 3, 2
FULL = {"task": "classification", "trainable": "full", "epochs": EPOCHS, "batch_size": 13, "weight_decay": 0.05}
HEAD = {**FULL, "trainable": "head"}

SEARCHES = {
    "head": {**HEAD, "learning_rates": [0.03, 0.003, 0.1]},
    "full": {**FULL, "learning_rates": [0.01, 0.001], "warm_up": 0.2},
    "half": {**FULL, "trainable": "half", "learning_rates": [0.01, 0.001], "augment": "shift"},
    "shift": {**FULL, "learning_rates": [0.001, 0.01], "augment": "shift", "optimizer": "sgd"},
    "the first diverges": {**FULL, "learning_rates": [1e30, 0.01], "optimizer": "sgd"},
    "the last diverges": {**FULL, "learning_rates": [0.01, 1e30], "optimizer": "sgd"},
    "twice the same": {**HEAD, "learning_rates": [0.03, 0.03]},
}


def tune(recipe, *checkpoints, seed="a", source="small_resnet_random"):
    torch.set_num_threads(1)
    torch.seed()
    option = Source.model_validate(SOURCES[source])
    return fine_tune(option, None, TARGET, Recipe.model_validate(recipe), Seeds(seed), *checkpoints)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_cut_at_every_kth_moment_gives_the_same_truth(name, k):
    """The moments are the steps, and the end of each learning rate."""
    recipe = SEARCHES[name]
    checkpoints = CutAt(lambda moment: moment % k == 0)
    assert to_the_end(lambda kept: tune(recipe, kept), checkpoints) == tune(recipe)
    if name in ("head", "full", "shift"):  # of two equal rates the second goes on from the first one's state
        moments = len(recipe["learning_rates"]) * (STEPS * EPOCHS + 1)
        assert (checkpoints.moments, checkpoints.cuts) == (moments, moments // k)


@pytest.mark.parametrize("moment", range(1, 2 * (STEPS * EPOCHS + 1) + 1))
def test_a_search_cut_once_at_any_moment_goes_on(moment):
    checkpoints = CutAt(lambda now: now == moment)
    recipe = SEARCHES["full"]
    assert to_the_end(lambda kept: tune(recipe, kept), checkpoints) == tune(recipe)
    assert checkpoints.cuts == 1


def test_a_vision_transformer_goes_on():
    recipe = SEARCHES["shift"]
    checkpoints = CutAt(lambda moment: moment % 4 == 0)
    again = to_the_end(lambda kept: tune(recipe, kept, source="small_vit_random"), checkpoints)
    assert again == tune(recipe, source="small_vit_random")


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (SEARCHES["full"], {"seed": "b"}),
        (SEARCHES["shift"], {}),
        (SEARCHES["head"], {}),
        (SEARCHES["full"], {"source": "small_vit_random"}),
    ],
)
@pytest.mark.parametrize("moment", [3, 9])
def test_the_state_of_another_search_is_passed_over(recipe, more, moment):
    """Cut within the first learning rate and within the second, where there is a best network already."""
    checkpoints = CutAt(lambda now: now == moment)
    with pytest.raises(Cut):
        tune(recipe, checkpoints, **more)
    assert tune(SEARCHES["full"], checkpoints) == tune(SEARCHES["full"])
    assert checkpoints.moments == moment + 2 * (STEPS * EPOCHS + 1)


def test_what_was_tried_is_not_tried_again(monkeypatch):
    checkpoints = CutAt(lambda moment: moment == 10)
    with pytest.raises(Cut):
        tune(SEARCHES["full"], checkpoints)
    saved = checkpoints.saved()
    assert [rate["learning_rate"] for rate in saved.facts["tried"]] == [0.01]
    assert saved.facts["best"]["rate"] == 0.01
    assert saved.facts["part"]["steps"] == 3
    assert any(name.startswith("best/") for name in saved.arrays)
    assert all(isinstance(array, np.ndarray) for array in saved.arrays.values())
    assert tune(SEARCHES["full"], checkpoints) == tune(SEARCHES["full"])
    assert checkpoints.moments == 14

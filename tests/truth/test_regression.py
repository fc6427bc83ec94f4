"""Fine-tuning on images with numbers: what is measured, what is chosen by what, what is repeated to the bit."""

import numpy as np
import pytest
import torch
from cuts import Cut, CutAt, to_the_end
from regression_work import OUTPUTS, dots, recipe, source, target
from sklearn.metrics import mean_squared_error, r2_score

from tmbench.errors import ConfigError
from tmbench.identity import Seeds
from tmbench.sources.regression import Units, measures
from tmbench.sources.training import Diverged
from tmbench.targets.regression import RegressionImages
from tmbench.truth import regression
from tmbench.truth.regression import fine_tune


def tune(*checkpoints, on=None, seed="a", of=None, **changes):
    torch.set_num_threads(1)
    torch.seed()
    return fine_tune(of or source(), None, on or target(), recipe(**changes), Seeds(seed), *checkpoints)


def test_measures_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    values, predicted = random.random((40, 4)), random.random((40, 4))
    found = measures(values, predicted, ["a.x", "a.y", "b.x", "b.y"], random.uniform(0.5, 2, 40), 0.4)
    assert found["negative_mse"] == pytest.approx(-mean_squared_error(values, predicted))
    assert found["negative_mse_over_variance"] == pytest.approx(r2_score(values, predicted) - 1)
    raw = mean_squared_error(values, predicted, multioutput="raw_values")
    assert [found[f"negative_mse/{name}"] for name in ("a.x", "a.y", "b.x", "b.y")] == pytest.approx(list(-raw))


def test_a_point_is_right_within_the_tolerance_of_its_images_length():
    values = np.array([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]])
    predicted = values + np.array([0.03, 0.04, 0.0, 0.06])  # 0.05 and 0.06 away
    for length, share in ((1.0, 1.0), (0.55, 0.5), (0.4, 0.0)):
        found = measures(values, predicted, ["a.x", "a.y", "b.x", "b.y"], np.full(2, length), 0.1)
        assert found["pck"] == share
    assert "pck" not in measures(values, predicted, ["a", "b", "c", "d"], None, 0.1)


def test_outputs_that_do_not_vary_in_test_are_left_out_of_what_is_divided_by_the_variance():
    values = np.array([[0.0, 3.0], [2.0, 3.0]])
    found = measures(values, values + np.array([0.0, 1.0]), ["a", "b"], None, 0.1)
    assert found["negative_mse_over_variance"] == 0
    assert found["negative_mse"] == -0.5
    assert "negative_mse_over_variance" not in measures(values[:, 1:], values[:, 1:], ["b"], None, 0.1)


def test_training_learns_where_the_dot_is():
    """Better than the mean of the target, whose error is the variance; and full better than head."""
    many = target(sizes={"train": 200, "validation": 30, "test": 50})
    head = tune(on=many, trainable="head", learning_rates=[0.03], epochs=20)
    full = tune(on=many, trainable="full", learning_rates=[0.02], epochs=8)
    assert full.measures["negative_mse_over_variance"] > -0.2
    assert full.measures["negative_mse"] > head.measures["negative_mse"]
    assert full.measures["pck"] > 0.5
    assert set(full.measures) == {
        "negative_mse", "negative_mse_over_variance", "pck", "negative_mse/bright.x", "negative_mse/bright.y",
        "validation_negative_mse",
    }  # fmt: skip


@pytest.mark.parametrize("trainable", ["head", "half", "full"])
def test_the_same_seed_gives_the_same_bits(trainable):
    first, again, other = (tune(seed=seed, trainable=trainable) for seed in ("a", "a", "b"))
    assert first == again
    assert first.details["rates"] != other.details["rates"]


def test_the_rate_is_chosen_on_validation_and_test_is_read_after(monkeypatch):
    honest = tune(learning_rates=[1e-6, 0.01], measure="pck")
    order, real = [], regression.load

    def poisoned(option, split):
        order.append(split)
        data = real(option, split)
        if split != "test":
            return data
        images = [data.image(i) for i in range(len(data))]
        return RegressionImages.of_arrays(data.outputs, images, 1 - data.values, data.lengths, is_points=True)

    monkeypatch.setattr(regression, "load", poisoned)
    other = tune(learning_rates=[1e-6, 0.01], measure="pck")
    assert order == ["train", "validation", "test"]
    assert other.details == honest.details
    assert other.measures["negative_mse"] != honest.measures["negative_mse"]
    for name in ("validation_negative_mse", "validation_pck"):
        assert other.measures[name] == honest.measures[name]
    reached = {rate["learning_rate"]: rate["validation_negative_mse"] for rate in honest.details["rates"]}
    assert (
        reached[honest.details["learning_rate"]] == max(reached.values()) == honest.measures["validation_negative_mse"]
    )


def test_numbers_that_are_no_points_are_learnt_in_units_of_their_own():
    numbers = target(points=[], numbers=OUTPUTS, only=OUTPUTS[:2], parameters={"numbers": True})
    truth = tune(on=numbers, epochs=3, learning_rates=[0.01])
    assert "pck" not in truth.measures
    assert truth.measures["negative_mse"] < -1000
    assert truth.details["rates"][0]["loss"][0] < 2


def test_the_loss_of_predicting_the_mean_is_1_whatever_the_units():
    values = dots("train", 30, Seeds("x")).values
    for given in (values, 1000 * values + 7, values * [1, 2, 3, 4]):
        loss = Units.of(given).loss(torch.zeros(30, 4), torch.from_numpy(given))
        assert float(loss) == pytest.approx(1.0, rel=1e-6)
    still = Units.of(np.full((30, 2), 5.0))
    assert (still.length, still.mean.tolist()) == (1.0, [5.0, 5.0])


def test_images_that_hide_a_point_are_left_out_and_counted():
    truth = tune(on=target(only=["dim"], parameters={"lost": 0.3}), trainable="head")
    hidden = truth.details["hidden"]
    assert set(hidden) == {"train", "validation", "test"}
    assert all(count > 0 for count in hidden.values())
    whole = tune(on=target(only=["bright"], parameters={"lost": 0.3}), trainable="head")
    assert whole.details["hidden"] == {"train": 0, "validation": 0, "test": 0}
    assert whole.details["problems"] == {"train": [], "validation": [], "test": []}


def test_a_rate_that_diverges_is_recorded_and_not_chosen():
    truth = tune(learning_rates=[1e30, 0.003], optimizer="sgd", epochs=1)
    assert truth.details["learning_rate"] == 0.003
    assert "diverged" in truth.details["rates"][0]
    with pytest.raises(Diverged, match="every learning rate diverged"):
        tune(learning_rates=[1e30], optimizer="sgd", epochs=1)


def test_numbers_that_are_no_points_cannot_follow_a_motion():
    numbers = target(
        points=[], numbers=["bright.x", "bright.y", "dim.x", "dim.y"], only=[], parameters={"numbers": True}
    )
    with pytest.raises(ConfigError, match="augment=affine moves images and the points in them"):
        tune(on=numbers, augment="affine")


SEARCHES = {
    "head": {"trainable": "head", "learning_rates": [0.03, 0.003, 0.1]},
    "augmented head": {"trainable": "head", "augment": "colour"},
    "half": {"trainable": "half", "learning_rates": [0.003, 0.01], "optimizer": "sgd"},
    "affine": {"trainable": "full", "augment": "affine", "warm_up": 0.2},
    "the first diverges": {"trainable": "full", "learning_rates": [1e30, 0.01], "optimizer": "sgd"},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_cut_at_every_second_moment_gives_the_same_truth(name):
    checkpoints = CutAt(lambda moment: moment % 2 == 0)
    assert to_the_end(lambda kept: tune(kept, **SEARCHES[name]), checkpoints) == tune(**SEARCHES[name])
    assert checkpoints.cuts > 2


def test_the_state_of_another_search_is_passed_over():
    checkpoints = CutAt(lambda now: now == 9)
    with pytest.raises(Cut):
        tune(checkpoints, **SEARCHES["half"])
    assert tune(checkpoints, **SEARCHES["affine"]) == tune(**SEARCHES["affine"])

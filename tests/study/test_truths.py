"""From records to the tables of truths, for every task: which measures, what by class or output, what was left out."""

from types import SimpleNamespace

import numpy as np
import pytest

from tmbench.report.truths import dropped_sentences
from tmbench.stats.truths import runs_of_cells
from tmbench.study.truths import dropped_rows, output_rows, runs_of

RECIPE = SimpleNamespace(measure="negative_mse", epochs=3, key=lambda: {"epochs": 3})


class Recorded:
    """Records of truths: id → value by measure, and details."""

    def __init__(self, values, details=None):
        self.values, self.told = values, details or {}
        self.done = dict.fromkeys(values, 0)

    def value(self, id, measure=""):
        return self.values.get(id, {}).get(measure)

    def details(self, id):
        return self.told.get(id, {})

    @property
    def results(self):
        return {id: [{"measure": name, "value": x} for name, x in found.items()] for id, found in self.values.items()}


def plan(task="regression", truth="", ids=("a0", "a1"), recipe=RECIPE):
    """One source on one target."""
    batch = SimpleNamespace(stage="truth", recipe="head", source="s", target="t", ids=ids)
    source = SimpleNamespace(initialised_by="", family="f", size=0, cut_at="")
    options = SimpleNamespace(
        source={"s": source}, target={"t": SimpleNamespace(task=task)}, recipe={(task, "head"): recipe}
    )
    sweep = SimpleNamespace(recipe=("head",), truth=truth)
    return SimpleNamespace(sweep=sweep, options=options, units=SimpleNamespace(batches=[batch]))


VALUES = {
    "a0": {"negative_mse": -0.2, "negative_mse_over_variance": -0.5, "negative_mse/beak.x": -0.1, "validation_x": 0.0},
    "a1": {"negative_mse": -0.4, "negative_mse_over_variance": -0.7, "negative_mse/beak.x": -0.3},
}


def test_measures_that_were_recorded_stand_beside_the_one_that_ranks():
    found = {runs.measure: runs.values.tolist() for runs in runs_of(plan(), Recorded(VALUES))}
    assert found == {"negative_mse": [-0.2, -0.4], "negative_mse_over_variance": [-0.5, -0.7]}


def test_the_measure_that_the_sweep_ranks_by_is_first():
    by_variance = runs_of(plan(truth="negative_mse_over_variance"), Recorded(VALUES))
    assert [runs.measure for runs in by_variance] == ["negative_mse_over_variance", "negative_mse"]
    nothing = runs_of(plan(truth="pck"), Recorded(VALUES))
    assert nothing[0].measure == "pck"
    assert np.isnan(nothing[0].values).all()


def test_a_row_for_each_output():
    (row,) = output_rows(plan(), Recorded(VALUES))
    assert {key: row[key] for key in ("target", "recipe", "source", "measure", "output", "seeds")} == {
        "target": "t", "recipe": "head", "source": "s", "measure": "negative_mse", "output": "beak.x", "seeds": 2,
    }  # fmt: skip
    assert (row["mean"], row["sd"]) == (pytest.approx(-0.2), pytest.approx(np.std([-0.1, -0.3], ddof=1)))


def test_a_class_that_a_run_lacks_is_told_by_the_others():
    values = {"a0": {"miou": 0.5, "iou/tree": 0.4, "iou/dog": float("nan")}, "a1": {"miou": 0.5, "iou/tree": 0.6}}
    recipe = SimpleNamespace(**{**vars(RECIPE), "measure": "miou"})
    (row,) = output_rows(plan("segmentation", recipe=recipe), Recorded(values))
    assert (row["output"], row["mean"], row["seeds"]) == ("tree", pytest.approx(0.5), 2)


@pytest.mark.parametrize("task", ["regression", "segmentation", "classification", "detection"])
def test_what_was_left_out_is_told_of_every_task(task):
    details = {"problems": {"train": ["a.png: torn."], "test": []}, "hidden": {"train": 3, "validation": 0, "test": 1}}
    rows = dropped_rows(plan(task), Recorded(VALUES, {"a1": details}))
    told = [(row["split"], row["reason"], row["count"]) for row in rows]
    assert told == [("train", "broken", 1), ("train", "hidden", 3), ("test", "hidden", 1)]
    assert rows[0]["problem"] == "a.png: torn."


def test_sentences_of_what_was_left_out():
    from pandas import DataFrame

    details = {"problems": {"train": ["a.png: torn."]}, "hidden": {"train": 3, "test": 1}}
    table = DataFrame(dropped_rows(plan(), Recorded(VALUES, {"a1": details})))
    broken, hidden = dropped_sentences(table)
    assert broken.startswith("t: 1 fault in the data was passed over (train 1), such as: a.png: torn;")
    assert hidden == "t: 4 images were left out because a point that is predicted is hidden (train 3, test 1)."


def test_details_of_another_form_tell_nothing():
    assert dropped_rows(plan(), Recorded(VALUES, {"a1": {"hidden": 3, "problems": None}})) == []


def test_the_runs_of_a_table(read):
    (cells,) = read("source,target,truth\na,x,0.5\nb,x,0.75\nb,y,0.125\n", truths_only=True, measure="miou")
    found = {(runs.target, runs.source): (runs.measure, *runs.values) for runs in runs_of_cells(cells)}
    assert found == {("x", "a"): ("miou", 0.5), ("x", "b"): ("miou", 0.75), ("y", "b"): ("miou", 0.125)}

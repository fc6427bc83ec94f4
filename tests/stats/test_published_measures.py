"""Published tables replayed: the measures give the numbers that the authors print (results/published/*/README.md)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmbench.stats.measures import MEASURES

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
CASE = ["scenario", "case"]


def transrate():
    """A row for each case and metric with released scores: its truth, its scores and the printed correlations."""
    tables = {name: pd.read_csv(PUBLISHED / "transrate" / f"{name}.csv") for name in ("accuracy", "scores")}
    printed = pd.read_csv(PUBLISHED / "transrate" / "correlations.csv").pivot(
        index=[*CASE, "metric"], columns="measure", values="value"
    )
    cells = tables["scores"].merge(tables["accuracy"], on=[*CASE, "model", "dataset"], how="outer", validate="m:1")
    assert cells.notna().all(axis=None)
    for key, group in cells.groupby([*CASE, "metric"], sort=False):
        yield group["accuracy"].to_numpy(), group["score"].to_numpy(), printed.loc[key]


def agreeing(name, column):
    """How many of the printed values of ``column`` the measure ``name`` gives to their four digits, and of how many."""
    found = [(MEASURES[name].function(truth, scores), row[column]) for truth, scores, row in transrate()]
    return sum(round(float(value), 4) == printed for value, printed in found), len(found)


@pytest.mark.parametrize("name", ["weighted_tau", "kendall_tau", "pearson"])
def test_transrate_prints_what_the_measure_gives(name):
    assert agreeing(name, name) == (81, 81)


@pytest.mark.parametrize("name", ["weighted_tau_by_truth", "weighted_tau_by_score"])
def test_the_other_weighted_taus_are_not_what_transrate_prints(name):
    assert agreeing(name, "weighted_tau") == (19, 81)


def tlogme():
    """The summary, a row a value, and beside it the value that the released finer tables give; NaN where none does."""
    folder = PUBLISHED / "tlogme"
    synthetic, ablations = pd.read_csv(folder / "synthetic_fpn_ms.csv"), pd.read_csv(folder / "ablations.csv")
    assert (synthetic.groupby(["task", "features", "metric"]).size() == 5).all()
    means = synthetic.groupby(["task", "features", "metric"])["pearson"].mean()
    layers = ablations[ablations["varied"].eq("layer") & ablations["level"].eq("fpn_ms")]
    by_layer = layers.set_index(["experiment", "features", "metric"])["pearson"].sort_index()
    tasks = {"Source": "source_selection_by_target", "Target": "target_selection_by_source"}
    experiments = {("Real 1", "ResNet"): "Real1_resnet", ("Real 2", "ViT"): "Real2_vit_as_labelled"}

    def replayed(row):
        if row["datasets"] == "Synthetic":
            return means[tasks[row["task"]], row["features"], row["metric"]]
        experiment = experiments.get((row["datasets"], row["backbone_as_printed"]))
        return np.nan if experiment is None else by_layer[experiment, row["features"], row["metric"]]

    summary = pd.read_csv(folder / "summary.csv")
    return summary.assign(replayed=summary.apply(replayed, axis=1)), means, by_layer


def test_tlogme_summary_follows_from_the_finer_tables():
    summary, _, _ = tlogme()
    there = summary[summary["replayed"].notna()]
    missing = summary[summary["replayed"].isna()]
    assert len(there) == 24
    assert set(zip(missing["datasets"], missing["backbone_as_printed"], strict=True)) == {("Real 2", "ResNet")}
    # Both are rounded: the mean's parts by up to .005, the mean itself again.
    assert (np.abs(there["pearson"] - there["replayed"]) <= 0.01 + 1e-9).all()
    other = there[there["replayed"].round(2) != there["pearson"]]
    named = other[["datasets", "task", "backbone_as_printed", "features", "metric"]].agg(" ".join, axis=1)
    assert set(named) == {"Synthetic Source ResNet local TLogME", "Real 2 Target ViT local TLogME"}


def test_tlogme_names_the_best_global_metric():
    summary, means, by_layer = tlogme()
    best = summary[summary["features"].eq("global")].set_index(["datasets", "task", "backbone_as_printed"])["metric"]
    for task, key in (("Source", "source_selection_by_target"), ("Target", "target_selection_by_source")):
        assert means[key]["global"].idxmax() == best["Synthetic", task, "ResNet"]
    for experiment, key in (
        ("Real1_resnet", ("Real 1", "Target", "ResNet")),
        ("Real2_vit_as_labelled", ("Real 2", "Target", "ViT")),
    ):
        assert by_layer[experiment, "global"].idxmax() == best[key]

"""A forward pass over a detection target as a unit: one run of the source, scores at every level."""

from argparse import Namespace
from textwrap import dedent

import numpy as np
import pytest
import torch

from tmbench.engine import stages
from tmbench.engine.artifacts import read_artifact
from tmbench.engine.workbench import Workbench
from tmbench.features import detection
from tmbench.metrics import FeatureSet, score_all
from tmbench.verb import resolve

FILES = {
    "conf/target/few_scenes.yaml": """
        defaults: [scenes_shapes@_here_, _self_]
        sizes: {train: 12, validation: 6, test: 6}
        """,
    "conf/level/local_stage.yaml": """
        title: one stage, over each object's box
        reading: local
        layer: stages.0
        """,
    "conf/level/local_absent.yaml": """
        title: a layer that no source has
        reading: local
        layer: stages.9
        """,
    "conf/recipe/detection/brief.yaml": """
        title: not run here
        task: detection
        trainable: full
        learning_rates: [0.001]
        epochs: 1
        batch_size: 2
        image_size: 96
        """,
    "scenes.yaml": """
        name: scenes
        version: 1
        title: levels of a detection target
        source: [tiny_strokes, tiny_shapes]
        target: [few_scenes]
        level: [global_last, image_last, local_last, local_stage, local_absent]
        recipe: [brief]
        metric: [tlogme, tlogme_relative, logme, linmse0, leep, otce, source_size]
        measure: [weighted_tau]
        pool: [all]
        seed: [0]
        """,
}


@pytest.fixture
def units(tiny, tmp_path):
    """The units of a sweep over few scenes; ``tiny`` brings the sources."""
    torch.set_num_threads(1)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def planned(*more):
        return list(resolve(Namespace(overrides=["sweep=scenes.yaml", *more], config_dir=["conf"])).plan.units)

    return planned


def unit_of(units, stage):
    return next(unit for unit in units if unit.stage == stage and unit.source == "tiny_strokes")


def scores_of(rows, unit):
    """(level, metric) → record of the scores that the unit owes."""
    records = {row["id"]: row for row in rows}
    return {(score.level, score.metric): records[score.id] for score in unit.scores}


def test_one_pass_scores_every_level(units, tmp_path, monkeypatch):
    planned = units()
    bench = Workbench(tmp_path / "store")
    stages.perform(unit_of(planned, "pretrain"), bench)
    unit = unit_of(planned, "features")
    runs = []
    keep = detection.keep
    monkeypatch.setattr(detection, "keep", lambda *given: runs.append(1) or keep(*given))
    scores = scores_of(stages.perform(unit, bench), unit)
    assert runs == [1]
    absent = {level for (level, metric), row in scores.items() if row["status"] == "failed"}
    assert absent == {"local_absent"}
    assert "no map to read objects from at layer 'stages.9'" in scores["local_absent", "tlogme"]["message"]
    arrays = read_artifact(bench.artifact("features", unit.id)).arrays
    assert {name for name in arrays if name.startswith("features/")} == {
        "features/penultimate", "features/local/penultimate", "features/local/stages.0",
    }  # fmt: skip
    metrics = ["tlogme", "logme", "linmse0", "leep"]
    for level, place, rows in (
        ("global_last", "penultimate", "object"),
        ("image_last", "penultimate", "image"),
        ("local_last", "local/penultimate", "object"),
        ("local_stage", "local/stages.0", "object"),
    ):
        expected = score_all(FeatureSet(**detection.sample(arrays, place, rows, {})), metrics)
        for metric in metrics:
            wanted = expected[metric].value
            if metric == "leep":  # reads no features: scored once, over the objects
                wanted = score_all(FeatureSet(**detection.sample(arrays, "", "object", {})), ["leep"])["leep"].value
            assert scores[level, metric]["value"] == pytest.approx(wanted, rel=1e-12), (level, metric)
    assert scores["image_last", "logme"]["value"] != scores["global_last", "logme"]["value"]
    assert scores["local_last", "logme"]["value"] != scores["global_last", "logme"]["value"]
    # The source's own images have no boxes: they are read as wholes at the same layer.
    assert arrays["source/features/local/stages.0"].shape == (200, 8)
    assert np.array_equal(arrays["source/features/local/penultimate"], arrays["source/features/penultimate"])
    # Once more from what is stored.
    again = scores_of(stages.perform(unit, bench), unit)
    assert runs == [1]
    assert {key: row["value"] for key, row in again.items()} == {key: row["value"] for key, row in scores.items()}


def test_moments_of_objects_are_kept_where_they_suffice(units, tmp_path):
    chosen = ["level=[local_stage,global_last]", "metric=[tlogme,logme,linmse0]"]
    bench = Workbench(tmp_path / "store")
    by_rows = units(*chosen)
    stages.perform(unit_of(by_rows, "pretrain"), bench)
    rows = unit_of(by_rows, "features")
    expected = scores_of(stages.perform(rows, bench), rows)
    other = Workbench(tmp_path / "other")
    by_moments = units(*chosen, "store=moments")
    stages.perform(unit_of(by_moments, "pretrain"), other)
    unit = unit_of(by_moments, "features")
    assert unit.id == rows.id
    found = scores_of(stages.perform(unit, other), unit)
    arrays = read_artifact(other.artifact("features", unit.id)).arrays
    assert "features/local/stages.0" not in arrays
    assert "moments/local/stages.0/root" in arrays
    for key, row in expected.items():
        assert found[key]["value"] == pytest.approx(row["value"], rel=1e-8), key

"""The samples of a pass that many scores read."""

import weakref

import numpy as np
import pytest

from tmbench.engine import stages
from tmbench.engine.artifacts import Artifact, write_artifact
from tmbench.engine.samples import Samples
from tmbench.engine.units import Score, Unit
from tmbench.engine.workbench import Workbench


def config(place, classes=None, reads="moments"):
    part = {} if classes is None else {"part": {"classes": classes}}
    return {"layer": place, "rows": "object", "reads": reads, "facts": [], **part}


@pytest.fixture
def artifact():
    """Features of two places."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(90) % 3)
    features = {f"features/{place}": generator.normal(size=(90, 4)).astype(np.float32) for place in ("low", "top")}
    return Artifact({**features, "labels": labels}, {"size": 10.0, "layers": 2.0})


def unit(scores=()):
    what = {"target": {"task": "classification"}, "layers": {"low": "rows", "top": "rows"}, "own_layers": []}
    return Unit("0" * 32, "features", "s → t", {}, what, "s", "t", scores=tuple(scores))


def test_classes_share_what_is_held_of_a_place_and_the_next_place_frees_it(artifact):
    samples = Samples(unit(), artifact)
    first = samples.of(config("low", [0, 1]))
    whole = samples._whole
    assert samples.of(config("low", [0, 1])) is first
    assert samples.of(config("low", [1, 2])).n == 60
    assert samples._whole is whole
    held = weakref.ref(next(iter(whole.values())))
    del first, whole
    samples.of(config("top", [0, 1]))
    assert held() is None


def test_the_scores_of_a_place_are_computed_together(artifact, tmp_path, monkeypatch):
    scores = [
        Score(f"{number:032d}", "", "", "", {}, config(place, classes) | {"function": "f:f", "parameters": {}})
        for number, (place, classes) in enumerate([("low", [0, 1]), ("top", [0, 1]), ("low", [1, 2]), ("top", [1, 2])])
    ]
    bench = Workbench(tmp_path)
    write_artifact(bench.artifact("features", "0" * 32), artifact.arrays, artifact.facts)
    places = []
    monkeypatch.setattr(stages, "_score", lambda unit, score, samples, bench: places.append(score.config["layer"]))
    stages.perform(unit(scores), bench)
    assert places == ["low", "low", "top", "top"]

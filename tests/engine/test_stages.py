import math

import numpy as np
import pytest

from tmbench.engine import stages
from tmbench.engine.workbench import Workbench
from tmbench.sources.pretrain import Pretrained
from tmbench.study.compose import compose
from tmbench.study.plan import build
from tmbench.study.sweep import load_sweep, parse


@pytest.fixture(scope="module")
def pretraining():
    """A pretraining unit of the demo."""
    sweep = load_sweep(parse(["sweep=demo"]))
    return next(unit for unit in build(sweep, compose(sweep)).units if unit.stage == "pretrain")


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, 0.5])
def test_pretraining_that_is_not_finite_leaves_no_weights(pretraining, accuracy, tmp_path, monkeypatch):
    weights = {"w": np.zeros(2, np.float32)}
    result = Pretrained(weights, {"accuracy": accuracy})
    monkeypatch.setattr(stages, "pretrain", lambda source, seeds, checkpoints: result)
    bench = Workbench(tmp_path)
    if math.isfinite(accuracy):
        assert [row["value"] for row in stages.perform(pretraining, bench)] == [accuracy]
    else:
        with pytest.raises(stages.NotFiniteResult, match="accuracy is") as problem:
            stages.perform(pretraining, bench)
        assert problem.value.failure == "nan"
    assert bench.artifact("pretrain", pretraining.id).exists() == math.isfinite(accuracy)

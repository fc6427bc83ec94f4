"""Units of no scientific content, for tests of the engine: real records, real artifacts, chosen disasters."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from tmbench.engine.artifacts import write_artifact
from tmbench.engine.records import row
from tmbench.engine.units import Score, Unit, key_id, unit_key
from tmbench.identity import canonical
from tmbench.sources.checkpoints import Saved


def unit(number, stage="truth", after="", does="", scores=0):
    key = unit_key(stage, number=number)
    id = key_id(key)
    owed = []
    for index in range(scores):
        score_key = unit_key("score", features=id, metric=index)
        owed.append(
            Score(key_id(score_key), f"score {number}.{index}", "level", f"m{index}", score_key, {"does": does})
        )
    return Unit(
        id,
        stage,
        f"unit {number}",
        key,
        {"number": number, "does": does},
        f"s{number % 3}",
        "t",
        after=(after,) if after else (),
        scores=tuple(owed),
    )


def perform(unit, bench):
    """Do what the unit's config says."""
    does, _, argument = unit.config["does"].partition(" ")
    if does == "sleep":
        time.sleep(float(argument))
    if does == "weights":
        time.sleep(float(argument))
        write_artifact(bench.artifact("pretrain", unit.id), {"w": np.zeros(1)})
    if does == "raise":
        raise RuntimeError(argument or "as asked")
    if does == "die_once":  # dies the first time; the flag file remembers
        flag = Path(argument)
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if does == "leave":
        os._exit(0)
    if does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    details = {"starts": _train(unit, bench, float(argument))} if does == "train" else {}
    rows = [
        row(id=unit.id, unit=unit.id, stage=unit.stage, name=unit.name, status="done", measure="accuracy",
            value=float(unit.config["number"]), details=details, key=canonical(unit.key))
    ]  # fmt: skip
    common = {"unit": unit.id, "stage": "score", "status": "done", "value": 1.0}
    return rows + [row(id=s.id, name=s.name, key=canonical(s.key), **common) for s in unit.scores]


def _train(unit, bench, seconds):
    """Take ``seconds`` of short steps, over as many workers as it takes; where each of them began."""
    checkpoints = bench.checkpoints(unit)
    saved = checkpoints.saved()
    step, starts = (int(saved.arrays["step"][0]), saved.facts["starts"]) if saved else (0, [])
    starts = [*starts, step]
    while step < round(seconds / STEP):
        time.sleep(STEP)
        step += 1
        if checkpoints.due():
            checkpoints.save(Saved({"step": np.array([step])}, {"starts": starts}))
    return starts


STEP = 0.05

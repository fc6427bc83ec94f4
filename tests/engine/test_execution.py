import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import engine_work as work
import pytest

from tmbench.engine.artifacts import artifact_path, write_artifact
from tmbench.engine.execution import Execution
from tmbench.engine.options import Cluster
from tmbench.engine.records import Records
from tmbench.engine.state import KeyCollision, State

PERFORM = f"{Path(work.__file__)}:perform"


def execution(units, folder, workers=0, perform=PERFORM, **more):
    kind = {"kind": "local", "workers": workers} if workers else {"kind": "debug"}
    cluster = Cluster(**{"flush_seconds": 0.2, **kind, **more})
    return Execution(tuple(units), folder / "store", folder / "runs", cluster, perform=perform)


def statuses(units, folder):
    state = State(units, folder / "store")
    return [state.status[unit.id] for unit in units]


def does(unit, what):
    return replace(unit, config={**unit.config, "does": what})


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_is_done_once(tmp_path, workers):
    units = [work.unit(i, scores=i % 3) for i in range(8)]
    report = execution(units, tmp_path, workers).start()
    assert not report.problems
    assert statuses(units, tmp_path) == ["done"] * 8
    records = Records().merge(tmp_path / "store" / "records")
    assert len(records.results) == 8 + sum(i % 3 for i in range(8))
    again = execution(units, tmp_path, workers).start()
    assert again.claimed == 0
    assert Records().merge(tmp_path / "store" / "records").shards == records.shards


@pytest.mark.parametrize("workers", [0, 2])
def test_a_canary_is_so_many_chunks(tmp_path, workers):
    units = [replace(work.unit(i), minutes=10.0) for i in range(8)]
    run = execution(units, tmp_path, workers, chunk_minutes=20.0)
    run.start(at_most=1)
    assert statuses(units, tmp_path).count("done") == 2
    run.start()
    assert statuses(units, tmp_path) == ["done"] * 8


def test_a_unit_that_raises_is_recorded_and_the_chunk_goes_on(tmp_path):
    units = [work.unit(0), does(work.unit(1), "raise no such luck"), work.unit(2)]
    execution(units, tmp_path).start()
    assert statuses(units, tmp_path) == ["done", "failed", "done"]
    (failure,) = State(units, tmp_path / "store").failures()
    assert failure.failure == "bug"
    assert "no such luck" in failure.message
    assert "RuntimeError" in Path(failure.log).read_text()
    # A plain run leaves it; retry= takes it up, and a success outlives the failure.
    assert execution(units, tmp_path).start().claimed == 0
    mended = [units[0], does(units[1], ""), units[2]]
    assert execution(mended, tmp_path).start(retry={"out_of_memory"}).claimed == 0
    assert execution(mended, tmp_path).start(retry={"bug"}).claimed == 1
    assert statuses(mended, tmp_path) == ["done"] * 3
    assert not State(mended, tmp_path / "store").failures()


def test_a_killed_worker_is_replaced_and_its_unit_tried_by_the_next_run(tmp_path):
    units = [work.unit(i) for i in range(6)]
    units[2] = does(units[2], f"die_once {tmp_path / 'flag'}")
    execution(units, tmp_path, workers=1).start()
    assert sorted(statuses(units, tmp_path)) == ["done"] * 5 + ["pending"]
    (failure,) = State(units, tmp_path / "store").failures()
    assert (failure.failure, failure.name) == ("killed", "unit 2")
    execution(units, tmp_path, workers=1).start()
    assert statuses(units, tmp_path) == ["done"] * 6


def test_a_unit_that_always_kills_its_worker_is_given_up(tmp_path):
    units = [work.unit(0), does(work.unit(1), "die")]
    for _ in range(3):
        execution(units, tmp_path, workers=1).start()
    assert statuses(units, tmp_path) == ["done", "failed"]
    assert execution(units, tmp_path, workers=1).start().claimed == 0


def test_units_wait_for_their_source(tmp_path):
    source = does(work.unit(0, stage="pretrain"), "raise")
    units = [source, *(work.unit(i, after=source.id) for i in range(1, 4)), work.unit(9)]
    execution(units, tmp_path).start()
    assert statuses(units, tmp_path) == ["failed", "waiting", "waiting", "waiting", "done"]


def test_lost_weights_are_made_again_only_when_somebody_needs_them(tmp_path):
    source = work.unit(0, stage="pretrain")
    units = [source, work.unit(1, after=source.id)]
    weights = artifact_path(tmp_path / "store", "pretrain", source.id)
    write_artifact(weights, {})
    execution(units, tmp_path).start()
    assert statuses(units, tmp_path) == ["done", "done"]
    weights.unlink()
    assert statuses(units, tmp_path) == ["done", "done"]
    units.append(work.unit(2, after=source.id))
    assert [unit.id for unit in State(units, tmp_path / "store").to_do()] == [source.id, units[2].id]


def test_retry_makes_lost_weights_again_as_well(tmp_path):
    source = work.unit(0, stage="pretrain")
    units = [source, does(work.unit(1, after=source.id), "raise")]
    weights = artifact_path(tmp_path / "store", "pretrain", source.id)
    write_artifact(weights, {})
    execution(units, tmp_path).start()
    weights.unlink()
    assert State(units, tmp_path / "store").to_do() == []
    assert [unit.id for unit in State(units, tmp_path / "store").to_do({"failed"})] == [unit.id for unit in units]


def test_units_whose_source_failed_are_not_claimed(tmp_path):
    source = does(work.unit(0, stage="pretrain"), "raise")
    units = [source, work.unit(1, after=source.id)]
    execution(units, tmp_path).start()
    assert execution(units, tmp_path).start().claimed == 0


def test_a_score_that_kills_its_worker_is_recorded_though_its_pass_was_done(tmp_path):
    unit = work.unit(0, stage="features", scores=2)
    execution([replace(unit, scores=unit.scores[:1])], tmp_path).start()
    deadly = does(unit, "die")
    for attempt in range(1, 4):
        execution([deadly], tmp_path, workers=1).start()
        (failure,) = State([deadly], tmp_path / "store").failures()
        assert (failure.id, failure.failure, failure.attempts) == (unit.scores[1].id, "killed", attempt)
    assert State([deadly], tmp_path / "store").counts()["score"] == {"done": 1, "failed": 1}
    assert execution([deadly], tmp_path, workers=1).start().claimed == 0


def test_a_worker_that_cannot_start_is_said(tmp_path):
    code = tmp_path / "broken.py"
    code.write_text("import os\n\nos._exit(3)\n")
    report = execution([work.unit(0)], tmp_path, workers=1, perform=f"{code}:perform").start()
    assert any("died before it could start" in problem for problem in report.problems)
    assert statuses([work.unit(0)], tmp_path) == ["pending"]


def test_a_new_score_asks_for_the_score_alone(tmp_path):
    unit = work.unit(0, stage="features", scores=2)
    execution([replace(unit, scores=unit.scores[:1])], tmp_path).start()
    (todo,) = State([unit], tmp_path / "store").to_do()
    assert todo.scores == unit.scores[1:]


def test_a_collision_of_keys_stops_everything(tmp_path):
    unit = work.unit(0)
    execution([unit], tmp_path).start()
    with pytest.raises(KeyCollision, match="another key"):
        State([replace(unit, key={**unit.key, "number": 5})], tmp_path / "store").check_keys()


def test_a_shard_cut_short_costs_its_own_units_only(tmp_path):
    units = [work.unit(i) for i in range(4)]
    execution(units[:2], tmp_path).start()
    (shard,) = (tmp_path / "store" / "records").glob("*.parquet")
    execution(units, tmp_path).start()
    shard.write_bytes(shard.read_bytes()[:100])
    report = execution(units, tmp_path).start()
    assert (report.claimed, len(report.set_aside)) == (2, 1)
    assert statuses(units, tmp_path) == ["done"] * 4


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import engine_work as work
from test_execution_units import units
from tmbench.engine.execution import Execution
from tmbench.engine.options import Cluster
folder = Path(sys.argv[2])
store, runs, workers = folder / "store", folder / "runs", int(sys.argv[3])
kind = {"kind": "local", "workers": workers} if workers else {"kind": "debug"}
cluster = Cluster(flush_seconds=0.1, **kind)
report = Execution(tuple(units()), store, runs, cluster, perform=sys.argv[4]).start()
print(report.claimed)
"""
UNITS = """
import engine_work as work
def units():
    from dataclasses import replace
    return [replace(u, config={**u.config, "does": "sleep 0.1"}) for u in map(work.unit, range(30))]
"""


@pytest.fixture
def start(tmp_path):
    """Start a run of thirty short units in a process of its own."""
    (tmp_path / "test_execution_units.py").write_text(UNITS)

    def start(workers):
        arguments = [sys.executable, "-c", RUN, str(Path(work.__file__).parent), str(tmp_path), str(workers), PERFORM]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.Popen(
            arguments,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def thirty(tmp_path, start):
    sys.path.insert(0, str(tmp_path))
    try:
        import importlib

        sys.modules.pop("test_execution_units", None)
        yield importlib.import_module("test_execution_units").units()
    finally:
        sys.path.remove(str(tmp_path))


def wait_for_records(folder, count, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if len(Records().merge(folder / "store" / "records").results) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} records after {seconds} s")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_any_moment_is_finished_by_the_next(tmp_path, start, thirty, workers):
    run = start(workers)
    wait_for_records(tmp_path, 5)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = set(Records().merge(tmp_path / "store" / "records").results)
    assert 5 <= len(kept) < 30
    second = start(workers)
    assert int(second.communicate(timeout=100)[0]) <= 25
    assert statuses(thirty, tmp_path) == ["done"] * 30
    assert kept <= set(Records().merge(tmp_path / "store" / "records").results)


def test_ctrl_c_stops_quietly_and_keeps_what_is_done(tmp_path, start, thirty):
    run = start(2)
    wait_for_records(tmp_path, 3)
    os.killpg(run.pid, signal.SIGINT)
    errors = run.communicate(timeout=60)[1]
    assert errors.count("Traceback") <= 1  # this script's own; a verb catches it
    kept = set(Records().merge(tmp_path / "store" / "records").results)
    assert 3 <= len(kept) < 30
    execution(thirty, tmp_path).start()
    assert statuses(thirty, tmp_path) == ["done"] * 30


def test_two_runs_at_once_do_nothing_twice(tmp_path, start, thirty):
    runs = [start(0) for _ in range(2)]
    claimed = [int(run.communicate(timeout=100)[0]) for run in runs]
    assert sum(claimed) == 30
    assert statuses(thirty, tmp_path) == ["done"] * 30
    rows = 0
    import pyarrow.parquet as pq

    for shard in (tmp_path / "store" / "records").glob("*.parquet"):
        rows += pq.ParquetFile(shard).metadata.num_rows
    assert rows == 30


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
"""


def test_a_full_disk_is_said_and_the_next_run_goes_on(tmp_path, thirty):
    """No file may grow past 5 kB: a shard of thirty records does not fit, as on a full disk."""
    code = FULL + RUN.replace("print(report.claimed)", "import json; print(json.dumps(report.problems))")
    arguments = [sys.executable, "-c", code, str(Path(work.__file__).parent), str(tmp_path), "0", PERFORM]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=100, check=False)
    problems = [done.stderr] if done.returncode else json.loads(done.stdout)
    assert any("cannot write" in problem and "run" in problem for problem in problems)
    assert not list((tmp_path / "store" / "records").glob("*.tmp"))
    report = execution(thirty, tmp_path).start()
    assert not report.problems
    assert statuses(thirty, tmp_path) == ["done"] * 30

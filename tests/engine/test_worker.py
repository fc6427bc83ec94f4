"""A worker as submitit starts it: what it records, keeps and leaves when it is stopped, killed or replaced."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import engine_work as work
import pytest
from submitit.core.utils import DelayedSubmission

from tmbench.engine import markers
from tmbench.engine import worker as engine_worker
from tmbench.engine.chunks import freeze
from tmbench.engine.interruption import Interrupted, Interruption
from tmbench.engine.leftovers import late_path
from tmbench.engine.markers import Marker, marker_path, read_marker, write_marker
from tmbench.engine.records import Records
from tmbench.engine.state import State
from tmbench.engine.workbench import Workbench
from tmbench.engine.worker import Worker

PERFORM = f"{Path(work.__file__)}:perform"


def does(number, what, **more):
    unit = work.unit(number, **more)
    return replace(unit, config={**unit.config, "does": what})


def worker_of(folder, units, **more):
    (chunk,) = freeze([units], folder / "run" / "units.parquet")
    return Worker(chunk, str(folder / "store"), "run", "commit", perform=PERFORM, **more)


def records(folder):
    return Records().merge(folder / "store" / "records")


def states(folder):
    return list((folder / "store" / "checkpoints").rglob("*.safetensors"))


class Job:
    """A job of SLURM as far as its worker sees one: submitit's process, warned and requeued by hand."""

    def __init__(self, folder, worker, requeues=10, minutes=1):
        claim = folder / "claim.json"
        claim.touch()  # a worker whose claim is gone does nothing
        self.folder, self.worker, self.jobs = folder, replace(worker, claim=str(claim)), folder / "jobs"
        self.jobs.mkdir(parents=True)
        script = folder / "bin" / "scontrol"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\necho $@ >> {folder}/requeued\n")
        script.chmod(0o755)
        delayed = DelayedSubmission(self.worker)
        delayed.set_timeout(minutes, requeues)
        delayed.dump(self.jobs / "17_submitted.pkl")
        self.restarts = 0

    @property
    def requeued(self):
        path = self.folder / "requeued"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start(self):
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(Path(markers.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
            "SUBMITIT_EXECUTOR": "slurm",
            "SUBMITIT_PREEMPT_SIGNAL": "USR2",
            "SLURM_JOB_ID": "17",
            "SLURM_RESTART_COUNT": str(self.restarts),
        }
        self.restarts += 1
        command = [sys.executable, "-u", "-m", "submitit.core._submit", str(self.jobs)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def started(self, unit):
        """A process that has ``unit`` in hand."""
        process, end = self.start(), time.monotonic() + 60
        while True:
            marker = read_marker(self.worker.marker)
            if marker is not None and (marker.unit, marker.restart) == (unit.id, self.restarts - 1):
                return process
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.01)

    def warned(self, unit, after=0.0, number=signal.SIGUSR2):
        """Start it, warn it while ``unit`` is in hand, and see it end."""
        process = self.started(unit)
        time.sleep(after)
        process.send_signal(number)
        process.wait(timeout=60)
        assert not self.worker.marker.exists()


def test_a_unit_too_long_for_its_job_is_a_timeout_in_the_end(tmp_path):
    """It is broken off three times; the chunk's other units are done all the same."""
    units = [does(0, "sleep 60", scores=1), does(1, "")]
    job = Job(tmp_path, worker_of(tmp_path, units, grace_seconds=0.3))
    for times in (1, 2, 3):
        assert not records(tmp_path).failed
        job.warned(units[0])
        assert job.requeued == times
    found = records(tmp_path)
    assert set(found.failures) == {units[0].id, units[0].scores[0].id}
    failure = found.failures[units[0].id]
    assert failure["failure"] == "timeout"
    assert "3 times" in failure["message"]
    assert "retry=timeout" in failure["message"]
    assert failure["run"] == "run"
    assert 0.9 < failure["seconds"] < 30
    assert Path(failure["log"]).exists()
    assert job.start().wait(timeout=60) == 0
    state = State(units, tmp_path / "store")
    assert list(state.status.values()) == ["failed", "done"]
    assert not state.to_do()
    assert [unit.id for unit in state.to_do({"timeout"})] == [units[0].id]


def test_no_requeue_left_is_a_timeout_of_the_unit_that_took_the_time(tmp_path):
    units = [does(0, "sleep 60"), does(1, "")]
    job = Job(tmp_path, worker_of(tmp_path, units, grace_seconds=0.3), requeues=0)
    job.warned(units[0], after=3.0)
    found = records(tmp_path)
    assert job.requeued == 0
    assert [failure["failure"] for failure in found.failures.values()] == ["timeout"]
    assert "once" in found.failures[units[0].id]["message"]
    assert list(State(units, tmp_path / "store").status.values()) == ["failed", "pending"]


def test_no_requeue_left_is_no_fault_of_a_unit_that_began_late(tmp_path):
    units = [does(0, "sleep 4"), does(1, "sleep 60")]
    job = Job(tmp_path, worker_of(tmp_path, units, grace_seconds=0.3), requeues=0)
    job.warned(units[1])
    assert not records(tmp_path).failed
    assert list(State(units, tmp_path / "store").status.values()) == ["done", "pending"]


def test_a_training_that_comes_further_each_time_is_no_timeout(tmp_path):
    units = [does(0, "train 4")]
    job = Job(tmp_path, worker_of(tmp_path, units, grace_seconds=5.0))
    for _ in range(4):
        job.warned(units[0], after=0.4)
    assert job.start().wait(timeout=60) == 0
    found = records(tmp_path)
    assert not found.failed
    assert not states(tmp_path)
    assert len(json.loads(found.results[units[0].id][0]["details"])["starts"]) == 5


def test_a_preempted_unit_is_no_timeout(tmp_path):
    """SIGTERM comes of preemption; so does the warning long before the limit."""
    units = [does(0, "sleep 60")]
    job = Job(tmp_path, worker_of(tmp_path, units, grace_seconds=0.3), minutes=60)
    for _ in range(2):
        job.warned(units[0])
        job.warned(units[0], number=signal.SIGTERM)
    assert not late_path(job.worker.chunk.path, 0).exists()
    assert not records(tmp_path).failed
    assert job.requeued == 2


def test_a_worker_killed_after_a_training_has_lost_nothing(tmp_path):
    """Between a training's end and the record on disk its state is there."""
    units = [does(0, "train 1"), does(1, "sleep 60")]
    job = Job(tmp_path, worker_of(tmp_path, units, flush_seconds=100.0, checkpoint_seconds=0.2))
    process = job.started(units[1])
    process.kill()
    process.wait()
    assert set(records(tmp_path).done) == {units[0].id}
    assert not states(tmp_path)


def test_a_state_outlives_a_store_that_cannot_be_written(tmp_path, monkeypatch):
    units = [does(0, "train 0.5")]
    worker = worker_of(tmp_path, units, checkpoint_seconds=0.1)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "records").write_text("a file where the folder should be")
    assert "records" in worker()
    assert len(states(tmp_path)) == 1
    (tmp_path / "store" / "records").unlink()
    assert worker() == ""
    assert set(records(tmp_path).done) == {units[0].id}
    assert not states(tmp_path)


def test_records_tell_the_seconds_of_all_workers(tmp_path):
    units = [does(0, "train 3")]
    job = Job(tmp_path, worker_of(tmp_path, units, checkpoint_seconds=0.2))
    process = job.started(units[0])
    time.sleep(1.5)
    process.kill()
    process.wait()
    assert job.start().wait(timeout=60) == 0
    result = records(tmp_path).results[units[0].id][0]
    assert json.loads(result["details"])["starts"][-1] > 10
    assert 2.8 < result["seconds"] < 20


def test_a_failed_training_counts_no_second_twice(tmp_path, monkeypatch):
    unit, flag = does(0, "train 1"), tmp_path / "flag"
    bench = Workbench(tmp_path / "store", checkpoint_seconds=0.05)

    def perform(unit, bench):
        rows = work.perform(unit, bench)
        if not flag.exists():
            flag.touch()
            raise RuntimeError("once")
        return rows

    monkeypatch.setattr(engine_worker, "find_function", lambda name: perform)
    worker = worker_of(tmp_path, [unit])
    worker._do(bench)
    failed = records(tmp_path).failures[unit.id]["seconds"]
    assert failed > 0.9
    assert len(states(tmp_path)) == 1
    worker._do(bench)
    assert records(tmp_path).results[unit.id][0]["seconds"] < 0.9
    assert not states(tmp_path)


def test_finished_records_are_never_lost_to_the_alarm(tmp_path, monkeypatch):
    """The warning comes while a unit is in hand, and the alarm that it sets while its record is being written."""
    units = [does(0, "sleep 1"), does(1, "")]

    class Slow(engine_worker.RecordWriter):
        def flush(self):
            time.sleep(1.0)
            super().flush()

    monkeypatch.setattr(engine_worker, "RecordWriter", Slow)
    interruption = Interruption()
    worker = worker_of(tmp_path, units)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR2)).start()
    with pytest.raises(Interrupted), interruption.listening(signal.SIGUSR2, 1.0):
        worker._do(Workbench(tmp_path / "store", interruption))
    assert set(records(tmp_path).done) == {units[0].id}


@pytest.fixture
def requeued_once(monkeypatch):
    """This process is the job 17, requeued once."""
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")


def marked(worker, unit, restart, deaths=0, job="17"):
    path = marker_path(worker.chunk.path, 0)
    write_marker(Marker(path, 0, unit.id, job, deaths, restart))
    return path


@pytest.mark.parametrize(("restart", "stays"), [(0, True), (1, False), (2, True)])
def test_a_worker_removes_no_marker_but_its_own(tmp_path, requeued_once, restart, stays):
    worker = worker_of(tmp_path, [does(0, "")])
    path = marked(worker, does(0, ""), restart)
    worker._unmark()
    assert path.exists() == stays
    marked(worker, does(0, ""), 1, job="18")
    worker._unmark()
    assert path.exists()


def test_a_worker_that_slurm_took_for_lost_leaves_the_chunk_to_the_new_one(tmp_path, requeued_once, monkeypatch):
    units = [does(number, "") for number in range(3)]
    worker, real = worker_of(tmp_path, units), work.perform

    def perform(unit, bench):
        if unit.id == units[1].id:
            marked(worker, units[0], restart=2)
        return real(unit, bench)

    monkeypatch.setattr(engine_worker, "find_function", lambda name: perform)
    assert worker() == ""
    assert set(records(tmp_path).done) == {units[0].id, units[1].id}
    assert read_marker(worker.marker).restart == 2


def test_a_worker_taken_for_lost_that_lives_is_no_death(tmp_path, requeued_once, monkeypatch):
    """Its markers turn up beside those of the worker in its place, which has the same unit next."""
    units = [does(number, "") for number in range(2)]
    worker, real, seen = worker_of(tmp_path, units), work.perform, []

    def perform(unit, bench):
        seen.append(read_marker(worker.marker).deaths)
        marked(worker, units[1], restart=0, deaths=1)
        return real(unit, bench)

    monkeypatch.setattr(engine_worker, "find_function", lambda name: perform)
    worker()
    assert seen == [0, 0]


def test_a_death_before_this_worker_counts(tmp_path, requeued_once):
    unit = does(0, "")
    worker = worker_of(tmp_path, [unit])
    marked(worker, unit, restart=0, deaths=1)
    bench = Workbench(tmp_path / "store")
    assert worker._mark(unit, read_marker(worker.marker))
    assert read_marker(worker.marker).deaths == 2
    worker._unmark()
    marked(worker, unit, restart=0, deaths=2)
    worker._do(bench)
    assert [failure["failure"] for failure in records(tmp_path).failures.values()] == ["node_failure"]


def test_a_marker_that_cannot_be_removed_keeps_no_job_from_the_queue(tmp_path, requeued_once, monkeypatch):
    worker = worker_of(tmp_path, [does(0, "")])
    marked(worker, does(0, ""), 1)
    bench = Workbench(tmp_path / "store")
    asked = []
    monkeypatch.setattr(bench.interruption, "_requeue", lambda: asked.append(1))
    monkeypatch.setattr(Path, "unlink", lambda *arguments, **more: (_ for _ in ()).throw(OSError(30, "read-only")))
    with pytest.raises(SystemExit):
        worker._stop(bench)
    assert asked == [1]


def test_a_name_that_is_no_utf_8_loses_no_log(tmp_path, capsys):
    log = Workbench(tmp_path).log(does(0, ""), "cannot read caf\udce9.jpg")
    assert "cannot read caf\\udce9.jpg" in Path(log).read_text()
    assert not capsys.readouterr().err

"""Status, its --watch and logs on a real SLURM, as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from verbs_work import facts, said

ON_SLURM = ("cluster=slurm", "cluster.chunk_minutes=0.3", "cluster.flush_seconds=0.2", "cluster.needs.memory_gb=1.5")


@pytest.fixture
def study(tiny):
    return [word for word in tiny if not word.startswith("cluster=")]


def submit(capsys, study, *more):
    code, out, err = said(capsys, "run", *study, *ON_SLURM, "--yes", *more)
    assert code == 0, out + err


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def counted_squeues(tmp_path, monkeypatch):
    """Puts a squeue before the real one that notes each call; the file of the notes."""
    real = subprocess.run(["which", "squeue"], capture_output=True, text=True, check=True).stdout.strip()
    notes, script = tmp_path / "squeues", tmp_path / "bin" / "squeue"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho asked >> {notes}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    return notes


def test_from_the_queue_to_the_end(study, tmp_path, cluster, capsys, monkeypatch):
    submit(capsys, study, "cluster.slurm.max_concurrent=2")
    notes = counted_squeues(tmp_path, monkeypatch)
    found = until(lambda: (now := facts(capsys, "status", *study))["stages"]["pretrain"].get("running") and now)
    asked = len(notes.read_text().splitlines())
    assert found["stages"]["pretrain"]["running"] <= 2
    assert found["stages"]["truth"]["queued"] >= 24
    reasons = {one["reason"] for crew in found["at_work"] for one in crew["waiting"]}
    assert "Dependency" in reasons
    assert found["workers"] >= 2
    assert found["minutes_to_finish"] > 0
    _, out, _ = said(capsys, "status", *study)
    assert len(notes.read_text().splitlines()) == asked + 1
    assert "waiting for the jobs that make what they need" in out
    # A unit of the last wave, then one in hand.
    held = facts(capsys, "logs", "truth", "tiny_shapes", "digits", "seed=0", "recipe=quick", *study)["held_by"]
    assert (held["state"], held["reason"]) == ("PENDING", "Dependency")
    code, out, err = said(capsys, "status", "--watch", *study)
    assert code == 0, out + err
    assert out.splitlines()[-1].startswith("next: tmbench aggregate")
    assert "truth 32/32" in err.splitlines()[-1]
    found = facts(capsys, "logs", "pretrain", "tiny_shapes", *study)
    (attempt,) = found["attempts"]
    (output,) = [one for one in found["job_output"] if one["path"].endswith(".out")]
    assert f"/{attempt['job']}_0_log.out" in output["path"]
    assert any("submitit" in line for line in output["end"])


def test_waiting_for_a_run_can_be_left(study, cluster):
    words = [*study, *ON_SLURM, "cluster.slurm.max_concurrent=1", "--yes", "--wait"]
    run = subprocess.Popen(
        [sys.executable, "-m", "tmbench.run", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    until(lambda: lines.append(run.stderr.readline()) or "queued" in lines[-1])
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "stopped watching; what is at work goes on\nnext: tmbench status --watch" in err
    assert cluster.jobs()


def test_the_controller_is_away(study, cluster, capsys):
    submit(capsys, study, "-n", "1")
    cluster.stop_controller()
    start = time.monotonic()
    code, out, _ = said(capsys, "status", *study, "--json")
    assert time.monotonic() - start < 12
    assert code == 1
    found = json.loads(out)
    assert "SLURM does not answer" in found["unknown"]
    assert found["stages"]["pretrain"]["pending"] == 2
    cluster.start_controller()
    until(lambda: not facts(capsys, "status", *study)["at_work"])

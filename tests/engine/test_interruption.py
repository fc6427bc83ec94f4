"""Signals to a process of its own: what it does at its next safe point, and when it reaches none."""

import os
import signal
import subprocess
import sys
import time

import pytest
from submitit.core.utils import UncompletedJobError

from tmbench.engine import interruption as engine_interruption
from tmbench.engine.interruption import Interruption, NotRequeued, TooManyTimeouts

CHILD = """
import signal, sys, time
from tmbench.engine.interruption import Interrupted, Interruption
signal.signal(signal.SIGUSR2, lambda number, frame: print("requeued", flush=True))
signal.signal(signal.SIGTERM, lambda number, frame: print("ignored", flush=True))
interruption = Interruption()
end = time.monotonic() + 30
def work():
    times = 0
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
            if sys.argv[2] == "safe":
                interruption.check()
        except BaseException:
            times += 1
            if sys.argv[2] != "stubborn" or times == 2:
                raise
    return "not broken off"
try:
    with interruption.listening(signal.SIGUSR2, float(sys.argv[1])):
        print("at work", flush=True)
        if sys.argv[2] == "finished":
            end = time.monotonic() + 2
            print(work(), flush=True)
            interruption.check()
        interruption.breakable(work)
except Interrupted:
    print("stopped", interruption.requested, interruption.requeues, flush=True)
    interruption.requeue("17")
signal.raise_signal(signal.SIGTERM)
"""


def said(number, grace, kind):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(grace), kind], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "at work\n"
    start = time.monotonic()
    os.kill(child.pid, number)
    lines = child.communicate(timeout=60)[0].split("\n")
    return lines[:-1], time.monotonic() - start


def test_the_warning_stops_at_a_safe_point_and_requeues():
    lines, seconds = said(signal.SIGUSR2, 50, "safe")
    assert lines == ["stopped True True", "requeued", "ignored"]
    assert seconds < 10


def test_sigterm_stops_without_requeueing():
    assert said(signal.SIGTERM, 50, "safe")[0] == ["stopped True False", "ignored"]


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_work_that_reaches_no_safe_point_is_broken_off(number):
    lines, seconds = said(number, 0.5, "endless")
    assert lines[0].startswith("stopped True")
    assert seconds >= 0.5


def test_work_that_swallows_it_is_broken_off_again():
    lines, _ = said(signal.SIGUSR2, 0.2, "stubborn")
    assert lines == ["stopped True True", "requeued", "ignored"]


def test_what_is_finished_is_never_broken_off():
    lines, _ = said(signal.SIGUSR2, 0.2, "finished")
    assert lines == ["not broken off", "stopped True True", "requeued", "ignored"]


@pytest.mark.parametrize(
    ("numbers", "seconds"),
    [
        ([signal.SIGTERM, signal.SIGUSR2], 15),  # SLURM kills 30 s after SIGTERM, whatever came since
        ([signal.SIGUSR2, signal.SIGTERM], 15),
        ([signal.SIGUSR2, signal.SIGUSR2], 60),
    ],
)
def test_a_second_signal_never_lengthens_the_time(numbers, seconds):
    with Interruption().listening(signal.SIGUSR2, 60.0):
        for number in numbers:
            signal.raise_signal(number)
        left, again = signal.getitimer(signal.ITIMER_REAL)
        assert seconds - 2 < left <= seconds
        assert again > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def told(before):
    """An interruption that was warned, where ``before`` handled the signal."""
    interruption = Interruption()
    kept = signal.signal(signal.SIGUSR2, before)
    try:
        with interruption.listening(signal.SIGUSR2, 5.0):
            signal.raise_signal(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, kept)
    return interruption


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A stand-in for scontrol: calls it as submitit does; what it does is written into it."""
    script = tmp_path / "scontrol"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    kept = signal.getsignal(signal.SIGUSR2)

    def answers(text):
        script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\n{text}\n")
        script.chmod(0o755)
        return told(lambda number, frame: subprocess.check_call(["scontrol", "requeue", "17_3"], timeout=60))

    yield answers
    signal.signal(signal.SIGUSR2, kept)


def calls(tmp_path):
    return len((tmp_path / "calls").read_text().split())


def test_a_busy_controller_is_asked_again(scontrol, tmp_path):
    busy = 'echo "slurm_update error: Unable to contact slurm controller (connect failure)" >&2; exit 1'
    interruption = scontrol(f"test $(wc -l < {tmp_path}/calls) -gt 2 || {{ {busy}; }}")
    interruption.requeue("17_3")
    assert calls(tmp_path) == 3


def test_a_controller_that_stays_away_is_asked_until_the_kill(scontrol, monkeypatch):
    interruption = scontrol('echo "Unable to contact slurm controller (connect failure)" >&2; exit 1')
    interruption._end = time.monotonic() + 3
    start = time.monotonic()
    with pytest.raises(NotRequeued, match=r"17_3 is not requeued.*contact slurm controller.*next `tmbench run`"):
        interruption.requeue("17_3")
    assert 0.9 < time.monotonic() - start < 10


@pytest.mark.parametrize("text", ['echo "Job is pending execution for job 17_3" >&2; exit 1', "kill -TERM $$"])
def test_a_job_that_slurm_requeues_itself_is_no_error(scontrol, tmp_path, text):
    scontrol(text).requeue("17_3")
    assert calls(tmp_path) == (1 if "TERM" in text else 2)


def test_a_refusal_says_nothing_of_sbatch(scontrol):
    interruption = scontrol('echo "Requested operation is presently disabled for job 17_3" >&2; exit 1')
    with pytest.raises(NotRequeued, match="presently disabled") as problem:
        interruption.requeue("17_3")
    assert "sbatch" not in str(problem.value)
    assert "cluster.slurm" not in str(problem.value)


def test_a_second_warning_does_not_requeue_twice(scontrol, tmp_path):
    scontrol("kill -USR2 $PPID; sleep 0.2").requeue("17_3")
    assert calls(tmp_path) == 1


def test_no_requeue_left_is_told_apart(monkeypatch):
    def refuses(number, frame):
        raise UncompletedJobError("Job not requeued because: timed-out too many times.")

    kept = signal.getsignal(signal.SIGUSR2)
    try:
        with pytest.raises(TooManyTimeouts, match="too many times"):
            told(refuses).requeue("17")
    finally:
        signal.signal(signal.SIGUSR2, kept)


class Submitit:
    """What submitit knows of a job, under the names by which it does."""

    def __init__(self, minutes, ago):
        self._start_time = time.time() - ago
        self._delayed = type("Delayed", (), {"_timeout_min": minutes})()

    def handler(self, number, frame):
        """Take the signal."""


@pytest.mark.parametrize(("ago", "timed_out"), [(1795, True), (1720, True), (600, False)])
def test_preemption_is_told_from_the_time_limit(ago, timed_out):
    assert engine_interruption.EARLY_SECONDS == 90  # 1800 - 2 * 5 - 90 = 1700
    assert told(Submitit(30, ago).handler).timed_out == timed_out

"""Signals to a process of its own: what it does at its next safe point, and when it reaches none."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import signal, sys, time
from tmbench.engine.interruption import Interrupted, Interruption
signal.signal(signal.SIGUSR2, lambda number, frame: print("requeued", flush=True))
signal.signal(signal.SIGTERM, lambda number, frame: print("ignored", flush=True))
interruption = Interruption()
try:
    with interruption.listening(signal.SIGUSR2, float(sys.argv[1])):
        print("at work", flush=True)
        while True:
            time.sleep(0.05)
            if sys.argv[2] == "safe":
                interruption.check()
except Interrupted:
    print("stopped", interruption.requested, interruption.requeues, flush=True)
    interruption.requeue()
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

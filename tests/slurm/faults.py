"""What may happen to a sweep on a cluster: each fault by name, at will, and whether it met anything.

A fault that would meet nothing now (no worker to kill) says so and is tried again later; one that lasts leaves word of
when it ends and how.
"""

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sweep_under_fire import Sweep

SCRIPT = Path(__file__).with_name("cluster")
NOTICE_SECONDS = 12.0
SIZE = 512
"""Megabytes of the store's file system."""


@dataclass(frozen=True)
class Element:
    """A worker's job: as squeue shows it."""

    job: str
    state: str
    node: str


def output(*command: str) -> str:
    """What a command prints; CalledProcessError when it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def queued() -> list[Element]:
    """The workers' jobs, elements each for itself."""
    lines = output("squeue", "--noheader", "--array", "--format=%i|%T|%N|%j").splitlines()
    fields = (line.split("|") for line in lines)
    return [Element(job, state, node) for job, state, node, name in fields if name.startswith("tmbench-")]


@dataclass
class Faults:
    """The faults that come from outside while workers work.

    Attributes:
        sweep: whom they meet.
        random: what chooses.
        later: what is to be mended, and when.
        down: what is broken now: ``node2``, ``controller``, ``store``.
    """

    sweep: Sweep
    random: random.Random
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    warned: bool = False

    def kinds(self) -> dict[str, Callable[[], bool | None]]:
        """Name → what injects it: True when it met a worker, False when it met none, None when it was not injected."""
        on_store = {"store read-only for a while": self.make_read_only, "store full for a while": self.fill}
        return {
            "worker killed with -9": self.kill_worker,
            "slurmd stopped and restarted": self.stop_node,
            "node crashed": self.crash_node,
            "node given up by SLURM, its jobs go on": self.lose_node,
            "preempting job in the high-priority partition": self.preempt,
            "slurmctld stopped and restarted": self.stop_controller,
            "scancel by hand": self.scancel,
            **(on_store if may_mount() else {}),
        }

    def mend(self, all_of_it: bool = False) -> None:
        """What is due, or all."""
        due = [(at, work) for at, work in self.later if all_of_it or time.monotonic() >= at]
        self.later = [one for one in self.later if one not in due]
        for _, work in sorted(due, key=lambda one: one[0]):
            work()

    def _for_a_while(self, what: str, least: float, most: float, mend: Callable[[], None]) -> None:
        self.down.add(what)

        def end() -> None:
            mend()
            self.down.discard(what)

        self.later.append((time.monotonic() + self.random.uniform(least, most), end))

    def _running(self) -> list[Element]:
        return [] if "controller" in self.down else [one for one in queued() if one.state == "RUNNING"]

    def kill_worker(self) -> bool | None:
        found = busy(self.sweep.out)
        if not found:
            return None
        pid = self.random.choice(found)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return None

    def _node(self) -> str:
        """A node that works, one with a worker where there is one."""
        with_workers = {one.node for one in self._running()} - self.down
        return self.random.choice(sorted(with_workers) or [""])

    def _break_node(self, how: str, least: float, most: float) -> bool | None:
        if not (node := self._node()):
            return None
        output(str(SCRIPT), how, node[-1])
        self._for_a_while(node, least, most, lambda: output(str(SCRIPT), "start-node", node[-1]) and None)
        return True

    def stop_node(self) -> bool | None:
        return self._break_node("stop-node", 2, 12)

    def crash_node(self) -> bool | None:
        met = self._break_node("crash-node", 1, 8)
        for node in self.down - {"controller", "store"} if met else ():
            with suppress(subprocess.CalledProcessError):  # SLURM would find out by itself, after a minute
                output("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=crashed")
        return met

    def lose_node(self) -> bool | None:
        return self._break_node("lose-node", 3, 12)

    def preempt(self) -> bool | None:
        before = {one.job for one in self._running()}
        if not before:
            return None
        count, seconds = self.random.randint(1, 3), self.random.randint(2, 6)
        command = ["sbatch", "--partition=high", f"--array=1-{count}", "--output=/dev/null", "--mem=100"]
        text = f"#!/bin/sh\nsleep {seconds}\n"
        subprocess.run([*command, "--job-name=urgent"], input=text, text=True, check=True, capture_output=True)
        end = time.monotonic() + 3
        while time.monotonic() < end:  # a preempted worker is signalled at once and leaves its node soon after
            if before - {one.job for one in self._running()}:
                return True
            time.sleep(0.3)
        return False

    def stop_controller(self) -> bool | None:
        if "controller" in self.down:
            return None
        met = bool(self._running())
        output(str(SCRIPT), "stop-controller")
        # Each time the other way of preemption: with the warning before it, and with SIGTERM alone.
        self.warned = not self.warned
        key = f"SlurmctldParameters={'preempt_send_user_signal' if self.warned else ''}"
        self._for_a_while("controller", 0, 12, lambda: output(str(SCRIPT), "configure", key) and None)
        return met

    def scancel(self) -> bool | None:
        found = self._running() if self.random.random() < 0.7 else queued() if "controller" not in self.down else []
        if not found:
            return None
        chosen = self.random.choice(found)
        whole = self.random.random() < 0.3
        output("scancel", chosen.job.partition("_")[0] if whole else chosen.job)
        return chosen.state == "RUNNING" or whole

    def make_read_only(self) -> bool | None:
        if "store" in self.down:
            return None
        end = time.monotonic() + 5
        while subprocess.run(["mount", "-o", "remount,ro", str(self.sweep.store)], capture_output=True).returncode:
            if time.monotonic() > end:  # somebody is writing all the time
                return None
            time.sleep(0.02)
        self._for_a_while("store", 1, 8, lambda: output("mount", "-o", "remount,rw", str(self.sweep.store)) and None)
        return bool(busy(self.sweep.out))

    def fill(self) -> bool | None:
        if "store" in self.down:
            return None
        ballast = self.sweep.store / "ballast"
        with suppress(OSError), ballast.open("wb") as stream:
            while True:
                stream.write(bytes(2**20))
                stream.flush()
        with suppress(OSError), ballast.open("ab", buffering=0) as stream:  # the last page
            while True:
                stream.write(bytes(64))
        self._for_a_while("store", 1, 8, ballast.unlink)
        return bool(busy(self.sweep.out))


def look_again() -> str:
    """All nodes tell the controller what they have, if there is one."""
    with suppress(subprocess.CalledProcessError):
        return output("scontrol", "reconfigure")
    return ""


def quick_to_notice(quick: bool) -> None:
    """SLURM misses the job of a node that went down at that node's next report, and not minutes later."""
    keys = [f"BatchStartTimeout={'1' if quick else ''}", "SlurmctldParameters="]
    output(str(SCRIPT), "configure", *keys)


def workers(out: Path) -> dict[int, str]:
    """Process id → SLURM job, of the workers of a sweep's runs."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"submitit.core._submit" in words and any(word.startswith(os.fsencode(out)) for word in words):
                pairs = (pair.partition(b"=") for pair in (folder / "environ").read_bytes().split(b"\0"))
                known = {name.decode(): value.decode(errors="replace") for name, _, value in pairs}
                found[int(folder.name)] = job_of(known)
    return found


def busy(out: Path) -> list[int]:
    """Process ids of the workers that have a unit in hand."""
    found = in_hand(out)
    return sorted(
        pid for pid, job in workers(out).items() if any(job == of and since >= birth(pid) for of, _, since in found)
    )


def birth(pid: int) -> float:
    """When a process began, in seconds since 1970; as if it were to come where it is over."""
    try:
        return Path(f"/proc/{pid}").stat().st_mtime
    except OSError:
        return float("inf")


def job_of(environment: dict[str, str]) -> str:
    array = environment.get("SLURM_ARRAY_JOB_ID", "")
    return f"{array}_{environment.get('SLURM_ARRAY_TASK_ID')}" if array else environment.get("SLURM_JOB_ID", "")


def in_hand(out: Path) -> list[tuple[str, str, float]]:
    """(job, unit, since) of each marker that a worker has left beside the frozen units."""
    found = []
    for path in out.glob("*/runs/*/*.chunk*"):
        with suppress(OSError, ValueError, KeyError):
            content = json.loads(path.read_text())
            found.append((content["job"], content["unit"], path.stat().st_mtime))
    return found


@functools.cache
def may_mount() -> bool:
    """Whether this machine lets root mount file systems; a container may not."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode:
            return False
        output("umount", folder)
        return True


def mount(store: Path) -> None:
    """A file system of its own for the store, so that it can be full or read-only by itself; a folder where not."""
    store.mkdir(parents=True)
    if may_mount():
        output("mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(store))


def unmount(store: Path) -> None:
    subprocess.run(["umount", "-l", str(store)], capture_output=True)
    shutil.rmtree(store, ignore_errors=True)

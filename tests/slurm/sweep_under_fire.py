"""A sweep in a store of its own, seen and moved as a user does: through the verbs, as processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SBATCH = """#!/bin/sh
{before}
{real} "$@"
code=$?
{after}
exit $code
"""
VERB_SECONDS = 400


@dataclass
class Sweep:
    """One sweep, one store.

    Attributes:
        overrides: what names the sweep, as on the command line.
        cluster: overrides of the profile under which it runs.
        folder: holds the store, the output and what verbs say.
    """

    overrides: list[str]
    cluster: list[str]
    folder: Path
    calls: int = field(default=0, init=False)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def command(self, verb: str, *more: str) -> list[str]:
        paths = [f"paths.store={self.store}", f"paths.out={self.out}"]
        said = [*self.overrides, *self.cluster, *paths, *more]
        last = {word.partition("=")[0]: word for word in said if "=" in word}  # what is said last counts
        return [sys.executable, "-m", f"tmbench.{verb}", *last.values(), *(word for word in more if "=" not in word)]

    def start(self, verb: str, *more: str, sbatch: str = "") -> "Call":
        """Begin a verb; with ``sbatch``, the script of that text stands before the real sbatch on the PATH."""
        self.calls += 1
        log = self.folder / "said" / f"{self.calls:04d}-{verb}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if sbatch:
            script = self.folder / "bin" / str(self.calls) / "sbatch"
            script.parent.mkdir(parents=True)
            script.write_text(sbatch)
            script.chmod(0o755)
            environment["PATH"] = f"{script.parent}{os.pathsep}{environment['PATH']}"
        command = self.command(verb, *more)
        with log.open("w") as stream:
            stream.write(f"{' '.join(command[1:])}\n")
            stream.flush()
            process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        return Call(process, log)

    def say(self, verb: str, *more: str) -> "Call":
        """A verb from beginning to end."""
        call = self.start(verb, *more)
        call.process.wait(VERB_SECONDS)
        return call

    def status(self) -> tuple[int, dict]:
        """The exit code of ``status --json`` and what it tells."""
        done = subprocess.run(self.command("status", "--json"), capture_output=True, text=True, timeout=VERB_SECONDS)
        return done.returncode, json.loads(done.stdout)

    def tables(self) -> dict[str, bytes]:
        """Aggregate; every table and every file of cells.

        Raises:
            RuntimeError: when ``aggregate`` does not call the sweep whole.
        """
        call = self.say("aggregate")
        if call.process.returncode:
            raise RuntimeError(f"aggregate: exit {call.process.returncode}: {call.text()}")
        files = [path for folder in ("tables", "cells") for path in sorted(self.out.glob(f"*/{folder}/*"))]
        return {"/".join(path.parts[-2:]): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Call:
    """A verb in its process, and the file of what it says."""

    process: subprocess.Popen
    log: Path

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    @property
    def killed(self) -> bool:
        return self.process.poll() == -signal.SIGKILL

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def deadly_sbatch(moment: str) -> str:
    """An sbatch that kills whoever calls it, ``before`` or ``after`` it does its work."""
    kill = {"before": "", "after": "", moment: "kill -KILL $PPID"}
    return SBATCH.format(real=shutil.which("sbatch"), **kill)

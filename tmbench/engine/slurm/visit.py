"""The test job of ``doctor``, from this machine: submitted as a run submits, watched, talked to, ended."""

import contextlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmbench.engine.checkup import Finding, kept_as_it_was
from tmbench.engine.options import Cluster
from tmbench.engine.slurm.doctor import TEST_MINUTES, wanted
from tmbench.engine.slurm.parameters import executor, parameters
from tmbench.engine.slurm.patience import CommandFailed, SlurmUnavailable, SubmissionRefused, ask, patiently
from tmbench.engine.slurm.probe import DEVICES_SECONDS, Probe, heard, say
from tmbench.engine.slurm.site import Element, cancel_by_name, final_states, queue
from tmbench.engine.snapshot import snapshot

TALK_SECONDS = 120.0
"""How long each side waits for the other; network file systems hide new files for up to a minute."""
LOOK_SECONDS = 5.0
"""Between two looks at the queue."""
UNSEEN_SECONDS = 30.0
"""So long after a job has left the queue its files may still be on their way."""
CLOCK_SECONDS = 5.0
"""More than this apart, and times in records mislead."""
PASSING = ("None", "Priority", "Resources", "Prolog", "BeginTime", "Licenses", "Reservation", "Nodes_required")
"""Beginnings of the reasons for which a job waits its turn; others wait for something to be changed."""


@dataclass
class Visit:
    """One test job.

    Attributes:
        cluster: the profile; its own needs are what the job asks for.
        store: the store, through which both sides talk.
        out: where submitit's files and logs go.
        minutes: how long to wait for the job to start.
        tell: called with what is going on, for a person who waits.
    """

    cluster: Cluster
    store: Path
    out: Path
    minutes: float
    tell: Callable[[str], None]
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def name(self) -> str:
        """The job's name."""
        return f"tmbench-doctor-{self.token}"

    def findings(self) -> Iterator[Finding]:
        """Submit, look, listen; the job is ended and its files are removed, unless something was wrong."""
        talk, jobs = self.store / self.name, self.out / self.name
        wrong = False
        with kept_as_it_was(self.store), kept_as_it_was(self.out):
            try:
                for finding in self._findings(talk, jobs):
                    wrong = wrong or finding.good is False
                    yield finding
            finally:
                with contextlib.suppress(SlurmUnavailable):
                    cancel_by_name(self.name)
                shutil.rmtree(talk, ignore_errors=True)
                if not wrong:
                    shutil.rmtree(jobs, ignore_errors=True)

    def _findings(self, talk: Path, jobs: Path) -> Iterator[Finding]:
        talk.mkdir()
        code = snapshot(jobs / "code").path
        try:
            job, log = self._submit(talk, jobs, code)
        except (SubmissionRefused, SlurmUnavailable) as error:
            yield Finding("test job", False, "it was not submitted", str(error))
            return
        submitted = time.monotonic()
        ready = self._started(talk)
        if isinstance(ready, Finding):
            yield ready
            return
        if ready is None:
            yield self._dead(job, log)
            return
        waited = time.monotonic() - submitted
        yield Finding("test job", True, f"{job} on {ready['host']}, {waited:.0f} s after it was submitted")
        yield _python_there(ready, code)
        yield from self._conversation(talk)
        found = self._heard(talk, "devices", TALK_SECONDS + DEVICES_SECONDS)
        if found is None:
            yield self._dead(job, log)
            return
        yield _devices(found, wanted(self.cluster).gpus)
        yield self._warning(talk, job)

    def _submit(self, talk: Path, jobs: Path, code: Path) -> tuple[str, Path]:
        """The job's id and the file of what it says."""
        slurm = self.cluster.slurm
        site = executor(jobs, slurm)
        site.update_parameters(**parameters(slurm, wanted(self.cluster), TEST_MINUTES, self.name, [code]))
        made = patiently(lambda: site.submit(Probe(str(talk), TALK_SECONDS)), seconds=60)
        return str(made.job_id), Path(made.paths.stdout)

    def _started(self, talk: Path) -> dict[str, Any] | Finding | None:
        """What the node says first; a finding when the job does not start in time, None when it ended in silence."""
        end = time.monotonic() + 60 * self.minutes
        gone = float("inf")
        told = ""
        while True:
            ready = heard(talk, "ready", LOOK_SECONDS)
            if ready is not None:
                return ready
            elements = queue([self.name])[self.name]
            if not elements:
                gone = min(gone, time.monotonic())
                if time.monotonic() - gone > UNSEEN_SECONDS:
                    return None
                continue
            gone = float("inf")
            words = f"test job {elements[0].job}: {elements[0].state} {elements[0].reason}".removesuffix(" None")
            if words != told:
                self.tell(words)
            told = words
            if time.monotonic() > end:
                return self._waiting(elements[0])

    def _waiting(self, element: Element) -> Finding:
        text = f"{element.job} is {element.state} after {self.minutes:g} min, reason {element.reason}"
        if element.state == "PENDING" and element.reason.startswith(PASSING):
            return Finding("test job", None, f"{text}: the queue is long; --wait MINUTES waits longer")
        if element.state == "PENDING":
            advice = f"Look up '{element.reason}' in `man squeue` and mend cluster.slurm.*: it may wait forever."
            return Finding("test job", False, text, advice)
        advice = f"Put the store where this machine and the nodes see it: paths.store=DIR, not {self.store}."
        return Finding("test job", False, f"{text}, and nothing that it writes is seen here", advice)

    def _dead(self, job: str, log: Path) -> Finding:
        """The finding of a job that left the queue without a word."""
        state = final_states([job]).get(job, "over")
        if not log.is_file():
            advice = (
                f"Put both where this machine and the nodes see them: paths.out=DIR (now {self.out}), paths.store=DIR."
            )
            return Finding("test job", False, f"{job} is {state} and its log {log} is not seen here", advice)
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1] if lines else "nothing"
        if "memory" in f"{state} {last}".lower():
            advice = f"Raise cluster.needs.memory_gb (now {wanted(self.cluster).memory_gb:g})."
        else:
            advice = "Mend cluster.slurm.setup or cluster.slurm.python."
        return Finding("test job", False, f"{job} is {state}; it said last: {last}", f"{advice} Its log: {log}")

    def _heard(self, talk: Path, name: str, seconds: float) -> dict[str, Any] | None:
        """What the node says; None when it does not in time, or its job is over and has said nothing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = heard(talk, name, min(LOOK_SECONDS, seconds))
            if found is not None:
                return found
            with contextlib.suppress(SlurmUnavailable):
                if not queue([self.name])[self.name]:
                    return heard(talk, name, LOOK_SECONDS)
        return None

    def _conversation(self, talk: Path) -> Iterator[Finding]:
        asked = time.time()
        say(talk, "question", {"token": self.token})
        answer = self._heard(talk, "answer", 2 * TALK_SECONDS)
        seen = time.time()
        if answer is None or answer["token"] != self.token:
            text = f"what is written here in {self.store} is not seen there within {TALK_SECONDS:.0f} s"
            yield Finding(
                "files", False, text, "Put the store where this machine and the nodes see it: paths.store=DIR."
            )
            return
        there = answer["said"] - answer["seen"]
        travel = max(0.0, seen - asked - there)
        yield Finding("files", True, f"written here and seen there, renamed there and seen here: {travel:.1f} s in all")
        # Half of both ways' differences: what a file takes to be seen falls out, where both ways take the same.
        apart = ((answer["seen"] - asked) + (answer["said"] - seen)) / 2
        text = f"{abs(apart):.1f} s apart, give or take {travel / 2:.1f}"
        if abs(apart) - travel / 2 > CLOCK_SECONDS:
            advice = "Ask the site's support to set the clocks: of two results of one unit, the later one counts."
            yield Finding("clocks", False, text, advice)
        else:
            yield Finding("clocks", True, text)

    def _warning(self, talk: Path, job: str) -> Finding:
        """Whether the signal that comes before the time limit reaches Python."""
        advice = (
            "Take what swallows signals out of cluster.slurm.python (a script without exec, apptainer's --pid): a job "
            "whose time is up would lose what it has not saved."
        )
        try:
            ask("scancel", "--batch", "--signal=USR2", job)
        except (CommandFailed, SlurmUnavailable) as error:
            return Finding("warning", None, f"the signal could not be sent: {error}")
        answer = self._heard(talk, "warning", TALK_SECONDS + 10)
        if answer is None or not answer["heard"]:
            return Finding("warning", False, "the signal before the time limit does not reach Python", advice)
        return Finding("warning", True, "the signal before the time limit reaches Python")


def _python_there(ready: dict[str, Any], code: Path) -> Finding:
    text = f"{ready['python']} at {ready['executable']}"
    if not ready["code"].startswith(str(code)):
        advice = "Let the job keep PYTHONPATH (no --cleanenv, no PYTHONPATH= in cluster.slurm.setup or python)."
        return Finding("code there", False, f"{text}, tmbench from {ready['code']} and not from the snapshot", advice)
    return Finding("code there", True, f"{text}, tmbench from the snapshot")


def _devices(answer: dict[str, Any], asked: int) -> Finding:
    if "error" in answer:
        advice = "Install 'tmbench[vision]' for the Python that cluster.slurm.python and .setup choose."
        return Finding("torch there", False, answer["error"], advice)
    names = answer["names"]
    listed = f"sees {len(names)} GPUs{f' ({names[0]})' if names else ''}, {asked} asked for"
    if len(names) < asked:
        advice = "Mend cluster.slurm.gpus_as and gpu_type (`sinfo -o '%P %G'`), or the CUDA of the node's Python."
        return Finding("torch there", False, listed, advice)
    if not asked:
        return Finding("torch there", True, f"{listed}; cluster.needs.gpus=1 tests one")
    return Finding("torch there", True if len(names) == asked else None, listed)

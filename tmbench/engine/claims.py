"""Claims: who is working on which units, so that two runs never do the same work.

Claims are numbered files, each created by an atomic link that fails when the number is taken. A run reads all claims,
picks units that nobody holds and tries to create the next number; if another run was faster it looks again. So two
runs started at once share the work without a lock and without a server.

A claim is held by the process that wrote it, or by the SLURM jobs that it announces. It bears the jobs' names before
they are submitted. Each announced job gets one *verdict*, a file that is created once: *confirmed* with the id of the
job, by the run that submitted it or by the first of its workers; or *void*, by a later run that finds the announcer
dead and no verdict. So a job submitted by a run that died at that very moment either keeps its units or does nothing.
"""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tmbench.files import StoreError, whole_file

STALE_SECONDS = 180.0
"""A claim from another host whose file was not touched for so long belongs to a dead run."""


@dataclass(frozen=True)
class Owner:
    """A process, named so that it cannot be mistaken for a later one with the same number."""

    host: str
    pid: int
    started: str
    """The kernel's start time of the process; "" where the system does not tell."""

    @classmethod
    def current(cls) -> "Owner":
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _start_time(os.getpid()))

    def alive(self) -> bool:
        """Whether the process still runs; only meaningful on its own host."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _start_time(self.pid) == self.started


def _start_time(pid: int) -> str:
    try:
        # Field 22 of stat; the command name before it may hold spaces, so count from its closing bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@dataclass(frozen=True)
class Job:
    """A SLURM job that a claim announces: an array, or a plain job for a single chunk.

    Attributes:
        name: its name in the queue, of this job alone.
        chunks: number of each element's chunk, in the order of the elements.
        units: of each element.
    """

    name: str
    chunks: tuple[int, ...]
    units: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Claim:
    """The units that one run took.

    Attributes:
        path: its file.
        owner: the process that wrote it.
        units: all of its units.
        sweep: the name of the sweep, for people.
        folder: the run's folder, where its frozen units and its workers' markers lie.
        jobs: the SLURM jobs that hold the units; without any, the process does.
    """

    path: Path
    owner: Owner
    units: frozenset[str]
    sweep: str = ""
    folder: str = ""
    jobs: tuple[Job, ...] = ()

    def alive(self) -> bool:
        """Whether the process that wrote it still runs."""
        if self.owner.host == socket.gethostname():
            return self.owner.alive()
        try:
            return time.time() - self.path.stat().st_mtime < STALE_SECONDS
        except FileNotFoundError:
            return False

    def touch(self) -> None:
        """Tell other hosts that the run is alive; where that fails once, the next time will do."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def announce(self, jobs: Sequence[Job], folder: Path) -> "Claim":
        """The claim with the jobs that will hold its units; on disk before the first is submitted.

        Raises:
            StoreError: when it cannot be written, or another run has taken this one for dead meanwhile.
        """
        self._check_held()
        units = frozenset(unit for job in jobs for chunk in job.units for unit in chunk)
        announced = replace(self, units=units, folder=str(folder), jobs=tuple(jobs))
        _write(announced)
        return announced

    def placed(self, folder: Path) -> "Claim":
        """The claim with the folder of its run, where its workers' markers lie.

        Raises:
            StoreError: when it cannot be written, or another run has taken this one for dead meanwhile.
        """
        self._check_held()
        placed = replace(self, folder=str(folder))
        _write(placed)
        return placed

    def _check_held(self) -> None:
        with contextlib.suppress(ValueError):
            if read_claim(self.path).units >= self.units:
                return
        raise StoreError(f"another run took {self.path} for that of a dead one and gave it back: run again.")

    def release(self) -> None:
        """Give the units back. The file stays: a number that was free again could be taken on an old reading.

        On a full disk nothing happens: the claim ends with its process or its jobs all the same.
        """
        with contextlib.suppress(StoreError):
            _write(replace(self, units=frozenset(), jobs=()))

    def verdict(self, number: int) -> str | None:
        """Of the announced job ``number``: the job's id, "" where it is void, None while neither is known."""
        return _verdict(self.path, number)

    def confirm(self, number: int, job: str) -> bool:
        """Say that the announced job ``number`` is in the queue as ``job``; whether it may work.

        Raises:
            StoreError: when the verdict cannot be written.
        """
        return confirmed(self.path, number, job)

    def void(self, number: int) -> bool:
        """Say that the announced job ``number`` shall never work; whether that holds.

        Raises:
            StoreError: when the verdict cannot be written.
        """
        return _decide(self.path, number, "") == ""

    def drop(self, units: Collection[str]) -> None:
        """Tell the workers to leave these units out; the one in progress is finished.

        Raises:
            StoreError: when that cannot be written.
        """
        with whole_file(_dropped_path(self.path)) as stream:
            stream.write("\n".join(sorted({*units, *dropped(self.path)})).encode())


def confirmed(claim: Path, number: int, job: str) -> bool:
    """Whether the job ``number`` that ``claim`` announces may work as ``job``; the first to ask decides.

    Not where the claim is gone: then the store was moved, and what was done here would lie in another.

    Raises:
        StoreError: when the verdict cannot be written.
    """
    return claim.exists() and _decide(claim, number, job) != ""


def dropped(claim: Path) -> frozenset[str]:
    """The units that the workers of ``claim`` shall leave out."""
    try:
        return frozenset(_dropped_path(claim).read_text().split())
    except FileNotFoundError:
        return frozenset()


def _decide(claim: Path, number: int, job: str) -> str:
    """Create the verdict, or find the one that is there."""
    create(_verdict_path(claim, number), json.dumps({"job": job}).encode())
    found = _verdict(claim, number)
    return job if found is None else found


def _verdict(claim: Path, number: int) -> str | None:
    try:
        content = _verdict_path(claim, number).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return str(json.loads(content)["job"])
    except (ValueError, KeyError, TypeError):  # damaged: the queue, asked by the job's name, knows better
        return "unknown"


def _verdict_path(claim: Path, number: int) -> Path:
    return claim.with_name(f"{claim.stem}.{number}.verdict")


def _dropped_path(claim: Path) -> Path:
    return claim.with_name(f"{claim.stem}.dropped")


def create(path: Path, content: bytes) -> bool:
    """Create ``path`` whole, or leave what is there; whether it was created.

    Raises:
        StoreError: when the folder cannot be written.
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.draft")
    try:
        with whole_file(draft) as stream:
            stream.write(content)
        path.hardlink_to(draft)
    except FileExistsError:
        # On a network file system the link may have been made and the answer lost.
        return draft.stat().st_nlink == 2
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}. Make room or mend the folder.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    return True


def read_claims(folder: Path) -> list[Claim]:
    """The claims with units, whoever holds them, oldest first."""
    claims = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):  # torn by a crash of the machine: its run is gone
            claims.append(read_claim(path))
    return [claim for claim in claims if claim.units]


def read_claim(path: Path) -> Claim:
    """The claim in ``path``.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is torn.
    """
    content = json.loads(path.read_bytes())
    try:
        jobs = tuple(
            Job(job["name"], tuple(job["chunks"]), tuple(tuple(units) for units in job["units"]))
            for job in content.get("jobs", ())
        )
        announced = (unit for job in jobs for chunk in job.units for unit in chunk)
        units = frozenset(content["units"]).union(announced)
        return Claim(path, Owner(**content["owner"]), units, content.get("sweep", ""), content.get("folder", ""), jobs)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no claim: {error!r}") from error


def content_of(claim: Claim) -> bytes:
    """The claim as JSON; units that stand under a job are not repeated."""
    content: dict[str, Any] = {
        "owner": asdict(claim.owner),
        "units": [] if claim.jobs else sorted(claim.units),
        "sweep": claim.sweep,
        "folder": claim.folder,
        "jobs": [asdict(job) for job in claim.jobs],
    }
    return json.dumps(content).encode()


def _write(claim: Claim) -> None:
    with whole_file(claim.path) as stream:
        stream.write(content_of(claim))


def next_number(folder: Path) -> int:
    """A number that no claim has had yet."""
    numbers = [int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()]
    return max(numbers, default=0) + 1

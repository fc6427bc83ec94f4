"""Claims: who is working on which units, so that two runs never do the same work.

Claims are numbered files, each created by an atomic link that fails when the number is taken. A run reads all claims,
picks units that nobody holds and tries to create the next number; if another run was faster it looks again. So two
runs started at once share the work without a lock and without a server. A claim ends when its run releases it, or
when the run's process is gone.
"""

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

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
class Claim:
    """The units that one run holds."""

    path: Path
    owner: Owner
    units: frozenset[str]

    def held(self) -> bool:
        """Whether its run is still at work."""
        if self.owner.host == socket.gethostname():
            return self.owner.alive()
        try:
            return time.time() - self.path.stat().st_mtime < STALE_SECONDS
        except FileNotFoundError:
            return False

    def touch(self) -> None:
        """Tell other hosts that the run is alive."""
        if self.path.exists():
            os.utime(self.path)

    def release(self) -> None:
        """Give the units back. The file stays: a number that was free again could be taken on an old reading.

        On a full disk nothing happens: the claim ends with its process all the same.
        """
        with contextlib.suppress(StoreError), whole_file(self.path) as stream:
            stream.write(_content(self.owner, ()))


def held_claims(folder: Path) -> list[Claim]:
    """The claims whose runs are still at work."""
    claims = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except ValueError:  # torn by a crash of the machine, so its run is gone as well
            continue
        claims.append(Claim(path, Owner(**content["owner"]), frozenset(content["units"])))
    return [claim for claim in claims if claim.units and claim.held()]


def _content(owner: Owner, units: Collection[str]) -> bytes:
    return json.dumps({"owner": vars(owner), "units": sorted(units)}).encode()


def claim(folder: Path, wanted: Collection[str]) -> tuple[Claim, list[Claim]]:
    """Claim those of ``wanted`` that no living run holds.

    Returns:
        The new claim (its ``units`` may be empty), and the other runs' claims that overlap with ``wanted``.

    Raises:
        StoreError: when the folder cannot be written.
    """
    owner = Owner.current()
    draft = folder / f".{uuid.uuid4().hex}.draft"
    try:
        while True:
            # The number is chosen before the claims are read: a claim that appears in between takes that number.
            number = _next_number(folder)
            others = [other for other in held_claims(folder) if other.units.intersection(wanted)]
            free = frozenset(wanted).difference(*(other.units for other in others))
            path = folder / f"{number:06d}.json"
            with whole_file(draft) as stream:
                stream.write(_content(owner, free))
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                continue
            return Claim(path, owner, free), others
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}. Make room or mend the folder.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _next_number(folder: Path) -> int:
    numbers = [int(path.stem) for path in folder.glob("*.json")]
    return max(numbers, default=0) + 1

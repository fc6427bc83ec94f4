"""Markers: which unit each worker has in hand, so that a death without a word can be laid at its door.

A marker lies beside the frozen units of its run while its worker is at work, and stays when that is killed.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tmbench.files import StoreError

WIDTH = 200
"""Bytes of a marker's file."""


@dataclass(frozen=True)
class Marker:
    """What a worker has in hand, so that its death can be laid at that unit's door.

    Attributes:
        path: the marker's file, which lies beside the frozen units.
        chunk: number of the chunk.
        unit: id of the unit.
        job: SLURM's id of the worker's job, "" outside SLURM.
        deaths: how many workers of the chunk died of this unit before.
        restart: how often SLURM had requeued the job. A worker that SLURM gave up for lost may live, beside the one
            that took its place under the same job.
    """

    path: Path
    chunk: int
    unit: str
    job: str = ""
    deaths: int = 0
    restart: int = 0

    def content(self) -> str:
        """The marker as its file holds it."""
        return json.dumps({"unit": self.unit, "job": self.job, "deaths": self.deaths, "restart": self.restart})


def marker_path(frozen: str, chunk: int) -> Path:
    """Where the marker of a chunk of the frozen units lies."""
    return Path(frozen).with_suffix(f".chunk{chunk}")


def write_marker(marker: Marker) -> None:
    """Keep the marker, in place: replacing its file takes longer than a thousand units of no work.

    Blanks at the end cover what a longer marker left; a reader takes a torn one for none.

    Raises:
        StoreError: when it cannot be written.
    """
    try:
        file = os.open(marker.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, marker.content().ljust(WIDTH).encode())
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(
            f"cannot write {marker.path}: {error.strerror or error}. Make room or mend the folder, then run again."
        ) from error


def read_marker(path: Path) -> Marker | None:
    """The marker in ``path``; None when there is none, or its worker died while it wrote it."""
    try:
        content = json.loads(path.read_text())
        number = int(path.suffix.removeprefix(".chunk"))
        restart = content.get("restart", 0)
        return Marker(path, number, content["unit"], content["job"], content["deaths"], restart)
    except (FileNotFoundError, ValueError):
        return None


def remove_marker(path: Path, job: str, restart: int) -> None:
    """Remove the marker of this very worker; that of another is let be, and one that cannot be removed stays."""
    with contextlib.suppress(OSError):
        marker = read_marker(path)
        if marker is not None and (marker.job, marker.restart) == (job, restart):
            path.unlink()


def restarts() -> int:
    """How often SLURM has requeued the job that this process runs in; 0 outside."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def markers(folder: Path) -> Iterator[Marker]:
    """The markers of a run."""
    for path in sorted(folder.glob("*.chunk*")):
        marker = read_marker(path)
        if marker is not None:
            yield marker

"""What is known of one unit: each attempt at it, and the files that its workers wrote."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmbench.engine.claims import read_claim
from tmbench.engine.holdings import Holding
from tmbench.engine.shards import COLUMNS, Reader
from tmbench.engine.slurm.site import Element

ENDS = 40
"""Lines of a file that are shown: its last ones."""
LONGEST = 200_000
"""Bytes of a file that are looked through for them."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: its record without the key, and its values by measure ("" where there is but one)."""

    record: dict[str, Any]
    values: dict[str, float | None] = field(default_factory=dict)


def attempts(folder: Path, id: str) -> list[Attempt]:
    """All attempts at ``id`` in the shards of ``folder``, the earliest first.

    Raises:
        StoreError: for an error of the file system.
    """
    found: dict[tuple[str, str, str], Attempt] = {}
    for _, table in Reader([name for name, _ in COLUMNS if name != "key"]).new(folder):
        for place, other in enumerate(table["id"].to_pylist()):
            if other == id:
                (row,) = table.slice(place, 1).to_pylist()
                measure, value = row.pop("measure"), row.pop("value")
                attempt = found.setdefault((row["finished"], row["run"], row["status"]), Attempt(row))
                attempt.values[measure] = value
    return [found[key] for key in sorted(found)]


def job_outputs(run: str, job: str, runs: Path, claims: Path) -> list[Path]:
    """What a SLURM job of a run wrote to stdout and stderr, as far as it is there.

    Args:
        run: name of the run.
        job: SLURM's id of the job, as records have it.
        runs: where the study's runs lie.
        claims: those of the store, which know the runs of other studies.
    """
    if not (run and job):
        return []
    for folder in (runs / run, *_elsewhere(run, claims)):
        found = sorted((folder / "jobs").glob(f"*/{job}_0_log.*"), key=lambda path: path.suffix, reverse=True)
        if found:
            return found
    return []


def _elsewhere(run: str, claims: Path) -> Iterator[Path]:
    for path in sorted(claims.glob("*.json"), reverse=True):
        try:
            folder = Path(read_claim(path).folder)
        except (FileNotFoundError, ValueError):
            continue
        if folder.name == run:
            yield folder


def end_of(path: Path, lines: int = ENDS) -> list[str]:
    """The last lines of a text file; none where it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - LONGEST))
            return stream.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def element_of(held: Holding, id: str) -> Element | None:
    """The job in the queue that holds a unit; None where a process does, or a job is being submitted."""
    return next((element for element in held.elements if id in held.units_of(element)), None)

"""Settling: what to record of workers that ended without a word, and giving back what their claims held.

A worker leaves a marker that names the unit in hand. Where its job is over and the marker is still there, it was
killed: how, sacct knows. One question for all such jobs, and only when there are some.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tmbench.engine.chunks import read_unit
from tmbench.engine.holdings import Holding, holdings
from tmbench.engine.markers import Marker
from tmbench.engine.records import Records, write_shard
from tmbench.engine.slurm.site import final_states
from tmbench.engine.workbench import failure_rows
from tmbench.errors import TmbenchError

CLASSES = {
    "TIMEOUT": ("timeout", "its job's time was up before it could save itself"),
    "DEADLINE": ("timeout", "its job's deadline came"),
    "OUT_OF_MEMORY": ("out_of_memory", "SLURM killed its job for using more memory than was asked for"),
    "NODE_FAIL": ("node_failure", "its node went down"),
    "BOOT_FAIL": ("node_failure", "its node did not start"),
}
"""How SLURM says a job ended → the class of failure, and its words."""

NOBODY = frozenset({"CANCELLED", "COMPLETED", "PREEMPTED", "REVOKED"})
"""Ends that are not the unit's fault (a worker that could not write the store completes): it is simply to be done."""


NOTES = {"TIME LIMIT": "TIMEOUT", "NODE FAILURE": "NODE_FAIL", "PREEMPTION": "PREEMPTED", "JOB REQUEUE": "PREEMPTED"}
"""What slurmstepd writes into the log of a job that it ends → sacct's word."""


class WorkerDied(TmbenchError):
    """A worker's process ended without a word."""

    def __init__(self, failure: str, text: str) -> None:
        """Of the class ``failure``."""
        super().__init__(text)
        self.failure = failure


def settle(store: Path) -> list[Holding]:
    """Record the deaths of workers whose jobs are over, and give their claims back; what is still held.

    Raises:
        StoreError: when the store cannot be written.
    """
    all_of_them = holdings(store / "claims")
    dead = [marker for held in all_of_them for marker in held.dead()]
    ends = final_states({marker.job for marker in dead if marker.job})
    known = Records().merge(store / "records") if dead else Records()
    for marker in dead:
        if _taken(marker):
            rows = list(_rows(marker, ends.get(marker.job, ""), known))
            if rows:
                write_shard(store / "records", f"{marker.path.parent.name}-deaths", rows)
    for held in all_of_them:
        if not held.units and not held.orphans:  # orphans are made void by whoever takes their units
            held.claim.release()
    return [held for held in all_of_them if held.units]


def _taken(marker: Marker) -> bool:
    """Whether this process is the one to settle the marker: two runs may find it at once."""
    with suppress(FileNotFoundError):
        aside = marker.path.with_name(f".{marker.path.name}.{uuid.uuid4().hex[:8]}")
        marker.path.rename(aside)
        aside.unlink()
        return True
    return False


def _rows(marker: Marker, end: str, known: Records) -> Iterator[dict[str, Any]]:
    unit = read_unit(marker.path.with_suffix(".parquet"), marker.unit)
    log = log_of(marker)
    end = end or _end_by_log(log)
    if unit is None or end in NOBODY or unit.id in known.done:
        return
    failure, words = CLASSES.get(end, ("killed", "its worker was killed from outside, or broke down"))
    if "exceeded memory limit" in _last_words(log):  # killed by the accounting, which calls that FAILED
        failure, words = CLASSES["OUT_OF_MEMORY"]
    error = WorkerDied(failure, f"{words} (job {marker.job or 'unknown'}{f', {end}' if end else ''})")
    yield from (
        {**record, "run": marker.path.parent.name, "job": marker.job} for record in failure_rows(unit, error, log)
    )


def _end_by_log(log: str) -> str:
    """How the job ended by SLURM's own note in its log: sacct may learn of it seconds later, or not at all."""
    found = re.findall(r"CANCELLED AT \S+(?: DUE TO ([A-Z ]+))? \*\*\*", _last_words(log))
    if not found:
        return ""
    return NOTES.get(found[-1].strip(), "CANCELLED")


def _last_words(log: str) -> str:
    with suppress(OSError):
        return Path(log).read_bytes()[-10_000:].decode(errors="replace")
    return ""


def log_of(marker: Marker) -> str:
    """The file in which the worker's last words stand, or the folder where it would."""
    folder = marker.path.parent / "jobs"
    found: Sequence[Path] = sorted(folder.glob(f"*/{marker.job}_0_log.out")) if marker.job else []
    return str(found[0] if found else folder)

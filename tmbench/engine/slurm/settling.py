"""Settling: what to record of workers that ended without a word, and giving back what their claims held.

A worker leaves a marker that names the unit in hand. Where its job is over and the marker is still there, it was
killed: how, sacct knows. One question for all such jobs, and only when there are some.
"""

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tmbench.engine.chunks import read_units
from tmbench.engine.claims import create
from tmbench.engine.holdings import Holding, holdings
from tmbench.engine.markers import Marker
from tmbench.engine.records import Records, write_shard
from tmbench.engine.slurm.site import SlurmUnavailable, final_states, release
from tmbench.engine.units import Unit
from tmbench.engine.workbench import failure_rows
from tmbench.errors import TmbenchError
from tmbench.files import StoreError

CLASSES = {
    "TIMEOUT": ("timeout", "its job's time was up before it could save itself"),
    "DEADLINE": ("timeout", "its job's deadline came"),
    "OUT_OF_MEMORY": ("out_of_memory", "SLURM killed its job for using more memory than was asked for"),
    "NODE_FAIL": ("node_failure", "its node went down"),
    "BOOT_FAIL": ("node_failure", "its node did not start"),
}
"""How SLURM says a job ended → the class of failure, and its words."""

NOBODY = frozenset({"CANCELLED", "PREEMPTED", "REVOKED"})
"""Ends that are not the unit's fault: it is simply to be done."""


NOTES = {"TIME LIMIT": "TIMEOUT", "NODE FAILURE": "NODE_FAIL", "PREEMPTION": "PREEMPTED", "JOB REQUEUE": "PREEMPTED"}
"""What slurmstepd writes into the log of a job that it ends → sacct's word."""

NOT_LAUNCHED = "launch failed requeued held"
"""The reason of a job whose node failed it before it began; SLURM keeps it until its owner lets it go again."""


class WorkerDied(TmbenchError):
    """A worker's process ended without a word."""

    def __init__(self, failure: str, text: str) -> None:
        """Of the class ``failure``."""
        super().__init__(text)
        self.failure = failure


def settle(store: Path) -> list[Holding]:
    """Record the deaths of workers whose jobs are over, and give their claims back; what is still held.

    Jobs that SLURM holds because their launch failed are let go.

    Raises:
        StoreError: when the store cannot be written.
    """
    all_of_them = holdings(store / "claims")
    with suppress(SlurmUnavailable):
        release([one.job for held in all_of_them for one in held.elements if one.reason == NOT_LAUNCHED])
    over = [held for held in all_of_them if not held.units and not held.orphans]  # orphans: their next taker's
    dead = [marker for held in all_of_them for marker in held.dead()]
    elements = {held.claim.path: _elements(held) for held in over}
    ends = final_states({marker.job for marker in dead if marker.job}.union(*elements.values()))
    known = Records().merge(store / "records") if dead or any(elements.values()) else Records()
    for folder in {marker.path.parent for marker in dead}:
        mine = {aside: marker for marker in dead if marker.path.parent == folder and (aside := _taken(marker))}
        rows = list(_rows(list(mine.values()), ends, known))
        try:
            if rows:
                write_shard(store / "records", f"{folder.name}-deaths", rows)
        except StoreError:
            for aside, marker in mine.items():
                aside.rename(marker.path)  # for the next run to settle
            raise
        for aside in mine:
            aside.unlink(missing_ok=True)
    for held in over:
        # Once, whoever does it: two runs may come to this at the same moment.
        if elements[held.claim.path] and create(held.claim.path.with_suffix(".settled"), b""):
            began = {(marker.path.parent, marker.chunk) for marker in dead}
            rows = list(_rows_of_unborn(held.claim.folder, elements[held.claim.path], ends, known, began))
            if rows:
                write_shard(store / "records", f"{Path(held.claim.folder).name}-deaths", rows)
        held.claim.release()
    return [held for held in all_of_them if held.units]


def _elements(held: Holding) -> dict[str, tuple[int, Sequence[str]]]:
    """Id of each element of a claim's jobs → its chunk, and the units of that."""
    out: dict[str, tuple[int, Sequence[str]]] = {}
    for number, job in enumerate(held.claim.jobs):
        array = held.claim.verdict(number) or ""
        for index, (chunk, units) in enumerate(zip(job.chunks, job.units, strict=True)):
            if array.isdigit():
                out[f"{array}_{index}" if len(job.chunks) > 1 else array] = (chunk, units)
    return out


def _rows_of_unborn(
    folder: str,
    elements: Mapping[str, tuple[int, Sequence[str]]],
    ends: Mapping[str, str],
    known: Records,
    began: Collection[tuple[Path, int]],
) -> Iterator[dict[str, Any]]:
    """The records of chunks whose jobs failed before a worker had any unit in hand: a wrong Python, say."""
    place = Path(folder)
    for job, (chunk, ids) in elements.items():
        log = _log(place, job)
        end = ends.get(job) or _end_by_log(log) or ("COMPLETED" if _ended_well(log) else "FAILED")
        seen = any(id in known.done or _failed_in(known, id) == place.name for id in ids)
        if end == "COMPLETED" or end in NOBODY or seen or (place, chunk) in began:
            continue
        failure, words = CLASSES.get(end, ("killed", "its job ended before it began with any unit: see its log"))
        error = WorkerDied(failure, f"{words} (job {job}, {end})")
        for unit in read_units(place / "units.parquet", ids).values():
            yield from ({**record, "run": place.name, "job": job} for record in failure_rows(unit, error, log))


def _failed_in(known: Records, id: str) -> str:
    """The run in which ``id`` failed last, or ""."""
    failure = known.failures.get(id)
    return "" if failure is None else str(failure["run"])


def _ended_well(log: str) -> bool:
    """Whether a job ended as submitit's do, or never began: an element that is cancelled while it waits has no log."""
    return not Path(log).is_file() or "Job completed successfully" in _last_words(log)


def _taken(marker: Marker) -> Path | None:
    """The marker's new name, where this process is the one to settle it: two runs may find it at once."""
    aside = marker.path.with_name(f".{marker.path.name}.{uuid.uuid4().hex[:8]}")
    try:
        return marker.path.rename(aside)
    except FileNotFoundError:
        return None


def _rows(dead: Sequence[Marker], ends: Mapping[str, str], known: Records) -> Iterator[dict[str, Any]]:
    """The records of the units that workers of one run died of."""
    blamed = {}
    for marker in dead:
        log = log_of(marker)
        end = ends.get(marker.job) or _end_by_log(log)
        if end not in NOBODY and marker.unit not in known.done:
            blamed[marker] = (log, end)
    units: dict[str, Unit] = {}
    for path in {marker.path.with_suffix(".parquet") for marker in blamed}:
        units |= read_units(path, {marker.unit for marker in blamed})
    for marker, (log, end) in blamed.items():
        if marker.unit in units:
            rows = failure_rows(units[marker.unit], _error(marker, log, end), log)
            yield from ({**record, "run": marker.path.parent.name, "job": marker.job} for record in rows)


def _error(marker: Marker, log: str, end: str) -> WorkerDied:
    failure, words = CLASSES.get(end, ("killed", "its worker was killed from outside, or broke down"))
    if "exceeded memory limit" in _last_words(log):  # killed by the accounting, which calls that FAILED
        failure, words = CLASSES["OUT_OF_MEMORY"]
    return WorkerDied(failure, f"{words} (job {marker.job or 'unknown'}{f', {end}' if end else ''})")


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
    return _log(marker.path.parent, marker.job)


def _log(run: Path, job: str) -> str:
    found: Sequence[Path] = sorted((run / "jobs").glob(f"*/{job}_0_log.out")) if job else []
    return str(found[0] if found else run / "jobs")

"""The worker: does the units of a chunk one after the other, in whatever process it is called.

A unit that fails becomes a record and the chunk goes on. A chunk ends early when the store cannot be written, because
then nothing that follows could be kept; when several units in a row fail alike, because then the rest would too; and
when the worker is told to stop, in which case the unit in hand saves its state.
"""

import contextlib
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.engine.chunks import Chunk
from tmbench.engine.claims import Owner, confirmed, dropped
from tmbench.engine.failures import MAX_ATTEMPTS
from tmbench.engine.interruption import Interrupted, Interruption
from tmbench.engine.leftovers import finished_in
from tmbench.engine.markers import Marker, marker_path, read_marker, write_marker
from tmbench.engine.provenance import job_ids, where
from tmbench.engine.records import RecordWriter, now, row
from tmbench.engine.slurm.site import patiently
from tmbench.engine.state import has_inputs
from tmbench.engine.threads import one_thread
from tmbench.engine.units import Unit
from tmbench.engine.workbench import Perform, Rows, Workbench, failure_rows, own_seconds
from tmbench.errors import TmbenchError
from tmbench.files import StoreError
from tmbench.functions import find_function

if TYPE_CHECKING:
    import submitit

ALIKE = 5
"""After so many units in a row that fail alike, the rest of the chunk is left."""


class DiedOf(TmbenchError):
    """Workers died again and again of one unit, without a word."""

    failure = "node_failure"


@dataclass(frozen=True)
class Worker:
    """A job: one chunk, its store, and who asked for it. Small, because submitit pickles it.

    Attributes:
        chunk: what is to be done.
        store: the store's folder.
        run: name of the run.
        commit: of tmbench, with ``+`` when the tree was dirty.
        owner: the process whose death ends the work; None where the work outlives it.
        claim: file of the claim, and ``announced``, the number of the SLURM job in it; "" outside SLURM.
        skip: units of the chunk that are finished or that killed an earlier worker.
        flush_seconds: how often records are written.
        checkpoint_seconds: how often a training saves its state.
        grace_seconds: how long after the site's warning a unit may go on to a point where its state is whole.
        gpus: graphics processors that the job holds.
        perform: the function that does a unit, by reference (tmbench/functions.py).
    """

    chunk: Chunk
    store: str
    run: str
    commit: str
    owner: Owner | None = None
    claim: str = ""
    announced: int = 0
    skip: tuple[str, ...] = ()
    flush_seconds: float = 5.0
    checkpoint_seconds: float = 600.0
    grace_seconds: float = 60.0
    gpus: int = 0
    perform: str = "tmbench.engine.stages:perform"

    @property
    def marker(self) -> Path:
        """The file that names the unit in progress, so that a worker's death can be laid at its door."""
        return marker_path(self.chunk.path, self.chunk.number)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit queues again: the same chunk; finished units are found in the records."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> str:
        """Do the chunk; return "" or, where the store could not be written, what to tell the user."""
        interruption = Interruption()
        listening: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        try:
            if self.claim:
                if not confirmed(Path(self.claim), self.announced, job_ids()[0].partition("_")[0]):
                    print("the run that submitted this job died and another took its units over: nothing to do")
                    return ""
                listening = interruption.listening(warning_signal(), self.grace_seconds)
            with one_thread(), listening:
                self._do(Workbench(Path(self.store), interruption, self.checkpoint_seconds))
        except StoreError as error:
            with contextlib.suppress(OSError):  # the unit in hand is not at fault
                self.marker.unlink(missing_ok=True)
            print(error, file=sys.stderr)
            return str(error)
        except Interrupted:
            self._stop(interruption)
        return ""

    def _stop(self, interruption: Interruption) -> None:
        """End as SLURM asked for: what is finished is recorded, the unit in hand has saved its state."""
        self.marker.unlink(missing_ok=True)
        if interruption.requeues:
            try:
                patiently(interruption.requeue)  # does not come back: submitit ends the process
            except Exception as error:  # SLURM has requeued it already, say; else the next run takes the chunk up
                print(f"not requeued from here: {error}", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)

    def _do(self, bench: Workbench) -> None:
        perform: Perform = find_function(self.perform)
        name = f"{self.run}-{self.chunk.number:03d}"
        with RecordWriter(bench.store / "records", name, self.flush_seconds) as records:
            units = self.chunk.units()
            left = self._left(units, bench, records)
            alike = Alike()
            while left:
                unit = left.pop(0)
                if self.owner is not None and not self.owner.alive():
                    break  # the run that claimed these units is gone; another may be doing them
                if not has_inputs(unit, bench.store) or (self.claim and unit.id in dropped(Path(self.claim))):
                    continue
                bench.interruption.check()
                self._mark(unit)
                rows = self._attempt(unit, bench, perform)
                records.add(rows)
                if alike.after(rows[0]) and left:
                    records.add([self._given_up(rows[0], left)])
                    break
            self.marker.unlink(missing_ok=True)

    def _left(self, units: Sequence[Unit], bench: Workbench, records: RecordWriter) -> list[Unit]:
        """What of the chunk is to be done: where an earlier worker of it ended early, what that one has left."""
        done: set[str] = set(self.skip)
        marker = read_marker(self.marker)
        if marker is not None or os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            done |= finished_in(self.run, units, bench.store)
        if marker is not None and marker.deaths + 1 >= MAX_ATTEMPTS:
            for unit in units:
                if unit.id == marker.unit and unit.id not in done:
                    error = DiedOf(f"{marker.deaths + 1} workers died while they did this unit")
                    log = bench.log(unit, str(error))
                    records.add({**record, **self._where(None)} for record in failure_rows(unit, error, log))
                    done.add(unit.id)
        return [unit for unit in units if unit.id not in done]

    def _mark(self, unit: Unit) -> None:
        earlier = read_marker(self.marker)
        deaths = earlier.deaths + 1 if earlier is not None and earlier.unit == unit.id else 0
        marker = Marker(self.marker, self.chunk.number, unit.id, job_ids()[0], deaths)
        write_marker(marker)

    def _attempt(self, unit: Unit, bench: Workbench, perform: Perform) -> Rows:
        """Do one unit; what it came to, good or bad, as records."""
        started = now()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                rows = perform(unit, bench)
            if not rows:
                raise RuntimeError(f"{unit.stage} unit {unit.id} gave no record")
        except StoreError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may call sys.exit
            rows, caught = failure_rows(unit, error, bench.log(unit, traceback.format_exc())), []
        if caught:
            bench.log(unit, "".join(f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})\n" for w in caught))
        place = self._where(now() - started)  # one for all: rows of one attempt are told by their common time
        return [{**record, **place, **own_seconds(record)} for record in rows]

    def _where(self, seconds: float | None) -> dict[str, Any]:
        """The provenance that all records of an attempt share."""
        finished = datetime.now(UTC).isoformat(timespec="microseconds")
        return {"seconds": seconds, "commit": self.commit, "run": self.run, "finished": finished, **where(self.gpus)}

    def _given_up(self, last: dict[str, Any], left: Sequence[Unit]) -> dict[str, Any]:
        """The record of a chunk that ended before its units."""
        job, _ = job_ids()
        return row(
            id=f"{self.run}-{self.chunk.number}",
            stage="chunk",
            name=f"chunk {self.chunk.number} of {self.run}",
            status="failed",
            failure=last["failure"],
            message=f"{ALIKE} units in a row failed alike, {len(left)} were left: {last['message']}",
            details={"left": [unit.id for unit in left], "job": job},
            log=last["log"],
            **self._where(None),
        )


class Alike:
    """Counts units in a row that fail in the same words, numbers aside."""

    def __init__(self) -> None:
        """None so far."""
        self._last, self._count = "", 0

    def after(self, record: dict[str, Any]) -> bool:
        """Take the unit's record; whether ``ALIKE`` in a row have failed alike."""
        if record["status"] == "done":
            self._last, self._count = "", 0
            return False
        words = f"{record['failure']} {re.sub(r'[0-9]+', '#', record['message'])}"
        self._count = self._count + 1 if words == self._last else 1
        self._last = words
        return self._count >= ALIKE


def warning_signal() -> int:
    """The signal by which the site warns a job, as submitit names it."""
    from submitit.core.job_environment import JobEnvironment

    return int(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"])

"""The worker: does the units of a chunk one after the other, in whatever process it is called.

A unit that fails becomes a record and the chunk goes on. A chunk ends early when the store cannot be written, because
then nothing that follows could be kept; when several units in a row fail alike, because then the rest would too; and
when the worker is told to stop, in which case the unit in hand saves its state.
"""

import contextlib
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
from tmbench.engine.interruption import Interrupted, Interruption, NotRequeued, TooManyTimeouts
from tmbench.engine.leftovers import Late, TookTooLong, counted, finished_in, late_path
from tmbench.engine.markers import Marker, marker_path, read_marker, remove_marker, restarts, write_marker
from tmbench.engine.provenance import job_ids, where
from tmbench.engine.records import RecordWriter, row, write_shard
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

MOST = 0.5
"""A unit that had so much of its worker's time is what the time was too short for."""


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
        cpus: processor cores, likewise.
        code: the frozen code that it must run; "" where none was frozen.
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
    cpus: int = 1
    code: str = ""
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
        if not __file__.startswith(self.code):
            raise TmbenchError(f"{self.code} is gone, and this is not the code that was frozen: run again.")
        interruption = Interruption()
        bench = Workbench(Path(self.store), interruption, self.checkpoint_seconds)
        listening: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        try:
            if self.claim:
                if not confirmed(Path(self.claim), self.announced, job_ids()[0].partition("_")[0]):
                    print(f"{self.claim} gives this job no units any more: nothing to do")
                    return ""
                listening = interruption.listening(warning_signal(), self.grace_seconds)
            with one_thread(), listening:
                self._do(bench)
        except StoreError as error:
            self._unmark()  # the unit in hand is not at fault
            print(error, file=sys.stderr)
            return str(error)
        except Interrupted:
            self._stop(bench)
        return ""

    def _stop(self, bench: Workbench) -> None:
        """End as SLURM asked for: what is finished is recorded, the unit in hand has saved its state, or is late."""
        self._unmark()
        late = counted(bench, late_path(self.chunk.path, self.chunk.number))
        if late is not None and late.times >= MAX_ATTEMPTS:
            self._too_long(bench, late)
        if bench.interruption.requeues:
            try:
                bench.interruption.requeue(job_ids()[0])  # comes back only where SLURM requeues the job itself
            except TooManyTimeouts as error:
                # A unit that began late is done by the next run, where it begins earlier.
                if late is not None and late.times < MAX_ATTEMPTS and bench.share >= MOST:
                    self._too_long(bench, late)
                print(f"{error} The next `tmbench run` does what is left of the chunk.", file=sys.stderr)
            except NotRequeued as error:
                print(error, file=sys.stderr)
            except Exception as error:  # submitit could not write its file: the next run takes the chunk up
                print(f"not requeued from here: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)

    def _too_long(self, bench: Workbench, late: Late) -> None:
        """Record that the unit in hand needs more time than its job has; the chunk's others are left to be done."""
        assert bench.unit is not None
        error = TookTooLong(late.times)
        rows = failure_rows(bench.unit, error, bench.log(bench.unit, str(error)))
        place = self._where(late.seconds)
        try:
            write_shard(bench.store / "records", self._name, [{**record, **place} for record in rows])
        except StoreError as problem:
            print(problem, file=sys.stderr)

    def _do(self, bench: Workbench) -> None:
        perform: Perform = bench.interruption.breakable(lambda: find_function(self.perform))
        with RecordWriter(bench.store / "records", self._name, self.flush_seconds) as records:
            earlier = read_marker(self.marker)
            left = self._left(earlier, bench, records)
            alike = Alike()
            while left:
                unit = left.pop(0)
                if self.owner is not None and not self.owner.alive():
                    break  # the run that claimed these units is gone; another may be doing them
                if not has_inputs(unit, bench.store) or (self.claim and unit.id in dropped(Path(self.claim))):
                    continue
                bench.interruption.check()
                if not self._mark(unit, earlier):
                    print("SLURM gave this worker up and put another in its place: the rest is left to that")
                    break
                rows = self._attempt(unit, bench, perform)
                self._keep(rows, bench, records)
                if alike.after(rows[0]) and left:
                    records.add([self._given_up(rows[0], left)])
                    break
            self._unmark()

    @property
    def _name(self) -> str:
        """With what the names of its shards begin."""
        return f"{self.run}-{self.chunk.number:03d}"

    def _left(self, marker: Marker | None, bench: Workbench, records: RecordWriter) -> list[Unit]:
        """What of the chunk is to be done: where an earlier worker of it ended early, what that has left."""
        units = self.chunk.units()
        done: set[str] = set(self.skip)
        if marker is not None or restarts():
            done |= finished_in(self.run, units, bench.store)
        if marker is not None and marker.deaths + 1 >= MAX_ATTEMPTS:
            for unit in units:
                if unit.id == marker.unit and unit.id not in done:
                    error = DiedOf(f"{marker.deaths + 1} workers died while they did this unit")
                    log = bench.log(unit, str(error))
                    records.add({**record, **self._where(None)} for record in failure_rows(unit, error, log))
                    done.add(unit.id)
        return [unit for unit in units if unit.id not in done]

    def _mark(self, unit: Unit, earlier: Marker | None) -> bool:
        """Say which unit is in hand; False where another worker has the chunk, under the same job requeued.

        ``earlier`` is what lay there when this one began; what came since is of a worker that SLURM took for lost.
        """
        deaths = earlier.deaths + 1 if earlier is not None and earlier.unit == unit.id else 0
        mine = Marker(self.marker, self.chunk.number, unit.id, job_ids()[0], deaths, restarts())
        found = read_marker(self.marker)
        if found is not None and found.job == mine.job and found.restart > mine.restart:
            return False
        write_marker(mine)
        return True

    def _unmark(self) -> None:
        remove_marker(self.marker, job_ids()[0], restarts())

    def _keep(self, rows: Rows, bench: Workbench, records: RecordWriter) -> None:
        """Hand the unit's records over, and only when they are on disk let its state go."""
        records.add(rows)
        if bench.state is None:
            return
        if bench.state.kept:
            records.flush()
        if rows[0]["status"] == "done":
            bench.state.discard()
        else:
            bench.state.count_from_here()

    def _attempt(self, unit: Unit, bench: Workbench, perform: Perform) -> Rows:
        """Do one unit; what it came to, good or bad, as records."""
        bench.take(unit)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("default")
                rows = bench.interruption.breakable(lambda: perform(unit, bench))
            if not rows:
                raise RuntimeError(f"{unit.stage} unit {unit.id} gave no record")
        except StoreError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may call sys.exit
            rows, caught = failure_rows(unit, error, bench.log(unit, traceback.format_exc())), []
        if caught:
            bench.log(unit, "".join(f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})\n" for w in caught))
        seconds = bench.seconds + (bench.state.earlier_seconds if bench.state is not None else 0.0)
        bench.put_down()
        place = self._where(seconds)  # one for all: rows of one attempt are told by their common time
        return [{**record, **place, **own_seconds(record)} for record in rows]

    def _where(self, seconds: float | None) -> dict[str, Any]:
        """The provenance that all records of an attempt share."""
        finished = datetime.now(UTC).isoformat(timespec="microseconds")
        made = {"seconds": seconds, "commit": self.commit, "run": self.run, "finished": finished}
        return made | where(self.gpus, self.cpus)

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

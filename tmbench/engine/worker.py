"""The worker: does the units of a chunk one after the other, in whatever process it is called.

A unit that fails becomes a record and the chunk goes on. Only a store that cannot be written ends a chunk early,
because then nothing that follows could be kept.
"""

import os
import platform
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmbench import __version__
from tmbench.engine.artifacts import artifact_path
from tmbench.engine.chunks import Chunk
from tmbench.engine.claims import Owner
from tmbench.engine.failures import classify
from tmbench.engine.records import RecordWriter, now, row
from tmbench.engine.units import Unit
from tmbench.files import StoreError
from tmbench.functions import find_function
from tmbench.identity import canonical

Rows = list[dict[str, Any]]
Perform = Callable[[Unit, "Workbench"], Rows]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Workbench:
    """What a chunk keeps from one unit to the next: the store, and the source and target in hand."""

    def __init__(self, store: Path) -> None:
        """Work on ``store``."""
        self.store = store
        self._held: dict[str, tuple[str, Any]] = {}

    def artifact(self, stage: str, id: str) -> Path:
        """Where the artifact of a unit lies."""
        return artifact_path(self.store, stage, id)

    def once(self, slot: str, key: str, make: Callable[[], Any]) -> Any:
        """``make()``, kept until the slot is asked for another key: units are sorted so that this rarely happens."""
        held = self._held.get(slot)
        if held is None or held[0] != key:
            self._held.pop(slot, None)  # free the old one before the new one is made
            held = self._held[slot] = (key, make())
        return held[1]

    def log(self, unit: Unit, text: str) -> str:
        """Keep ``text`` in the unit's log; return its path. A log that cannot be written loses no result."""
        path = self.store / "logs" / unit.id[:2] / f"{unit.id}-{unit.stage}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as stream:
                stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {unit.name}\n{text}\n")
        except OSError as error:
            print(f"cannot write {path}: {error}", file=sys.stderr)
        return str(path)


@dataclass(frozen=True)
class Worker:
    """A job: one chunk, its store, and who asked for it. Small, because submitit pickles it."""

    chunk: Chunk
    store: str
    run: str
    commit: str
    owner: Owner | None = None
    skip: tuple[str, ...] = ()
    """Units of the chunk that are finished or that killed an earlier worker."""
    flush_seconds: float = 5.0
    perform: str = "tmbench.engine.stages:perform"
    """The function that does a unit, by reference (tmbench/functions.py)."""

    @property
    def marker(self) -> Path:
        """The file that names the unit in progress, so that a worker's death can be laid at its door."""
        return Path(self.chunk.path).with_suffix(f".chunk{self.chunk.number}")

    def __call__(self) -> str:
        """Do the chunk; return "" or, where the store could not be written, what to tell the user."""
        perform: Perform = find_function(self.perform)
        records = RecordWriter(Path(self.store) / "records", f"{self.run}-{self.chunk.number:03d}", self.flush_seconds)
        try:
            with one_thread(), records:
                self._work(records, Workbench(Path(self.store)), perform)
        except StoreError as error:
            return str(error)
        return ""

    def _work(self, records: RecordWriter, bench: Workbench, perform: Perform) -> None:
        for unit in self.chunk.units():
            if unit.id in self.skip:
                continue
            if self.owner is not None and not self.owner.alive():
                break  # the run that claimed these units is gone; another may be doing them
            _write(self.marker, unit.id)
            records.add(self._attempt(unit, bench, perform))
        self.marker.unlink(missing_ok=True)

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
        where = self._where(now() - started)  # one for all: rows of one attempt are told by their common time
        return [{**record, **where, **own_seconds(record)} for record in rows]

    def _where(self, seconds: float) -> dict[str, Any]:
        """The provenance that all records of an attempt share."""
        return {
            "seconds": seconds,
            "memory_mb": peak_memory_mb(),
            "host": platform.node(),
            "commit": self.commit,
            "version": __version__,
            "run": self.run,
            "finished": datetime.now(UTC).isoformat(timespec="microseconds"),
        }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}. Make room, then run again.") from error


def own_seconds(record: dict[str, Any]) -> dict[str, Any]:
    """The provenance that a record brings of its own (a score knows its own seconds)."""
    return {"seconds": record["seconds"]} if record["seconds"] is not None else {}


def failure_rows(unit: Unit, error: BaseException, log: str) -> Rows:
    """The records of a failed unit: its own, and one for each score that it owed.

    A pass that was there before and cannot be repeated is still a success; then only its scores tell of the failure.
    """
    owed = [
        failure_row(unit, error, log, id=score.id, stage="score", name=score.name, key=canonical(score.key))
        for score in unit.scores
    ]
    return [failure_row(unit, error, log), *owed]


def failure_row(unit: Unit, error: BaseException, log: str, **identity: Any) -> dict[str, Any]:
    """The record of a failed unit, or of a failed score where ``identity`` names one."""
    last = "".join(traceback.format_exception(error)[-3:])[-2000:]
    return row(
        **{"id": unit.id, "stage": unit.stage, "name": unit.name, "key": canonical(unit.key), **identity},
        unit=unit.id,
        status="failed",
        failure=classify(error),
        message=f"{type(error).__name__}: {error}"[:1000],
        details={"traceback": last},
        log=log,
    )


def peak_memory_mb() -> float:
    """The peak resident memory of this process until now, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024


class one_thread:
    """Keep numeric libraries at one thread: two torch threads on a busy two-core machine were eight times slower.

    One thread also makes sums come out in one order, hence results equal bit for bit.
    """

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        for name in THREAD_VARIABLES:
            os.environ[name] = "1"
        self._limits = threadpool_limits(1)

    def __exit__(self, *error: object) -> None:
        self._limits.restore_original_limits()

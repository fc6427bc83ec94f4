"""A run: claims what is to do, cuts it into chunks, sees two waves of workers through."""

import json
import os
import sys
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmbench.engine.chunks import freeze
from tmbench.engine.claims import Claim, claim
from tmbench.engine.clusters import InProcess, LocalProcesses, Runner
from tmbench.engine.progress import Progress
from tmbench.engine.provenance import commit
from tmbench.engine.records import Records, set_aside, write_shard
from tmbench.engine.state import State, has_inputs
from tmbench.engine.units import Unit
from tmbench.engine.worker import THREAD_VARIABLES, Worker, failure_rows
from tmbench.errors import TmbenchError
from tmbench.files import whole_file


class WorkerDied(TmbenchError):
    """A worker's process ended without a word."""

    failure = "killed"


@dataclass
class Report:
    """What a run has to tell."""

    own: Claim | None = None
    """The run's claim, over by now; on a full disk its file may still say otherwise."""
    claimed: int = 0
    finished: int = 0
    """Units that this run did, well or badly."""
    elsewhere: list[Claim] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Execution:
    """One call of ``run``.

    Attributes:
        units: the plan's units.
        store: the store's folder.
        folder: where this run's frozen plan and jobs lie (a folder of its own is made inside).
        workers: how many workers at a time; 0 for in this process.
        chunk_minutes: aimed length of a chunk.
        chunks_per_worker: how many chunks a worker gets at least, to even out wrong estimates.
        flush_seconds: how often workers write records.
        config: the resolved study, frozen beside the units.
        perform: the function that does a unit, by reference.
    """

    units: tuple[Unit, ...]
    store: Path
    folder: Path
    workers: int
    chunk_minutes: float
    chunks_per_worker: int
    flush_seconds: float
    config: dict[str, Any]
    perform: str = "tmbench.engine.stages:perform"

    def start(self, retry: Collection[str] = ()) -> Report:
        """Do what is missing.

        Raises:
            StoreError: when the store cannot be written.
        """
        report = Report(set_aside=set_aside(Records().merge(self.store / "records")))
        todo = State(self.units, self.store).to_do(retry)
        if not todo:
            return report
        own, report.elsewhere = claim(self.store / "claims", [unit.id for unit in todo])
        report.own, report.claimed = own, len(own.units)
        try:
            if own.units:
                # Between reading the state and claiming, another run may have finished some of it.
                todo = State(self.units, self.store, own=own).to_do(retry)
                self._waves([unit for unit in todo if unit.id in own.units], own, report)
        finally:
            own.release()
        return report

    def _waves(self, units: Sequence[Unit], own: Claim, report: Report) -> None:
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        folder = self.folder / run
        content = {"command": sys.argv, "commit": commit(), **self.config}
        with whole_file(folder / "config.json") as stream:
            stream.write(json.dumps(content, indent=1, sort_keys=True).encode())
        first = [unit for unit in units if not unit.after]
        # Random sources wait for nobody, so they fill the first wave beside the pretraining.
        with Progress(units, self.store, run, own) as progress:
            self._wave("wave1", first, folder, run, own, report)
            if not report.problems:
                second = [unit for unit in units if unit.after and has_inputs(unit, self.store)]
                self._wave("wave2", second, folder, run, own, report)
            report.finished = sum(sum(counter.values()) for counter in progress.counts())

    def _wave(self, name: str, units: Sequence[Unit], folder: Path, run: str, own: Claim, report: Report) -> None:
        if not units:
            return
        parts = max(1, self.workers) * self.chunks_per_worker
        chunks = freeze(units, folder / f"{name}.parquet", parts, self.chunk_minutes)
        revision = commit()
        workers = [
            Worker(chunk, str(self.store), run, revision, own.owner, (), self.flush_seconds, self.perform)
            for chunk in chunks
        ]

        def died(unit: Unit, log: str) -> None:
            error = WorkerDied("killed from outside, or out of memory, while it did this unit")
            rows = [{**record, "run": run} for record in failure_rows(unit, error, log)]
            write_shard(self.store / "records", f"{run}-deaths", rows)

        report.problems += self._runner(folder).run(workers, died)

    def _runner(self, folder: Path) -> Runner:
        if self.workers == 0:
            return InProcess()
        for variable in THREAD_VARIABLES:  # inherited by the workers, before any of them imports a library
            os.environ[variable] = "1"
        return LocalProcesses(folder / "jobs", self.workers)

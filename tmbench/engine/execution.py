"""A run: claims what is to do, cuts it into chunks, sees them through here or hands them to SLURM."""

import json
import os
import sys
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmbench.engine.chunks import cut, freeze
from tmbench.engine.claims import Claim
from tmbench.engine.clusters import InProcess, LocalProcesses, Runner
from tmbench.engine.holdings import Holding, take
from tmbench.engine.options import Cluster
from tmbench.engine.progress import Progress
from tmbench.engine.provenance import commit
from tmbench.engine.records import Records, set_aside, write_shard
from tmbench.engine.slurm.settling import WorkerDied, settle
from tmbench.engine.snapshot import Snapshot, references, snapshot
from tmbench.engine.state import State, has_inputs
from tmbench.engine.threads import THREAD_VARIABLES
from tmbench.engine.units import Unit
from tmbench.engine.workbench import failure_rows
from tmbench.engine.worker import Worker
from tmbench.files import whole_file


def new_name() -> str:
    """A name that no other run has, in the order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


@dataclass
class Report:
    """What a run has to tell."""

    own: Claim | None = None
    """The run's claim, over by now; on a full disk its file may still say otherwise."""
    claimed: int = 0
    finished: int = 0
    """Units that this run did, well or badly."""
    elsewhere: list[Holding] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    """Ids of the SLURM jobs that this run put into the queue."""


@dataclass(frozen=True)
class Execution:
    """One call of ``run``.

    Attributes:
        units: the plan's units.
        store: the store's folder.
        folder: where this run's frozen plan and jobs lie (a folder of its own is made inside).
        cluster: where workers run.
        config: the resolved study, frozen beside the units.
        sweep: its name.
        perform: the function that does a unit, by reference.
    """

    units: Sequence[Unit]
    store: Path
    folder: Path
    cluster: Cluster
    config: dict[str, Any] = field(default_factory=dict)
    sweep: str = ""
    perform: str = "tmbench.engine.stages:perform"

    def open(self, retry: Collection[str] = ()) -> tuple[Report, State, list[Unit]]:
        """Settle what earlier runs left, and say what is to be done.

        Raises:
            StoreError: when the store cannot be written.
        """
        if (self.store / "claims").is_dir():
            settle(self.store)
        records = Records().merge(self.store / "records")
        report = Report(set_aside=set_aside(records))
        state = State(self.units, self.store, records)
        state.check_keys()
        return report, state, state.to_do(retry)

    def claim(self, todo: Sequence[Unit], records: Records, retry: Collection[str], report: Report) -> list[Unit]:
        """Claim ``todo``; what of it is this run's to do.

        Raises:
            StoreError: when the store cannot be written.
        """
        own, report.elsewhere = take(self.store / "claims", [unit.id for unit in todo], self.sweep)
        report.own, report.claimed = own, len(own.units)
        if not own.units:
            return []
        # Between reading the state and claiming, another run may have finished some of it.
        still = {unit.id for unit in State(self.units, self.store, records, own).to_do(retry)}
        return [unit for unit in todo if unit.id in own.units and unit.id in still]

    def start(self, retry: Collection[str] = (), at_most: int = 0) -> Report:
        """Do what is missing on this machine; with ``at_most``, only so many chunks.

        Raises:
            StoreError: when the store cannot be written.
        """
        report, state, todo = self.open(retry)
        if not todo:
            return report
        try:
            mine = self.claim(todo, state.records, retry, report)
            if mine:
                self._waves(mine, report, at_most)
        finally:
            if report.own is not None:
                report.own.release()
        return report

    def new_folder(self, run: str, frozen: Snapshot) -> Path:
        """A folder of the run's name, with the resolved study in it.

        Raises:
            StoreError: when it cannot be written.
        """
        folder = self.folder / run
        content = {"command": sys.argv, "commit": commit(), "code": frozen.path.stem, **self.config}
        with whole_file(folder / "config.json") as stream:
            stream.write(json.dumps(content, indent=1, sort_keys=True).encode())
        return folder

    def frozen_code(self) -> Snapshot:
        """A copy of the code as it is now, that of the user's files included, for workers to import.

        Raises:
            StoreError: when it cannot be written.
        """
        frozen = snapshot(self.store / "code", _files_of_users(self.units))
        for path in frozen.live:
            print(
                f"warning: {path} is not frozen, because its folder is large: do not edit it while this runs",
                file=sys.stderr,
            )
        return frozen

    def _waves(self, units: Sequence[Unit], report: Report, at_most: int) -> None:
        assert report.own is not None
        frozen = self.frozen_code()
        folder = self.new_folder(new_name(), frozen)
        report.own = report.own.placed(folder)
        first = [unit for unit in units if not unit.after]
        # Random sources wait for nobody, so they fill the first wave beside the pretraining.
        with Progress(units, self.store, folder.name, report.own) as progress:
            done = self._wave("wave1", first, folder, frozen, report, at_most)
            if not report.problems and (not at_most or done < at_most):
                second = [unit for unit in units if unit.after and has_inputs(unit, self.store)]
                self._wave("wave2", second, folder, frozen, report, at_most - done if at_most else 0)
            report.finished = sum(sum(counter.values()) for counter in progress.counts())

    def _wave(
        self, name: str, units: Sequence[Unit], folder: Path, frozen: Snapshot, report: Report, at_most: int
    ) -> int:
        """See a wave through; how many chunks it had."""
        if not units or report.own is None:
            return 0
        parts = max(1, self.cluster.processes) * self.cluster.chunks_per_worker
        shares = cut(units, parts, self.cluster.chunk_minutes)[: at_most or None]
        runner = self._runner(folder, frozen)
        chunks = freeze(shares, folder / f"{name}.parquet", None if isinstance(runner, InProcess) else frozen.translate)
        revision = commit()
        workers = [
            Worker(
                chunk,
                str(self.store),
                folder.name,
                revision,
                owner=report.own.owner,
                flush_seconds=self.cluster.flush_seconds,
                checkpoint_seconds=60 * self.cluster.checkpoint_minutes,
                code="" if isinstance(runner, InProcess) else str(frozen.path),
                perform=self.perform,
            )
            for chunk in chunks
        ]

        def died(unit: Unit, log: str) -> None:
            error = WorkerDied("killed", "killed from outside, or out of memory, while it did this unit")
            rows = [{**record, "run": folder.name} for record in failure_rows(unit, error, log)]
            write_shard(self.store / "records", f"{folder.name}-deaths", rows)

        report.problems += runner.run(workers, died)
        return len(chunks)

    def _runner(self, folder: Path, frozen: Snapshot) -> Runner:
        if self.cluster.kind == "debug":
            return InProcess()
        for variable in THREAD_VARIABLES:  # inherited by the workers, before any of them imports a library
            os.environ[variable] = "1"
        return LocalProcesses(folder / "jobs", self.cluster.processes, frozen.path)


def _files_of_users(units: Sequence[Unit]) -> Iterator[str]:
    """The users' functions that units name; what many units share is looked through once."""
    seen: set[int] = set()
    for unit in units:
        for part in (*unit.config.values(), *(score.config for score in unit.scores)):
            if id(part) not in seen:
                seen.add(id(part))
                yield from references(part)

"""Progress of a run, read from the store like everything else: live bars on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tmbench.engine.claims import Claim
from tmbench.engine.shards import Reader
from tmbench.engine.units import STAGES, Unit

POLL_SECONDS = 0.5
LINE_SECONDS = 20.0
HEARTBEAT_SECONDS = 30.0


class Progress:
    """Follows the units of a run until it is closed; keeps the run's claim fresh meanwhile."""

    def __init__(self, units: Sequence[Unit], store: Path, run: str, claim: Claim) -> None:
        """Follow ``units`` in ``store``; only records of ``run`` count."""
        self.stage_of = {unit.id: unit.stage for unit in units}
        self.totals = Counter(self.stage_of.values())
        self.run = run
        self.claim = claim
        self._folder = store / "records"
        self._reader = Reader(("id", "run", "status"))
        self._reader.skip(self._folder)  # what is there already is of earlier runs
        self._finished: dict[str, set[str]] = {"done": set(), "failed": set()}
        self._stop = threading.Event()
        self._touched = 0.0
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """(done, failed) units of this run by stage."""
        for _, table in self._reader.new(self._folder):
            columns = (table[name].to_pylist() for name in self._reader.columns)
            for id, run, status in zip(*columns, strict=True):
                if run == self.run and id in self.stage_of:
                    self._finished[status].add(id)
        done, failed = self._finished["done"], self._finished["failed"]
        return Counter(self.stage_of[id] for id in done), Counter(self.stage_of[id] for id in failed - done)

    def _follow(self) -> None:
        if sys.stderr.isatty():
            self._bars()
        else:
            self._lines()

    def _closed(self) -> bool:
        """Wait a moment; whether the run is over. Keeps the claim fresh, so that other hosts see a living run."""
        closed = self._stop.wait(POLL_SECONDS)
        if time.monotonic() - self._touched > HEARTBEAT_SECONDS:
            self.claim.touch()
            self._touched = time.monotonic()
        return closed

    def _lines(self) -> None:
        last, spoken = "", 0.0
        while True:
            closed = self._closed()
            if closed or time.time() - spoken >= LINE_SECONDS:
                done, failed = self.counts()
                parts = [f"{stage} {done[stage]}/{self.totals[stage]}" for stage in STAGES if self.totals[stage]]
                parts += [f"{sum(failed.values())} failed"] if failed else []
                line, spoken = " · ".join(parts), time.time()
                if line != last:
                    print(line, file=sys.stderr, flush=True)
                    last = line
            if closed:
                return

    def _bars(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("[red]{task.fields[failed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            tasks = {
                stage: bars.add_task(stage, total=self.totals[stage], failed="", start=False)
                for stage in STAGES
                if self.totals[stage]
            }
            while True:
                closed = self._closed()
                done, failed = self.counts()
                for stage, task in tasks.items():
                    finished = done[stage] + failed[stage]
                    if finished and not bars.tasks[task].started:
                        bars.start_task(task)
                    note = f"{failed[stage]} failed" if failed[stage] else ""
                    bars.update(task, completed=finished, failed=note)
                if closed:
                    return

"""Progress of a run, read from the store like everything else: live bars on a terminal, plain lines elsewhere."""

import contextlib
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
from tmbench.files import StoreError

POLL_SECONDS = 0.5
LINE_SECONDS = 20.0
HEARTBEAT_SECONDS = 30.0


class Progress:
    """Follows the units of a run until it is closed; keeps the run's claim fresh meanwhile.

    Two threads, because other hosts take the units of a run whose claim is not fresh: nothing that goes wrong with
    the display, such as a terminal that is closed, may end the heartbeat.
    """

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
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._beat)]

    def __enter__(self) -> "Progress":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """(done, failed) units of this run by stage.

        Raises:
            StoreError: for an error of the file system.
        """
        with self._counting:
            for _, table in self._reader.new(self._folder):
                columns = (table[name].to_pylist() for name in self._reader.columns)
                for id, run, status in zip(*columns, strict=True):
                    if run == self.run and id in self.stage_of:
                        self._finished[status].add(id)
            return self._counted()

    def _counted(self) -> tuple[Counter[str], Counter[str]]:
        done, failed = self._finished["done"], self._finished["failed"]
        return Counter(self.stage_of[id] for id in done), Counter(self.stage_of[id] for id in failed - done)

    def _known(self) -> tuple[Counter[str], Counter[str]]:
        """The counts as far as the store can be read."""
        with contextlib.suppress(StoreError):
            return self.counts()
        return self._counted()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self.claim.touch()

    def _follow(self) -> None:
        with contextlib.suppress(OSError):  # nobody looks any more
            if sys.stderr.isatty():
                self._bars()
            else:
                self._lines()

    def _lines(self) -> None:
        last, spoken = "", 0.0
        while True:
            closed = self._stop.wait(POLL_SECONDS)
            if closed or time.time() - spoken >= LINE_SECONDS:
                done, failed = self._known()
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
                closed = self._stop.wait(POLL_SECONDS)
                done, failed = self._known()
                for stage, task in tasks.items():
                    finished = done[stage] + failed[stage]
                    if finished and not bars.tasks[task].started:
                        bars.start_task(task)
                    note = f"{failed[stage]} failed" if failed[stage] else ""
                    bars.update(task, completed=finished, failed=note)
                if closed:
                    return

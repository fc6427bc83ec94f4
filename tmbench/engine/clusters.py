"""Where workers run: in this process, or as processes of this machine through submitit's local executor.

Both do the same: take a list of workers, see them through, and return what the user must hear.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tmbench.engine.leftovers import finished_in
from tmbench.engine.markers import read_marker
from tmbench.engine.units import Unit
from tmbench.engine.worker import Worker

POLL_SECONDS = 0.2
MAX_DEATHS = 5
"""A chunk whose workers died so often is given up; its units stay to be run again."""

Died = Callable[[Unit, str], None]
"""Called with the unit that was in progress when a worker died, and what is known of the death."""


class Runner(Protocol):
    """A place for workers."""

    def run(self, workers: Sequence[Worker], died: Died) -> list[str]:
        """See all workers through; return problems of the store, in the user's words."""
        ...


class InProcess:
    """``cluster=debug``: one worker after the other, here; a debugger stops where the error is."""

    def run(self, workers: Sequence[Worker], died: Died) -> list[str]:
        """See all workers through."""
        problems = []
        for worker in workers:
            problem = worker()
            if problem:
                problems.append(problem)
                break
        return problems


class LocalProcesses:
    """``cluster=local``: at most ``limit`` submitit processes at a time.

    submitit's own ``map_array`` starts every job at once, so jobs are handed over as places become free. A worker
    that dies (killed, out of memory) is replaced by one that skips the unit it died of.
    """

    def __init__(self, folder: Path, limit: int, code: Path) -> None:
        """Keep submitit's files (one pickle, two logs, one result a job) in ``folder``; workers import ``code``."""
        self.folder = folder
        self.limit = limit
        self.code = code

    def run(self, workers: Sequence[Worker], died: Died) -> list[str]:
        """See all workers through."""
        import submitit

        executor = submitit.LocalExecutor(folder=self.folder)
        executor.update_parameters(timeout_min=60 * 24 * 30, name="tmbench")
        waiting = list(workers)
        running: list[tuple[Any, Worker]] = []
        deaths: dict[int, int] = {}
        problems: list[str] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.limit and not problems:
                    worker = waiting.pop(0)
                    with _stderr_into(self.folder / "controllers.log"), _importing(self.code):
                        running.append((executor.submit(worker), worker))
                time.sleep(POLL_SECONDS)
                for job, worker in [pair for pair in running if pair[0].done()]:
                    running.remove((job, worker))
                    if job.paths.result_pickle.exists():
                        problems += _problem(job)
                        continue
                    number = worker.chunk.number
                    deaths[number] = deaths.get(number, 0) + 1
                    started = worker.marker.is_file()
                    successor = _successor(worker, died, str(job.paths.stderr))
                    if not started or (successor and deaths[number] >= MAX_DEATHS):
                        problems.append(_given_up(deaths[number], str(job.paths.stderr)))
                    elif successor:
                        waiting.append(successor)
                if problems:
                    waiting.clear()  # no place to keep results: let what runs end, start nothing
        except BaseException:
            for job, _ in running:
                job.cancel()
            raise
        return problems


def _given_up(deaths: int, log: str) -> str:
    times = "before it could start" if deaths == 1 else f"{deaths} times"
    return f"a worker died {times}; its other units are left to the next run. What it said last: {log}"


@contextlib.contextmanager
def _stderr_into(log: Path) -> Iterator[None]:
    """For a moment, what is started writes its errors to ``log``.

    submitit's controllers inherit this process's stderr, and each would print a traceback at Ctrl-C.
    """
    kept = os.dup(2)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            os.dup2(stream.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _importing(code: Path) -> Iterator[None]:
    """For a moment, what is started imports tmbench from ``code``, so that editing the checkout does not change it."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(code), before.get("PYTHONPATH", "")]))
    os.environ["PYTHONSAFEPATH"] = "1"  # else the working directory comes first, which may be the checkout
    try:
        yield
    finally:
        for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _problem(job: Any) -> list[str]:
    """What the worker had to say: a problem of the store, or an error outside any unit."""
    import submitit

    try:
        problem = job.result()
    except submitit.core.utils.FailedJobError as error:
        last = str(error).strip().splitlines()[-1]
        return [f"a worker failed outside any unit: {last}  (log: {job.paths.stderr})"]
    return [problem] if problem else []


def _successor(worker: Worker, died: Died, log: str) -> Worker | None:
    """A worker for what a dead one left, without the unit that it died of; None when nothing is left."""
    units = worker.chunk.units()
    marker = read_marker(worker.marker)
    culprit = marker.unit if marker is not None else ""
    finished = finished_in(worker.run, units, Path(worker.store))
    for unit in units:
        if unit.id == culprit and unit.id not in finished:
            died(unit, log)
    skip = {*worker.skip, culprit, *finished}
    left = [unit for unit in units if unit.id not in skip]
    worker.marker.unlink(missing_ok=True)
    return replace(worker, skip=tuple(sorted(skip - {""}))) if left else None

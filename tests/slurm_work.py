"""Runs of units of no scientific content on the test cluster, for the tests of tests/slurm."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import engine_work as work
import pyarrow.parquet as pq

from tmbench.engine.execution import Execution
from tmbench.engine.holdings import holdings
from tmbench.engine.options import Cluster
from tmbench.engine.records import Records
from tmbench.engine.shards import IDENTITY
from tmbench.engine.slurm.submission import Submission
from tmbench.engine.state import State

PERFORM = f"{Path(work.__file__)}:perform"


def does(unit, what, minutes=1.0):
    return replace(unit, config={**unit.config, "does": what}, minutes=minutes)


def small(count, what="", **more):
    return [does(work.unit(i, **more), what) for i in range(count)]


class Runs:
    """Runs of some units in one store."""

    def __init__(self, folder, units, slurm=None, **more):
        profile = {"max_concurrent": 4, "signal_seconds": 20, **(slurm or {})}
        settings = {"kind": "slurm", "chunk_minutes": 5.0, "flush_seconds": 0.2, "needs": {"memory_gb": 0.5}, **more}
        self.units, self.store, self.folder = tuple(units), folder / "store", folder / "runs"
        self.cluster = Cluster(slurm=profile, **settings)

    def submit(self, retry=(), at_most=0):
        submission = Submission(
            Execution(self.units, self.store, self.folder, self.cluster, perform=PERFORM), retry, at_most
        )
        return submission.submit(submission.prepared())

    def holdings(self):
        return holdings(self.store / "claims")

    def held(self):
        return sum(len(held.units) for held in self.holdings())

    def elements(self):
        return [element for held in self.holdings() for element in held.elements]

    def follow(self, seconds=150):
        self.until(lambda: not self.held(), seconds)

    def until(self, true, seconds=90):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (self.elements(), self.statuses())
            time.sleep(0.2)

    def statuses(self):
        state = State(self.units, self.store)
        return [state.status[unit.id] for unit in self.units]

    def records(self):
        return Records().merge(self.store / "records")

    def rows(self):
        """How many records there are; one that stands in a shard and in what it was folded into counts once."""
        shards = (self.store / "records").glob("*.parquet")
        tables = [pq.ParquetFile(shard).read(columns=list(IDENTITY)) for shard in shards]
        return len({tuple(row.values()) for table in tables for row in table.to_pylist()})

    def in_progress(self):
        return frozenset().union(*(held.in_progress() for held in self.holdings()))

    def workers(self):
        """Process ids of the workers."""
        found = subprocess.run(["pgrep", "-f", f"submitit.core._submit {self.folder}"], capture_output=True, text=True)
        return [int(line) for line in found.stdout.split()]

    def finish(self, runs=4):
        """Run again until all is done, as a user would."""
        for _ in range(runs):
            self.follow()
            if set(self.statuses()) == {"done"}:
                return
            self.submit()
        raise AssertionError(self.statuses())

"""Accounts: what the units of a plan have cost, what the rest will, and how fast they come."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tmbench.engine.options import Needs
from tmbench.engine.state import HELD, State

if TYPE_CHECKING:
    import pyarrow as pa

RECENT = (timedelta(hours=1), timedelta(days=1))
"""How far back the pace is looked for: as little as tells something."""
ENOUGH = 10
"""So many finished units tell something."""


@dataclass(frozen=True)
class Hours:
    """Hours of graphics processors; and of cores, where none of those is used."""

    gpu: float = 0.0
    core: float = 0.0

    def __add__(self, other: "Hours") -> "Hours":
        return Hours(self.gpu + other.gpu, self.core + other.core)


@dataclass(frozen=True)
class Pace:
    """How many units came to an end, well or badly, in the last minutes."""

    units: int
    minutes: float

    @property
    def per_hour(self) -> float:
        """The same in units an hour."""
        return 60 * self.units / self.minutes


@dataclass(frozen=True)
class Accounts:
    """A plan's costs.

    Attributes:
        spent: by all attempts at its units, failed ones included; what a killed worker did is known to nobody.
        left: estimated hours of what is neither done nor given up, by stage.
        pace: None where nothing was finished of late.
        minutes_left: the same in minutes of one worker.
        minutes_held: estimated minutes, of one worker, of what runs and processes hold.
    """

    spent: Hours
    left: dict[str, Hours]
    pace: Pace | None
    minutes_left: float
    minutes_held: float

    def minutes_to_finish(self, workers: int) -> float | None:
        """Until what is held is done, by so many workers; None where nothing is at work."""
        return self.minutes_held / workers if workers and self.minutes_held else None


def accounts(state: State, asked: Needs) -> Accounts:
    """The accounts of a plan, from its state; ``asked`` is what its cluster is asked for in place of the options'."""
    left: dict[str, Hours] = {}
    minutes = held = 0.0
    for batch in state.units.batches:
        statuses = [state.status[id] for id in batch.ids]
        open_units = len(statuses) - statuses.count("done") - statuses.count("failed")
        if not open_units:
            continue
        minutes += batch.minutes * open_units
        hours, needs = batch.minutes * open_units / 60, asked.over(batch.resources)
        mine = Hours(gpu=needs.gpus * hours) if needs.gpus else Hours(core=needs.cpus * hours)
        left[batch.stage] = left.get(batch.stage, Hours()) + mine
        # Of what is in hand half is done, as far as anybody knows.
        held += batch.minutes * sum(0.5 if one == "running" else one in HELD for one in statuses)
    spent, pace = _attempts(state)
    return Accounts(spent, left, pace, minutes, held)


def _attempts(state: State) -> tuple[Hours, Pace | None]:
    """What the attempts at the plan's units, which are a part of the store's, have cost, and how fast they came."""
    if not (state.records.done or state.records.failed):
        return Hours(), None
    table = state.records.attempted()
    seconds, gpus, cpus, finished = (table[name].to_pylist() for name in ("seconds", "gpus", "cpus", "finished"))
    mine = _of_plan(state, table)
    hours = np.where(mine, np.nan_to_num(np.array(seconds, dtype=float)), 0.0) / 3600
    held = np.nan_to_num(np.array(gpus, dtype=float))
    cores = np.nan_to_num(np.array(cpus, dtype=float), nan=1.0)  # which older records do not tell
    return Hours(float((hours * held).sum()), float((hours * cores)[held == 0].sum())), _pace(mine, finished, seconds)


def _pace(mine: NDArray[np.bool_], finished: list[str], seconds: list[float | None]) -> Pace | None:
    """How fast the attempts in ``mine`` came of late."""
    now = datetime.now(UTC)
    since = {window: (now - window).isoformat(timespec="microseconds") for window in RECENT}
    late = np.fromiter(map(since[RECENT[-1]].__le__, finished), dtype=bool, count=len(mine))
    places = np.flatnonzero(mine & late).tolist()
    for window in RECENT:
        recent = [at for at in places if finished[at] >= since[window]]
        if len(recent) >= ENOUGH or (recent and window == RECENT[-1]):
            began = min(datetime.fromisoformat(finished[at]) - timedelta(seconds=seconds[at] or 0.0) for at in recent)
            return Pace(len(recent), max((now - max(began, now - window)).total_seconds(), 1.0) / 60)
    return None


def _of_plan(state: State, table: "pa.Table") -> NDArray[np.bool_]:
    """(n,) which attempts are at the plan's units."""
    done = state.records.done  # its ids are hashed already, those of the table would be hashed anew
    last = np.fromiter(done.values(), dtype=np.int64, count=len(done))
    mine = np.zeros(len(table), dtype=bool)
    mine[last] = np.fromiter(map(state.status.__contains__, done), dtype=bool, count=len(done))
    others = np.ones(len(table), dtype=bool)
    others[last] = False
    for at in np.flatnonzero(others).tolist():
        mine[at] = table["id"][at].as_py() in state.status
    return mine

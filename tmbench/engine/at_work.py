"""Who is at work on a plan: processes, and jobs of SLURM that run or wait."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tmbench.engine.holdings import Holding
from tmbench.engine.state import State


@dataclass(frozen=True)
class Crew:
    """A run's process, or a job of SLURM, with what it holds of the plan.

    Attributes:
        kind: what it is; ``unknown`` are jobs that SLURM could not be asked for or that are being submitted.
        name: in words.
        units: ids of the plan's units that it holds and that are not done.
        in_hand: how many of them workers have in hand.
        workers: how many workers are at work.
        waiting: SLURM's reason → how many of its elements wait for it.
        unsure: why SLURM could not be asked, in which case nobody knows whether it is still there.
    """

    kind: Literal["process", "slurm", "unknown"]
    name: str
    units: frozenset[str]
    in_hand: int
    workers: int = 0
    waiting: Counter[str] = field(default_factory=Counter)
    unsure: str = ""


def crews(state: State) -> list[Crew]:
    """Everybody at work on the units of ``state``."""
    return [crew for held in state.holdings for crew in _of(held, state) if crew.units or crew.workers]


def _of(held: Holding, state: State) -> Iterator[Crew]:
    def left(units: frozenset[str]) -> frozenset[str]:
        return frozenset(id for id in units if state.status.get(id) in ("running", "queued"))

    if not held.claim.jobs:
        units = left(held.units)
        busy = len(state.in_hand & units)
        yield Crew("process", held.who, units, busy, busy)
        return
    told: frozenset[str] = frozenset()
    for array in dict.fromkeys(element.array for element in held.elements):
        mine = [element for element in held.elements if element.array == array]
        chunks = [(element, left(held.units_of(element))) for element in mine]
        chunks = [(element, units) for element, units in chunks if units]  # others hold another sweep's
        units = frozenset[str]().union(*(units for _, units in chunks))
        told |= units
        waiting = Counter(element.reason for element, _ in chunks if element.state == "PENDING")
        workers = sum(element.state != "PENDING" for element, _ in chunks)
        yield Crew("slurm", f"SLURM job {array}", units, len(state.in_hand & units), workers, waiting)
    rest = left(held.units) - told
    if rest:
        busy = len(state.in_hand & rest)
        name = "a job that is being submitted" if held.elements else held.who
        yield Crew("unknown", name, rest, busy, busy, unsure=held.unsure)

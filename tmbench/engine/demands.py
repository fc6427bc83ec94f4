"""Demands: what each unit asks of a cluster, from its options, from what such units took, and from how it failed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tmbench.engine.batches import Units
from tmbench.engine.options import Needs
from tmbench.engine.records import Records
from tmbench.engine.units import Unit
from tmbench.sources.resources import Resources

MOST_DOUBLINGS = 4
HEADROOM = 1.2
"""A unit like those that are finished gets so many times the memory that the largest of them took."""

Kind = tuple[str, str, str]


@dataclass(frozen=True)
class Demand:
    """What one unit asks for: resources, and estimated minutes."""

    resources: Resources
    minutes: float


def demands(units: Sequence[Unit], planned: Sequence[Unit], records: Records, needs: Needs) -> dict[str, Demand]:
    """Unit id → what it asks for.

    Memory is what the options declare, or more where finished units of the kind took more. A unit that ran out of it
    asks for twice as much each time, one whose time was up for twice as long. What the profile asks for
    (``cluster.needs``) stands as it is.

    Args:
        units: what is to be done.
        planned: all units of the plan, from which is learnt.
        records: what is finished.
        needs: of the profile.
    """
    learnt = _learnt_memory(planned, records)
    out = {}
    for batch in Units.of(units).batches:
        for number in range(len(batch.ids)):
            unit = batch.unit(number)
            out[unit.id] = _demand(unit, learnt.get(batch.kind, 0.0), records, needs)
    return out


def _demand(unit: Unit, learnt: float, records: Records, needs: Needs) -> Demand:
    memory, minutes = max(unit.resources.memory_gb, learnt), unit.minutes
    failure = records.failure(unit.id)
    if failure in ("out_of_memory", "timeout"):
        times = 2.0 ** min(records.attempts[unit.id], MOST_DOUBLINGS)
        memory, minutes = (memory * times, minutes) if failure == "out_of_memory" else (memory, minutes * times)
    return Demand(needs.over(unit.resources.model_copy(update={"memory_gb": memory})), minutes)


def _learnt_memory(planned: Sequence[Unit], records: Records) -> dict[Kind, float]:
    """Kind of unit → GB, rounded up so that like units stay one class."""
    done, took = records.done, records.column("memory_mb") if records.done else []
    peaks: dict[Kind, float] = {}
    for batch in Units.of(planned).batches:
        for id in batch.ids:
            if id in done:
                peak = took[records.rows_of(done[id])[0]] or 0.0
                peaks[batch.kind] = max(peaks.get(batch.kind, 0.0), peak)
    return {kind: math.ceil(HEADROOM * peak / 500) / 2 for kind, peak in peaks.items()}

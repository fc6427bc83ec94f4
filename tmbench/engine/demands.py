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
    """What one unit asks for.

    Attributes:
        resources: of its worker.
        minutes: estimated.
        times: how many times the usual time limit, because that was too short before.
    """

    resources: Resources
    minutes: float
    times: float = 1.0


def demands(units: Sequence[Unit], planned: Sequence[Unit], records: Records, needs: Needs) -> dict[str, Demand]:
    """Unit id → what it asks for.

    Memory is what the options declare, or more where finished units of the kind took more in SLURM jobs. For each
    time that a unit ran out of it, it asks for twice as much, and for each time that its time was up, for twice as
    long; other failures change nothing. What the profile asks for (``cluster.needs``) stands as it is.

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
    memory = max(unit.resources.memory_gb, learnt) * _doubled(records.failed_of(unit.id, "out_of_memory"))
    resources = needs.over(unit.resources.model_copy(update={"memory_gb": memory}))
    return Demand(resources, unit.minutes, _doubled(records.failed_of(unit.id, "timeout")))


def _doubled(times: int) -> float:
    return 2.0 ** min(times, MOST_DOUBLINGS)


def _learnt_memory(planned: Sequence[Unit], records: Records) -> dict[Kind, float]:
    """Kind of unit → GB, rounded up so that like units stay one class."""
    took = _own_peaks(records)
    peaks: dict[Kind, float] = {}
    for batch in Units.of(planned).batches:
        for id in batch.ids:
            if id in took:
                peaks[batch.kind] = max(peaks.get(batch.kind, 0.0), took[id])
    return {kind: math.ceil(HEADROOM * peak / 500) / 2 for kind, peak in peaks.items()}


def _own_peaks(records: Records) -> dict[str, float]:
    """Id of a finished unit → MB, for those that took more than whatever their jobs did before.

    A record holds the peak of its process until then, so that a light unit behind a heavy one shows what that took:
    only a unit with which the peak rose tells of itself. Outside SLURM several processes share a run and a host, and
    which was whose is not known; nothing is learnt there.
    """
    if not any(jobs := records.column("job")):
        return {}
    columns = (records.column(name) for name in ("run", "finished", "unit", "status", "memory_mb"))
    peaks: dict[tuple[str, str], float] = {}
    own: dict[str, float] = {}
    for job, run, _, unit, status, peak in sorted(
        row for row in zip(jobs, *columns, strict=True) if row[0] and row[-1]
    ):
        if peak > peaks.get((run, job), 0.0):
            peaks[run, job] = peak
            if status == "done":
                own[unit] = max(own.get(unit, 0.0), peak)
    return own

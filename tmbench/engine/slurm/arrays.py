"""Arrays: chunks of like demands, grouped into SLURM arrays no longer than the site allows.

Waves order them: what others wait for (``pretrain``) first; ``free`` units wait for nobody; ``dependent`` ones start
when all of ``pretrain`` is over, well or badly, and leave out what lacks its weights.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tmbench.engine.chunks import cut
from tmbench.engine.demands import Demand
from tmbench.engine.options import Cluster
from tmbench.engine.units import Unit
from tmbench.sources.resources import Resources

WAVES = ("pretrain", "free", "dependent")
SHORTEST = 2.0
"""Minutes of a chunk below which its start (a Python, torch) costs about what it does."""
TIME_FACTOR, TIME_MARGIN, LEAST_TIME = 3.0, 10.0, 30.0
"""A job's time limit, in minutes: so many times its estimate, and something for the start; estimates are rough, and
submitit takes jobs of less than half an hour for timed out when they are preempted."""


@dataclass(frozen=True)
class Array:
    """One submission.

    Attributes:
        name: the job's name in the queue, of this array alone.
        wave: of ``WAVES``.
        resources: of each element.
        minutes: time limit of each element.
        shares: the units of each element's chunk.
        first: number of its first chunk; the elements' own indexes start at 0.
        concurrent: elements that run at a time.
    """

    name: str
    wave: str
    resources: Resources
    minutes: float
    shares: tuple[tuple[Unit, ...], ...]
    first: int
    concurrent: int = 1

    @property
    def work(self) -> float:
        """Estimated minutes of all its units."""
        return sum(unit.minutes for share in self.shares for unit in share)


def arrays(
    units: Sequence[Unit], demands: Mapping[str, Demand], cluster: Cluster, run: str, longest: int, at_most: int = 0
) -> list[Array]:
    """Cut ``units`` into chunks by wave and demand, and these into arrays.

    Args:
        units: what is to be done.
        demands: what each asks for, by id; its minutes take the place of the unit's.
        cluster: the profile.
        run: name of the run, with which the jobs' names begin.
        longest: elements of an array at most.
        at_most: only so many chunks, the first ones; 0 is all.
    """
    limit = min(longest, cluster.slurm.max_array or longest)
    made: list[Array] = []
    left = at_most or math.inf
    first = 0
    for (wave, resources, times), group in _grouped(units, demands).items():
        shares = cut(group, cluster.processes * cluster.chunks_per_worker, cluster.chunk_minutes, SHORTEST)
        shares = shares[: int(min(left, len(shares)))]
        left -= len(shares)
        for start in range(0, len(shares), limit):
            some = tuple(tuple(share) for share in shares[start : start + limit])
            name = f"tmbench-{run}-{len(made):03d}"
            made.append(Array(name, wave, resources, _time_limit(some, times, cluster), some, first))
            first += len(some)
    return _throttled(made, cluster.slurm.max_concurrent)


def kept(made: Sequence[Array], units: Collection[str]) -> list[Array]:
    """The arrays with only these units; what becomes empty is left out."""
    out: list[Array] = []
    first = 0
    for array in made:
        shares = tuple(tuple(unit for unit in share if unit.id in units) for share in array.shares)
        left = tuple(share for share in shares if share)
        if left:
            out.append(replace(array, shares=left, first=first))
            first += len(left)
    return out


def _grouped(units: Sequence[Unit], demands: Mapping[str, Demand]) -> dict[tuple[str, Resources, float], list[Unit]]:
    """Units by wave, resources and multiple of the usual time limit, in the order in which they are submitted."""
    made_now = {unit.id for unit in units if unit.stage == "pretrain"}
    groups: dict[tuple[str, Resources, float], list[Unit]] = {}
    for unit in units:
        wave = "pretrain" if unit.stage == "pretrain" else "dependent" if made_now.intersection(unit.after) else "free"
        demand = demands[unit.id]
        groups.setdefault((wave, demand.resources, demand.times), []).append(replace(unit, minutes=demand.minutes))
    order = sorted(groups, key=lambda of: (WAVES.index(of[0]), -of[1].gpus, -of[1].memory_gb, of[1].cpus, of[2]))
    return {of: groups[of] for of in order}


def _time_limit(shares: Sequence[Sequence[Unit]], times: float, cluster: Cluster) -> float:
    longest = max(sum(unit.minutes for unit in share) for share in shares)
    usual = cluster.needs.minutes or max(LEAST_TIME, math.ceil(TIME_FACTOR * longest + TIME_MARGIN))
    return min(cluster.slurm.max_minutes, times * usual)


def _throttled(made: Sequence[Array], concurrent: int) -> list[Array]:
    """Share ``concurrent`` out among the arrays that may run at the same time: SLURM throttles each by itself.

    ``free`` ones run beside ``pretrain`` and beside ``dependent`` ones, which never run beside each other.
    """
    elements = {wave: sum(len(array.shares) for array in made if array.wave == wave) for wave in WAVES}
    free, others = elements["free"], max(elements["pretrain"], elements["dependent"])
    for_free = concurrent if not others else max(1, concurrent * free // (free + others))
    share = {"free": for_free, "pretrain": max(1, concurrent - for_free * bool(free))}
    share["dependent"] = share["pretrain"]
    out = []
    for array in made:
        own = max(1, share[array.wave] * len(array.shares) // elements[array.wave])
        out.append(replace(array, concurrent=min(own, len(array.shares))))
    return out

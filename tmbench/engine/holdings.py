"""Holdings: which units are in work now, by the claims, the processes that wrote them and SLURM's queue.

SLURM is asked once, and only when a claim announces jobs.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from tmbench.engine.claims import Claim, Owner, content_of, create, next_number, read_claims
from tmbench.engine.markers import Marker, markers
from tmbench.engine.slurm.site import Element, SlurmUnavailable, cancel_by_name, queue


@dataclass(frozen=True)
class Holding:
    """What a claim still holds.

    Attributes:
        claim: as it was made.
        units: what it keeps from other runs; empty when its process or all of its jobs are over.
        elements: its SLURM elements in the queue.
        undecided: numbers of announced jobs without a verdict.
        orphans: those of them whose announcer is dead, whether they were submitted or not.
        unsure: why SLURM could not be asked, in which case all jobs that may be at work are taken to be.
    """

    claim: Claim
    units: frozenset[str]
    elements: tuple[Element, ...] = ()
    undecided: tuple[int, ...] = ()
    orphans: tuple[int, ...] = ()
    unsure: str = ""

    @property
    def who(self) -> str:
        """Who holds them, for people."""
        if not self.claim.jobs:
            return f"the run of process {self.claim.owner.pid} on {self.claim.owner.host}"
        arrays = sorted({element.array for element in self.elements}, key=int)
        if arrays:
            return f"SLURM job{'s' * (len(arrays) > 1)} {', '.join(arrays)}"
        return "a SLURM job that could not be asked for" if self.unsure else "a job that is being submitted"

    def units_of(self, element: Element) -> frozenset[str]:
        """The units of an element's chunk."""
        return frozenset(
            unit for job in self.claim.jobs if job.name == element.name for unit in job.units[element.index]
        )

    def chunks(self) -> frozenset[int]:
        """The chunks whose elements are in the queue; all, where SLURM could not be asked."""
        here = {(element.name, element.index) for element in self.elements}
        return frozenset(
            number
            for job in self.claim.jobs
            for index, number in enumerate(job.chunks)
            if self.unsure or (job.name, index) in here
        )

    def in_progress(self) -> frozenset[str]:
        """The units that workers have in hand, by the markers that they leave beside the frozen units."""
        if not self.claim.folder:
            return frozenset()
        waiting = {element.job for element in self.elements if element.state == "PENDING"}
        alive = self.chunks()
        found = (marker for marker in markers(Path(self.claim.folder)) if marker.job not in waiting)
        return frozenset(marker.unit for marker in found if not self.claim.jobs or marker.chunk in alive)

    def dead(self) -> list[Marker]:
        """What workers had in hand whose jobs are over."""
        if not self.claim.folder or not self.claim.jobs:
            return []
        # An announced job without a verdict may get one, and a worker, at any moment.
        undecided = {chunk for number in self.undecided for chunk in self.claim.jobs[number].chunks}
        alive = self.chunks() | undecided
        return [marker for marker in markers(Path(self.claim.folder)) if marker.chunk not in alive]


PATIENCE_SECONDS = 5.0
"""What cannot be asked for is taken to be at work, so it is not waited for."""


def holdings(folder: Path, patience: float = PATIENCE_SECONDS) -> list[Holding]:
    """What each claim of ``folder`` holds, those that hold nothing any more included.

    Args:
        folder: the store's claims.
        patience: how many seconds to wait for SLURM's answer.
    """
    claims = read_claims(folder)
    verdicts = {claim.path: [claim.verdict(number) for number in range(len(claim.jobs))] for claim in claims}
    names = [
        job.name
        for claim in claims
        for job, verdict in zip(claim.jobs, verdicts[claim.path], strict=True)
        if verdict != ""
    ]
    unsure = ""
    found: dict[str, list[Element]] = {}
    try:
        found = queue(names, patience) if names else {}
    except SlurmUnavailable as error:
        unsure = str(error)
    return [_holding(claim, verdicts[claim.path], found, unsure) for claim in claims]


def _holding(claim: Claim, verdicts: list[str | None], found: dict[str, list[Element]], unsure: str) -> Holding:
    if not claim.jobs:
        return Holding(claim, claim.units if claim.alive() else frozenset())
    alive = claim.alive()
    units: set[str] = set()
    elements: list[Element] = []
    undecided = tuple(number for number, verdict in enumerate(verdicts) if verdict is None)
    orphans = () if alive or unsure else undecided
    for number, (job, verdict) in enumerate(zip(claim.jobs, verdicts, strict=True)):
        if verdict == "":
            continue
        queued = found.get(job.name, [])
        elements += queued
        if unsure or (verdict is None and alive):  # perhaps being submitted at this moment
            units.update(unit for chunk in job.units for unit in chunk)
        elif number not in orphans:
            units.update(unit for element in queued for unit in job.units[element.index])
    return Holding(claim, frozenset(units), tuple(elements), undecided, orphans, unsure)


def held_units(store: Path) -> frozenset[str]:
    """The units that some run holds."""
    return frozenset[str]().union(*(held.units for held in holdings(store / "claims")))


def withdrawn(claim: Claim, job: int) -> bool:
    """Make an announced job void, and take it out of the queue if it ever got there; whether it is void now.

    Raises:
        StoreError: when the verdict cannot be written.
    """
    if not claim.void(job):
        return False
    with contextlib.suppress(SlurmUnavailable):  # its workers would find nothing to do
        cancel_by_name(claim.jobs[job].name)
    return True


def take(folder: Path, wanted: Collection[str], sweep: str = "") -> tuple[Claim, list[Holding]]:
    """Claim those of ``wanted`` that no living run and no queued job holds.

    Returns:
        The new claim (its ``units`` may be empty), and what other claims hold of ``wanted``.

    Raises:
        StoreError: when the folder cannot be written.
    """
    owner = Owner.current()
    while True:
        # The number is chosen before the claims are read: a claim that appears in between takes that number.
        number = next_number(folder)
        now = holdings(folder)
        orphans = [(held.claim, job) for held in now for job in held.orphans]
        void = [withdrawn(claim, job) for claim, job in orphans]
        if not all(void):
            continue  # its first worker was faster than this verdict
        others = [held for held in now if held.units.intersection(wanted)]
        free = frozenset(wanted).difference(*(held.units for held in others))
        claim = Claim(folder / f"{number:06d}.json", owner, free, sweep)
        if create(claim.path, content_of(claim)):
            return claim, [replace(held, units=held.units.intersection(wanted)) for held in others]

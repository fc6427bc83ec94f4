"""Recall: which queued jobs hold units that are not wanted any more, and taking them back."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tmbench.engine.claims import Claim
from tmbench.engine.holdings import Holding, holdings, withdrawn
from tmbench.engine.slurm.site import Element, SlurmUnavailable, cancel


@dataclass(frozen=True)
class Recall:
    """What is to be taken back.

    Attributes:
        units: ids of the units.
        jobs: SLURM jobs that hold nothing else.
        dropped: claims, and units that the workers of their other jobs shall leave out.
        orphans: jobs that their run announced before it died, in the queue or not.
        elsewhere: what a process, and not a job, holds: nobody but its user can stop that.
    """

    units: frozenset[str]
    jobs: tuple[str, ...]
    dropped: tuple[tuple[Claim, frozenset[str]], ...]
    orphans: tuple[tuple[Claim, int], ...]
    elsewhere: tuple[Holding, ...]

    def carry_out(self) -> None:
        """Do it.

        Raises:
            SlurmUnavailable: when SLURM does not answer.
            StoreError: when a claim cannot be written.
        """
        for claim, units in self.dropped:
            claim.drop(units)
        for claim, number in self.orphans:
            withdrawn(claim, number)
        cancel(self.jobs)


def recall(store: Path, planned: Collection[str], sweep: str, unlisted: bool) -> Recall:
    """What a sweep has in the queue; with ``unlisted``, only what its plan lacks.

    Raises:
        SlurmUnavailable: when there are jobs and SLURM does not answer.
    """
    jobs: list[str] = []
    dropped: list[tuple[Claim, frozenset[str]]] = []
    elsewhere: list[Holding] = []
    taken: set[str] = set()
    orphans: list[tuple[Claim, int]] = []
    for held in holdings(store / "claims"):
        if held.claim.sweep == sweep and not unlisted:
            orphans += [(held.claim, number) for number in held.orphans]
            taken.update(unit for number in held.orphans for chunk in held.claim.jobs[number].units for unit in chunk)
        wanted = _unwanted(held, planned, sweep, unlisted)
        if not wanted:
            continue
        if held.unsure:
            raise SlurmUnavailable(held.unsure)
        if not held.elements:
            elsewhere.append(held)
            continue
        partly: set[str] = set()
        whole: list[Element] = []
        for element in held.elements:
            chunk = held.units_of(element)
            if chunk <= wanted:
                whole.append(element)
            else:
                partly |= chunk & wanted
        jobs += [element.job for element in whole]
        if partly:
            dropped.append((held.claim, frozenset(partly)))
        taken |= partly.union(*(held.units_of(element) for element in whole))
    return Recall(frozenset(taken), tuple(jobs), tuple(dropped), tuple(orphans), tuple(elsewhere))


def _unwanted(held: Holding, planned: Collection[str], sweep: str, unlisted: bool) -> frozenset[str]:
    if unlisted:
        return held.units.difference(planned) if held.claim.sweep == sweep else frozenset()
    return held.units.intersection(planned)

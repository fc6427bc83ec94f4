"""Leftovers: what a chunk's worker had finished when it ended early."""

from collections.abc import Iterable
from pathlib import Path

from tmbench.engine.records import Records
from tmbench.engine.units import Unit


def finished_in(run: str, units: Iterable[Unit], store: Path) -> set[str]:
    """Which of ``units`` need no more work in ``run``: those that succeeded, and those that failed in this very run.

    A failure of an earlier run may be what this one was asked to try again.
    """
    records = Records().merge(store / "records")
    failed_now = {id for id, record in records.failures.items() if record["run"] == run}
    return done_units(units, failed_now.union(records.results))


def done_units(units: Iterable[Unit], settled: set[str]) -> set[str]:
    """The units of which every result, scores included, is settled."""
    return {unit.id for unit in units if unit.id in settled and all(score.id in settled for score in unit.scores)}

"""Leftovers: what a chunk's worker leaves to the next one: what it had finished, and what was late."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tmbench.engine.records import Records
from tmbench.engine.units import Unit
from tmbench.engine.workbench import Workbench
from tmbench.errors import TmbenchError


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


class TookTooLong(TmbenchError):
    """A unit was in hand when the time was up, again and again, and came no further."""

    failure = "timeout"

    def __init__(self, times: int) -> None:
        """After so many times."""
        super().__init__(
            f"its job's time was up {'once' if times == 1 else f'{times} times'} before it was done, and no state of "
            "it could be saved meanwhile. `tmbench run retry=timeout` asks for twice the time; where "
            "cluster.needs.minutes sets the time, raise that as well."
        )


@dataclass(frozen=True)
class Late:
    """A unit that was in hand when the time of its job was up, and had not come further than the time before.

    Attributes:
        unit: id of the unit.
        times: how often in a row.
        seconds: how long it was at work in all these.
    """

    unit: str
    times: int = 0
    seconds: float = 0.0

    def again(self, unit: str, seconds: float) -> "Late":
        """It, or another unit, was late once more, after ``seconds`` of work."""
        before = self if self.unit == unit else Late(unit)
        return Late(unit, before.times + 1, before.seconds + seconds)


def late_path(frozen: str, chunk: int) -> Path:
    """Where it is kept which unit of a chunk was late."""
    return Path(frozen).with_suffix(f".late{chunk}")


def _write(path: Path, late: Late) -> None:
    """Keep ``late``; where that cannot be, it is not counted."""
    with contextlib.suppress(OSError):
        path.write_text(json.dumps(asdict(late)))


def _read(path: Path) -> Late:
    """What ``path`` holds; no unit where there is none."""
    try:
        return Late(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return Late("")


def counted(bench: Workbench, path: Path) -> Late | None:
    """Count in ``path`` that the time was up with a unit in hand that had saved no state; None where that is not so."""
    unit = bench.unit
    if unit is None or not bench.interruption.timed_out:
        return None
    if bench.state is not None and bench.state.advanced:
        _write(path, Late(unit.id))  # it goes on from there
        return None
    late = _read(path).again(unit.id, bench.seconds)
    _write(path, late)
    return late

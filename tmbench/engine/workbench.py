"""The workbench: what a unit finds at hand while it is done, and what it leaves when it fails."""

import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmbench.engine.artifacts import artifact_path
from tmbench.engine.checkpoints import UnitCheckpoints
from tmbench.engine.failures import classify
from tmbench.engine.interruption import Interruption
from tmbench.engine.records import now, row
from tmbench.engine.units import Unit
from tmbench.identity import canonical

Rows = list[dict[str, Any]]
Perform = Callable[[Unit, "Workbench"], Rows]


class Workbench:
    """What a chunk keeps from one unit to the next: the store, the source and target in hand, and the unit itself.

    Attributes:
        unit: the unit in hand; None between two.
        state: its checkpoints, once it has asked for them.
    """

    def __init__(
        self, store: Path, interruption: Interruption | None = None, checkpoint_seconds: float = 600.0
    ) -> None:
        """Work on ``store``; trainings save their state every ``checkpoint_seconds``."""
        self.store = store
        self.interruption = interruption or Interruption()
        self.checkpoint_seconds = checkpoint_seconds
        self.unit: Unit | None = None
        self.state: UnitCheckpoints | None = None
        self._begun = self._taken = now()
        self._held: dict[str, tuple[str, Any]] = {}

    def take(self, unit: Unit) -> None:
        """Take a unit in hand."""
        self.unit, self.state, self._taken = unit, None, now()

    def put_down(self) -> None:
        """The unit in hand has come to an end, good or bad."""
        self.unit = None

    @property
    def seconds(self) -> float:
        """How long the unit in hand has been there."""
        return now() - self._taken

    @property
    def share(self) -> float:
        """The share of this worker's time so far that the unit in hand has had."""
        return self.seconds / max(1e-9, now() - self._begun)

    def artifact(self, stage: str, id: str) -> Path:
        """Where the artifact of a unit lies."""
        return artifact_path(self.store, stage, id)

    def checkpoints(self, unit: Unit) -> UnitCheckpoints:
        """Where the training of a unit saves its state; whoever records what the unit came to discards it."""
        path = self.store / "checkpoints" / unit.id[:2] / f"{unit.id}.safetensors"
        self.state = UnitCheckpoints(path, canonical(unit.key), self.checkpoint_seconds, self.interruption)
        return self.state

    def once(self, slot: str, key: str, make: Callable[[], Any]) -> Any:
        """``make()``, kept until the slot is asked for another key: units are sorted so that this rarely happens."""
        held = self._held.get(slot)
        if held is None or held[0] != key:
            self._held.pop(slot, None)  # free the old one before the new one is made
            held = self._held[slot] = (key, make())
        return held[1]

    def log(self, unit: Unit, text: str) -> str:
        """Keep ``text`` in the unit's log; return its path. A log that cannot be written loses no result."""
        path = self.store / "logs" / unit.id[:2] / f"{unit.id}-{unit.stage}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A name that is no UTF-8 reaches messages as lone surrogates, which no file takes as they are.
            with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {unit.name}\n{text}\n")
        except OSError as error:
            print(f"cannot write {path}: {error}", file=sys.stderr)
        return str(path)


def own_seconds(record: dict[str, Any]) -> dict[str, Any]:
    """The provenance that a record brings of its own (a score knows its own seconds)."""
    return {"seconds": record["seconds"]} if record["seconds"] is not None else {}


def failure_rows(unit: Unit, error: BaseException, log: str) -> Rows:
    """The records of a failed unit: its own, and one for each score that it owed.

    A pass that was there before and cannot be repeated is still a success; then only its scores tell of the failure.
    """
    owed = [
        failure_row(unit, error, log, id=score.id, stage="score", name=score.name, key=canonical(score.key))
        for score in unit.scores
    ]
    return [failure_row(unit, error, log), *owed]


def failure_row(unit: Unit, error: BaseException, log: str, **identity: Any) -> dict[str, Any]:
    """The record of a failed unit, or of a failed score where ``identity`` names one."""
    last = "".join(traceback.format_exception(error)[-3:])[-2000:]
    return row(
        **{"id": unit.id, "stage": unit.stage, "name": unit.name, "key": canonical(unit.key), **identity},
        unit=unit.id,
        status="failed",
        failure=classify(error),
        message=f"{type(error).__name__}: {error}"[:1000],
        details={"traceback": last},
        log=log,
    )

"""Checkpoints: the state of a unit that trains, kept in the store so that a worker that dies loses little of it.

One file a unit, replaced as a whole each time. Whatever is wrong with it, the unit starts over: a state is worth the
time that it saves and nothing else.
"""

import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

from tmbench.engine.artifacts import CorruptArtifact, read_artifact, write_artifact
from tmbench.engine.interruption import Interruption
from tmbench.files import StoreError
from tmbench.sources.checkpoints import Saved

SHARE = 20.0
"""Work between two saves is at least so many times as long as saving took, however slow the store is."""


class UnitCheckpoints:
    """The checkpoints of one unit; see :class:`tmbench.sources.checkpoints.Checkpoints`."""

    def __init__(self, path: Path, key: str, every_seconds: float, interruption: Interruption) -> None:
        """Save to ``path`` every so many seconds, and when ``interruption`` asks the worker to stop.

        Args:
            path: the file; may not exist yet.
            key: the unit's full key; a state that bears another one is not read.
            every_seconds: of work between two saves; more where saving is slow.
            interruption: the worker's.
        """
        self._path = path
        self._key = key
        self._every = every_seconds
        self._interruption = interruption
        self._start = time.monotonic()
        self._next = self._start + every_seconds
        self._earlier: float | None = None
        self.advanced = False
        """Whether a state was saved through this object."""

    @property
    def earlier_seconds(self) -> float:
        """What earlier workers have spent on the state that was read, as far as no record counts it yet."""
        return self._earlier or 0.0

    @property
    def kept(self) -> bool:
        """Whether there is a state on disk, of this worker or of an earlier one."""
        return self._path.exists()

    def saved(self) -> Saved | None:
        """The state saved last; None when there is none, or it is damaged, or another unit's."""
        try:
            artifact = read_artifact(self._path)
        except (CorruptArtifact, OSError):
            return None
        facts: dict[str, Any] = artifact.facts
        if facts.get("key") != self._key:
            return None
        if self._earlier is None:  # a state that this worker saved itself counts its own time too
            self._earlier = float(facts.get("seconds", 0.0))
        return Saved(artifact.arrays, facts["state"])

    def due(self) -> bool:
        """Whether the time has come, or the worker is told to stop."""
        return self._interruption.requested or time.monotonic() >= self._next

    def save(self, saved: Saved) -> None:
        """Replace the state; where the store cannot be written, the former one stays and the training goes on.

        Raises:
            Interrupted: after that, when the worker is told to stop.
        """
        self._earlier = self.earlier_seconds
        start = time.monotonic()
        seconds = self._earlier + start - self._start
        facts: dict[str, Any] = {"key": self._key, "state": saved.facts, "seconds": seconds}
        try:
            write_artifact(self._path, saved.arrays, facts)
            self.advanced = True
        except StoreError as error:
            warnings.warn(f"the state of a training is not saved: {error}", stacklevel=2)
        end = time.monotonic()
        self._next = end + max(self._every, SHARE * (end - start))
        self._interruption.check()

    def count_from_here(self) -> None:
        """Forget the seconds spent so far: the record of a failure has them, and another try goes on from the state."""
        with contextlib.suppress(CorruptArtifact, StoreError, OSError):
            artifact = read_artifact(self._path)
            facts: dict[str, Any] = artifact.facts
            write_artifact(self._path, artifact.arrays, {**facts, "seconds": 0.0})

    def discard(self) -> None:
        """Remove the state, one that was damaged, and what a killed worker left half written.

        To be called when the unit's record is on disk: a worker that is killed before goes on from the state.
        """
        unfinished = self._path.parent.glob(f".{self._path.name}.*.tmp")
        for path in (self._path, self._path.with_suffix(".corrupt"), *unfinished):
            with contextlib.suppress(OSError):
                path.unlink()

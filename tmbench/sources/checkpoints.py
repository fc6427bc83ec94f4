"""What a training shares with whoever keeps its state: so that one that was cut goes on where it stood.

The training says what its state is and when it may be saved; where it is kept, how often, and what happens when the
worker is told to stop is the engine's (tmbench/engine/checkpoints.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]

FORMAT = 1
"""Raise it when states are saved in another way, or trainings go another way from them: old ones are passed over."""


@dataclass(frozen=True)
class Saved:
    """The state of some work: arrays that own their memory, and facts as plain JSON values."""

    arrays: Arrays = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Checkpoints(Protocol):
    """Keeps the state of one piece of work; the work asks at each point where its state is whole."""

    def saved(self) -> Saved | None:
        """The state saved last; None to start from the beginning."""

    def due(self) -> bool:
        """Whether to save now: some time has passed since the last, or the worker is told to stop."""

    def save(self, saved: Saved) -> None:
        """Keep ``saved``; does not return when the worker is told to stop, but raises a ``BaseException``."""


class NeverSaved:
    """Checkpoints for work that starts from the beginning each time."""

    def saved(self) -> Saved | None:
        """Nothing."""
        return None

    def due(self) -> bool:
        """Never."""
        return False

    def save(self, saved: Saved) -> None:
        """Forget it."""


UNSAVED = NeverSaved()
"""What a training takes when nobody keeps its state."""


class PartOf:
    """The checkpoints of one step of a longer work: each saves the state of the whole along with the step's."""

    def __init__(self, whole: Checkpoints, rest: Callable[[], Saved]) -> None:
        """Save in ``whole``, together with what ``rest`` gives: the state of everything but this step."""
        self._whole = whole
        self._rest = rest

    def saved(self) -> Saved | None:
        """The step's share of the state saved last, of whichever step that was."""
        saved = self._whole.saved()
        if saved is None or "part" not in saved.facts:
            return None
        return Saved(share(saved.arrays, "part"), saved.facts["part"])

    def due(self) -> bool:
        """Whether to save now."""
        return self._whole.due()

    def save(self, saved: Saved) -> None:
        """Keep the state of the step and of the rest."""
        rest = self._rest()
        arrays = rest.arrays | prefixed("part", saved.arrays)
        self._whole.save(Saved(arrays, rest.facts | {"part": saved.facts}))


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """``arrays`` under the names ``PREFIX/NAME``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def share(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    """The arrays named ``PREFIX/NAME``, as ``NAME``."""
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}

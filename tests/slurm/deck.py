"""Which faults are still to come, in a seeded order, and what became of those injected."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable

AT_RUN = (
    "run twice at once",
    "run killed between claim and sbatch",
    "run killed between sbatch and its answer",
    "run killed at a random moment",
    "time limit in the middle of a training",
)
"""Faults of a `run` itself."""


class Deck:
    """Faults as cards: those from outside, and those of a `run` itself."""

    def __init__(self, count: int, kinds: list[str], random: random.Random, pace: tuple[float, float]) -> None:
        self.pace = pace
        order = [*kinds, *AT_RUN]
        cards = [order[number % len(order)] for number in range(count)]
        random.shuffle(cards)
        self._outside = [card for card in cards if card not in AT_RUN]
        self._at_run = [card for card in cards if card in AT_RUN]
        self.counts: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self._open: list[tuple[str, Callable[[], bool]]] = []

    @property
    def left(self) -> int:
        return len(self._outside) + len(self._at_run)

    def at_run(self) -> str | None:
        return self._at_run.pop() if self._at_run else None

    def candidates(self) -> list[str]:
        """The next kinds, the first one first."""
        return list(dict.fromkeys(reversed(self._outside)))

    def injected(self, kind: str, met: bool) -> None:
        at = len(self._outside) - 1 - self._outside[::-1].index(kind)
        del self._outside[at]
        self._tell(kind, met)

    def later(self, kind: str, met: Callable[[], bool]) -> None:
        """A fault whose effect shows only at the end of the round."""
        self._open.append((kind, met))

    def settle(self) -> None:
        for kind, met in self._open:
            self._tell(kind, met())
        self._open = []

    def _tell(self, kind: str, met: bool) -> None:
        self.counts[kind] += 1
        self.hits[kind] += met
        print(f"{time.strftime('%H:%M:%S')}  {kind}{'' if met else ' (met nothing)'}", file=sys.stderr, flush=True)

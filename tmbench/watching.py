"""Looking at a study again and again: live on a terminal, plain lines elsewhere.

Each look reads only the shards that are new; SLURM, which serves everybody, is asked more rarely.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING

from tmbench.engine.holdings import Holding, holdings
from tmbench.engine.records import Records
from tmbench.engine.state import State, learnt_minutes
from tmbench.errors import Declined
from tmbench.verb import Study

if TYPE_CHECKING:
    from tmbench.engine.units import Stage

LOOK_SECONDS = 2.0
"""Between two looks at the store."""
QUEUE_SECONDS = 15.0
"""Between two questions to SLURM."""
PATIENCE_SECONDS = 5.0
"""How long SLURM may take to answer somebody who only wants to see."""
LINE_SECONDS = 20.0
"""Between two lines where there is no terminal."""


class Lookout:
    """A study under observation."""

    def __init__(self, study: Study) -> None:
        """Nothing is read yet."""
        self.study = study
        self.unknown_since: float | None = None
        """Since when, as a time of the day, SLURM has not answered."""
        self._records = Records()
        self._held: list[Holding] = []
        self._asked = -float("inf")

    def look(self) -> State:
        """The study as it is now, its costs learnt from what is finished."""
        store, plan = self.study.store, self.study.plan
        self._records.merge(store / "records")
        units = plan.estimated(learnt_minutes(plan.units, self._records)).units
        state = State(units, store, self._records, held=())
        if set(state.status.values()) <= {"done"} and not state.failures():
            return state  # nobody needs to be asked
        return State(units, store, self._records, held=self._holdings())

    def _holdings(self) -> list[Holding]:
        asks = any(held.claim.jobs for held in self._held)
        if not asks or time.monotonic() - self._asked >= QUEUE_SECONDS:
            self._held = holdings(self.study.store / "claims", PATIENCE_SECONDS)
            self._asked = time.monotonic()
            unsure = any(held.unsure for held in self._held)
            self.unknown_since = (self.unknown_since or time.time()) if unsure else None
        return self._held

    def follow(self) -> State:
        """Show what goes on until nothing is running or queued any more; how it stands then.

        Raises:
            Declined: when the user has seen enough.
        """
        try:
            return self._live() if sys.stderr.isatty() else self._lines()
        except KeyboardInterrupt:
            command = self.study.command
            raise Declined(
                f"\nstopped watching; what is at work goes on\nnext: tmbench status --watch {command}"
                f"   or, to end its jobs: tmbench cancel {command}",
                exit_code=130,
            ) from None

    def _until_over(self, show: Callable[[State], None]) -> State:
        while True:
            state = self.look()
            show(state)
            if not _at_work(state):
                return state
            sleep(LOOK_SECONDS)

    def _live(self) -> State:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        from tmbench.status import facts, text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

            def show(state: State) -> None:
                found = facts(self.study, state)
                lines = [*text(found).splitlines()[:-1], f"{self._clock()}   Ctrl-C leaves; what is at work goes on"]
                live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

            return self._until_over(show)

    def _lines(self) -> State:
        last, spoken = "", -float("inf")

        def show(state: State) -> None:
            nonlocal last, spoken
            if time.monotonic() - spoken < LINE_SECONDS and _at_work(state):
                return
            line = " · ".join([*_parts(state), *self._unknown()])
            spoken = time.monotonic()
            if line != last:
                print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
                last = line

        return self._until_over(show)

    def _clock(self) -> str:
        return " · ".join([time.strftime("%H:%M:%S"), *self._unknown()])

    def _unknown(self) -> list[str]:
        if self.unknown_since is None:
            return []
        return [f"SLURM does not answer since {time.strftime('%H:%M:%S', time.localtime(self.unknown_since))}"]


def _at_work(state: State) -> bool:
    return any(status in ("running", "queued") for status in state.status.values())


def _parts(state: State) -> list[str]:
    done: Counter[Stage] = Counter()
    units: Counter[Stage] = Counter()
    statuses: Counter[str] = Counter()
    for batch in state.units.batches:
        here = Counter(state.status[id] for id in batch.ids)
        done[batch.stage] += here["done"]
        units[batch.stage] += len(batch.ids)
        statuses += here
    parts = [f"{stage} {done[stage]:,}/{units[stage]:,}" for stage in units]
    return parts + [f"{statuses[name]:,} {name}" for name in ("running", "queued", "failed") if statuses[name]]

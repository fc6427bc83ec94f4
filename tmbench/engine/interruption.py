"""Being told to stop: a signal only raises a flag, and the work stops where its state is whole.

SLURM warns a job before it ends it: with the signal that the job asked for, so long before the time limit (and at
preemption where the site sends it), and with SIGTERM at preemption and at `scancel`. submitit's own handler would
requeue at once, in the middle of a step; here it is called when the state is saved.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TERM_SECONDS = 15.0
"""After SIGTERM, SLURM waits KillWait (30 s by default) before it kills."""


class Interrupted(BaseException):
    """The worker was told to stop. No ``Exception``, so that code which catches all errors does not swallow it."""


class Interruption:
    """Whether a worker was told to stop, and whether it shall be put back into the queue."""

    def __init__(self) -> None:
        """Not told yet."""
        self.requested = False
        self._requeue: Callable[[], Any] | None = None

    def check(self) -> None:
        """Stop here where that was asked for.

        Raises:
            Interrupted: when it was.
        """
        if self.requested:
            raise Interrupted

    @property
    def requeues(self) -> bool:
        """Whether the worker has to put its job back into the queue itself."""
        return self._requeue is not None

    def requeue(self) -> None:
        """Call what handled the signal before: submitit's checkpoint and requeue, which ends the process."""
        if self._requeue is not None:
            self._requeue()

    @contextmanager
    def listening(self, warning: int, grace: float) -> Iterator[None]:
        """Take the signal ``warning`` and SIGTERM for a request to stop.

        Work that reaches no safe point within ``grace`` seconds of the warning (or ``TERM_SECONDS`` of SIGTERM, where
        that is less) is broken off where it stands: what it saved last counts then.
        """
        previous = {number: signal.getsignal(number) for number in (warning, signal.SIGTERM, signal.SIGALRM)}

        def stop(number: int, frame: FrameType | None) -> None:
            before = previous[warning]
            if number == warning and callable(before):
                self._requeue = lambda: before(warning, None)
            self.requested = True
            signal.setitimer(signal.ITIMER_REAL, grace if number == warning else min(grace, TERM_SECONDS))

        def break_off(number: int, frame: FrameType | None) -> None:
            raise Interrupted

        try:
            signal.signal(warning, stop)
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGALRM, break_off)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in previous.items():
                signal.signal(number, handler)

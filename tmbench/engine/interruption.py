"""Being told to stop: a signal only raises a flag, and the work stops where its state is whole.

SLURM warns a job before it ends it: with the signal that the job asked for, so long before the time limit (and at
preemption where the site sends it), and with SIGTERM at preemption and at `scancel`. submitit's own handler would
requeue at once, in the middle of a step; here it is called when the state is saved.
"""

import math
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, time
from types import FrameType
from typing import Any, TypeVar

from tmbench.engine.slurm.patience import CommandFailed, SlurmUnavailable, ask, words
from tmbench.errors import TmbenchError

Result = TypeVar("Result")

TERM_SECONDS = 15.0
"""After SIGTERM, SLURM waits KillWait (30 s by default) before it kills."""

EARLY_SECONDS = 90.0
"""SLURM warns a job up to a minute earlier than it was asked to."""

AGAIN_SECONDS = 2.0
"""Work that swallows being broken off is broken off again after so long."""

REQUEUED = "pending execution"
"""What scontrol says of a job that SLURM has put back into the queue itself."""


class Interrupted(BaseException):
    """The worker was told to stop. No ``Exception``, so that code which catches all errors does not swallow it."""


class NotRequeued(TmbenchError):
    """The job could not be put back into the queue."""


class TooManyTimeouts(NotRequeued):
    """The job's time was up as often as the profile allows (``cluster.slurm.requeues``)."""


class Interruption:
    """Whether a worker was told to stop, and whether it shall be put back into the queue.

    Attributes:
        requested: it was told to.
        timed_out: because its job's time is up, as far as one can tell; not by a preemption or `scancel`.
    """

    def __init__(self) -> None:
        """Not told yet."""
        self.requested = False
        self.timed_out = False
        self._requeue: Callable[[], Any] | None = None
        self._breakable = False
        self._end = math.inf  # when the kill is expected, by this process's clock

    def check(self) -> None:
        """Stop here where that was asked for.

        Raises:
            Interrupted: when it was.
        """
        if self.requested:
            raise Interrupted

    def breakable(self, work: Callable[[], Result]) -> Result:
        """``work()``, which may be broken off; nothing else may, so that what is finished is always recorded.

        Raises:
            Interrupted: when it was.
        """
        try:
            self._breakable = True
            return work()
        finally:
            self._breakable = False

    @property
    def requeues(self) -> bool:
        """Whether the worker has to put its job back into the queue itself."""
        return self._requeue is not None

    def requeue(self, job: str) -> None:
        """Call what handled the signal before: submitit's checkpoint and requeue, which ends the process.

        It comes back where SLURM has requeued the job already, or is about to.

        Args:
            job: SLURM's id of the job.

        Raises:
            TooManyTimeouts: when submitit has no requeue left.
            NotRequeued: when SLURM did not take it back in what time there is before the kill.
        """
        from submitit.core.utils import UncompletedJobError

        if self._requeue is None:
            return
        try:
            self._requeue()
        except UncompletedJobError as error:
            raise TooManyTimeouts(str(error)) from error
        except (OSError, subprocess.SubprocessError) as error:
            # A scontrol that dies of SIGTERM was ended with the job, by SLURM, which knows what comes next.
            if getattr(error, "returncode", 0) != -signal.SIGTERM:
                self._ask_again(job)

    def _ask_again(self, job: str) -> None:
        """Requeue once more: submitit neither says what scontrol answered nor tries twice."""
        left = max(1.0, self._end - monotonic())
        if math.isinf(left):
            left = TERM_SECONDS
        try:
            ask("scontrol", "requeue", job, seconds=left, timeout=left)
        except (CommandFailed, SlurmUnavailable, OSError, subprocess.SubprocessError) as error:
            said = words(error.__cause__ or error)
            if REQUEUED not in said.lower():
                raise NotRequeued(
                    f"job {job} is not requeued: {said}. What is left of it is done by the next `tmbench run`."
                ) from error

    @contextmanager
    def listening(self, warning: int, grace: float) -> Iterator[None]:
        """Take the signal ``warning`` and SIGTERM for a request to stop.

        Work (:meth:`breakable`) that reaches no safe point within ``grace`` seconds of the warning (or
        ``TERM_SECONDS`` of SIGTERM, where that is less) is broken off where it stands: what it saved last counts then.
        The first request sets the time; a later one may only shorten it. As long again is left for what follows.
        """
        previous = {number: signal.getsignal(number) for number in (warning, signal.SIGTERM, signal.SIGALRM)}

        def put_back() -> None:
            before = previous[warning]
            assert callable(before)
            signal.signal(warning, signal.SIG_IGN)  # another warning would requeue in the middle of this
            before(warning, None)

        def stop(number: int, frame: FrameType | None) -> None:
            if number == warning:
                self.timed_out = _near_the_limit(previous[warning], 2 * grace)
                if callable(previous[warning]):
                    self._requeue = put_back
            self.requested = True
            wanted = grace if number == warning else min(grace, TERM_SECONDS)
            left, _ = signal.getitimer(signal.ITIMER_REAL)  # 0 where none is set
            signal.setitimer(signal.ITIMER_REAL, min(wanted, left or wanted), AGAIN_SECONDS)
            self._end = min(self._end, monotonic() + 2 * wanted)

        def break_off(number: int, frame: FrameType | None) -> None:
            if self._breakable:
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


def _near_the_limit(handler: object, ahead: float) -> bool:
    """Whether the warning that comes ``ahead`` seconds before the time limit may have come now.

    At preemption some sites send the same signal. How long the job may run, submitit's ``handler`` knows; where it
    does not tell, the signal is taken for what was asked for.
    """
    knowing = getattr(handler, "__self__", None)
    started = getattr(knowing, "_start_time", None)
    minutes = getattr(getattr(knowing, "_delayed", None), "_timeout_min", None)
    if started is None or minutes is None:
        return True
    return bool(time() - started >= 60 * minutes - ahead - EARLY_SECONDS)

"""SLURM's commands fail for moments and for good; which of the two, and what the user must change.

A busy controller answers nothing, late, or "try again"; those words are waited out. Any other words are an answer.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from os import environ
from time import monotonic, sleep
from typing import TypeVar

from tmbench.errors import TmbenchError

Result = TypeVar("Result")

COMMANDS = frozenset({"sbatch", "squeue", "sacct", "sacctmgr", "scancel", "scontrol", "sinfo", "srun"})
ANSWER_SECONDS = 60.0
"""How long one command may take; SLURM's own limit for a message is 10 s, and its commands try several times."""
PATIENCE_SECONDS = 60.0
"""How long a question is repeated."""
SUBMISSION_SECONDS = 300.0
"""How long a submission is repeated: it follows minutes of planning, and a restart of a controller takes minutes."""
LONGEST_PAUSE = 30.0

TRANSIENT = re.compile(
    "|".join(
        (
            "socket timed out",
            "unable to contact slurm controller",
            "unable to contact the controller",
            "connection refused",
            "connection reset",
            "connection timed out",
            "message connect failure",
            "communication connection failure",
            "transport endpoint is not connected",
            "zero bytes were transmitted",
            "resource temporarily unavailable",
            "temporarily unable to accept job",
            "controller in standby mode",
            "controller not responding",
            "munge encode failed",
            "protocol authentication error",
            "rate limit",
        )
    ),
    re.IGNORECASE,
)
"""Words of SLURM's commands after which the same command may succeed."""

ADVICE = (
    (r"invalid partition", "Set cluster.slurm.partition; `sinfo` lists them."),
    (r"invalid account", "Set cluster.slurm.account; `sacctmgr show assoc user=$USER` lists yours."),
    (r"invalid qos", "Set cluster.slurm.qos; `sacctmgr show assoc user=$USER format=qos%60` lists yours."),
    (r"invalid feature", "Mend cluster.slurm.constraint; `sinfo -o '%N %f'` lists features."),
    (r"time limit|WallDuration", "Lower cluster.slurm.max_minutes; `sinfo -o '%P %l'` lists the limits."),
    (
        r"gres|GPU|TRES",
        "Mend cluster.slurm.gpus_as, gpu_type or cluster.needs.gpus; `sinfo -o '%P %G'` lists what nodes have.",
    ),
    (r"array specification", "Lower cluster.slurm.max_array; `scontrol show config` tells MaxArraySize."),
    (
        r"node configuration|more processors|memory",
        "Lower cluster.needs.cpus or .memory_gb; `sinfo -o '%P %c %m'` lists what nodes have.",
    ),
    (r"unrecognized option|invalid option|reservation", "Mend cluster.slurm.sbatch."),
)
"""What sbatch says, and what to do about it; the first that is found."""


class SlurmUnavailable(TmbenchError):
    """There is no SLURM here, or it does not answer."""


class SubmissionRefused(TmbenchError):
    """sbatch said no for good.

    Attributes:
        full: the user or the account has as many jobs as the site allows; the same command works when some are over.
    """

    def __init__(self, text: str, full: bool = False) -> None:
        """Keep whether it is a matter of time."""
        super().__init__(text)
        self.full = full


class CommandFailed(Exception):
    """A command of SLURM ended with an error; its text is what it said."""


def ask(*command: str, seconds: float = PATIENCE_SECONDS, timeout: float = ANSWER_SECONDS) -> str:
    """What a command of SLURM prints; asked again for ``seconds`` while SLURM is busy.

    Raises:
        SlurmUnavailable: when the command does not exist or SLURM does not answer.
        CommandFailed: when it answers with an error.
    """
    return _repeated(lambda: _once(command, timeout), seconds, None)


def patiently(
    work: Callable[[], Result],
    seconds: float = SUBMISSION_SECONDS,
    settled: Callable[[], Result | None] | None = None,
) -> Result:
    """The result of ``work``, which submits jobs, tried again for ``seconds`` while SLURM is busy.

    Args:
        work: calls sbatch, through submitit say.
        seconds: how long to try.
        settled: asked before each further try; what it gives, unless None, is the result. An sbatch whose answer was
            lost may have been heard, and only the queue tells.

    Raises:
        SlurmUnavailable: when there is no SLURM, or it did not answer for so long.
        SubmissionRefused: when sbatch refused for good.
    """
    try:
        return _repeated(work, seconds, settled)
    except (CommandFailed, RuntimeError, subprocess.SubprocessError) as error:
        raise refusal(words(error)) from error


def _repeated(work: Callable[[], Result], seconds: float, settled: Callable[[], Result | None] | None) -> Result:
    end, pause, failed = monotonic() + seconds, 1.0, False
    while True:
        try:
            found = settled() if settled is not None and failed else None
            return work() if found is None else found
        except (CommandFailed, SlurmUnavailable, RuntimeError, OSError, subprocess.SubprocessError) as error:
            text = words(error)
            if (isinstance(error, FileNotFoundError) and error.filename in COMMANDS) or "Could not detect" in text:
                raise _absent(error) from error
            if not transient(text):
                raise
            if monotonic() + pause > end:
                raise SlurmUnavailable(
                    f"SLURM does not answer: {text}. Look at `scontrol ping`, and run the same command again later."
                ) from error
        if not failed:
            print(f"SLURM is busy ({text}); trying again for {seconds:.0f} s", file=sys.stderr)
        failed = True
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _once(command: Sequence[str], timeout: float) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=timeout, env={**environ, "LC_ALL": "C"}
    )
    if done.returncode:
        raise CommandFailed(done.stderr.strip() or done.stdout.strip() or f"{command[0]} failed without a word")
    return done.stdout


def transient(text: str) -> bool:
    """Whether SLURM's words mean that the same command may succeed in a moment."""
    return TRANSIENT.search(text) is not None


def words(error: BaseException) -> str:
    """What SLURM said, in one line; a command that took too long is SLURM's own "socket timed out"."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]}: socket timed out after {error.timeout:.0f} s"
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    # What sbatch says first (the site's own remarks) matters less than what it says last.
    return "; ".join(dict.fromkeys(lines[-4:])) or type(error).__name__


def refusal(text: str) -> TmbenchError:
    """The error for an sbatch that answered ``text``."""
    if "configuration source" in text:
        return _absent(text)
    if full(text):
        advice = "You have as many jobs as the site allows: run the same command again when some are done."
        return SubmissionRefused(f"sbatch refused: {text}. {advice}", full=True)
    advice = next((advice for pattern, advice in ADVICE if re.search(pattern, text, re.IGNORECASE)), "")
    return SubmissionRefused(f"sbatch refused: {text}. {advice or 'Mend cluster.slurm.*; `tmbench doctor` checks it.'}")


def unanswered(command: str, error: CommandFailed) -> SlurmUnavailable:
    """The error for a question that got an error for an answer."""
    text = words(error)
    if "configuration source" in text:
        return _absent(text)
    return SlurmUnavailable(f"{command} failed: {text}. Look at `scontrol ping`, then try again.")


def full(text: str) -> bool:
    """Whether sbatch refused because of how many jobs there are, rather than what this one asks for.

    SLURM says "Job violates accounting/QOS policy (job submit limit, …)" of any limit, and names the limit in a line
    before, where it names it at all.
    """
    if "accounting/QOS policy" not in text:
        return "SubmitJob" in text
    limits = re.findall(r"(?:Assoc|QOS)\w+", text)
    return not limits or any("Submit" in limit for limit in limits)


def _absent(why: object) -> SlurmUnavailable:
    return SlurmUnavailable(
        f"there is no SLURM here ({why}). Run on a login node of the cluster, or choose cluster=local."
    )

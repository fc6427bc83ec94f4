"""What a SLURM site is asked, and what it answers: the queue, how jobs ended, its limits; and ending jobs.

One command a question, never one a job, and never sacct in a loop: a controller serves everybody.
"""

import contextlib
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tmbench.engine.slurm.patience import (
    CommandFailed,
    SlurmUnavailable,
    SubmissionRefused,
    ask,
    patiently,
    unanswered,
    words,
)

__all__ = [
    "Element",
    "SlurmUnavailable",
    "SubmissionRefused",
    "available",
    "cancel",
    "cancel_by_name",
    "final_states",
    "max_array_size",
    "max_submitted",
    "patiently",
    "queue",
    "release",
    "settings",
]

SEPARATOR = "\x1f"
"""Between the fields of a line; nobody writes it into a job's name."""
FIELDS = ("%i", "%T", "%r", "%N", "%M", "%j")
LONGEST_LIST = 100_000
"""Characters of a list of names or jobs on a command line; Linux takes 131,072 in one argument."""
BATCH = 500
"""Jobs of one scancel."""
USUAL_ARRAY = 1001
"""SLURM's own MaxArraySize."""
UNSETTLED = frozenset(
    {
        "COMPLETING",
        "CONFIGURING",
        "PENDING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "RUNNING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
    }
)
"""SLURM's words for jobs that are not over."""


@dataclass(frozen=True)
class Element:
    """A job, or an element of an array, that is not over.

    Attributes:
        job: its id, "17_3" for element 3 of array 17, "17" for a plain job.
        array: the id of its array, or its own.
        index: its place in the array; 0 for a plain job.
        name: the job's name.
        state: SLURM's word: PENDING, RUNNING, COMPLETING, …
        reason: why it waits, in SLURM's word; "None" when it does not.
        node: where it runs, or "".
        seconds: how long it has been running.
    """

    job: str
    array: str
    index: int
    name: str
    state: str
    reason: str
    node: str
    seconds: float


def available() -> bool:
    """Whether SLURM's commands are here; says nothing of a controller that answers."""
    return all(shutil.which(command) for command in ("sbatch", "squeue", "scancel", "scontrol"))


def queue(names: Collection[str], patience: float | None = None) -> dict[str, list[Element]]:
    """The jobs of these names that are not over, by name; one squeue, or none when there are no names.

    Anybody's: who shares a store with others must see their jobs too.

    Args:
        names: of the jobs.
        patience: how many seconds one squeue may take, and a busy SLURM is asked again; None for as long as usual.

    Raises:
        SlurmUnavailable: when SLURM is not here or does not answer.
    """
    found: dict[str, list[Element]] = {name: [] for name in names}
    if not found:
        return found
    command = ["squeue", "--noheader", "--array", f"--format={SEPARATOR.join(FIELDS)}"]
    listed = ",".join(found)
    if len(listed.encode()) <= LONGEST_LIST and not any("," in name for name in found):
        command.append(f"--name={listed}")
    for element in elements(_answer(*command, patience=patience)):
        if element.name in found:
            found[element.name].append(element)
    return found


def elements(text: str) -> Iterator[Element]:
    """The jobs that squeue printed; lines that are none (a site's remarks) are passed over."""
    for line in text.splitlines():
        fields = line.split(SEPARATOR, len(FIELDS) - 1)
        if len(fields) != len(FIELDS):
            continue
        id, state, reason, node, elapsed, name = fields
        for array, index in expanded(id):
            job = array if index is None else f"{array}_{index}"
            yield Element(job, array, index or 0, name, state, reason, node, seconds(elapsed))


def expanded(job: str) -> list[tuple[str, int | None]]:
    """The array and the index of each job that ``17``, ``17_3``, ``17_[0-3,7%2]`` or ``17_[0-8:4]`` stands for."""
    array, _, rest = job.partition("_")
    if not array.isdigit():
        return []
    if not rest:
        return [(array, None)]
    indexes: list[tuple[str, int | None]] = []
    for part in rest.strip("[]").partition("%")[0].split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match is None:
            continue  # squeue cuts a long list short with "..."
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        indexes += [(array, index) for index in range(first, last + 1, step)]
    return indexes


def seconds(elapsed: str) -> float:
    """Seconds of SLURM's ``days-hours:minutes:seconds``; 0 for what is no time ("INVALID")."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", elapsed.strip())
    if match is None:
        return 0.0
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def final_states(jobs: Collection[str]) -> dict[str, str]:
    """How jobs ended, in SLURM's words ("17_3" → "TIMEOUT"), by one sacct; those not over are left out.

    Empty where the site keeps no accounts: then only what a job left behind tells.
    """
    if not jobs or shutil.which("sacct") is None:
        return {}
    # Asked for by array: sacct is slow with thousands of elements, each of them a search of its data base.
    arrays = sorted({job.partition("_")[0] for job in jobs})
    command = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State")
    found: dict[str, str] = {}
    with contextlib.suppress(CommandFailed, SlurmUnavailable):
        for line in ask(*command, f"--jobs={','.join(arrays)}", seconds=0).splitlines():
            id, _, state = line.partition("|")
            word = state.partition(" ")[0]  # "CANCELLED by 1000"
            if word and word not in UNSETTLED:
                found |= {f"{array}_{index}" if index is not None else array: word for array, index in expanded(id)}
    return {job: state for job, state in found.items() if job in jobs or job.partition("_")[0] in jobs}


def settings() -> dict[str, str]:
    """The site's configuration by key: MaxArraySize, PreemptMode and the like.

    Raises:
        SlurmUnavailable: when SLURM is not here or does not answer.
    """
    pairs = (line.partition("=") for line in _answer("scontrol", "show", "config").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def max_array_size(found: dict[str, str] | None = None) -> int:
    """How many elements an array may have: indexes 0 … this - 1. SLURM's default where the site does not tell.

    Args:
        found: the site's :func:`settings`, where they have been asked for.
    """
    if found is None:
        found = {}
        with contextlib.suppress(SlurmUnavailable):
            found = settings()
    largest = found.get("MaxArraySize", "")
    limits = [int(largest) if largest.isdigit() and int(largest) > 0 else USUAL_ARRAY]
    limits += [int(tasks) for tasks in re.findall(r"max_array_tasks=(\d+)", found.get("SchedulerParameters", ""))]
    return max(1, min(limits))


def max_submitted(user: str, account: str = "") -> int | None:
    """How many jobs, array elements each counted, ``user`` may have in the queue; None where no limit is known.

    Args:
        user: whose.
        account: under this account only; "" is the least over all that the user has.
    """
    limits: list[int] = []
    where = [f"account={account}"] if account else []
    with contextlib.suppress(CommandFailed, SlurmUnavailable):
        text = ask("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}", *where, "format=maxsubmit")
        limits = [int(line) for line in text.split() if line.isdigit()]
    return min(limits, default=None)


def cancel(jobs: Sequence[str]) -> None:
    """End jobs; those already over are no error.

    Raises:
        SlurmUnavailable: when SLURM is not here, does not answer or refuses.
    """
    for start in range(0, len(jobs), BATCH):
        _end(*jobs[start : start + BATCH])


def cancel_by_name(name: str) -> None:
    """End all jobs of this name; none is no error.

    Raises:
        SlurmUnavailable: when SLURM is not here, does not answer or refuses.
    """
    _end(f"--name={name}")


def release(jobs: Sequence[str]) -> None:
    """Let jobs go that are held in the queue.

    Raises:
        SlurmUnavailable: when SLURM is not here, does not answer or refuses.
    """
    for start in range(0, len(jobs), BATCH):
        _answer("scontrol", "release", ",".join(jobs[start : start + BATCH]))


def _end(*what: str) -> None:
    try:
        ask("scancel", *what)
    except CommandFailed as error:
        lines = [line for line in str(error).splitlines() if not re.search("Invalid job id|already complet", line)]
        if any("error" in line for line in lines):
            raise SlurmUnavailable(f"scancel failed: {words(error)}. Look with `squeue --me`.") from error


def _answer(*command: str, patience: float | None = None) -> str:
    """What a command prints; any failure is no answer."""
    hurry = {} if patience is None else {"seconds": patience, "timeout": patience}
    try:
        return ask(*command, **hurry)
    except CommandFailed as error:
        raise unanswered(command[0], error) from error

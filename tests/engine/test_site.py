"""What SLURM's commands print, taken from SLURM 22.05, and how it is read.

Small programs of their names stand in for a site that is busy, refuses or prints odd things; a real one is asked in
tests/slurm.
"""

import os
import subprocess

import pytest

from tmbench.engine.slurm import patience, site
from tmbench.engine.slurm.patience import SlurmUnavailable, SubmissionRefused, ask, full, patiently, transient, words

SEP = "\x1f"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A function that puts a program of a name on the PATH, alone; it appends its arguments to a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name, script):
        path = folder / name
        path.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/{name}.calls\n{script}\n')
        path.chmod(0o755)
        return tmp_path / f"{name}.calls"

    return make


@pytest.fixture
def waits(monkeypatch):
    """The pauses between tries, which are not waited."""
    found = []
    monkeypatch.setattr(patience, "sleep", found.append)
    return found


def line(job, state, reason, node, elapsed, name):
    return SEP.join([job, state, reason, node, elapsed, name])


# As `squeue --array` printed them; the name is one that a user may well give.
ODD = 'odd name|x,y "q" [1-3]'
PRINTED = [
    line("6_2", "PENDING", "JobArrayTaskLimit", "", "0:00", ODD),
    line("6_0", "RUNNING", "None", "node1", "0:01", ODD),
    line("6_[3-4,7%2]", "PENDING", "Resources", "", "0:00", ODD),  # without --array
    line("7", "COMPLETING", "None", "node3", "1-02:03:04", "plain"),
    "slurm will be down for maintenance on Friday",
    "",
]


def test_the_queue_is_one_call_and_reads_odd_names(stand_in, tmp_path):
    (tmp_path / "printed").write_text("\n".join(PRINTED) + "\n")
    calls = stand_in("squeue", f"cat {tmp_path}/printed")
    found = site.queue([ODD, "plain", "gone"])
    assert len(calls.read_text().splitlines()) == 1
    assert [(e.job, e.array, e.index, e.state) for e in found[ODD]] == [
        ("6_2", "6", 2, "PENDING"),
        ("6_0", "6", 0, "RUNNING"),
        ("6_3", "6", 3, "PENDING"),
        ("6_4", "6", 4, "PENDING"),
        ("6_7", "6", 7, "PENDING"),
    ]
    assert found["plain"] == [
        site.Element("7", "7", 0, "plain", "COMPLETING", "None", "node3", 86400 + 2 * 3600 + 3 * 60 + 4.0)
    ]
    assert found["gone"] == []


def test_no_names_ask_nothing(stand_in):
    calls = stand_in("squeue", "exit 1")
    assert site.queue([]) == {}
    assert not calls.exists()


@pytest.mark.parametrize("names", [["a", "b,c"], [f"run-{number:040d}" for number in range(5000)]])
def test_names_that_fit_no_list_are_asked_for_without_one(stand_in, names):
    calls = stand_in("squeue", f"printf '%s\\n' '{line('3', 'RUNNING', 'None', 'n', '1:00', names[0])}'")
    assert [element.job for element in site.queue(names)[names[0]]] == ["3"]
    assert "--name" not in calls.read_text()


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("17", [None]),
        ("17_3", [3]),
        ("17_[0-3,7%2]", [0, 1, 2, 3, 7]),
        ("17_[0-8:4]", [0, 4, 8]),
        ("17_[5]", [5]),
        ("17_[1,3,...]", [1, 3]),
        ("JOBID", []),
        ("", []),
    ],
)
def test_ranges_of_elements(text, indexes):
    assert site.expanded(text) == [("17", index) for index in indexes]


@pytest.mark.parametrize(
    ("text", "value"), [("0:00", 0), ("59:59", 3599), ("1:00:00", 3600), ("2-00:00:01", 172801), ("INVALID", 0)]
)
def test_elapsed_time(text, value):
    assert site.seconds(text) == value


def test_how_jobs_ended(stand_in):
    lines = [
        "17_0|COMPLETED",
        "17_1|CANCELLED by 0",
        "17_[2-3]|PENDING",
        "17_4|TIMEOUT",
        "18|OUT_OF_MEMORY",
        "19|RUNNING",
    ]
    calls = stand_in("sacct", f"printf '%s\\n' {' '.join(map(repr, lines))}")
    assert site.final_states(["17", "18", "19"]) == {
        "17_0": "COMPLETED",
        "17_1": "CANCELLED",
        "17_4": "TIMEOUT",
        "18": "OUT_OF_MEMORY",
    }
    assert site.final_states(["17_4"]) == {"17_4": "TIMEOUT"}
    assert [call.split("--jobs=")[1] for call in calls.read_text().splitlines()] == ["17,18,19", "17"]


def test_a_site_without_accounts_tells_nothing(stand_in, waits):
    assert site.final_states([]) == {}
    stand_in("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert site.final_states(["17"]) == {}
    stand_in("sacct", "echo 'sacct: error: slurm_persist_conn_open: Connection refused' >&2; exit 1")
    assert site.final_states(["17"]) == {}
    assert waits == []


@pytest.mark.parametrize(
    ("printed", "size"),
    [
        ("MaxArraySize            = 1001\nSchedulerParameters     = (null)", 1001),
        ("MaxArraySize            = 4000\nSchedulerParameters     = bf_interval=1,max_array_tasks=500", 500),
        ("MaxArraySize            = 0", 1001),
        ("nothing of that kind", 1001),
    ],
)
def test_the_longest_array(stand_in, printed, size):
    stand_in("scontrol", f"echo '{printed}'")
    assert site.max_array_size() == size


def test_the_longest_array_of_a_site_that_does_not_tell(stand_in, waits):
    stand_in("scontrol", "echo 'slurm_load_ctl_conf error: Access/permission denied' >&2; exit 1")
    assert site.max_array_size() == 1001


def test_the_least_limit_of_a_users_associations(stand_in):
    stand_in("sacctmgr", "printf '\\n500\\n1000\\n'")
    assert site.max_submitted("me") == 500
    stand_in("sacctmgr", "echo")
    assert site.max_submitted("me") is None


def test_many_jobs_end_in_few_calls_and_those_that_are_over_are_no_error(stand_in):
    error = "scancel: error: Kill job error on job id 9: Invalid job id specified"
    calls = stand_in("scancel", f"echo '{error}' >&2; exit 1")
    site.cancel([str(number) for number in range(1200)])
    assert len(calls.read_text().splitlines()) == 3
    site.cancel_by_name("mine")
    assert calls.read_text().splitlines()[-1] == "--name=mine"


def test_a_job_of_somebody_else_is_an_error(stand_in):
    stand_in("scancel", "echo 'scancel: error: Kill job error on job id 9: Access/permission denied' >&2; exit 1")
    with pytest.raises(SlurmUnavailable, match="Access/permission denied"):
        site.cancel(["9"])


BUSY = [
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Connection reset by peer",
    "sbatch: error: Batch job submission failed: Connection refused",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode",
]
REFUSED = [
    ("sbatch: error: Batch job submission failed: Invalid partition name specified", r"cluster\.slurm\.partition"),
    (
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        r"cluster\.slurm\.account",
    ),
    ("sbatch: error: Batch job submission failed: Invalid feature specification", r"cluster\.slurm\.constraint"),
    ("sbatch: error: Invalid generic resource (gres) specification", r"cluster\.slurm\.gpus_as"),
    ("sbatch: error: Batch job submission failed: Invalid job array specification", r"cluster\.slurm\.max_array"),
    ("sbatch: error: Batch job submission failed: Requested reservation is invalid", r"cluster\.slurm\.sbatch"),
    ("sbatch: unrecognized option '--bogus=1'\nTry \"sbatch --help\" for more information", r"cluster\.slurm\.sbatch"),
    ("sbatch: error: Batch job submission failed: Requested node configuration is not available", "memory_gb"),
    (
        "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
        r"max_minutes",
    ),
    ("sbatch: error: something nobody has seen", "tmbench doctor"),
]
POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)"
)


@pytest.mark.parametrize("text", BUSY)
def test_a_busy_controller_is_asked_again(waits, text):
    answers = [RuntimeError(text), RuntimeError(text), "17"]

    def work():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(work) == "17"
    assert waits == [1, 2]


def test_patience_ends(waits, monkeypatch):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(patience, "monotonic", lambda: next(clock))

    def work():
        raise RuntimeError(BUSY[0])

    with pytest.raises(SlurmUnavailable, match=r"does not answer: .*connect failure.*scontrol ping"):
        patiently(work, 60)
    assert len(waits) == 2


def test_an_sbatch_whose_answer_was_lost_is_not_sent_again(waits):
    sent = []

    def work():
        sent.append(1)
        raise RuntimeError(BUSY[1])

    assert patiently(work, settled=lambda: "17") == "17"
    assert sent == [1]


def test_nothing_is_sent_while_the_queue_cannot_be_asked(waits):
    sent, asked = [], [SlurmUnavailable("SLURM does not answer: Connection refused"), None]

    def work():
        sent.append(1)
        if len(sent) == 1:
            raise RuntimeError(BUSY[1])
        return "18"

    def settled():
        answer = asked.pop(0)
        if answer is not None:
            raise answer

    assert patiently(work, settled=settled) == "18"
    assert (len(sent), asked) == (2, [])


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_a_refusal_says_what_to_change(waits, text, says):
    def work():
        raise RuntimeError(text)

    with pytest.raises(SubmissionRefused, match=says) as caught:
        patiently(work)
    assert (waits, caught.value.full) == ([], False)
    assert text.splitlines()[0] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_full"),
    [
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", True),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", True),
        (POLICY, True),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", False),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", False),
    ],
)
def test_too_many_jobs_are_told_from_too_large_a_job(text, is_full):
    assert full(text) is is_full

    def work():
        raise RuntimeError(text)

    with pytest.raises(SubmissionRefused, match="when some are done" if is_full else "sbatch refused") as caught:
        patiently(work)
    assert caught.value.full is is_full


def test_errors_of_our_own_pass_through():
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 / 0)


def test_a_command_that_hangs_is_a_busy_controller(stand_in, waits, monkeypatch):
    stand_in("squeue", "exec sleep 30")
    with pytest.raises(SlurmUnavailable, match="squeue: socket timed out"):
        ask("squeue", seconds=0, timeout=0.2)


def test_no_slurm_here(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not site.available()
    with pytest.raises(SlurmUnavailable, match=r"there is no SLURM here .*cluster=local"):
        site.queue(["a"])
    from tmbench.engine.options import Slurm
    from tmbench.engine.slurm.parameters import executor

    with pytest.raises(SlurmUnavailable, match="there is no SLURM here"):
        executor(tmp_path, Slurm())


def test_slurm_installed_but_not_set_up(stand_in):
    stand_in("squeue", "echo 'squeue: fatal: Could not establish a configuration source' >&2; exit 1")
    with pytest.raises(SlurmUnavailable, match="there is no SLURM here"):
        site.queue(["a"])


def test_words_of_commands():
    assert words(subprocess.TimeoutExpired(["sbatch"], 3)) == "sbatch: socket timed out after 3 s"
    assert transient(words(subprocess.TimeoutExpired(["sbatch"], 3)))
    assert transient(os.strerror(11))
    assert words(RuntimeError("")) == "RuntimeError"

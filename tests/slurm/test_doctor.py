"""`tmbench doctor` on a real site: all well, and each thing that is wrong with what to do about it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tmbench.doctor import main


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    """A function that runs the verb; its exit code and its findings by check."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tmbench.engine.slurm.visit.LOOK_SECONDS", 1.0)

    def run(*words):
        memory = [] if any("memory_gb" in word for word in words) else ["cluster.needs.memory_gb=1"]
        code = main(["cluster=slurm", "--json", *memory, *words])
        return code, {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}

    return run


def test_a_site_that_is_well(cluster, doctor, tmp_path):
    code, found = doctor("--yes")
    assert [finding for finding in found.values() if finding["good"] is False] == []
    assert code == 0
    for check in (
        "controller",
        "arrays",
        "partition",
        "request",
        "test job",
        "code there",
        "files",
        "clocks",
        "warning",
    ):
        assert found[check]["good"], check
    assert "MaxArraySize" not in found["arrays"]["text"]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    cluster.wait_idle()


@pytest.mark.parametrize(
    ("words", "check", "says"),
    [
        (["cluster.slurm.partition=gpu"], "partition", "Set cluster.slurm.partition to one of: high, normal."),
        (["cluster.slurm.account=nobody"], "account", "Set cluster.slurm.account to one of: root."),
        (["cluster.slurm.qos=nothing"], "qos", "Set cluster.slurm.qos to one of: normal."),
        (["cluster.slurm.max_array=5000"], "arrays", "Set cluster.slurm.max_array=1001"),
        (["cluster.needs.memory_gb=100"], "request", "Lower cluster.needs.cpus or .memory_gb"),
        (["cluster.needs.gpus=1"], "request", "Mend cluster.slurm.gpus_as"),
        (["cluster.slurm.sbatch={bogus:1}"], "request", "Mend cluster.slurm.sbatch."),
    ],
)
def test_what_the_site_would_refuse_is_found_without_a_job(doctor, words, check, says):
    code, found = doctor(*words, "--yes")
    assert (code, found[check]["good"]) == (1, False)
    assert says in found[check]["advice"]
    assert found["test job"]["text"] == "none before the rest is mended"


@pytest.mark.parametrize(
    ("word", "last"),
    [
        ("cluster.slurm.python=/no/such/python", "/no/such/python"),
        ("cluster.slurm.setup=['echo this node is odd >&2','exit 3']", "it said last: this node is odd"),
    ],
)
def test_a_job_that_cannot_work_says_why(cluster, doctor, monkeypatch, word, last):
    monkeypatch.setattr("tmbench.engine.slurm.visit.UNSEEN_SECONDS", 1.0)
    code, found = doctor(word, "--yes")
    assert (code, found["test job"]["good"]) == (1, False)
    assert last in found["test job"]["text"]
    advice, _, log = found["test job"]["advice"].partition(" Its log: ")
    assert advice == "Mend cluster.slurm.setup or cluster.slurm.python."
    assert Path(log).is_file()


def test_a_job_that_needs_more_memory_says_so(cluster, doctor):
    """torch alone takes more than this."""
    code, found = doctor("cluster.needs.memory_gb=0.3", "--yes")
    assert (code, found["test job"]["good"]) == (1, False)
    assert "Raise cluster.needs.memory_gb (now 0.3)" in found["test job"]["advice"]


def test_code_that_is_not_the_snapshot_is_found(cluster, doctor):
    python = f"cluster.slurm.python='env -u PYTHONPATH {sys.executable}'"
    code, found = doctor(python, "--yes")
    assert (code, found["code there"]["good"]) == (1, False)
    assert "not from the snapshot" in found["code there"]["text"]
    assert found["files"]["good"]


def test_a_warning_that_is_swallowed_is_found(cluster, doctor, tmp_path, monkeypatch):
    monkeypatch.setattr("tmbench.engine.slurm.visit.TALK_SECONDS", 5.0)
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text(f'#!/bin/bash\ntrap "" USR2\n{sys.executable} "$@" &\nwait\n')
    wrapper.chmod(0o755)
    code, found = doctor(f"cluster.slurm.python={wrapper}", "--yes")
    assert (code, found["warning"]["good"]) == (1, False)
    assert "swallows signals" in found["warning"]["advice"]


def test_a_long_queue_is_no_fault_and_its_job_is_cancelled(cluster, doctor):
    code, found = doctor("cluster.slurm.sbatch={begin: now+1hour}", "--yes", "--wait=0.05")
    assert (code, found["test job"]["good"]) == (0, None)
    assert "BeginTime" in found["test job"]["text"]
    cluster.wait_idle()


def test_ctrl_c_cancels_the_job(cluster, tmp_path):
    words = ["cluster=slurm", "cluster.needs.memory_gb=1", "cluster.slurm.sbatch={begin: now+1hour}", "--yes"]
    running = subprocess.Popen([sys.executable, "-m", "tmbench.doctor", *words], cwd=tmp_path)
    end = time.monotonic() + 60
    while not cluster.jobs():
        assert time.monotonic() < end
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    cluster.wait_idle()
    assert list(tmp_path.iterdir()) == []


def test_a_controller_that_is_down(cluster, doctor):
    cluster.stop_controller()
    code, found = doctor("--yes")
    assert code == 1
    assert found["controller"]["text"] == "no controller answers"
    assert "partition" not in found


def test_few_jobs_allowed(cluster, doctor):
    cluster.limit_submissions(20)
    code, found = doctor("--no-job")
    assert (code, found["your jobs"]["good"]) == (1, False)
    assert found["your jobs"]["advice"] == "Set cluster.slurm.max_array=20 or less."
    assert doctor("--no-job", "cluster.slurm.max_array=20")[0] == 0

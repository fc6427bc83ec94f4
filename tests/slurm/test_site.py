"""What the real SLURM answers."""

import subprocess
import threading
import time
from pathlib import Path

import pytest

from tmbench.engine.options import Slurm
from tmbench.engine.slurm import site
from tmbench.engine.slurm.parameters import executor, parameters
from tmbench.engine.slurm.patience import SlurmUnavailable, SubmissionRefused, patiently
from tmbench.sources.resources import Resources

ODD = 'odd name|x "q" [1-3]'


@pytest.fixture
def sleep(tmp_path):
    """A function that submits a job that sleeps; its id."""
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/bash\nexec sleep 60\n")

    def submit(*flags):
        command = ["sbatch", "--parsable", "--output=/dev/null", "--mem=100M", *flags, str(script)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return submit


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)
    return found


def test_the_queue_by_name(cluster, sleep):
    array, plain = sleep("--array=0-5%2", f"--job-name={ODD}"), sleep("--job-name=plain")
    sleep("--job-name=another")
    until(lambda: [e for e in site.queue([ODD])[ODD] if e.state == "RUNNING"][1:])
    found = site.queue([ODD, "plain", "gone"])
    assert sorted(element.job for element in found[ODD]) == [f"{array}_{index}" for index in range(6)]
    assert {element.array for element in found[ODD]} == {array}
    states = {element.index: element.state for element in found[ODD]}
    assert [states[index] for index in range(6)] == ["RUNNING"] * 2 + ["PENDING"] * 4
    assert {e.reason for e in found[ODD] if e.state == "PENDING"} == {"JobArrayTaskLimit"}
    assert all(e.node.startswith("node") for e in found[ODD] if e.state == "RUNNING")
    assert [(element.job, element.index, element.name) for element in found["plain"]] == [(plain, 0, "plain")]
    assert found["gone"] == []


def test_how_jobs_ended(cluster, sleep):
    array, plain = sleep("--array=0-3%2", "--job-name=a"), sleep("--job-name=b")
    until(lambda: [e for e in site.queue(["a"])["a"] if e.state == "RUNNING"])
    site.cancel([f"{array}_0", plain, "999999"])
    until(lambda: not site.queue(["b"])["b"])
    ended = until(lambda: (found := site.final_states([array, plain])) and len(found) == 2 and found)
    assert ended == {f"{array}_0": "CANCELLED", plain: "CANCELLED"}
    site.cancel_by_name("a")
    site.cancel_by_name("a")
    until(lambda: not site.queue(["a"])["a"])
    ended = until(lambda: (found := site.final_states([array])) and len(found) == 4 and found)
    assert set(ended.values()) == {"CANCELLED"}


def test_limits(cluster):
    import getpass

    assert site.available()
    assert site.max_array_size() == 1001
    cluster.configure(MaxArraySize=11)
    assert site.max_array_size() == 11
    assert site.max_submitted(getpass.getuser()) is None


def submission(folder, **profile):
    """A function that submits, as a run does, three jobs of no work."""
    slurm = Slurm(**profile)
    made = executor(folder, slurm)
    made.update_parameters(**parameters(slurm, Resources(memory_gb=0.1), 1, "tmbench-three", [Path("/none")]))

    def submit():
        with made.batch():
            jobs = [made.submit(print, number) for number in range(3)]
        return jobs[0].job_id.partition("_")[0]

    return submit


def test_refusals(cluster, tmp_path):
    with pytest.raises(SubmissionRefused, match=r"invalid partition specified: nope.*cluster\.slurm\.partition"):
        patiently(submission(tmp_path, partition="nope"))
    with pytest.raises(SubmissionRefused, match=r"cluster\.slurm\.account"):
        patiently(submission(tmp_path, account="nope"))
    cluster.limit_submissions(2)
    with pytest.raises(SubmissionRefused, match="when some are done") as caught:
        patiently(submission(tmp_path))
    assert caught.value.full
    assert cluster.jobs() == []


def test_a_controller_that_comes_back_is_waited_for(cluster, tmp_path, capfd):
    cluster.stop_controller()
    threading.Timer(13, cluster.start_controller).start()  # sbatch itself tries for 9 s
    job = patiently(submission(tmp_path), 120)
    assert job.isdigit()
    assert "SLURM is busy" in capfd.readouterr().err


def test_a_controller_that_does_not_come_back(cluster, monkeypatch):
    cluster.stop_controller()
    monkeypatch.setattr("tmbench.engine.slurm.site.ask.__kwdefaults__", {"seconds": 1.0, "timeout": 30.0})
    with pytest.raises(SlurmUnavailable, match=r"does not answer: .*connect failure"):
        site.queue(["a"])

"""The tests of this folder run on the cluster of `make slurm-up` and on no other, and are skipped where there is none.

With TMBENCH_REQUIRE_SLURM=1 a test that would be skipped fails.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("cluster")
CONFIGURATION = Path("/etc/slurm/slurm.conf")


def output(*command: str) -> str:
    """What a command prints; CalledProcessError when it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


class Cluster:
    """The test cluster: what happens to a cluster in a year, at will."""

    def configure(self, **keys: object) -> None:
        """Sets keys of slurm.conf (an empty value removes one) and restarts the controller; until the test ends."""
        output(str(SCRIPT), "configure", *(f"{key}={value}" for key, value in keys.items()))

    def limit_submissions(self, jobs: int) -> None:
        """No user may have more jobs than this; -1 for no limit. Until the test ends."""
        output("sacctmgr", "--immediate", "modify", "account", "root", "set", f"MaxSubmitJobs={jobs}")

    def restart_controller(self) -> None:
        output(str(SCRIPT), "restart-controller")

    def stop_controller(self) -> None:
        output(str(SCRIPT), "stop-controller")

    def start_controller(self) -> None:
        output(str(SCRIPT), "start-controller")

    def stop_node(self, number: int) -> None:
        """The node no longer answers, its jobs run on."""
        output(str(SCRIPT), "stop-node", str(number))

    def crash_node(self, number: int) -> None:
        """The node and its jobs are gone from one moment to the next."""
        output(str(SCRIPT), "crash-node", str(number))

    def lose_node(self, number: int) -> None:
        """The node no longer answers, its jobs run on, and SLURM has given both up (NODE_FAIL, requeued)."""
        output(str(SCRIPT), "lose-node", str(number))

    def start_node(self, number: int) -> None:
        output(str(SCRIPT), "start-node", str(number))

    def jobs(self) -> list[str]:
        """One line a job or array element that is not over: its id and its state."""
        return output("squeue", "--noheader", "--array", "--format=%i %T").splitlines()

    def wait_idle(self, seconds: float = 60) -> None:
        """Returns when no job is left and all four nodes are free."""
        end = time.monotonic() + seconds
        while jobs := self.jobs() or self.busy_nodes():
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds:.0f} s there still are: {', '.join(jobs)}")
            time.sleep(0.1)

    def busy_nodes(self) -> list[str]:
        nodes = output("sinfo", "--noheader", "--Node", "--partition=normal", "--format=%N %T").splitlines()
        return [node for node in nodes if not node.endswith(" idle")]

    def cancel_all(self) -> None:
        """Ends all jobs, also those that bear a SIGTERM."""
        for signal in (["--full", "--signal=KILL"], []):
            subprocess.run(["scancel", "--quiet", f"--user={os.getuid()}", *signal], capture_output=True, timeout=60)
        self.wait_idle()


def why_not() -> str:
    """Why the tests of this folder cannot run; empty when they can."""
    try:
        found = re.search(r"^ClusterName\s*=\s*(\S+)", output("scontrol", "show", "config"), re.MULTILINE)
        output("sinfo")
    except (OSError, subprocess.SubprocessError):
        return "no SLURM here: make slurm-up"
    if not found or found[1] != "tmbench" or not CONFIGURATION.is_symlink():
        return "the SLURM here is not the test cluster, so it is left alone"
    if os.geteuid():
        return "the test cluster is root's"
    return ""


@pytest.fixture(scope="session", autouse=True)
def slurm() -> None:
    """The test cluster answers, or no test of this folder runs."""
    reason = why_not()
    if reason and os.environ.get("TMBENCH_REQUIRE_SLURM") == "1":
        pytest.fail(f"{reason} (and TMBENCH_REQUIRE_SLURM=1)", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def cluster(slurm: None) -> Iterator[Cluster]:
    """The test cluster, empty; afterwards it is as it was, whatever the test did."""
    cluster = Cluster()
    output(str(SCRIPT), "up")
    cluster.cancel_all()
    before = CONFIGURATION.read_text()
    yield cluster
    output(str(SCRIPT), "up")
    cluster.limit_submissions(-1)
    if CONFIGURATION.read_text() != before:
        CONFIGURATION.write_text(before)
        cluster.restart_controller()
    cluster.cancel_all()

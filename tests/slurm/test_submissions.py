"""Whatever happens to `run` and to sbatch: nothing is submitted twice, nothing is kept from the next run."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import slurm_work
from slurm_work import Runs, small

from tmbench.sources.resources import Resources

SBATCH = """#!/bin/sh
{before}
{real} "$@"
{after}
"""


def run_with(tmp_path, sbatch, count=6):
    """A `run` in a process of its own whose sbatch is that stand-in around the real one."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    script = tmp_path / "bin" / "sbatch"
    script.write_text(sbatch)
    script.chmod(0o755)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import slurm_work as runs\n"
        f"print(len(runs.Runs(Path(sys.argv[2]), runs.small({count}), chunk_minutes=2.0).submit().submitted))"
    )
    places = [str(Path(slurm_work.__file__).parent), str(tmp_path)]
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *places],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def real_sbatch():
    return subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_ended_between_claim_and_sbatch(tmp_path, cluster, moment, end):
    kill = {"before": "", "after": "", moment: f"kill -{end.value} $PPID"}
    child = run_with(tmp_path, SBATCH.format(real=real_sbatch(), **kill))
    child.communicate(timeout=60)
    assert child.returncode == -end
    runs = Runs(tmp_path, small(6), chunk_minutes=2.0)
    runs.finish()
    assert runs.rows() == 6


TIMED_OUT = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'


@pytest.mark.parametrize("heard", [False, True])
def test_an_answer_that_does_not_come_submits_nothing_twice(tmp_path, cluster, heard):
    """The first sbatch times out; where it was heard all the same, its job is in the queue."""
    flag, sbatch = tmp_path / "flag", real_sbatch()
    first = f'{sbatch} "$@" >/dev/null; {TIMED_OUT}' if heard else TIMED_OUT
    once = f"test -e {flag} || {{ touch {flag}; {first}; }}"
    child = run_with(tmp_path, SBATCH.format(real=sbatch, before=once, after=""))
    said, errors = child.communicate(timeout=100)
    assert said.strip() == "1", errors
    runs = Runs(tmp_path, small(6), chunk_minutes=2.0)
    runs.follow()
    assert runs.statuses() == ["done"] * 6
    assert runs.rows() == 6


def test_two_runs_at_once_submit_nothing_twice(tmp_path, cluster):
    children = [run_with(tmp_path, SBATCH.format(real=real_sbatch(), before="", after=""), 40) for _ in range(3)]
    for child in children:
        assert child.communicate(timeout=100)
        assert child.returncode == 0
    runs = Runs(tmp_path, small(40), chunk_minutes=2.0)
    runs.finish()
    assert runs.rows() == 40


def test_a_site_that_takes_no_more_jobs_says_so_and_keeps_the_rest_free(tmp_path, cluster):
    cluster.limit_submissions(12)
    runs = Runs(tmp_path, small(40, "sleep 0.1"), slurm={"max_array": 5}, chunk_minutes=2.0)
    report = runs.submit()
    assert len(report.submitted) == 2
    assert report.problems[0].startswith("2 of 4 arrays are submitted, the rest is left: ")
    runs.finish()
    assert runs.rows() == 40


def test_a_refused_array_leaves_the_others_alone(tmp_path, cluster):
    """The greediest go first; the site says no to them alone."""
    refusal = 'echo "sbatch: error: Batch job submission failed: Requested node configuration is not available" >&2'
    no = f'grep -q "cpus-per-task=3" "$1" && {{ {refusal}; exit 1; }}'
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH.format(real=real_sbatch(), before=no, after=""))
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    units = small(6)
    units[0] = replace(units[0], resources=Resources(cpus=3, memory_gb=8.0))
    runs = Runs(tmp_path, units, chunk_minutes=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        report = runs.submit()
    assert len(report.submitted) == 1
    assert report.problems[0].startswith("1 units are not submitted: sbatch refused: ")
    runs.follow()
    assert runs.statuses() == ["pending"] + ["done"] * 5

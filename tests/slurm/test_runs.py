"""Runs on a real SLURM: everything is done, once, whatever happens to workers, nodes, the controller and the runs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import engine_work as work
import pyarrow.parquet as pq
import pytest

from tmbench.engine.execution import Execution
from tmbench.engine.holdings import holdings
from tmbench.engine.options import Cluster
from tmbench.engine.records import Records
from tmbench.engine.shards import IDENTITY
from tmbench.engine.slurm.submission import Submission
from tmbench.engine.state import State
from tmbench.sources.resources import Resources

PERFORM = f"{Path(work.__file__)}:perform"


def does(unit, what, minutes=1.0):
    return replace(unit, config={**unit.config, "does": what}, minutes=minutes)


def small(count, what="", **more):
    return [does(work.unit(i, **more), what) for i in range(count)]


class Runs:
    """Runs of some units in one store."""

    def __init__(self, folder, units, slurm=None, **more):
        profile = {"max_concurrent": 4, "signal_seconds": 20, **(slurm or {})}
        settings = {"kind": "slurm", "chunk_minutes": 5.0, "flush_seconds": 0.2, "needs": {"memory_gb": 0.5}, **more}
        self.units, self.store, self.folder = tuple(units), folder / "store", folder / "runs"
        self.cluster = Cluster(slurm=profile, **settings)

    def submit(self, retry=(), at_most=0):
        submission = Submission(
            Execution(self.units, self.store, self.folder, self.cluster, perform=PERFORM), retry, at_most
        )
        return submission.submit(submission.prepared())

    def holdings(self):
        return holdings(self.store / "claims")

    def held(self):
        return sum(len(held.units) for held in self.holdings())

    def elements(self):
        return [element for held in self.holdings() for element in held.elements]

    def follow(self, seconds=150):
        self.until(lambda: not self.held(), seconds)

    def until(self, true, seconds=90):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, (self.elements(), self.statuses())
            time.sleep(0.2)

    def statuses(self):
        state = State(self.units, self.store)
        return [state.status[unit.id] for unit in self.units]

    def records(self):
        return Records().merge(self.store / "records")

    def rows(self):
        """How many records there are; one that stands in a shard and in what it was folded into counts once."""
        shards = (self.store / "records").glob("*.parquet")
        tables = [pq.ParquetFile(shard).read(columns=list(IDENTITY)) for shard in shards]
        return len({tuple(row.values()) for table in tables for row in table.to_pylist()})

    def in_progress(self):
        return frozenset().union(*(held.in_progress() for held in self.holdings()))

    def workers(self):
        """Process ids of the workers."""
        found = subprocess.run(["pgrep", "-f", f"submitit.core._submit {self.folder}"], capture_output=True, text=True)
        return [int(line) for line in found.stdout.split()]

    def finish(self, runs=4):
        """Run again until all is done, as a user would."""
        for _ in range(runs):
            self.follow()
            if set(self.statuses()) == {"done"}:
                return
            self.submit()
        raise AssertionError(self.statuses())


def test_all_is_done_once_and_says_where(tmp_path, cluster):
    runs = Runs(tmp_path, small(12, scores=1), chunk_minutes=2.0)
    report = runs.submit()
    assert len(report.submitted) == 1
    assert runs.held() == 12
    assert runs.submit().claimed == 0  # nothing is submitted twice
    runs.follow()
    assert runs.statuses() == ["done"] * 12
    assert runs.rows() == 24
    record = runs.records().results[runs.units[0].id][0]
    assert record["job"].startswith(f"{report.submitted[0]}_")
    assert record["raw_job"].isdigit()
    assert json.loads(record["versions"])["python"]
    assert record["seconds"] is not None
    assert record["memory_mb"] > 10
    assert runs.submit().claimed == 0


def test_an_array_limit_of_the_site_splits_arrays(tmp_path, cluster):
    cluster.configure(MaxArraySize=10)
    runs = Runs(tmp_path, small(44), chunk_minutes=2.0)
    report = runs.submit()
    assert len(report.submitted) == 3  # 22 chunks
    jobs = [element.job for element in runs.elements()]
    assert all(int(job.partition("_")[2] or 0) < 10 for job in jobs)
    runs.follow()
    assert runs.statuses() == ["done"] * 44


def test_what_others_wait_for_goes_first(tmp_path, cluster):
    first = [does(work.unit(0, stage="pretrain"), "weights 3"), does(work.unit(1, stage="pretrain"), "raise nothing")]
    later = [does(work.unit(10 + i, after=first[i % 2].id), "") for i in range(4)]
    runs = Runs(tmp_path, [*first, *later])
    report = runs.submit()
    assert len(report.submitted) == 2
    runs.until(lambda: {e.reason for e in runs.elements() if e.array == report.submitted[1]} == {"Dependency"})
    runs.follow()
    # What lacks its weights is left out, not failed.
    assert runs.statuses() == ["done", "failed", "done", "waiting", "done", "waiting"]
    assert set(runs.records().failures) == {first[1].id}


def test_a_canary_is_one_chunk(tmp_path, cluster):
    runs = Runs(tmp_path, small(20), chunk_minutes=2.0)
    report = runs.submit(at_most=1)
    assert len(report.submitted) == 1
    runs.follow()
    assert runs.statuses().count("done") == 2


def test_five_thousand_tiny_units(tmp_path, cluster):
    units = [replace(unit, minutes=0.01) for unit in small(5000)]
    runs = Runs(tmp_path, units, chunk_minutes=5.0)
    runs.submit()
    runs.follow(240)
    assert runs.statuses() == ["done"] * 5000
    assert runs.rows() == 5000
    files = sum(1 for _ in tmp_path.rglob("*"))
    assert files < 150


def test_a_killed_worker_costs_its_unit_a_try_and_nothing_else(tmp_path, cluster):
    units = small(6, "sleep 0.3")
    units[2] = does(units[2], f"die_once {tmp_path / 'flag'}")
    runs = Runs(tmp_path, units, slurm={"max_concurrent": 1}, chunk_minutes=60.0)
    runs.submit()
    runs.follow()
    assert "pending" in runs.statuses()
    runs.finish()
    assert runs.records().attempts == {units[2].id: 1}


@pytest.mark.parametrize("wrong", [{"setup": ("exit 3",)}, {"python": "/nowhere/python"}])
def test_jobs_that_never_start_a_worker_are_told_of_and_given_up(tmp_path, cluster, wrong):
    runs = Runs(tmp_path, small(6), slurm=wrong, chunk_minutes=2.0)
    for _ in range(4):
        runs.submit()
        runs.follow()
        time.sleep(1)  # SLURM's accounting learns how they ended a moment later
    assert runs.statuses() == ["failed"] * 6
    failure = State(runs.units, runs.store).failures()[0]
    assert (failure.failure, failure.attempts) == ("killed", 3)
    assert "before it began" in failure.message
    mended = Runs(tmp_path, small(6), chunk_minutes=2.0)
    mended.submit(retry={"killed"})
    mended.follow()
    assert mended.statuses() == ["done"] * 6


def test_a_worker_that_ends_without_a_word_is_blamed_on_its_unit(tmp_path, cluster):
    runs = Runs(tmp_path, [does(work.unit(0), "leave"), *small(3)[1:]], slurm={"max_concurrent": 1})
    for _ in range(5):
        runs.submit()
        runs.follow()
    assert runs.statuses() == ["failed", "done", "done"]


def test_a_moved_store_is_not_written_where_it_was(tmp_path, cluster):
    runs = Runs(tmp_path, small(4), slurm={"sbatch": {"hold": True}}, chunk_minutes=2.0)
    report = runs.submit()
    runs.store.rename(tmp_path / "elsewhere")
    subprocess.run(["scontrol", "release", *report.submitted], check=True)
    cluster.wait_idle()
    assert not list(runs.store.rglob("*.parquet"))


def test_jobs_whose_frozen_code_is_gone_do_nothing(tmp_path, cluster):
    runs = Runs(tmp_path, small(4), slurm={"sbatch": {"hold": True}}, chunk_minutes=2.0)
    report = runs.submit()
    (zip_file,) = (runs.store / "code").glob("*.zip")
    zip_file.unlink()
    subprocess.run(["scontrol", "release", *report.submitted], check=True)
    cluster.wait_idle()
    assert not runs.records().done


def test_a_unit_that_kills_every_worker_is_given_up(tmp_path, cluster):
    units = [does(work.unit(0), "die"), *small(3)[1:]]
    runs = Runs(tmp_path, units, slurm={"max_concurrent": 1}, chunk_minutes=60.0)
    for _ in range(5):
        runs.submit()
        runs.follow()
    assert runs.statuses() == ["failed", "done", "done"]
    (failure,) = State(runs.units, runs.store).failures()
    assert (failure.failure, failure.attempts) == ("killed", 3)
    assert Path(failure.log).exists()


def test_the_time_limit_in_the_middle_of_a_training(tmp_path, cluster):
    """The site warns 40 s before the limit of a minute, so each worker has about 20 s of a training of 30."""
    runs = Runs(tmp_path, small(1, "train 30"), slurm={"signal_seconds": 40}, needs={"minutes": 1, "memory_gb": 0.5})
    report = runs.submit()
    runs.follow(200)
    assert runs.statuses() == ["done"]
    record = runs.records().results[runs.units[0].id][0]
    starts = json.loads(record["details"])["starts"]
    assert starts[0] == 0
    assert len(starts) >= 2
    assert record["job"] == report.submitted[0]  # requeued, not submitted anew
    assert runs.rows() == 1


@pytest.mark.parametrize("warned", [True, False])
def test_a_preempted_training_is_resumed(tmp_path, cluster, warned):
    cluster.configure(SlurmctldParameters="preempt_send_user_signal" if warned else "")
    runs = Runs(tmp_path, small(4, "train 12"), chunk_minutes=1.0)
    runs.submit()
    runs.until(lambda: len(runs.in_progress()) == 4)
    time.sleep(2)
    sleeper = "#!/bin/sh\nsleep 5\n"
    command = ["sbatch", "--partition=high", "--array=0-1", "--output=/dev/null", "--mem=100"]
    subprocess.run(command, input=sleeper, text=True, check=True, capture_output=True)
    runs.follow()
    assert runs.statuses() == ["done"] * 4
    records = runs.records()
    assert not records.failures
    assert not records.differing
    starts = [json.loads(records.results[unit.id][0]["details"])["starts"] for unit in runs.units]
    assert sum(len(places) > 1 and places[-1] > 0 for places in starts) >= 2


def test_a_node_that_crashes_loses_only_the_unit_in_hand(tmp_path, cluster):
    runs = Runs(tmp_path, small(24, "sleep 0.5"), chunk_minutes=6.0)
    runs.submit()
    runs.until(lambda: len(runs.in_progress()) == 4)
    cluster.crash_node(2)
    # SLURM would find out by itself, after a minute.
    subprocess.run(["scontrol", "update", "NodeName=node2", "State=DOWN", "Reason=crashed"], check=True)
    cluster.start_node(2)
    runs.finish()
    assert not runs.records().differing


def test_a_run_waits_for_a_controller_that_is_away(tmp_path, cluster):
    runs = Runs(tmp_path, small(12, "sleep 0.5"), chunk_minutes=3.0)
    runs.submit()
    runs.until(runs.in_progress)
    cluster.stop_controller()
    back = threading.Timer(3, cluster.start_controller)
    back.start()
    assert runs.submit().problems == []
    back.join()
    runs.finish()
    assert runs.rows() == 12


def test_cancelled_by_hand_is_simply_to_be_done(tmp_path, cluster):
    runs = Runs(tmp_path, small(8, "sleep 1"), chunk_minutes=2.0)
    report = runs.submit()
    runs.until(runs.in_progress)
    subprocess.run(["scancel", *report.submitted], check=True)
    runs.follow()
    assert "pending" in runs.statuses()
    assert not runs.records().failures
    runs.finish()
    assert not runs.records().attempts


def test_alike_failures_end_a_chunk_early(tmp_path, cluster):
    runs = Runs(tmp_path, small(12, "raise no such file 17"), slurm={"max_concurrent": 1}, chunk_minutes=60.0)
    runs.submit()
    runs.follow()
    assert sorted(runs.statuses()) == ["failed"] * 5 + ["pending"] * 7


def test_retry_of_what_ran_out_of_memory_asks_for_more(tmp_path, cluster):
    runs = Runs(tmp_path, small(1, "raise CUDA out of memory"), needs={})
    runs.submit()
    runs.follow()
    submission = Submission(
        Execution(runs.units, runs.store, runs.folder, runs.cluster, perform=PERFORM), {"out_of_memory"}
    )
    (array,) = submission.prepared().arrays
    assert array.resources.memory_gb == 2 * runs.units[0].resources.memory_gb


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
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path; import test_runs\n"
        f"print(len(test_runs.Runs(Path(sys.argv[3]), test_runs.small({count}), chunk_minutes=2.0).submit().submitted))"
    )
    places = [str(Path(work.__file__).parent), str(Path(__file__).parent), str(tmp_path)]
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


def test_what_the_store_cannot_take_is_done_later(tmp_path, cluster):
    store = tmp_path / "store"
    store.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(store)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        runs = Runs(tmp_path, small(20, "sleep 0.5"), chunk_minutes=5.0)
        runs.submit()
        runs.until(runs.in_progress)
        time.sleep(1)
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        time.sleep(4)
        subprocess.run(["mount", "-o", "remount,rw", str(store)], check=True)
        runs.finish()
        assert runs.rows() == 20
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)

"""Whatever happens to workers, jobs, nodes, the controller and the store: nothing is lost, nothing done twice."""

import json
import subprocess
import threading
import time
from pathlib import Path

import engine_work as work
import pytest
from slurm_work import PERFORM, Runs, does, small

from tmbench.engine.execution import Execution
from tmbench.engine.slurm.submission import Submission
from tmbench.engine.state import State


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

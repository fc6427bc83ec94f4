"""Runs on a real SLURM: chunks, arrays and waves; everything is done once."""

import json
from dataclasses import replace

import engine_work as work
from slurm_work import Runs, does, small


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

from dataclasses import replace

import engine_work as work
import pytest

from tmbench.engine.demands import Demand, demands
from tmbench.engine.options import Cluster, Needs
from tmbench.engine.records import Records, row, write_shard
from tmbench.engine.slurm.arrays import arrays, kept
from tmbench.engine.slurm.bill import bill
from tmbench.sources.resources import Resources


def units(count, minutes=30.0, **more):
    return [replace(work.unit(i, **more), minutes=minutes) for i in range(count)]


def cut(some, longest=1001, at_most=0, wanted=None, **slurm):
    cluster = Cluster(kind="slurm", slurm={"max_concurrent": 8, **slurm})
    wanted = wanted or {unit.id: Demand(unit.resources, unit.minutes) for unit in some}
    return arrays(some, wanted, cluster, "run", longest, at_most)


def ids(made):
    return [unit.id for array in made for share in array.shares for unit in share]


def test_every_unit_goes_out_once_and_no_array_is_too_long():
    some = units(100)
    made = cut(some, longest=10)
    assert sorted(ids(made)) == sorted(unit.id for unit in some)
    assert all(len(array.shares) <= 10 for array in made)
    assert [array.first for array in made] == [0, 10, 20, 30, 40]
    assert len({array.name for array in made}) == len(made)


def test_the_throttle_counts_over_all_arrays():
    made = cut(units(100), longest=10)
    assert sum(array.concurrent for array in made) <= 8
    assert min(array.concurrent for array in made) >= 1


def test_the_throttle_counts_over_waves_that_run_at_once():
    first = units(10, stage="pretrain")
    free = [replace(work.unit(20 + i), minutes=30.0) for i in range(10)]
    after = [replace(work.unit(40 + i, after=first[0].id), minutes=30.0) for i in range(10)]
    at_once = {array.wave: array.concurrent for array in cut([*first, *free, *after])}
    assert at_once["pretrain"] + at_once["free"] <= 8
    assert at_once["free"] + at_once["dependent"] <= 8
    assert min(at_once.values()) >= 1


def test_units_of_other_needs_go_out_apart_and_pretraining_first():
    big = Resources(gpus=1, memory_gb=32)
    first = units(2, stage="pretrain")
    truths = [replace(unit, resources=big if i % 2 else Resources()) for i, unit in enumerate(units(8))]
    after = [replace(work.unit(20 + i, after=first[0].id), minutes=5.0) for i in range(2)]
    made = cut([*truths, *after, *first])
    assert [array.wave for array in made] == ["pretrain", "free", "free", "dependent"]
    assert [array.resources.gpus for array in made] == [0, 1, 0, 0]
    assert "GPU-hours" in bill(made)
    assert "core-hours" in bill(made[:1])


def test_what_was_taken_by_another_run_is_left_out():
    some = units(20)
    made = kept(cut(some, longest=3), {unit.id for unit in some[:7]})
    assert sorted(ids(made)) == sorted(unit.id for unit in some[:7])
    first = 0
    for array in made:
        assert array.first == first
        first += len(array.shares)


@pytest.mark.parametrize(("minutes", "limit"), [(1.0, 30), (60.0, 190), (10_000.0, 1440)])
def test_the_time_limit_follows_the_estimate_within_bounds(minutes, limit):
    assert {array.minutes for array in cut(units(1, minutes))} == {limit}


def failed(unit, failure, finished):
    return row(id=unit.id, unit=unit.id, stage="truth", status="failed", failure=failure, finished=finished)


def test_demands_follow_what_happened(tmp_path):
    one, two, three = units(3)
    shard = [failed(one, "out_of_memory", "2026-01-01"), failed(one, "out_of_memory", "2026-01-02")]
    write_shard(tmp_path, "r", [*shard, failed(two, "timeout", "2026-01-01")])
    records = Records().merge(tmp_path)
    found = demands([one, two, three], [one, two, three], records, Needs())
    assert [found[unit.id].resources.memory_gb for unit in (one, two, three)] == [8.0, 2.0, 2.0]
    assert [found[unit.id].times for unit in (one, two, three)] == [1.0, 2.0, 1.0]
    asked = demands([one, two, three], [one, two, three], records, Needs(memory_gb=3.0, gpus=1))
    assert {found.resources.memory_gb for found in asked.values()} == {3.0}
    assert {found.resources.gpus for found in asked.values()} == {1}


@pytest.mark.parametrize(
    ("failures", "memory", "times"),
    [
        (["killed", "killed", "out_of_memory"], 4.0, 1.0),
        (["out_of_memory", "out_of_memory", "killed"], 8.0, 1.0),
        (["timeout", "out_of_memory", "timeout"], 4.0, 4.0),
        (["bug", "nan"], 2.0, 1.0),
        (["out_of_memory"] * 6, 32.0, 1.0),
    ],
)
def test_each_kind_of_failure_counts_for_itself(tmp_path, failures, memory, times):
    (one,) = units(1)
    write_shard(tmp_path, "r", [failed(one, failure, f"2026-01-0{day}") for day, failure in enumerate(failures, 1)])
    found = demands([one], [one], Records().merge(tmp_path), Needs())[one.id]
    assert (found.resources.memory_gb, found.times) == (memory, times)


def finished(unit, second, megabytes, job="17_0", **more):
    given = {"status": "done", "value": 1.0, "run": "r", "finished": f"2026-01-01T00:00:{second:02d}", **more}
    return row(id=unit.id, unit=unit.id, stage=unit.stage, job=job, memory_mb=megabytes, **given)


def test_memory_is_learnt_from_finished_units_of_jobs(tmp_path):
    done, local, open_one = units(3)
    write_shard(tmp_path, "r", [finished(done, 1, 5000.0), finished(local, 2, 9000.0, job="")])
    found = demands([open_one], [done, local, open_one], Records().merge(tmp_path), Needs())
    assert found[open_one.id].resources.memory_gb == 6.0


def test_a_light_unit_behind_a_heavy_one_in_a_job_is_not_learnt_from(tmp_path):
    heavy = units(2)
    light = [replace(work.unit(10 + i), stage="features", minutes=1.0) for i in range(4)]
    rows = [finished(light[0], 1, 1500.0), finished(heavy[0], 2, 5000.0), finished(light[1], 3, 5000.0)]
    rows += [finished(light[2], 4, 2500.0, job="17_1")]
    rows += [finished(light[3], 5, 8000.0, job="17_1", status="failed", failure="bug")]
    write_shard(tmp_path, "r", rows)
    found = demands([heavy[1], light[3]], [*heavy, *light], Records().merge(tmp_path), Needs())
    assert found[heavy[1].id].resources.memory_gb == 6.0
    assert found[light[3].id].resources.memory_gb == 3.0


def test_a_time_limit_that_was_too_short_is_doubled():
    (one,) = units(1, 1.0)
    for times, limit in ((1.0, 30), (2.0, 60)):
        (array,) = cut([one], wanted={one.id: Demand(one.resources, 1.0, times)})
        assert array.minutes == limit

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
    assert [found[unit.id].minutes for unit in (one, two, three)] == [30.0, 60.0, 30.0]
    asked = demands([one, two, three], [one, two, three], records, Needs(memory_gb=3.0, gpus=1))
    assert {found.resources.memory_gb for found in asked.values()} == {3.0}
    assert {found.resources.gpus for found in asked.values()} == {1}


def test_memory_is_learnt_from_finished_units(tmp_path):
    done, open_one = units(2)
    record = row(id=done.id, unit=done.id, stage="truth", status="done", value=1.0, seconds=1.0, memory_mb=5000.0)
    write_shard(tmp_path, "r", [record])
    found = demands([open_one], [done, open_one], Records().merge(tmp_path), Needs())
    assert found[open_one.id].resources.memory_gb == 6.0

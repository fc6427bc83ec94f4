from dataclasses import replace

import engine_work as work

from tmbench.engine.chunks import ROWS, cut, freeze, read_units


def test_units_come_back_whole_and_each_once(tmp_path):
    units = [work.unit(i, scores=2) for i in range(10)]
    chunks = freeze(cut(units, parts=3, chunk_minutes=60), tmp_path / "wave.parquet")
    assert len(chunks) == 3
    back = [unit for chunk in chunks for unit in chunk.units()]
    assert sorted(back, key=lambda u: u.id) == sorted(units, key=lambda u: u.id)


def test_a_source_is_loaded_once(tmp_path):
    (chunk,) = freeze(cut([work.unit(i) for i in range(9)], 1, 60), tmp_path / "w.parquet")
    sources = [unit.source for unit in chunk.units()]
    assert sources == sorted(sources)


def test_long_work_makes_more_chunks_and_few_units_fewer(tmp_path):
    units = [replace(work.unit(i), minutes=30.0) for i in range(20)]
    assert len(cut(units, parts=2, chunk_minutes=60)) == 10
    assert len(cut(units[:1], parts=4, chunk_minutes=60)) == 1


def test_costs_are_balanced(tmp_path):
    units = [replace(work.unit(i), minutes=float(1 + i % 4)) for i in range(40)]
    costs = [sum(unit.minutes for unit in share) for share in cut(units, parts=4, chunk_minutes=1e9)]
    assert max(costs) - min(costs) <= 8


def test_short_work_is_not_spread_over_all_workers():
    units = [replace(work.unit(i), minutes=0.5) for i in range(20)]
    assert len(cut(units, parts=256, chunk_minutes=60)) == 20
    assert len(cut(units, parts=256, chunk_minutes=60, shortest=2.0)) == 5


def test_chunks_across_groups_of_rows(tmp_path):
    units = [work.unit(i) for i in range(2 * ROWS + 7)]
    chunks = freeze(cut(units, parts=4, chunk_minutes=1e9), tmp_path / "a.parquet")
    assert {unit.id for chunk in chunks for unit in chunk.units()} == {unit.id for unit in units}
    assert sum(len(chunk.units()) for chunk in chunks) == len(units)
    some = {unit.id: unit for unit in (units[3], units[ROWS + 3])}
    assert read_units(tmp_path / "a.parquet", [*some, "no such id"]) == some
    assert read_units(tmp_path / "b.parquet", list(some)) == {}


def test_the_frozen_config_is_another_and_the_key_stays(tmp_path):
    shared = {"function": "/home/me/mine.py:target"}
    units = [work.unit(i, scores=1) for i in range(3)]
    units = [replace(u, config={**u.config, "target": shared}) for u in units]

    def frozen(config):
        return {**config, "function": "/store/mine.py:target"} if "function" in config else config

    (chunk,) = freeze(cut(units, 1, 60), tmp_path / "a.parquet", frozen)
    for before, after in zip(sorted(units, key=lambda u: u.id), sorted(chunk.units(), key=lambda u: u.id), strict=True):
        assert after.config["target"]["function"] == "/store/mine.py:target"
        assert after.key == before.key
        assert after.scores == before.scores

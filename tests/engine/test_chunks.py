import engine_work as work

from tmbench.engine.chunks import freeze


def test_units_come_back_whole_and_each_once(tmp_path):
    units = [work.unit(i, scores=2) for i in range(10)]
    chunks = freeze(units, tmp_path / "wave.parquet", parts=3, chunk_minutes=60)
    assert len(chunks) == 3
    back = [unit for chunk in chunks for unit in chunk.units()]
    assert sorted(back, key=lambda u: u.id) == sorted(units, key=lambda u: u.id)


def test_a_source_is_loaded_once(tmp_path):
    (chunk,) = freeze([work.unit(i) for i in range(9)], tmp_path / "w.parquet", parts=1, chunk_minutes=60)
    sources = [unit.source for unit in chunk.units()]
    assert sources == sorted(sources)


def test_long_work_makes_more_chunks_and_few_units_fewer(tmp_path):
    from dataclasses import replace

    units = [replace(work.unit(i), minutes=30.0) for i in range(20)]
    assert len(freeze(units, tmp_path / "a.parquet", parts=2, chunk_minutes=60)) == 10
    assert len(freeze(units[:1], tmp_path / "b.parquet", parts=4, chunk_minutes=60)) == 1


def test_costs_are_balanced(tmp_path):
    from dataclasses import replace

    units = [replace(work.unit(i), minutes=float(1 + i % 4)) for i in range(40)]
    chunks = freeze(units, tmp_path / "a.parquet", parts=4, chunk_minutes=1e9)
    costs = [sum(unit.minutes for unit in chunk.units()) for chunk in chunks]
    assert max(costs) - min(costs) <= 8

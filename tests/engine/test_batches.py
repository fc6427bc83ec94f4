from dataclasses import replace

import engine_work as work
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmbench.engine.batches import Batch, Owed, Units
from tmbench.engine.units import key_id, unit_key
from tmbench.identity import OpenKey, canonical, content_id

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


@given(st.dictionaries(st.text(max_size=3), JSON), st.text(max_size=3), st.integers() | st.text())
def test_an_open_key_gives_the_ids_of_the_whole_key(key, name, value):
    whole = {**key, name: value}
    half = OpenKey(key, name)
    assert half.spelled(canonical(value)) == canonical(whole)
    assert half.id(canonical(value)) == content_id(whole)


def batch(seeds=(0, 1, 7), owed=()):
    key = {"stage": "truth", "version": 1, "source": {"a": [1, "é"]}}
    ids = tuple(map(OpenKey(key, "seed").id, map(str, seeds)))
    scores = tuple(tuple(score.open_key.id(f'"{id}"') for score in owed) for id in ids)
    return Batch(
        "truth", "a → b", key, {"source": {"family": "f"}}, ids, "a", "b", "full", seeds=seeds, owed=owed, scores=scores
    )


def test_the_units_of_a_batch_are_as_if_made_alone():
    owed = (Owed("level", "metric", {"metric": {"function": "m:f"}}, {"layer": ""}),)
    made = Units([batch(owed=owed)])
    for unit, seed in zip(made, (0, 1, 7), strict=True):
        assert (unit.seed, unit.config["seed"], unit.name) == (seed, seed, f"a → b seed={seed}")
        assert unit.key == unit_key("truth", source={"a": [1, "é"]}, seed=seed)
        assert unit.id == key_id(unit.key)
        (score,) = unit.scores
        assert score.key == unit_key("score", features=unit.id, metric={"function": "m:f"})
        assert score.id == key_id(score.key)
    assert made.batches[0].spelled() == [canonical(unit.key) for unit in made]
    assert made.batches[0].spelled_scores(1) == [canonical(made[1].scores[0].key)]


def test_units_are_a_sequence_whatever_holds_them():
    alone = work.unit(0, scores=2)
    made = Units([batch(), Batch.of(alone)])
    assert len(made) == 4
    assert made[-1] == made[3] == alone
    assert [unit.seed for unit in made[1:3]] == [1, 7]
    assert list(made.all_ids()) == [*batch().ids, alone.id, *(score.id for score in alone.scores)]
    assert list(Units.of(list(made))) == list(made)
    with pytest.raises(IndexError):
        made[4]


def test_better_minutes_change_nothing_else():
    alone = replace(work.unit(0), minutes=3.0)
    made = Units([batch(), Batch.of(alone)]).with_minutes({("truth", "full", "f"): 5.0})
    assert [unit.minutes for unit in made] == [5.0, 5.0, 5.0, 3.0]
    assert [unit.id for unit in made] == [*batch().ids, alone.id]

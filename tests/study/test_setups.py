import time

import numpy as np
import pytest

from tmbench.study.options import PoolOption
from tmbench.study.scenario import Scenario
from tmbench.study.setups import Setups, pool_id


def scenario(eligible, name="s", recipes=("head", "full"), letters="abcdefghijklmnopqrstuvwxyz"):
    eligible = np.array(eligible, dtype=bool)
    queries, candidates = eligible.shape
    return Scenario(
        name=name,
        direction="source_selection",
        queries=tuple(f"q{i}" for i in range(queries)),
        candidates=tuple(letters[:candidates]),
        eligible=eligible,
        families=("",) * candidates,
        sizes=np.full(candidates, np.nan),
        recipes=recipes,
        levels=("level",),
    )


@pytest.fixture
def setups():
    rules = {"leave_1_out": PoolOption(rule="subsets", leave_out=1), "all": PoolOption(rule="all")}
    return Setups([scenario([[1, 1, 1, 1], [0, 1, 0, 1]])], rules, ("tau", "rel"))


@pytest.fixture
def two():
    """Two scenarios, one of them with pools of the whole study, which hold what a query has not."""
    first = scenario(~np.eye(5, dtype=bool), "first", ("full",))
    second = scenario(np.ones((2, 4)), "second", letters="eaxy")
    rules = {
        "own": PoolOption(rule="subsets", size=3),
        "whole": PoolOption(rule="subsets", size=4, among="study", most=3),
    }
    return Setups([first, second], rules, ("tau", "rel", "pearson"))


def test_counting(setups):
    # q0: 4 pools of three and one of four; q1: no pool of one, one of two. Twice for recipes and for measures.
    assert len(setups) == setups.total == (4 + 1 + 1) * 2 * 2
    assert sum(block.pools * len(setups.measures) for block in setups) == len(setups)
    assert setups.counts() == {("s", "head"): 12, ("s", "full"): 12}


def test_every_setup_by_its_number(setups):
    everything = [setups.at(i) for i in range(len(setups))]
    facts = {(s.recipe, s.level, s.query, s.pool, s.measure) for s in everything}
    assert len(facts) == len(setups)
    assert everything[0].pool == everything[0].ranked == ("a", "b", "c")
    assert (everything[0].measure, everything[1].measure) == ("tau", "rel")
    assert {s.pool for s in everything if s.query == "q1"} == {("b", "d")}
    assert [s.number for s in everything] == list(range(len(setups)))
    assert len({s.id for s in everything}) == len(setups)


def test_what_a_query_has_not_is_not_ranked(two):
    whole = [s for s in (two.at(i) for i in range(len(two))) if s.rule == "whole" and s.scenario == "first"]
    assert {len(s.pool) for s in whole} == {4}
    assert {len(s.ranked) for s in whole} == {3, 4}
    assert all(set(s.pool) - set(s.ranked) == set(s.pool) & {"abcde"[int(s.query[1])]} for s in whole)


def test_a_pool_has_one_id_in_every_query_and_scenario(two):
    everything = [two.at(i) for i in range(len(two))]
    ids = {}
    for s in everything:
        assert ids.setdefault(frozenset(s.pool), s.pool_id) == s.pool_id
    assert len(set(ids.values())) == len(ids)
    assert pool_id(["b", "a"]) == pool_id(["a", "b"]) != pool_id(["ab"])
    assert len({s.id for s in everything}) == len(everything)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (7, 8), (5, 60), (3, 3), (40, 41)])
def test_a_slice_holds_what_the_numbers_say(two, start, stop):
    stop = len(two) if stop is None else stop
    table = two.slice(start, stop)
    assert len(table) == stop - start
    for row, number in enumerate(range(start, stop)):
        setup = two.at(number)
        for axis in ("scenario", "recipe", "level", "query", "rule", "measure"):
            assert table.labels[axis][table.columns[axis][row]] == getattr(setup, axis)
        assert {table.labels["candidate"][i] for i in np.flatnonzero(table.members[row])} == set(setup.pool)
        assert table.numbers[row] == number


def test_the_pools_of_a_scenario(setups, two):
    assert setups.pools("s").count("q0") == 5
    assert two.pools("second") is two.spaces[1] is two.pools(two.scenarios[1])
    with pytest.raises(KeyError):
        setups.pools("nobody")


@pytest.mark.parametrize("number", [-1, 24])
def test_a_number_that_does_not_exist(setups, number):
    with pytest.raises(IndexError, match="the study has 24"):
        setups.at(number)
    with pytest.raises(IndexError, match="the study has 24"):
        setups.slice(number, number + 1)


def test_half_a_million_setups_cost_nothing_to_lay_out():
    rules = {"r": PoolOption(rule="subsets", leave_out=5)}
    start = time.process_time()
    setups = Setups([scenario(~np.eye(17, dtype=bool), recipes=("full",))], rules, tuple("abcd"))
    assert len(setups) == 297_024
    assert setups.at(297_023).pool == tuple("fghijklmnop")
    assert len(setups.slice(150_000, 150_100)) == 100
    assert time.process_time() - start < 0.5


def test_more_setups_than_int64_counts():
    rules = {"r": PoolOption(rule="subsets", size=50)}
    names = [chr(0x4E00 + i) for i in range(100)]
    setups = Setups([scenario(np.ones((1, 100)), recipes=("full",), letters=names)], rules, ("tau", "rel"))
    assert setups.total == 2 * 100_891_344_545_564_193_334_812_497_256
    last = setups.at(setups.total - 1)
    assert last.pool == tuple(names[50:])
    table = setups.slice(setups.total - 3, setups.total)
    assert [setups.at(int(n)).pool for n in table.numbers] == [
        tuple(names[i] for i in np.flatnonzero(row)) for row in table.members
    ]

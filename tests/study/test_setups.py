import numpy as np
import pytest

from tmbench.study.options import PoolOption
from tmbench.study.setups import Setups

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def setups():
    candidates = {"q": np.array([0, 1, 2, 3]), "r": np.array([1, 3])}
    rules = {"leave_1_out": PoolOption(rule="leave_out", count=1), "all": PoolOption(rule="all")}
    return Setups(("head", "full"), ("level",), candidates, rules, ("tau", "rel"), NAMES)


def test_counting(setups):
    # q: 4 pools of three and one of four; r: no pool of one, one of two. Twice for recipes and for measures.
    assert len(setups) == (4 + 1 + 1) * 2 * 2
    assert sum(block.pools * len(setups.measures) for block in setups) == len(setups)


def test_every_setup_by_its_number(setups):
    everything = [setups.at(i) for i in range(len(setups))]
    facts = {(s.recipe, s.level, s.query, s.pool, s.measure) for s in everything}
    assert len(facts) == len(setups)
    assert everything[0].pool == ("a", "b", "c")
    assert (everything[0].measure, everything[1].measure) == ("tau", "rel")
    assert {s.pool for s in everything if s.query == "r"} == {("b", "d")}
    assert [s.number for s in everything] == list(range(len(setups)))


def test_the_pools_of_a_query(setups):
    assert [pools.shape for pools in setups.pools("q")] == [(4, 3), (1, 4)]
    assert [pools.tolist() for pools in setups.pools("r")] == [[[1, 3]]]
    assert setups.pools("nobody") == []


@pytest.mark.parametrize("number", [-1, 24])
def test_a_number_that_does_not_exist(setups, number):
    with pytest.raises(IndexError, match="the study has 24"):
        setups.at(number)


def test_half_a_million_setups_cost_nothing_to_lay_out():
    candidates = {f"q{i}": np.arange(16) for i in range(17)}
    setups = Setups(
        ("full",), ("l",), candidates, {"k": PoolOption(rule="size", count=11)}, tuple("abcd"), tuple("x" * 16)
    )
    assert len(setups) == 297_024
    assert setups.at(297_023).pool == tuple("x" * 11)

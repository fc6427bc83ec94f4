"""The pools of a scenario against their definitions, spelled out set by set."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tmbench.errors import ConfigError
from tmbench.study.options import PoolOption
from tmbench.study.pools.space import PoolSpace
from tmbench.study.scenario import Scenario


def scenario(eligible, families=None, sizes=None):
    eligible = np.array(eligible, dtype=bool)
    queries, candidates = eligible.shape
    return Scenario(
        name="s",
        direction="source_selection",
        queries=tuple(f"q{i}" for i in range(queries)),
        candidates=tuple(f"c{i}" for i in range(candidates)),
        eligible=eligible,
        families=tuple(families or [""] * candidates),
        sizes=np.array(sizes or [np.nan] * candidates, dtype=float),
        recipes=("full",),
        levels=("l",),
    )


def rule(**how):
    return PoolOption(rule="subsets", **how)


def own_source_excluded(n):
    return ~np.eye(n, dtype=bool)


def sets(members):
    return [frozenset(np.flatnonzero(row).tolist()) for row in members]


def by_query(space):
    """Query → the pools that the chunks give it, in order."""
    found = {query: [] for query in space.scenario.queries}
    for chunk in space.chunks(size=5):
        assert len(chunk.members) <= 5
        for pool, serves in zip(sets(chunk.members), chunk.serves, strict=True):
            for query in np.flatnonzero(serves):
                found[space.scenario.queries[query]].append(pool)
    return found


def defined(space):
    """Query → the set of its pools by definition; draws at random excepted."""
    at = space.scenario
    everybody = np.flatnonzero(at.eligible.any(axis=0)).tolist()
    out = {}
    for query, eligible in zip(at.queries, at.eligible, strict=True):
        own = np.flatnonzero(eligible).tolist()
        pools = set()
        for one in space.rules.values() if len(own) >= 2 else ():
            base = own if one.among == "query" else everybody
            if one.rule == "all":
                pools.add(frozenset(base))
            elif one.rule == "without_family":
                for family in {at.families[i] for i in base} - {""}:
                    pools.add(frozenset(i for i in base if at.families[i] != family))
            elif one.rule == "size_matched":
                order = sorted(base, key=lambda i: (at.sizes[i], i))
                pools |= {frozenset(order[i : i + one.size]) for i in range(len(order) - one.size + 1)}
            else:
                size = one.size or (int(one.fraction * len(base) + 1e-9) if one.fraction else len(base) - one.leave_out)
                pools |= {frozenset(pool) for pool in combinations(base, size)} if size > 0 else set()
        out[query] = {pool for pool in pools if len(pool) >= 2}
    return out


RULES = st.sampled_from(
    [
        PoolOption(rule="all"),
        PoolOption(rule="without_family"),
        PoolOption(rule="size_matched", size=3),
        rule(leave_out=1),
        rule(leave_out=2),
        rule(size=3),
        rule(size=4),
        rule(fraction=0.5),
        rule(fraction=0.8, among="study"),
        rule(size=4, among="study"),
        PoolOption(rule="without_family", among="study"),
    ]
)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_each_pool_comes_once_with_all_queries_that_use_it(data):
    candidates = data.draw(st.integers(2, 7))
    queries = data.draw(st.integers(1, 4))
    row = st.lists(st.booleans(), min_size=candidates, max_size=candidates)
    eligible = data.draw(st.lists(row, min_size=queries, max_size=queries))
    families = data.draw(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=candidates, max_size=candidates))
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=candidates, max_size=candidates))
    rules = data.draw(st.lists(RULES, min_size=1, max_size=3, unique_by=repr))
    try:
        space = PoolSpace(scenario(eligible, families, sizes), {f"r{i}": one for i, one in enumerate(rules)})
    except ConfigError:
        assume(False)
    expected = defined(space)
    found = by_query(space)
    everything = [pool for chunk in space.chunks(size=5) for pool in sets(chunk.members)]
    assert len(set(everything)) == len(everything)
    for query in space.scenario.queries:
        assert len(found[query]) == len(set(found[query])) == space.count(query)
        assert set(found[query]) == expected[query]
        if count := space.count(query):
            assert set(sets(space.members(query, np.arange(count)))) == expected[query]


@given(st.integers(4, 9), st.integers(1, 40), st.integers(0, 3), st.integers(2, 5))
@settings(deadline=None)
def test_draws_are_different_pools_and_come_once(n, most, seed, queries):
    """Two queries lack a candidate, the others share theirs; a pool drawn for several of them comes once."""
    eligible = np.ones((queries, n), dtype=bool)
    eligible[0, 0] = eligible[1, 1] = False
    space = PoolSpace(scenario(eligible), {"r": rule(size=3, most=most, seed=seed)})
    found = by_query(space)
    everything = [pool for chunk in space.chunks(size=5) for pool in sets(chunk.members)]
    assert len(set(everything)) == len(everything)
    for query, own in zip(space.scenario.queries, eligible, strict=True):
        assert len(found[query]) == len(set(found[query])) == space.count(query)
        listed = sets(space.members(query, np.arange(space.count(query))))
        assert set(listed) == set(found[query])
        assert all(len(pool) == 3 and own[list(pool)].all() for pool in listed)
    assert found.get("q2") == found.get("q3", found.get("q2"))


def test_another_seed_draws_other_pools_and_more_of_them_keep_the_first():
    def first_five(seed, most):
        space = PoolSpace(scenario(np.ones((1, 12))), {"r": rule(size=6, most=most, seed=seed)})
        return sets(space.members("q0", range(5)))

    draws = {(seed, most): first_five(seed, most) for seed in (0, 1) for most in (5, 50)}
    assert draws[0, 5] == draws[0, 50]
    assert draws[0, 5] != draws[1, 5]


def test_the_counts_of_the_eccv_study():
    segmentation = scenario(own_source_excluded(17))
    classification = scenario(np.ones((9, 19), dtype=bool))
    for rules, seg, cls in (
        ({"r": rule(leave_out=5)}, 297_024, 418_608),
        ({"r": rule(fraction=0.9, among="study")}, 9_248, 6_156),
    ):
        for space, total in ((PoolSpace(segmentation, rules), seg), (PoolSpace(classification, rules), cls)):
            assert 4 * sum(space.count(query) for query in space.scenario.queries) == total
            assert 4 * sum(chunk.serves.sum() for chunk in space.chunks()) == total


def test_a_pool_of_eleven_serves_the_six_targets_outside_it():
    space = PoolSpace(scenario(own_source_excluded(17)), {"r": rule(leave_out=5)})
    chunks = list(space.chunks())
    assert sum(len(chunk.members) for chunk in chunks) == 12_376
    assert all((chunk.serves == ~chunk.members).all() for chunk in chunks)


def test_counting_needs_no_list():
    space = PoolSpace(scenario(np.ones((2, 100), dtype=bool)), {"r": rule(size=50)})
    assert space.count("q0") == 100_891_344_545_564_193_334_812_497_256
    (pool,) = space.members("q0", [10**29])
    assert pool.sum() == 50
    chunk = next(space.chunks(size=3))
    assert chunk.members.shape == (3, 100)
    assert chunk.serves.all()


def test_a_number_that_no_pool_has():
    space = PoolSpace(scenario(np.ones((1, 5), dtype=bool)), {"r": rule(size=3)})
    with pytest.raises(IndexError, match="'q0' has 10 pools"):
        space.members("q0", [3, 10])


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"a": rule(size=4), "b": rule(leave_out=1)}, "pool 'b' and pool 'a' are the same for target 'q0': 4 of its 5"),
        ({"a": PoolOption(rule="all"), "b": rule(fraction=1.0)}, "pool 'b' and pool 'a' are the same"),
        ({"a": rule(size=3, most=4), "b": rule(size=3, most=4, seed=1)}, "are the same"),
        ({"a": PoolOption(rule="size_matched", size=3), "b": rule(size=3)}, "'a' forms no pool .* that pool 'b' does"),
        ({"a": PoolOption(rule="without_family")}, "no source of s has a family"),
        ({"a": rule(size=2, among="study")}, "pool 'a' leaves target 'q1' fewer than two candidates: .*among: query"),
    ],
)
def test_rules_that_cannot_stand_together(rules, says):
    families = None if "a" in rules and rules["a"].rule == "without_family" else list("aabbc")
    with pytest.raises(ConfigError, match=says):
        PoolSpace(scenario([[1] * 5, [0, 1, 1, 1, 1]], families, [1, 2, 3, 4, 5]), rules)


def test_an_unknown_size_is_named():
    rules, sizes = {"a": PoolOption(rule="size_matched", size=2)}, [1, 2, np.nan, 4, np.nan]
    with pytest.raises(ConfigError, match=r"the size of source 'c2' and 1 more is not known in s"):
        PoolSpace(scenario([[1] * 5], sizes=sizes), rules)
    assert PoolSpace(scenario([[1, 1, 0, 1, 0]], sizes=sizes), rules).count("q0") == 2


def test_without_a_family_pools_keep_their_size_or_are_the_whole_rest():
    families = list("aaaaabbcd")
    space = PoolSpace(scenario(np.ones((2, 9), dtype=bool), families), {"r": rule(leave_out=3)})
    few = space.without_family("a")
    assert few.scenario.candidates == ("c5", "c6", "c7", "c8")
    assert [pool.tolist() for chunk in few.chunks() for pool in chunk.members] == [[True] * 4]
    many = space.without_family("b")
    assert many.count("q0") == 7
    assert {len(pool) for pool in by_query(many)["q0"]} == {6}


def test_without_a_family_rules_that_become_the_same_count_once():
    space = PoolSpace(scenario(np.ones((1, 6), dtype=bool), list("aaabbc")), {"r": rule(size=4), "t": rule(size=5)})
    assert space.without_family("a").count("q0") == 1
    # Half of another number of candidates is another size; the jackknife keeps the one there was.
    half = PoolSpace(scenario(np.ones((1, 8), dtype=bool), list("aabbccdd")), {"r": rule(fraction=0.5)})
    assert {len(pool) for pool in by_query(half.without_family("a"))["q0"]} == {4}


def test_a_query_with_one_candidate_has_no_pool():
    space = PoolSpace(
        scenario([[1, 1, 1], [0, 1, 0], [0, 0, 0]]), {"r": rule(size=2), "s": PoolOption(rule="all", among="study")}
    )
    assert [space.count(query) for query in space.scenario.queries] == [4, 0, 0]


def test_chunks_of_many_small_lists_are_filled():
    """As many lists as queries, one pool each: they come together, not one by one."""
    chunks = list(PoolSpace(scenario(own_source_excluded(30)), {"r": PoolOption(rule="all")}).chunks(size=8))
    assert [len(chunk.members) for chunk in chunks] == [8, 8, 8, 6]

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmbench.stats.cells import INAPPLICABLE, OK, Cells, common_candidates
from tmbench.study.exclusion import parts
from tmbench.study.sweep import Sweep

NAMES = {
    "recipe": ("head", "full"),
    "level": ("early", "late"),
    "target": ("t0", "t1", "t2"),
    "source": ("s0", "s1", "s2", "s3"),
}


def cells(direction="source_selection"):
    generator = np.random.default_rng(0)
    queries, candidates = NAMES["target"], NAMES["source"]
    if direction == "target_selection":
        queries, candidates = candidates, queries
    shape = (2, 2, len(queries), len(candidates))
    return Cells(
        scenario="here",
        direction=direction,
        recipes=NAMES["recipe"],
        levels=NAMES["level"],
        queries=queries,
        candidates=candidates,
        metrics=("logme", "gbc"),
        kinds=("metric", "metric"),
        truth=generator.random((2, *shape[2:], 1)),
        scores=generator.random(shape),
        state=np.full(shape, OK, dtype=np.int8),
        families=("",) * len(candidates),
        random_start=np.zeros(len(candidates), dtype=bool),
    )


def sweep(rules):
    return Sweep(name="x", version=1, cells=("here",), measure=("pearson",), pool=("all",), exclude=tuple(rules))


RULE = st.fixed_dictionaries(
    {}, optional={axis: st.lists(st.sampled_from(names), min_size=1, unique=True) for axis, names in NAMES.items()}
).filter(bool)


@pytest.mark.parametrize("direction", ["source_selection", "target_selection"])
@settings(deadline=None)
@given(rules=st.lists(RULE, max_size=3))
def test_the_parts_hold_what_no_rule_excludes_and_nothing_twice(direction, rules):
    whole, study = cells(direction), sweep(rules)
    found = {}
    for part in parts(study, whole):
        assert part.scenario == "here"
        common = common_candidates(part)
        for r, v, q, n in np.ndindex(len(part.recipes), len(part.levels), *common.shape):
            if common[q, n]:
                key = (part.recipes[r], part.levels[v], part.queries[q], part.candidates[n])
                assert key not in found
                found[key] = (part.truth[r, q, n, 0], *part.scores[v, :, q, n])
    expected = {}
    for names in itertools.product(whole.recipes, whole.levels, whole.queries, whole.candidates):
        queries, candidates = ("target", "source") if direction == "source_selection" else ("source", "target")
        axes = dict(zip(("recipe", "level", queries, candidates), names, strict=True))
        if not study.excludes(scenario="here", **axes):
            r, v, q, n = (
                of.index(name)
                for of, name in zip((whole.recipes, whole.levels, whole.queries, whole.candidates), names, strict=True)
            )
            expected[names] = (whole.truth[r, q, n, 0], *whole.scores[v, :, q, n])
    assert found == expected


def test_without_a_matching_rule_the_cells_are_the_same():
    whole = cells()
    assert parts(sweep([]), whole) == [whole]
    assert parts(sweep([{"scenario": ["elsewhere"], "source": ["s0"]}]), whole) == [whole]


def test_what_is_left_out_is_no_cell_and_not_a_missing_one():
    (part,) = parts(sweep([{"source": ["s1"], "target": ["t0"]}]), cells())
    assert not part.eligible[0, 1]
    assert np.isnan(part.truth[:, 0, 1]).all()
    assert (part.state[:, :, 0, 1] == INAPPLICABLE).all()
    assert part.eligible.sum() == 11


def test_each_group_of_queries_is_a_scenario_of_its_own():
    whole = replace(cells(), query_groups=("half of it", "", "half of it"), present=np.eye(3, 4, dtype=bool))
    half, others = parts(sweep([]), whole)
    assert (half.scenario, half.queries, half.candidates) == ("here_half_of_it", ("t0", "t2"), ("s0", "s2"))
    assert (others.scenario, others.queries, others.candidates) == ("here_others", ("t1",), ("s1",))
    assert half.truth[:, 1, 1, 0].tolist() == whole.truth[:, 2, 2, 0].tolist()
    assert parts(sweep([]), replace(whole, query_groups=("a",) * 3))[0].scenario == "here"


def test_rules_come_before_groups():
    whole = replace(cells(), query_groups=("a", "b", "b"))
    found = parts(sweep([{"recipe": ["full"], "target": ["t0"]}]), whole)
    assert [(one.scenario, one.recipes, one.queries) for one in found] == [
        ("here_a", ("head",), ("t0",)),
        ("here_b", ("head",), ("t1", "t2")),
        ("here_b", ("full",), ("t1", "t2")),
    ]
    (left,) = parts(sweep([{"target": ["t0"]}]), whole)
    assert (left.scenario, left.queries) == ("here", ("t1", "t2"))


def test_groups_of_one_name_in_letters_stay_apart():
    found = parts(sweep([]), replace(cells(), query_groups=("a b", "a_b", "a-b")))
    assert [one.scenario for one in found] == ["here_a_b", "here_a_b_", "here_a_b__"]

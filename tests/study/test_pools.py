from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmbench.study.options import PoolOption
from tmbench.study.pools import count_pools, pool_members, pool_size


@given(st.integers(0, 9), st.integers(0, 9))
def test_pools_are_the_subsets_in_lexicographic_order(n, left_out):
    rule = PoolOption(rule="leave_out", count=left_out)
    candidates = np.arange(n) * 3 + 1
    expected = [list(c) for c in combinations(candidates, n - left_out)] if n - left_out >= 2 else []
    assert count_pools(rule, n) == len(expected)
    if expected:
        assert pool_members(rule, candidates, np.arange(len(expected))).tolist() == expected


def test_any_slice_is_read_without_the_rest():
    rule = PoolOption(rule="size", count=14)
    numbers = np.array([11_627, 0, 5_000])
    members = pool_members(rule, np.arange(19), numbers)
    assert count_pools(rule, 19) == 11_628
    assert members[0].tolist() == list(range(5, 19))
    assert members[1].tolist() == list(range(14))
    assert members[2].tolist() == sorted(set(members[2].tolist()))


@pytest.mark.parametrize(
    ("rule", "count", "size"), [("all", 0, 7), ("leave_out", 3, 4), ("size", 5, 5), ("size", 8, 0)]
)
def test_sizes(rule, count, size):
    assert pool_size(PoolOption(rule=rule, count=count), 7) == size


def test_one_candidate_has_no_ranking():
    assert count_pools(PoolOption(rule="all"), 1) == 0

from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tmbench.study.options import PoolOption
from tmbench.study.pools.subsets import Shuffle, number_array, number_range, pool_size, subset_numbers, subsets


@given(st.integers(0, 9), st.integers(0, 9))
def test_subsets_are_those_of_itertools_in_its_order(n, size):
    size = min(n, size)
    count = comb(n, size)
    members = subsets(n, size, number_range(0, count, count))
    assert [tuple(np.flatnonzero(row)) for row in members] == list(combinations(range(n), size))
    assert subset_numbers(members, size).tolist() == list(range(count))


@given(st.integers(1, 120), st.data())
@settings(deadline=None)
def test_any_subset_is_read_without_the_rest_and_gives_its_number_back(n, data):
    """Also where the numbers are beyond int64."""
    size = data.draw(st.integers(0, n))
    count = comb(n, size)
    numbers = number_array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4)), count)
    members = subsets(n, size, numbers)
    assert (members.sum(axis=1) == size).all()
    assert subset_numbers(members, size).tolist() == numbers.tolist()


def test_fifty_of_a_hundred_are_exact_at_both_ends():
    count = comb(100, 50)
    first, last = subsets(100, 50, number_array([0, count - 1], count))
    assert np.flatnonzero(first).tolist() == list(range(50))
    assert np.flatnonzero(last).tolist() == list(range(50, 100))


@given(st.integers(1, 400), st.integers(0, 5))
def test_a_shuffle_is_a_permutation_and_its_inverse(count, key):
    shuffle = Shuffle(count, key)
    image = shuffle.forward(np.arange(count))
    assert sorted(image.tolist()) == list(range(count))
    assert shuffle.backward(image).tolist() == list(range(count))


@pytest.mark.parametrize("count", [2**31, 2**63 - 1, 2**63, comb(100, 50), comb(2000, 1000)])
def test_a_shuffle_of_more_than_memory_holds(count):
    shuffle = Shuffle(count, "large")
    numbers = number_range(0, 100, count)
    image = shuffle.forward(numbers)
    assert len(set(image.tolist())) == 100
    assert all(0 <= number < count for number in image)
    assert shuffle.backward(image).tolist() == numbers.tolist()
    # Neither crowded nor spread on purpose: the mean of 100 uniform numbers has a standard deviation of 0.029.
    assert abs(np.mean([number / count for number in image]) - 0.5) < 0.12


def test_every_number_is_drawn_as_often_as_the_others():
    """4,000 draws of 3 out of 10: 1,200 of each, standard deviation 29."""
    drawn = Counter(int(n) for key in range(4000) for n in Shuffle(10, key).forward(np.arange(3)))
    assert sorted(drawn) == list(range(10))
    assert max(abs(times - 1200) for times in drawn.values()) < 120


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ({"leave_out": 3}, 4),
        ({"leave_out": 7}, 0),
        ({"size": 5}, 5),
        ({"size": 8}, 0),
        ({"fraction": 0.9}, 6),
        ({"fraction": 1.0}, 7),
    ],
)
def test_sizes(how, size):
    assert pool_size(PoolOption(rule="subsets", **how), 7) == size
    assert pool_size(PoolOption(rule="all"), 7) == 7


def test_a_fraction_of_a_whole_number_is_not_rounded_below_it():
    for percent in range(1, 101):
        for n in (10, 20, 50, 100):
            if percent * n % 100 == 0:
                rule = PoolOption(rule="subsets", fraction=percent / 100)
                assert pool_size(rule, n) == percent * n // 100


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"rule": "subsets"}, "exactly one of size, fraction and leave_out, and have none"),
        ({"rule": "subsets", "size": 3, "leave_out": 1}, "have size and leave_out"),
        ({"rule": "all", "size": 3}, "takes no 'size'"),
        ({"rule": "without_family", "leave_out": 1}, "takes no 'leave_out'"),
        ({"rule": "size_matched"}, "needs 'size'"),
        ({"rule": "size_matched", "size": 3, "most": 5}, "'most' draws subsets"),
        ({"rule": "subsets", "size": 3, "seed": 1}, "changes nothing without 'most'"),
        ({"rule": "subsets", "size": 1}, "greater than or equal to 2"),
        ({"rule": "subsets", "fraction": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule, says):
    with pytest.raises(ValidationError, match=says):
        PoolOption.model_validate(rule)

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmbench.identity import Seeds, canonical, content_id

keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), keys, max_size=5))
def test_id_ignores_the_order_of_keys(key):
    assert content_id(key) == content_id(dict(reversed(list(key.items()))))


@given(st.dictionaries(st.text(max_size=5), keys, min_size=1, max_size=4), keys)
def test_id_changes_with_every_value(key, other):
    name = next(iter(key))
    changed = {**key, name: other}
    assert (content_id(key) == content_id(changed)) == (canonical(key) == canonical(changed))


def test_id_is_the_same_in_another_process():
    key = {"b": [1, 2.5, None, True], "a": "é"}
    code = "from tmbench.identity import content_id; print(content_id({'a': 'é', 'b': [1, 2.5, None, True]}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == content_id(key)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_has_no_one_spelling_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        canonical({"a": value})


def test_streams_depend_on_unit_name_and_step_alone():
    draw = Seeds("unit").generator("head", 3).random()
    other = Seeds("unit")
    other.generator("something else").random(100)
    assert other.generator("head", 3).random() == draw
    integers = {Seeds(u).integer(n, s) for u in "ab" for n in ("head", "order") for s in range(4)}
    assert len(integers) == 16
    assert all(0 <= i < 2**63 for i in integers)

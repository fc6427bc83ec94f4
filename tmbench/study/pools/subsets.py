"""Subsets by number: the i-th subset of a size is computed from i, and its number from the subset, without a list.

Numbers are exact whatever their size: int64 where the count of subsets fits, Python integers (object arrays) beyond,
as for the 1e29 subsets of 50 out of 100.
"""

import hashlib
from functools import cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmbench.identity import canonical
from tmbench.study.options import PoolOption

Numbers = NDArray[Any]
"""int64, or Python integers in an object array where int64 is too small."""

INT64 = 2**63


def pool_size(rule: PoolOption, candidates: int) -> int:
    """How many candidates each pool of ``rule`` (``all`` or ``subsets``) holds; 0 when there are too few for it."""
    if rule.size is not None:
        size = rule.size
    elif rule.fraction is not None:
        size = int(rule.fraction * candidates + 1e-9)  # 0.7 of 10 is 7, whatever the product's last bit
    else:
        size = candidates - (rule.leave_out or 0)
    return size if 0 < size <= candidates else 0


def number_array(values: Any, count: int) -> Numbers:
    """``values`` as numbers of one of ``count`` things."""
    return np.array(values, dtype=np.int64 if count < INT64 else object)


def number_range(start: int, stop: int, count: int) -> Numbers:
    """The numbers from ``start`` to ``stop`` (not with it) of ``count`` things."""
    return np.arange(start, stop, dtype=np.int64) if count < INT64 else number_array(list(range(start, stop)), count)


def subsets(n: int, size: int, numbers: Numbers) -> NDArray[np.bool_]:
    """The subsets of ``size`` out of n with the given numbers, in lexicographic order of their sorted members.

    Args:
        n: how many there are to choose from.
        size: how many are chosen, 0..n.
        numbers: (P,) in 0..C(n, size)-1.

    Returns:
        (P, n) bool.
    """
    table = _going_on(n, size)
    left = np.array(numbers, dtype=table.dtype)
    wanted = np.full(len(left), size)
    members = np.empty((n, len(left)), dtype=bool)
    for element in range(n):
        # How many subsets go on with this element; of those that are full already, none.
        with_it = table[element][wanted]
        np.less(left, with_it, out=members[element], casting="unsafe")
        left -= np.where(members[element], 0, with_it)
        wanted -= members[element]
    return np.ascontiguousarray(members.T)


def subset_numbers(members: NDArray[np.bool_], size: int) -> Numbers:
    """The inverse of :func:`subsets`: (P,) numbers of ``members`` (P, n), each row of which holds ``size``."""
    n = members.shape[1]
    table = _going_on(n, size)
    wanted = np.full(len(members), size)
    numbers = np.zeros(len(members), dtype=table.dtype)
    for element in range(n):
        numbers += np.where(members[:, element], 0, table[element][wanted])
        wanted -= members[:, element]
    return numbers


@cache
def _going_on(n: int, size: int) -> Numbers:
    """(n, size + 1): of the subsets that want so many more members, how many take the element.

    Entries that no subset of ``size`` reaches stay 0, so that none is larger than the number of subsets.
    """
    table = np.zeros((n, size + 1), dtype=np.int64 if comb(n, size) < INT64 else object)
    for element in range(n):
        for wanted in range(max(1, size - element), min(size, n - element) + 1):
            table[element, wanted] = comb(n - element - 1, wanted - 1)
    table.flags.writeable = False
    return table


class Shuffle:
    """A random permutation of 0..count-1 that needs no memory: a keyed Feistel network, walked until it is inside.

    Draws without repetition are the images of 0, 1, 2, …; the inverse tells whether a number was drawn.
    """

    ROUNDS = 8

    def __init__(self, count: int, key: Any) -> None:
        """Take the number of things and a key (plain JSON values): equal keys are equal permutations."""
        self.count = count
        self.half = max(1, ((count - 1).bit_length() + 1) // 2)
        text = canonical(["shuffle", count, key]).encode()
        self.keys = [hashlib.blake2b(text, digest_size=8, person=b"%d" % i).digest() for i in range(self.ROUNDS)]

    def forward(self, numbers: Numbers) -> Numbers:
        """Where ``numbers`` go."""
        return self._walked(numbers, self.keys, backward=False)

    def backward(self, numbers: Numbers) -> Numbers:
        """Where ``numbers`` come from."""
        return self._walked(numbers, self.keys[::-1], backward=True)

    def _walked(self, numbers: Numbers, keys: list[bytes], backward: bool) -> Numbers:
        out = number_array(numbers, self.count)
        if self.count < 2:
            return out
        outside = np.ones(len(out), dtype=bool)
        while outside.any():
            out[outside] = self._once(out[outside], keys, backward)
            outside = np.asarray(out >= self.count, dtype=bool) | np.asarray(out < 0, dtype=bool)
        return out

    def _once(self, numbers: Numbers, keys: list[bytes], backward: bool) -> Numbers:
        """One pass through the network on 2 × half bits."""
        left: Any
        right: Any
        if numbers.dtype == object:
            left, right = numbers >> self.half, numbers & ((1 << self.half) - 1)
        else:
            bits = numbers.view(np.uint64)
            left, right = bits >> np.uint64(self.half), bits & np.uint64((1 << self.half) - 1)
        if backward:
            left, right = right, left
        for key in keys:
            left, right = right, left ^ self._mixed(right, key)
        if backward:
            left, right = right, left
        out = (left << self.half) | right if numbers.dtype == object else (left << np.uint64(self.half)) | right
        return out if numbers.dtype == object else out.view(np.int64)

    def _mixed(self, values: Numbers, key: bytes) -> Numbers:
        """A hash of each value, ``half`` bits wide."""
        mask = (1 << self.half) - 1
        if values.dtype == object:
            width = self.half // 8 + 1
            mixed = np.empty(len(values), dtype=object)
            mixed[:] = [
                int.from_bytes(_stream(int(value).to_bytes(width, "big"), key, width)) & mask for value in values
            ]
            return mixed
        # The finaliser of splitmix64 (Steele, Lea and Flood, 2014).
        out: Any = values + np.uint64(int.from_bytes(key, "big"))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            out = (out ^ (out >> np.uint64(shift))) * np.uint64(factor)
        return (out ^ (out >> np.uint64(31))) & np.uint64(mask)


def _stream(value: bytes, key: bytes, width: int) -> bytes:
    """``width`` bytes of a hash."""
    blocks = (hashlib.blake2b(value, digest_size=64, key=key, salt=b"%d" % i).digest() for i in range(width // 64 + 1))
    return b"".join(blocks)[:width]

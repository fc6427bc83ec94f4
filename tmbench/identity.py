"""Identity: what a piece of work is named after, and where its randomness comes from.

An id is a hash of everything that changes a result and of nothing else. Equal keys give equal ids on every
machine and in every Python version, because the key is written as canonical JSON first.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

HASH_VERSION = 1
"""Version of the hash scheme; it enters every id, so that raising it makes all ids new."""


def canonical(key: Any) -> str:
    """``key`` (dicts, lists, strings, numbers, booleans, None) as JSON with one spelling.

    Keys are sorted and floats written by ``repr``, so insertion order never matters.

    Raises:
        TypeError: for a value that JSON has no form for (a path, an array, a set).
        ValueError: for NaN and infinity.
    """
    return json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_id(key: Any) -> str:
    """32 hexadecimal digits (BLAKE2b, 128 bits) that name ``key``."""
    return _hash(canonical(key)).hexdigest()


def _hash(text: str) -> "hashlib.blake2b":
    return hashlib.blake2b(f"tmbench:{HASH_VERSION}:{text}".encode(), digest_size=16)


class OpenKey:
    """A key of which one entry is still open, for the ids of many values of it.

    What stands before that entry is spelled and hashed once, what follows it spelled once: 100,000 ids of a key of
    1 kB take 0.2 s, where spelling each key anew takes 2 s. The ids are those of :func:`content_id`.
    """

    def __init__(self, key: Mapping[str, Any], name: str) -> None:
        """``key`` without its entry ``name``.

        Raises:
            TypeError: as :func:`canonical`, which see.
        """
        before = canonical({other: value for other, value in key.items() if other < name})[1:-1]
        after = canonical({other: value for other, value in key.items() if other > name})[1:-1]
        self._head = "{" + (f"{before}," if before else "") + f"{canonical(name)}:"
        self._tail = (f",{after}" if after else "") + "}"
        self._hash = _hash(self._head)

    def spelled(self, value: str) -> str:
        """The canonical JSON of the key with ``value``, which is canonical JSON itself."""
        return f"{self._head}{value}{self._tail}"

    def id(self, value: str) -> str:
        """The id of that key."""
        whole = self._hash.copy()
        whole.update((value + self._tail).encode())
        return whole.hexdigest()


class Seeds:
    """The random streams of one unit: one for each named step, independent of the order they are asked for.

    A stream depends on (the unit's id, the step's name, the step's number) alone. So a run that was cut and
    resumed draws what the uninterrupted run would have drawn.
    """

    def __init__(self, unit: str) -> None:
        """Take the id of the unit, or any other text that names the work."""
        self.unit = unit

    def integer(self, name: str, step: int = 0) -> int:
        """A seed in [0, 2**63) for the step ``name`` number ``step``."""
        text = f"{self.unit}\0{name}\0{step}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def generator(self, name: str, step: int = 0) -> np.random.Generator:
        """A NumPy generator for the step ``name`` number ``step``."""
        return np.random.Generator(np.random.PCG64(self.integer(name, step)))

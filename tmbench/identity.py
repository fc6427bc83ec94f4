"""Identity: what a piece of work is named after, and where its randomness comes from.

An id is a hash of everything that changes a result and of nothing else. Equal keys give equal ids on every
machine and in every Python version, because the key is written as canonical JSON first.
"""

import hashlib
import json
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
    text = f"tmbench:{HASH_VERSION}:{canonical(key)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


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

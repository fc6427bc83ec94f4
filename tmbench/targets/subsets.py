"""Class subsets: many targets cut from one data set, drawn as the third scenario of a published study draws them."""

from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

TRIES = 100
"""Draws for each subset that is wanted, before a rule is taken to have no more of them."""


class ClassSubset(BaseModel):
    """Makes an option stand for ``count`` targets, each of some of the classes.

    Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, target task selection, whose
    code draws subset i with NumPy's older generator seeded by 123 + i.

    Attributes:
        rule: ``random``, from two classes to all but one; ``half`` of the classes, rounded down.
        count: how many; a draw that gives the classes of an earlier one is passed over.
        seed: of the first draw; the next ones count on from it.
        number: which of them; null in an option file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["random", "half"]
    count: int = Field(default=100, ge=1, le=10_000)
    seed: int = Field(default=123, ge=0)
    number: int | None = Field(default=None, ge=0)


def class_subsets(rule: ClassSubset, classes: int) -> tuple[tuple[int, ...], ...]:
    """The classes of each subset, ascending; all subsets differ.

    Raises:
        ValueError: when there are not so many, or no such ``number``.
    """
    found = _drawn(rule.rule, rule.count, rule.seed, classes)
    if len(found) < rule.count:
        raise ValueError(
            f"subset: only {len(found)} {rule.rule} subsets of {classes} classes were found, not count={rule.count}; "
            f"{'lower count' if found else 'take a set of four classes or more'}"
        )
    if rule.number is not None and rule.number >= rule.count:
        raise ValueError(f"subset: number {rule.number} of {rule.count}; they count from 0")
    return found


@lru_cache(maxsize=64)
def _drawn(rule: str, count: int, seed: int, classes: int) -> tuple[tuple[int, ...], ...]:
    found: dict[tuple[int, ...], None] = {}
    if classes < 3 or (rule == "half" and classes < 4):
        return ()
    for step in range(count * TRIES):
        if len(found) == count:
            break
        generator = np.random.RandomState(seed + step)
        size = classes // 2 if rule == "half" else int(generator.randint(2, classes))
        found.setdefault(tuple(sorted(generator.permutation(classes)[:size].tolist())))
    return tuple(found)

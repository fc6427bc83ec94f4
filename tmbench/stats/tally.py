"""Tally: what is summed up over the setups of a study, and all that its statistics need."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import Array
from tmbench.stats.outcomes import Slice

Sums = dict[str, Array]
"""Named arrays of sums. Those of two chunks are added name by name."""


@dataclass
class Tally:
    """The sums over all setups of one scenario, recipe and level: E measures, Q queries, M rankers, F in the field.

    Attributes:
        where: scenario, recipe, level, direction.
        measures: (E,) names.
        queries: (Q,) names.
        families: (Q,) queries of one family are resampled together.
        names, kinds: (M,) metrics, variants and baselines.
        field: (F,) positions in ``names`` of the metrics that compete.
        sums: by name; each statistic's module says what it adds (``win_sums``, ``duel_sums``, …).
        winner_sets: how often each set of metrics, as bits in the order of ``field``, won a complete setup.
    """

    where: Slice
    measures: tuple[str, ...]
    queries: tuple[str, ...]
    families: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    field: NDArray[np.intp]
    sums: Sums = dataclasses.field(default_factory=dict)
    winner_sets: Counter[int] = dataclasses.field(default_factory=Counter)

    @property
    def setups(self) -> int:
        """How many setups there are, complete or not."""
        return int(self.sums["setups"].sum())

    @property
    def missing(self) -> int:
        """How many of them lack a value of a metric that competes."""
        return self.setups - int(self.sums["complete"].sum())


@dataclass
class Across:
    """The sums over groups of setups in which a recipe, level, implementation or seed varies, for ``stability``.

    ``where`` has ``all`` in the place of what varies.
    """

    where: Slice
    varied: str
    families: tuple[str, ...]
    sums: Sums = dataclasses.field(default_factory=dict)


@dataclass
class StudyTally:
    """All sums over the setups of one scenario."""

    slices: list[Tally]
    across: list[Across]


def add(total: Sums, part: Mapping[str, Array]) -> None:
    """Add ``part`` to ``total``, name by name."""
    for name, value in part.items():
        total[name] = total[name] + value if name in total else np.asarray(value)

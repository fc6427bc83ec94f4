"""A scenario: queries, the candidates that are ranked for them, and who is a candidate for which query."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.cells import Cells, axes_of, common_candidates


@dataclass(frozen=True)
class Scenario:
    """What setups are made of, apart from pools and measures: Q queries, N candidates.

    Attributes:
        name: as in the tables.
        direction: ``source_selection`` or ``target_selection``.
        queries: (Q,) names.
        candidates: (N,) names.
        eligible: (Q, N) bool, the candidates of each query that all compared metrics can score.
        families: (N,) the family of each candidate; empty where unknown.
        sizes: (N,) float64, its number of parameters; NaN where unknown.
        recipes: names.
        levels: names.
    """

    name: str
    direction: str
    queries: tuple[str, ...]
    candidates: tuple[str, ...]
    eligible: NDArray[np.bool_]
    families: tuple[str, ...]
    sizes: NDArray[np.float64]
    recipes: tuple[str, ...]
    levels: tuple[str, ...]

    @classmethod
    def of(cls, cells: Cells) -> "Scenario":
        """The scenario that ``cells`` are of."""
        assert cells.sizes is not None
        return cls(
            cells.scenario,
            cells.direction,
            cells.queries,
            cells.candidates,
            common_candidates(cells),
            cells.families,
            cells.sizes,
            cells.recipes,
            cells.levels,
        )

    @property
    def query_axis(self) -> str:
        """What a query is: ``target`` or ``source``."""
        return axes_of(self.direction)[0]

    @property
    def candidate_axis(self) -> str:
        """What a candidate is: ``source`` or ``target``."""
        return axes_of(self.direction)[1]

    def without_family(self, family: str) -> "Scenario":
        """The same with the candidates of one family taken out."""
        kept = [i for i, name in enumerate(self.families) if name != family]
        return replace(
            self,
            candidates=tuple(self.candidates[i] for i in kept),
            eligible=self.eligible[:, kept],
            families=tuple(self.families[i] for i in kept),
            sizes=self.sizes[kept],
        )

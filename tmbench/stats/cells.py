"""Cells: the matrix of queries and candidates with its truths and scores, from which every setup is read."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.baselines import STATIC, static_scores

OK, MISSING, INAPPLICABLE = 0, 1, 2
"""The states of a score. *Missing* should exist and does not; *inapplicable* can never exist, such as LEEP on a
source without a head. The two are counted apart and neither ever becomes a number."""

KINDS = ("metric", "variant", "baseline")
"""Metrics are the field that competes; variants and baselines are compared with it pairwise and take no vote."""

DIRECTIONS = ("source_selection", "target_selection")
"""What is ranked: sources for a target (the query), or targets for a source."""


@dataclass(frozen=True)
class Cells:
    """The cells of one scenario: R recipes, L levels, Q queries, N candidates, M metrics.

    Attributes:
        scenario: the name that its rows bear in the tables.
        direction: one of ``DIRECTIONS``.
        recipes: (R,) names.
        levels: (L,) names.
        queries: (Q,) names.
        candidates: (N,) names.
        metrics: (M,) names of what has stored scores.
        kinds: (M,) one of ``KINDS`` each.
        truth: (R, Q, N, seeds) float64; NaN where a run is missing.
        scores: (L, M, Q, N) float64, higher is better; NaN exactly where ``state`` is not ``OK``.
        state: (L, M, Q, N) int8.
        families: (N,) the family of each candidate, such as its architecture.
        random_start: (N,) bool, whether the candidate is a random initialisation.
        static: whether the leave-one-query-out ranking made from the truth stands beside the metrics.
    """

    scenario: str
    direction: str
    recipes: tuple[str, ...]
    levels: tuple[str, ...]
    queries: tuple[str, ...]
    candidates: tuple[str, ...]
    metrics: tuple[str, ...]
    kinds: tuple[str, ...]
    truth: NDArray[np.float64]
    scores: NDArray[np.float64]
    state: NDArray[np.int8]
    families: tuple[str, ...]
    random_start: NDArray[np.bool_]
    static: bool = True

    def __post_init__(self) -> None:
        """Refuse shapes that disagree, unknown kinds, infinite truths and NaN that claims to be a score."""
        sizes = (len(self.queries), len(self.candidates))
        stored = (len(self.levels), len(self.metrics), *sizes)
        shapes = {
            "truth": (self.truth.shape[:3], (len(self.recipes), *sizes)),
            "scores": (self.scores.shape, stored),
            "state": (self.state.shape, stored),
            "kinds": ((len(self.kinds),), (len(self.metrics),)),
            "families": ((len(self.families),), sizes[1:]),
            "random_start": (self.random_start.shape, sizes[1:]),
        }
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise ValueError(f"cells of '{self.scenario}': {name} has shape {found} and needs {wanted}.")
        if self.truth.ndim != 4:
            raise ValueError(f"cells of '{self.scenario}': truth needs the axes recipe, query, candidate, seed.")
        for name in (*self.recipes, *self.levels, *self.queries, *self.candidates, *self.metrics):
            if not name:
                raise ValueError(f"cells of '{self.scenario}': a name is empty.")
        for axis in ("recipes", "levels", "queries", "candidates", "names"):
            names = getattr(self, axis)
            if len(set(names)) != len(names):
                raise ValueError(f"cells of '{self.scenario}': {axis} has a name twice: {', '.join(names)}.")
        if wrong := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"cells of '{self.scenario}': no kind is named '{wrong[0]}'. Kinds: {', '.join(KINDS)}.")
        if self.direction not in DIRECTIONS:
            raise ValueError(
                f"cells of '{self.scenario}': no direction is named '{self.direction}'. "
                f"Directions: {', '.join(DIRECTIONS)}."
            )
        if np.isinf(self.truth).any():
            raise ValueError(f"cells of '{self.scenario}': a truth is infinite.")
        if (np.isnan(self.scores) != (self.state != OK)).any():
            raise ValueError(f"cells of '{self.scenario}': scores must be NaN exactly where their state is not OK.")

    @property
    def names(self) -> tuple[str, ...]:
        """Whatever ranks the candidates: the metrics, and ``static`` where it is asked for."""
        return (*self.metrics, STATIC) if self.static else self.metrics

    @property
    def all_kinds(self) -> tuple[str, ...]:
        """The kind of each of ``names``."""
        return (*self.kinds, "baseline") if self.static else self.kinds

    @property
    def mean_truth(self) -> NDArray[np.float64]:
        """(R, Q, N) the truth as setups use it: the mean over the seeds that exist, NaN where none does."""
        there = ~np.isnan(self.truth)
        count = there.sum(axis=-1)
        total = np.where(there, self.truth, 0.0).sum(axis=-1)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """(Q, N) where anything applies at all; elsewhere, as for a target's own source, there is no candidate."""
        if not self.metrics:
            return np.ones((len(self.queries), len(self.candidates)), dtype=bool)
        return (self.state != INAPPLICABLE).any(axis=(0, 1))

    def rows(self, recipe: int, level: int) -> NDArray[np.float64]:
        """(len(names), Q, N) scores beside this recipe's truth; the static ranking is made from that truth."""
        return np.concatenate([self.scores[level], self._static(recipe)]) if self.static else self.scores[level]

    def row_states(self, recipe: int, level: int) -> NDArray[np.int8]:
        """(len(names), Q, N) the state of each of ``rows``."""
        if not self.static:
            return self.state[level]
        absent = np.where(self.eligible, MISSING, INAPPLICABLE)
        static = np.where(np.isnan(self._static(recipe)), absent, OK).astype(np.int8)
        return np.concatenate([self.state[level], static])

    def _static(self, recipe: int) -> NDArray[np.float64]:
        return np.where(self.eligible, static_scores(self.mean_truth[recipe]), np.nan)[None]

    def without_family(self, family: str) -> "Cells":
        """The same cells with the candidates of one family taken out, as the jackknife wants them."""
        keep = np.array([name != family for name in self.families])
        chosen = np.flatnonzero(keep)
        return replace(
            self,
            candidates=tuple(self.candidates[i] for i in chosen),
            families=tuple(self.families[i] for i in chosen),
            truth=self.truth[:, :, keep],
            scores=self.scores[..., keep],
            state=self.state[..., keep],
            random_start=self.random_start[keep],
        )


def common_candidates(cells: Cells) -> NDArray[np.bool_]:
    """(Q, N) the candidates that all compared metrics can score: where none of the field is inapplicable.

    A missing score does not remove a candidate; it is counted instead. A metric that applies to nothing at a
    level does not compete there and removes nothing.
    """
    field = np.array([kind == "metric" for kind in cells.kinds], dtype=bool)
    inapplicable = cells.state[:, field] == INAPPLICABLE
    competes = ~inapplicable.all(axis=(2, 3), keepdims=True)
    return ~(inapplicable & competes).any(axis=(0, 1))

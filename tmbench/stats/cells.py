"""Cells: the matrix of queries and candidates with its truths and scores, from which every setup is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.baselines import RANDOM, STATIC, static_scores

Array = NDArray[np.float64]

OK, MISSING, INAPPLICABLE = 0, 1, 2
"""The states of a score. *Missing* should exist and does not; *inapplicable* can never exist, such as LEEP on a
source without a head. The two are counted apart and neither ever becomes a number."""

KINDS = ("metric", "variant", "baseline")
"""Metrics are the field that competes; variants and baselines are compared with it pairwise and take no vote."""

DIRECTIONS = ("source_selection", "target_selection")
"""What is ranked: sources for a target (the query), or targets for a source."""


def axes_of(direction: str) -> tuple[str, str]:
    """What the queries and what the candidates are: ``("target", "source")`` where sources are ranked."""
    return ("target", "source") if direction == "source_selection" else ("source", "target")


Combine = Callable[[Array], Array]
"""Parts of a score (S, P, n), over the n candidates of each pool → scores (S, n)."""


@dataclass(frozen=True)
class Combined:
    """A metric whose scores depend on the pool: its parts are stored, ``combine`` makes scores inside each pool.

    Attributes:
        name: as it stands in the tables.
        kind: one of ``KINDS``.
        combine: parts (S, P, n) → scores (S, n).
        part_names: (P,).
        parts: (L, P, Q, N) float64; NaN exactly where ``state`` is not ``OK``.
        state: (L, Q, N) int8.
    """

    name: str
    kind: str
    combine: Combine
    part_names: tuple[str, ...]
    parts: Array
    state: NDArray[np.int8]


@dataclass(frozen=True)
class Cells:
    """The cells of one scenario: R recipes, L levels, Q queries, N candidates, M metrics.

    Attributes:
        scenario: the name that its rows bear in the tables.
        direction: one of ``DIRECTIONS``.
        recipes: (R,) names.
        levels: (L,) names; ``LEVEL@IMPLEMENTATION`` where a metric was computed by several implementations.
        queries: (Q,) names.
        candidates: (N,) names.
        metrics: (M,) names of what has stored scores.
        kinds: (M,) one of ``KINDS`` each.
        truth: (R, Q, N, seeds) float64; NaN where a run is missing.
        scores: (L, M, Q, N) float64, higher is better; NaN exactly where ``state`` is not ``OK``; ±inf is a rank.
        state: (L, M, Q, N) int8.
        families: (N,) the family of each candidate, such as its architecture; empty where unknown.
        random_start: (N,) bool, whether the candidate is a random initialisation.
        static: whether the leave-one-query-out ranking made from the truth stands beside the metrics.
        present: (Q, N) bool, the cells that the study has; a target's own source is none. Where not given: the cells
            to which any metric applies.
        sizes: (N,) number of parameters of each candidate, NaN unknown.
        query_families: (Q,) queries of one family, such as class subsets of one data set, are resampled together;
            an empty name stands on its own.
        query_groups: (Q,) each group becomes a scenario of its own; the same name, or none, for one group.
        test_sizes: (Q, N) size of the test set where the truth is a proportion (accuracy), else NaN.
        combined: the metrics that are combined from parts inside each pool.
        truth_measure: what the truth is, such as ``accuracy``.
        seeds: (seeds,) their names.
        counts: what reading the cells found and did, by policy (``tmbench.study.tables``).
    """

    scenario: str
    direction: str
    recipes: tuple[str, ...]
    levels: tuple[str, ...]
    queries: tuple[str, ...]
    candidates: tuple[str, ...]
    metrics: tuple[str, ...]
    kinds: tuple[str, ...]
    truth: Array
    scores: Array
    state: NDArray[np.int8]
    families: tuple[str, ...]
    random_start: NDArray[np.bool_]
    static: bool = True
    present: NDArray[np.bool_] | None = None
    sizes: Array | None = None
    query_families: tuple[str, ...] = ()
    query_groups: tuple[str, ...] = ()
    test_sizes: Array | None = None
    combined: tuple[Combined, ...] = ()
    truth_measure: str = ""
    seeds: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse shapes that disagree, unknown kinds, infinite truths and NaN that claims to be a score."""
        if self.truth.ndim != 4:
            raise self._wrong("truth needs the axes recipe, query, candidate, seed.")
        for name, value in self._defaults().items():
            object.__setattr__(self, name, value)
        for name, (found, wanted) in self._shapes().items():
            if found != wanted:
                raise self._wrong(f"{name} has shape {found} and needs {wanted}.")
        for name in (*self.recipes, *self.levels, *self.queries, *self.candidates, *self.metrics):
            if not name:
                raise self._wrong("a name is empty.")
        for axis in ("recipes", "levels", "queries", "candidates", "names"):
            names = getattr(self, axis)
            if len(set(names)) != len(names):
                raise self._wrong(f"{axis} has a name twice: {', '.join(names)}.")
        if wrong := sorted(set(self.all_kinds) - set(KINDS)):
            raise self._wrong(f"no kind is named '{wrong[0]}'. Kinds: {', '.join(KINDS)}.")
        if self.direction not in DIRECTIONS:
            raise self._wrong(f"no direction is named '{self.direction}'. Directions: {', '.join(DIRECTIONS)}.")
        if np.isinf(self.truth).any():
            raise self._wrong("a truth is infinite.")
        if (np.isnan(self.scores) != (self.state != OK)).any():
            raise self._wrong("scores must be NaN exactly where their state is not OK.")
        for metric in self.combined:
            if (np.isnan(metric.parts).any(axis=1) != (metric.state != OK)).any():
                raise self._wrong(f"the parts of {metric.name} must be NaN exactly where their state is not OK.")

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"cells of '{self.scenario}': {what}")

    def _defaults(self) -> dict[str, object]:
        """What may be left out, filled."""
        queries, candidates = len(self.queries), len(self.candidates)
        filled: dict[str, object] = {}
        if self.sizes is None:
            filled["sizes"] = np.full(candidates, np.nan)
        if self.test_sizes is None:
            filled["test_sizes"] = np.full((queries, candidates), np.nan)
        for name in ("query_families", "query_groups"):
            filled[name] = getattr(self, name) or ("",) * queries
        if not self.seeds:
            filled["seeds"] = tuple(str(seed) for seed in range(self.truth.shape[-1]))
        if self.present is None:
            applies = np.concatenate([self.state, *(metric.state[:, None] for metric in self.combined)], axis=1)
            anything = (applies != INAPPLICABLE).any(axis=(0, 1)) if applies.shape[1] else np.True_
            filled["present"] = np.broadcast_to(anything, (queries, candidates)).copy()
        return filled

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """The shape that each array has and the one it needs."""
        queries, candidates, levels = len(self.queries), len(self.candidates), len(self.levels)
        stored = (levels, len(self.metrics), queries, candidates)
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "truth": (self.truth.shape, (len(self.recipes), queries, candidates, len(self.seeds))),
            "scores": (self.scores.shape, stored),
            "state": (self.state.shape, stored),
            "kinds": ((len(self.kinds),), (len(self.metrics),)),
            "families": ((len(self.families),), (candidates,)),
            "random_start": (self.random_start.shape, (candidates,)),
            "present": (np.asarray(self.present).shape, (queries, candidates)),
            "sizes": (np.asarray(self.sizes).shape, (candidates,)),
            "test_sizes": (np.asarray(self.test_sizes).shape, (queries, candidates)),
            "query_families": ((len(self.query_families),), (queries,)),
            "query_groups": ((len(self.query_groups),), (queries,)),
        }
        for one in self.combined:
            shapes[f"parts of {one.name}"] = (one.parts.shape, (levels, len(one.part_names), queries, candidates))
            shapes[f"state of {one.name}"] = (one.state.shape, (levels, queries, candidates))
        return shapes

    @property
    def names(self) -> tuple[str, ...]:
        """Whatever ranks the candidates: metrics with stored scores, combined ones, ``static``, ``random``."""
        static = (STATIC,) if self.static else ()
        return (*self.metrics, *(metric.name for metric in self.combined), *static, RANDOM)

    @property
    def all_kinds(self) -> tuple[str, ...]:
        """The kind of each of ``names``."""
        static = ("baseline",) if self.static else ()
        return (*self.kinds, *(metric.kind for metric in self.combined), *static, "baseline")

    @property
    def mean_truth(self) -> Array:
        """(R, Q, N) the truth as setups use it: the mean over the seeds that exist, NaN where none does."""
        there = ~np.isnan(self.truth)
        count = there.sum(axis=-1)
        total = np.where(there, self.truth, 0.0).sum(axis=-1)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """(Q, N) the cells that the study has: ``present``, never None."""
        assert self.present is not None
        return self.present

    def rows(self, recipe: int, level: int) -> Array:
        """(stored metrics and ``static``, Q, N) scores beside this recipe's truth, which the static ranking is of."""
        return np.concatenate([self.scores[level], self._static(recipe)]) if self.static else self.scores[level]

    def row_states(self, recipe: int, level: int) -> NDArray[np.int8]:
        """(len(names), Q, N) the state of each of ``names``."""
        states = [self.state[level], *(metric.state[level][None] for metric in self.combined)]
        absent = np.where(self.eligible, MISSING, INAPPLICABLE)
        if self.static:
            states.append(np.where(np.isnan(self._static(recipe)), absent, OK).astype(np.int8))
        states.append(np.where(self.eligible, OK, INAPPLICABLE)[None].astype(np.int8))
        return np.concatenate(states)

    def _static(self, recipe: int) -> Array:
        return np.where(self.eligible, static_scores(self.mean_truth[recipe]), np.nan)[None]

    def only(
        self,
        queries: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        recipes: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> "Cells":
        """The same cells restricted to these names, in this order; all of them where None.

        Raises:
            ValueError: for a name that is none of the axis.
        """
        q = _positions(self.queries, queries)
        n = _positions(self.candidates, candidates)
        r = _positions(self.recipes, recipes)
        v = _positions(self.levels, levels)
        stored = metrics if metrics is None else [name for name in metrics if name in self.metrics]
        m = _positions(self.metrics, stored)
        combined = [one for one in self.combined if metrics is None or one.name in metrics]
        if metrics is not None:
            _positions((*self.metrics, *(one.name for one in self.combined)), metrics)
        assert self.sizes is not None
        assert self.test_sizes is not None
        return replace(
            self,
            recipes=tuple(self.recipes[i] for i in r),
            levels=tuple(self.levels[i] for i in v),
            queries=tuple(self.queries[i] for i in q),
            candidates=tuple(self.candidates[i] for i in n),
            metrics=tuple(self.metrics[i] for i in m),
            kinds=tuple(self.kinds[i] for i in m),
            truth=self.truth[np.ix_(r, q, n)],
            scores=self.scores[np.ix_(v, m, q, n)],
            state=self.state[np.ix_(v, m, q, n)],
            families=tuple(self.families[i] for i in n),
            random_start=self.random_start[n],
            present=self.eligible[np.ix_(q, n)],
            sizes=self.sizes[n],
            query_families=tuple(self.query_families[i] for i in q),
            query_groups=tuple(self.query_groups[i] for i in q),
            test_sizes=self.test_sizes[np.ix_(q, n)],
            combined=tuple(
                replace(one, parts=one.parts[v][:, :, q][..., n], state=one.state[np.ix_(v, q, n)]) for one in combined
            ),
        )

    def without_family(self, family: str) -> "Cells":
        """The same cells with the candidates of one family taken out, as the jackknife wants them."""
        return self.only(
            candidates=[c for c, name in zip(self.candidates, self.families, strict=True) if name != family]
        )


def _positions(names: Sequence[str], chosen: Sequence[str] | None) -> list[int]:
    """Where the ``chosen`` stand in ``names``."""
    if chosen is None:
        return list(range(len(names)))
    place = {name: position for position, name in enumerate(names)}
    if wrong := [name for name in chosen if name not in place]:
        raise ValueError(f"no '{wrong[0]}' among {', '.join(names)}.")
    return [place[name] for name in chosen]


def common_candidates(cells: Cells) -> NDArray[np.bool_]:
    """(Q, N) the candidates that all compared metrics can score: where none of the field is inapplicable.

    A missing score does not remove a candidate; it is counted instead. A metric that applies to nothing at a
    level does not compete there and removes nothing.
    """
    states = np.concatenate([cells.state, *(one.state[:, None] for one in cells.combined)], axis=1)
    kinds = (*cells.kinds, *(one.kind for one in cells.combined))
    field_of = np.array([kind == "metric" for kind in kinds], dtype=bool)
    inapplicable = states[:, field_of] == INAPPLICABLE
    # Where the study has no cell, nothing says that a metric does not apply.
    competes = ~(inapplicable | ~cells.eligible).all(axis=(2, 3), keepdims=True)
    return cells.eligible & ~(inapplicable & competes).any(axis=(0, 1))

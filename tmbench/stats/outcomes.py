"""Outcomes: the value of each evaluation measure for each metric in each setup, made pool chunk by pool chunk.

Nothing here grows with the number of setups: a study's pools come in chunks, a chunk's outcomes are summed up
(``tmbench.stats.tally``) and forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.stats.cells import INAPPLICABLE, Array, Cells, Combine, common_candidates
from tmbench.stats.measures import Measure

EQUAL_DECIMALS = 12
"""Values equal to this many decimals are tied: the same ranking reached by another sum differs in the last bits."""


class Slice(NamedTuple):
    """What a table row is about, before anything is averaged."""

    scenario: str
    recipe: str
    level: str
    direction: str


@dataclass(frozen=True)
class PoolChunk:
    """P pools of one scenario, each a subset of its N candidates, and which of the Q queries use them.

    The candidates of query q in pool p are those of ``members[p]`` that all compared metrics can score for q.

    Attributes:
        members: (P, N) bool.
        serves: (P, Q) bool.
    """

    members: NDArray[np.bool_]
    serves: NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """The setups of one recipe and level on P pools: E measures x Q queries x P pools, M values each.

    Attributes:
        values: (E, Q, P, M) float64; NaN where there is no value or no setup.
        asked: (Q, P) bool, where there is a setup.
        inapplicable: (Q, P, M) bool; no value because the metric does not apply to a candidate.
        constant: (Q, P, M) bool; the scores in the pool are all equal, a failed ranking.
        signs: (E,) 1 for a measure of which more is better, −1 where less is.
        field: (F,) positions of the metrics that compete.
    """

    values: Array
    asked: NDArray[np.bool_]
    inapplicable: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    signs: Array
    field: NDArray[np.intp]

    @cached_property
    def merit(self) -> Array:
        """(E, Q, P, M) the values with more always better, rounded so that equal rankings are equal."""
        return np.round(self.values, EQUAL_DECIMALS) * self.signs[:, None, None, None]

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """(E, Q, P) where every metric of the field has a value."""
        if not len(self.field):
            return np.zeros(self.values.shape[:3], dtype=bool)
        whole: NDArray[np.bool_] = np.asarray(~np.isnan(self.values[..., self.field]).any(axis=-1))
        return whole

    @cached_property
    def directions(self) -> Array:
        """(E, Q, P, F (F − 1) / 2) unit vectors whose products are τ_b between rankings of the field.

        The signs of the differences between all pairs of its metrics, divided by their norm. Zero where τ_b is
        undefined: a value is missing, or all are tied.
        """
        return ranking_directions(self.merit[..., self.field])


def ranking_directions(merit: Array) -> Array:
    """(..., F (F − 1) / 2) from ``merit`` (..., F), as ``Outcomes.directions``."""
    first, second = np.triu_indices(merit.shape[-1], k=1)
    signs = np.sign(merit[..., first] - merit[..., second])
    norm = np.sqrt(np.sum(signs**2, axis=-1, keepdims=True))
    usable = norm > 0  # NaN is not
    return np.divide(signs, norm, out=np.zeros_like(signs), where=usable)


def competing(cells: Cells, level: int) -> NDArray[np.intp]:
    """(F,) the positions in ``cells.names`` of the field at a level: the metrics that apply to any cell of it."""
    states = cells.row_states(0, level) if cells.recipes else np.zeros((len(cells.names), 0, 0), dtype=np.int8)
    applies = ((states != INAPPLICABLE) & cells.eligible).any(axis=(1, 2))
    return np.flatnonzero([kind == "metric" and applies[i] for i, kind in enumerate(cells.all_kinds)])


class Evaluation:
    """The cells of a scenario, ready to give the outcomes of any chunk of pools."""

    def __init__(self, cells: Cells, measures: Mapping[str, Measure]) -> None:
        """Prepare the arrays that all chunks share.

        Raises:
            ConfigError: when a measure is a ratio of truths and one of these is negative.
        """
        self.cells = cells
        self.measures = tuple(measures.values())
        self.signs = np.array([-1.0 if measure.better == "lower" else 1.0 for measure in self.measures])
        self.candidates = common_candidates(cells)
        self.truth = cells.mean_truth
        self.fields = [competing(cells, level) for level in range(len(cells.levels))]
        _check_ratios(cells, measures)

    def outcomes(self, chunk: PoolChunk, recipe: int, level: int, seed: int | None = None) -> Outcomes:
        """The outcomes of one recipe and level on ``chunk``; of one seed's truth alone where ``seed`` is given."""
        cells, count = self.cells, len(chunk.members)
        truth = self.truth[recipe] if seed is None else cells.truth[recipe, :, :, seed]
        rows = cells.rows(recipe, level)
        cannot = cells.row_states(recipe, level) == INAPPLICABLE
        shape = (len(cells.queries), count, len(cells.names))
        values = np.full((len(self.measures), *shape), np.nan)
        inapplicable, constant = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for query in range(len(cells.queries)):
            for pools, members in self._pools(chunk, query):
                scores = self._scores(rows, level, query, members)
                inapplicable[query, pools] = cannot[:, query][:, members].any(axis=-1).T
                # NaN is equal to nothing, so that a missing score is not constant.
                constant[query, pools, :-1] = scores.max(axis=-1) == scores.min(axis=-1)
                pool_truth = truth[query][members]
                for number, measure in enumerate(self.measures):
                    values[number, query, pools] = _values(measure, pool_truth, scores)
        return Outcomes(values, chunk.serves.T, inapplicable, constant, self.signs, self.fields[level])

    def on(self, recipe: int, level: int, query: int, candidates: NDArray[np.intp]) -> Array:
        """(E, M) on one pool of ``candidates`` (n,), whether or not all compared metrics apply to them."""
        scores = self._scores(self.cells.rows(recipe, level), level, query, candidates[None])
        truth = self.truth[recipe, query][candidates[None]]
        return np.concatenate([_values(measure, truth, scores) for measure in self.measures])

    def _pools(self, chunk: PoolChunk, query: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """The pools that ``query`` uses, those of one size together: positions (P',) and candidates (P', n)."""
        used = np.flatnonzero(chunk.serves[:, query])
        member = chunk.members[used] & self.candidates[query]
        sizes = member.sum(axis=1)
        found = []
        for size in np.unique(sizes[sizes > 0]):
            same = np.flatnonzero(sizes == size)
            found.append((used[same], np.nonzero(member[same])[1].reshape(-1, int(size))))
        return found

    def _scores(self, rows: Array, level: int, query: int, members: NDArray[np.intp]) -> Array:
        """(P', M − 1, n) scores in each pool, in the order of ``names`` without the random one."""
        stored, cells = rows[:, query][:, members], self.cells
        if not cells.combined:
            return np.ascontiguousarray(stored.transpose(1, 0, 2))
        made = np.stack([_combined(one.combine, one.parts[level, :, query][:, members]) for one in cells.combined])
        parts = [stored[: len(cells.metrics)], made, stored[len(cells.metrics) :]]
        return np.ascontiguousarray(np.concatenate(parts).transpose(1, 0, 2))


def _combined(combine: Combine, parts: Array) -> Array:
    """(P', n) the scores that ``combine`` makes of ``parts`` (parts, P', n); NaN in pools that lack any part."""
    parts = parts.transpose(1, 0, 2)
    usable = ~np.isnan(parts).any(axis=(1, 2))
    scores = np.full((len(parts), parts.shape[2]), np.nan)
    if usable.any():
        scores[usable] = combine(parts[usable])
    return scores


def _values(measure: Measure, truth: Array, scores: Array) -> Array:
    """(P, M) from ``truth`` (P, n) and ``scores`` (P, M − 1, n); the last column is the random ranking's.

    NaN for a metric without a score somewhere in the pool, for all where a truth is missing, and where the measure
    itself is undefined.
    """
    values = np.full((len(truth), scores.shape[1] + 1), np.nan)
    whole: NDArray[np.bool_] = np.asarray(~np.isnan(truth).any(axis=-1))
    if truth.shape[1] < 2 or not whole.any():
        return values
    usable = whole[:, None] & ~np.isnan(scores).any(axis=-1)
    if usable.all():
        values[:, :-1] = measure.function(truth[:, None, :], scores)
    else:
        pool, metric = np.nonzero(usable)
        values[pool, metric] = measure.function(truth[pool], scores[pool, metric])
    values[whole, -1] = measure.at_random(truth[whole])
    return values


def _check_ratios(cells: Cells, measures: Mapping[str, Measure]) -> None:
    lowest = np.nanmin(cells.truth, initial=np.inf)
    ratios = [name for name, measure in measures.items() if measure.ratio]
    if ratios and lowest < 0:
        raise ConfigError(
            f"measure '{ratios[0]}' is a ratio of truths, but {cells.scenario} has negative ones (the lowest is "
            f"{lowest:.4g}). Leave it out, or use normalised_regret: measure=[weighted_tau,normalised_regret]."
        )

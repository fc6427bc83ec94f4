"""Outcomes: the value of each evaluation measure for each metric in each setup, made pool chunk by pool chunk.

Nothing here grows with the number of setups: a study's pools come in chunks, a chunk's outcomes are summed up
(``tmbench.stats.tally``) and forgotten.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError, TmbenchError
from tmbench.stats.cells import INAPPLICABLE, Array, Cells, Combined, common_candidates
from tmbench.stats.measures import Measure

EQUAL_DECIMALS = 12
"""Values equal to this many decimals are tied: the same ranking reached by another sum differs in the last bits. Of a
measure without bounds, such as regret, the decimals count from the largest value in the setup."""


ALL = "all"
"""Stands in the place of the recipe or level that varies, or where a row is about all of them."""


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
        bounded: (E,) bool, whether a measure's values lie in [−1, 1].
        field: (F,) positions of the metrics that compete.
    """

    values: Array
    asked: NDArray[np.bool_]
    inapplicable: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    signs: Array
    bounded: NDArray[np.bool_]
    field: NDArray[np.intp]

    @cached_property
    def merit(self) -> Array:
        """(E, Q, P, M) the values with more always better, rounded so that equal rankings are equal.

        Comparable within a setup only: where a measure has no bounds, its largest value there is 1.
        """
        values = self.values
        if not self.bounded.all():
            largest = np.where(np.isnan(values), 0.0, np.abs(values)).max(axis=-1, keepdims=True, initial=0.0)
            free = ~self.bounded[:, None, None, None] & (largest > 0) & np.isfinite(largest)
            values = values / np.where(free, largest, 1.0)
        return np.round(values, EQUAL_DECIMALS) * self.signs[:, None, None, None]

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
        self.bounded = np.array([measure.low >= -1 and measure.high <= 1 for measure in self.measures], dtype=bool)
        self.candidates = common_candidates(cells)
        self.truth = cells.mean_truth
        self.fields = [competing(cells, level) for level in range(len(cells.levels))]
        places = [(recipe, level) for recipe in range(len(cells.recipes)) for level in range(len(cells.levels))]
        self._rows = {place: cells.rows(*place) for place in places}
        self._cannot = {place: cells.row_states(*place) == INAPPLICABLE for place in places}
        _check_ratios(cells, measures)

    def outcomes(self, chunk: PoolChunk, recipe: int, level: int, seed: int | None = None) -> Outcomes:
        """The outcomes of one recipe and level on ``chunk``; of one seed's truth alone where ``seed`` is given."""
        cells, count = self.cells, len(chunk.members)
        truth = self.truth[recipe] if seed is None else cells.truth[recipe, :, :, seed]
        rows, cannot = self._rows[recipe, level], self._cannot[recipe, level]
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
        return Outcomes(values, chunk.serves.T, inapplicable, constant, self.signs, self.bounded, self.fields[level])

    def full_pool(self, recipe: int, level: int, query: int) -> tuple[Array, Array]:
        """(n,) truths and (M − 1, n) scores of all candidates of a query, in the order of ``names`` without random."""
        members = np.flatnonzero(self.candidates[query])[None]
        scores = self._scores(self._rows[recipe, level], level, query, members)
        return self.truth[recipe, query][members[0]], scores[0]

    def on(self, recipe: int, level: int, query: int, candidates: NDArray[np.intp]) -> Array:
        """(E, M) on one pool of ``candidates`` (n,), whether or not all compared metrics apply to them."""
        scores = self._scores(self._rows[recipe, level], level, query, candidates[None])
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
        made = np.stack([_combined(one, one.parts[level, :, query][:, members]) for one in cells.combined])
        parts = [stored[: len(cells.metrics)], made, stored[len(cells.metrics) :]]
        return np.ascontiguousarray(np.concatenate(parts).transpose(1, 0, 2))


def _combined(metric: Combined, parts: Array) -> Array:
    """(P', n) the scores that ``metric`` makes of ``parts`` (parts, P', n); NaN in pools that lack any part."""
    parts = parts.transpose(1, 0, 2)
    usable = ~np.isnan(parts).any(axis=(1, 2))
    scores = np.full((len(parts), parts.shape[2]), np.nan)
    if usable.any():
        made = _called(f"the combine function of metric '{metric.name}'", metric.combine, parts[usable])
        scores[usable] = _fitting(f"the combine function of metric '{metric.name}'", made, scores[usable].shape)
        if np.isnan(scores[usable]).any():
            raise ConfigError(f"the combine function of metric '{metric.name}' gave NaN for parts that are all there.")
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
        values[:, :-1] = _measured(measure, truth[:, None, :], scores)
    elif usable.any():
        pool, metric = np.nonzero(usable)
        values[pool, metric] = _measured(measure, truth[pool], scores[pool, metric])
    values[whole, -1] = _by_chance(measure, truth[whole])
    return values


def _measured(measure: Measure, truth: Array, scores: Array) -> Array:
    """``measure`` of rows, one finite value or NaN each.

    Raises:
        ConfigError: when a user's function fails, or gives something else.
    """
    name = f"measure '{measure.name}'"
    return _fitting(name, _called(name, measure.function, truth, scores), scores.shape[:-1])


def _by_chance(measure: Measure, truth: Array) -> Array:
    """What a random ranking gets on each row of ``truth``."""
    name = f"measure '{measure.name}'"
    return _fitting(name, _called(name, measure.at_random, truth), truth.shape[:-1])


def _called(name: str, function: Callable[..., Array], *arrays: Array) -> Array:
    """What ``function`` gives for arrays that it can only read; its failure in one sentence."""
    for array in arrays:
        array.setflags(write=False)
    try:
        return function(*arrays)
    except TmbenchError:
        raise
    except Exception as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ConfigError(f"{name} failed on arrays of shape {shapes}: {type(error).__name__}: {error}") from error


def _fitting(name: str, values: Array, shape: tuple[int, ...]) -> Array:
    """``values``, held to ``shape`` and to being numbers that are not infinite."""
    found = np.asarray(values)
    if found.shape != shape or found.dtype.kind not in "fiub":
        raise ConfigError(
            f"{name} gave {found.dtype} of shape {found.shape} and has to give one number a row, shape {shape}."
        )
    if np.isinf(found).any():
        raise ConfigError(f"{name} gave an infinite value. Give NaN where there is none.")
    return found


def _check_ratios(cells: Cells, measures: Mapping[str, Measure]) -> None:
    lowest = np.nanmin(cells.truth, initial=np.inf)
    ratios = [name for name, measure in measures.items() if measure.ratio]
    if ratios and lowest < 0:
        raise ConfigError(
            f"measure '{ratios[0]}' is a ratio of truths, but {cells.scenario} has negative ones (the lowest is "
            f"{lowest:.4g}). Leave it out, or use normalised_regret: measure=[weighted_tau,normalised_regret]."
        )

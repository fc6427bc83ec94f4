"""Evaluation measures: how well a metric's scores agree with the truth over a pool of candidates.

Every measure is a function of ``truth`` and ``scores``, two float arrays of shape (..., n) whose leading axes
broadcast, and returns float64 of the broadcast leading shape: one value a row. Higher is better, always.

Policies, the same for all:

- NaN is never ranked: a NaN in either array raises ValueError. Take such rows out first (``outcomes.evaluate`` does).
- Scores that are all equal are a failed ranking, not a missing one: the correlations are 0.
- Truth that is all equal leaves nothing to rank: the correlations are NaN, which is counted as missing.
- ±inf is a legal rank. Pearson's correlation has no value for it and gives NaN.

A measure of your own is one such function and an option file ``conf/measure/NAME.yaml`` that names it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MeasureFunction = Callable[[Array, Array], Array]

COMPARISONS_PER_CHUNK = 1 << 18
"""Rows are taken so many at a time that their n x n comparisons, one byte each, stay in the cache."""


@dataclass(frozen=True)
class Measure:
    """A registered measure: its name, how to print it, the range of its values."""

    name: str
    title: str
    low: float
    high: float
    function: MeasureFunction


MEASURES: dict[str, Measure] = {}
"""The shipped measures by name."""


def measure(title: str, low: float, high: float) -> Callable[[MeasureFunction], MeasureFunction]:
    """Register the decorated function under its own name."""

    def register(function: MeasureFunction) -> MeasureFunction:
        name = function.__name__
        MEASURES[name] = Measure(name, title, low, high, function)
        return function

    return register


@measure("weighted τ", -1.0, 1.0)
def weighted_tau(truth: Array, scores: Array) -> Array:
    """Vigna's weighted Kendall correlation, as ``scipy.stats.weightedtau`` with its defaults.

    With a weight w_i = 1 / (r_i + 1) for the candidate of rank r_i (0 for the best),

        τ_w = Σ_{i<j} (w_i + w_j) sgn(a_i − a_j) sgn(s_i − s_j)
              / sqrt(Σ_{i<j} (w_i + w_j) sgn(a_i − a_j)² · Σ_{i<j} (w_i + w_j) sgn(s_i − s_j)²),

    averaged over two rankings: by (truth, scores) and by (scores, truth), decreasing and lexicographic. Because
    the weights add, each sum over pairs is Σ_i w_i c_i, where c_i sums over the partners of i.

    Range [-1, 1]. O(n²) a row.

    Vigna, A weighted correlation index for rankings with ties, WWW 2015, equation 3.
    """
    return _over_rows(_weighted_tau_columns, truth, scores)


@measure("Kendall τ", -1.0, 1.0)
def kendall_tau(truth: Array, scores: Array) -> Array:
    """Kendall's τ_b, as ``scipy.stats.kendalltau``.

        τ_b = (concordant − discordant) / sqrt(pairs untied in truth · pairs untied in scores)

    Range [-1, 1]. O(n²) a row.

    Kendall, The treatment of ties in ranking problems, Biometrika 33(3), 1945.
    """
    return _over_rows(_kendall_tau_columns, truth, scores)


@measure("Pearson r", -1.0, 1.0)
def pearson(truth: Array, scores: Array) -> Array:
    """Pearson's linear correlation, as ``scipy.stats.pearsonr``.

        r = Σ (a_i − ā)(s_i − s̄) / (‖a − ā‖ ‖s − s̄‖)

    Range [-1, 1]. NaN for rows with an infinite value. O(n) a row.
    """
    truth, scores = _checked(truth, scores)
    finite = np.isfinite(truth).all(axis=-1) & np.isfinite(scores).all(axis=-1)
    constant_truth, constant_scores = _constant(truth), _constant(scores)
    product = np.sum(_direction(truth) * _direction(scores), axis=-1)
    result = np.where(constant_scores, 0.0, np.clip(product, -1.0, 1.0))
    return np.where(finite & ~constant_truth, result, np.nan)


@measure("Rel@1", 0.0, 1.0)
def rel_at_1(truth: Array, scores: Array) -> Array:
    """The truth of the candidate that the scores put first, relative to the best in the pool.

        Rel@1 = E[a_chosen] / max a

    Where several candidates share the top score, one of them is chosen at random and the value is the expected
    one; so a constant score gives the pool's mean over its maximum. Constant positive truth gives 1: every
    choice is the best. NaN when the best truth is 0.

    Range [0, 1]; a ratio, so truth must not be negative. O(n) a row.

    Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, section 3.3.

    Raises:
        ValueError: when a truth is negative.
    """
    truth, scores = _checked(truth, scores)
    if (truth < 0).any():
        raise ValueError("rel_at_1 is a ratio of truths and needs them to be 0 or more; this truth has negative ones.")
    top = scores == scores.max(axis=-1, keepdims=True)
    best = truth.max(axis=-1)
    chosen = np.sum(np.where(top, truth, 0.0), axis=-1) / top.sum(axis=-1)
    return np.divide(chosen, best, out=np.full(np.broadcast(chosen, best).shape, np.nan), where=best > 0)


def _checked(truth: Array, scores: Array) -> tuple[Array, Array]:
    truth, scores = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim == 0 or scores.ndim == 0 or truth.shape[-1] != scores.shape[-1] or truth.shape[-1] == 0:
        raise ValueError(
            f"truth {truth.shape} and scores {scores.shape} need the same number of candidates, at least one, "
            "on their last axis."
        )
    for name, values in (("truth", truth), ("scores", scores)):
        if np.isnan(values).any():
            raise ValueError(f"{name} holds NaN, which has no rank. Take these rows out and count them as missing.")
    return truth, scores


def _constant(values: Array) -> NDArray[np.bool_]:
    return values.max(axis=-1) == values.min(axis=-1)


def _direction(values: Array) -> Array:
    """``values`` (..., n) centred and scaled to norm 1 by row; scaled twice, so that squares cannot underflow."""
    finite = np.where(np.isfinite(values), values, 0.0)
    largest = np.abs(finite).max(axis=-1, keepdims=True)
    finite = finite / np.where(largest > 0, largest, 1.0)
    centred = finite - finite.mean(axis=-1, keepdims=True)
    largest = np.abs(centred).max(axis=-1, keepdims=True)
    centred = centred / np.where(largest > 0, largest, 1.0)
    norm = np.sqrt(np.sum(centred**2, axis=-1, keepdims=True))
    return centred / np.where(norm > 0, norm, 1.0)


def _over_rows(columns: Callable[[Array, Array], Array], truth: Array, scores: Array) -> Array:
    """Apply ``columns``, which wants rows along the last axis, to the broadcast rows, a cacheful at a time."""
    truth, scores = _checked(truth, scores)
    truth, scores = np.broadcast_arrays(truth, scores)
    shape, n = truth.shape[:-1], truth.shape[-1]
    truth, scores = truth.reshape(-1, n), scores.reshape(-1, n)
    result = np.empty(len(truth))
    step = max(1, COMPARISONS_PER_CHUNK // (n * n))
    for start in range(0, len(truth), step):
        rows = slice(start, start + step)
        result[rows] = columns(np.ascontiguousarray(truth[rows].T), np.ascontiguousarray(scores[rows].T))
    return result.reshape(shape)


def _signs(values: Array) -> NDArray[np.signedinteger]:
    """sgn(v_i − v_j) of ``values`` (n, rows) as small integers (n, n, rows); comparisons, so that inf is a rank."""
    first, second = values[:, None], values[None, :]
    signs = (first > second).view(np.int8) - (first < second).view(np.int8)
    # Twice a sum over the partners must fit: one byte does up to 64 candidates.
    return signs if len(values) <= 64 else signs.astype(np.int32)


def _total(signs: NDArray[np.signedinteger]) -> NDArray[np.signedinteger]:
    """The sum over the partners j, (n, rows), in the signs' own type."""
    return np.add.reduce(signs, axis=1, dtype=signs.dtype)


def _ratio(numerator: Array, truth_part: Array, scores_part: Array) -> Array:
    """Numerator / sqrt(truth_part · scores_part); 0 for constant scores, NaN for constant truth."""
    norm = np.sqrt(truth_part * scores_part)
    value = np.divide(numerator, norm, out=np.zeros_like(norm), where=norm > 0)
    return np.where(truth_part > 0, np.clip(value, -1.0, 1.0), np.nan)


def _kendall_tau_columns(truth: Array, scores: Array) -> Array:
    a, s = _signs(truth), _signs(scores)
    agreement = _total(a * s).sum(axis=0, dtype=np.float64)
    return _ratio(
        agreement,
        _total(a * a).sum(axis=0, dtype=np.float64),
        _total(s * s).sum(axis=0, dtype=np.float64),
    )


def _weighted_tau_columns(truth: Array, scores: Array) -> Array:
    a, s = _signs(truth), _signs(scores)
    untied_a, untied_s = a * a, s * s
    agreement, in_truth, in_scores = _total(a * s), _total(untied_a), _total(untied_s)
    # r_i = how many j stand before i. Σ_j sgn(v_i − v_j) = (worse) − (better) and in_v = worse + better.
    better_a, better_s = (in_truth - _total(a)) // 2, (in_scores - _total(s)) // 2
    s_among_tied_a, a_among_tied_s = s * (1 - untied_a), a * (1 - untied_s)
    better_s_among_tied_a = (_total(s_among_tied_a * s_among_tied_a) - _total(s_among_tied_a)) // 2
    better_a_among_tied_s = (_total(a_among_tied_s * a_among_tied_s) - _total(a_among_tied_s)) // 2
    # Candidates tied in both keep the given order: their sums are equal, so that any order gives the same value.
    n = len(truth)
    earlier = np.tri(n, k=-1, dtype=a.dtype)[:, :, None]
    before = _total((1 - untied_a) * (1 - untied_s) * earlier)
    result = np.zeros(truth.shape[1])
    for ranks in (better_a + better_s_among_tied_a + before, better_s + better_a_among_tied_s + before):
        weights = 1.0 / (1.0 + ranks)
        result += 0.5 * _ratio(
            np.sum(weights * agreement, axis=0),
            np.sum(weights * in_truth, axis=0),
            np.sum(weights * in_scores, axis=0),
        )
    return result

"""Selection: what is gained or lost by following the scores to the first, or the k first, candidates of a pool.

Every function takes truth (..., n) and scores (..., n) and gives float64 (...,); the policies for NaN, ties, constants
and infinite values are those of ``tmbench.stats.measures``. Where candidates share a score, a value is the expected one
over a random order of them, in closed form.
"""

import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.columns import Array, Order, by_columns, total


def rel_at_1(truth: Array, scores: Array) -> Array:
    """The truth of the candidate that the scores put first, relative to the best in the pool.

        Rel@1 = E[a_chosen] / max a

    Where several candidates share the top score, one of them is chosen at random and the value is the expected
    one; so a constant score gives the pool's mean over its maximum. Constant positive truth gives 1: every
    choice is the best. NaN when the best truth is 0 or infinite.

    Range [0, 1]; a ratio, so truth must not be negative. O(n) a row.

    Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, section 3.3.

    Raises:
        ValueError: when a truth is negative.
    """
    return _relative("rel_at_1", lambda truth, scores: _expected(truth, _any_first(scores)), truth, scores)


def rel_at_1_first(truth: Array, scores: Array) -> Array:
    """``rel_at_1`` as published code has it: of several candidates with the top score, the one that stands first.

        Rel@1 = a[argmax s] / max a

    The value then depends on the order of the candidates. A constant score takes the first candidate, which is not what
    a random choice gets: that is ``rel_at_1`` of a constant score.

    Range [0, 1]; a ratio, so truth must not be negative. O(n) a row.

    Agostinelli et al., How stable are transferability metrics evaluations?, ECCV 2022, released code.

    Raises:
        ValueError: when a truth is negative.
    """
    return _relative("rel_at_1_first", lambda truth, scores: _expected(truth, _the_first(scores)), truth, scores)


def rel_at_k(truth: Array, scores: Array, k: int = 3) -> Array:
    """The best truth among the k candidates that the scores put first, relative to the best in the pool.

        Rel@k = E[max of a over the k first] / max a

    The expectation is over a random order of candidates of equal score, so that it matters where they straddle the
    k-th place. A k beyond the pool takes all of it. NaN when the best truth is 0 or infinite.

    Range [0, 1]; a ratio, so truth must not be negative. O(n²) a row.

    Raises:
        ValueError: when a truth is negative, or k is not a whole number of 1 or more.
    """
    k = _whole_number(k)
    return _relative("rel_at_k", lambda truth, scores: _expected(*_best_of_first(truth, scores, k)), truth, scores)


def top_k_hit(truth: Array, scores: Array, k: int = 1) -> Array:
    """The probability that a truly best candidate is among the k that the scores put first.

    Several candidates may share the best truth, and any of them is a hit; those of equal score come in random
    order. A k beyond the pool takes all of it. Constant truth gives 1: every choice is the best.

    Range [0, 1]. O(n²) a row.

    Raises:
        ValueError: when k is not a whole number of 1 or more.
    """
    k = _whole_number(k)

    def kernel(truth: Array, scores: Array) -> Array:
        ordered, probability = _best_of_first(truth, scores, k)
        return np.minimum(total(np.where(ordered == ordered[0], probability, 0.0)), 1.0)

    return by_columns(kernel, truth, scores)


def regret(truth: Array, scores: Array) -> Array:
    """How much truth is lost by following the scores to the first candidate; lower is better.

        regret = max a − E[a_chosen]

    In the unit of the truth, of any sign. Ties as in ``rel_at_1``. NaN where a truth is infinite.

    Range [0, ∞). O(n) a row.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        loss, finite = _loss(truth)
        return np.where(finite, _expected(loss, _any_first(scores)), np.nan)

    return by_columns(kernel, truth, scores)


def normalised_regret(truth: Array, scores: Array) -> Array:
    """Regret relative to that of a random choice; lower is better.

        normalised regret = (max a − E[a_chosen]) / (max a − mean a)

    0 is a perfect choice, 1 as good as a random one, and more is worse than that. It needs no zero point of the truth,
    so that it serves where Rel@1 cannot, as for the negative mean squared error. NaN for constant truth, where there is
    nothing to lose, and where a truth is infinite.

    Range [0, ∞): at most n. O(n) a row.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        loss, finite = _loss(truth)
        at_random = _expected(loss, _any_first(np.zeros_like(loss)))
        chosen = _expected(loss, _any_first(scores))
        defined = np.broadcast_to(finite & (at_random > 0), chosen.shape)
        return np.divide(chosen, at_random, out=np.full(chosen.shape, np.nan), where=defined)

    return by_columns(kernel, truth, scores)


def _relative(name: str, chosen: Callable[[Array, Array], Array], truth: Array, scores: Array) -> Array:
    """What ``chosen`` (a kernel of ``by_columns``) expects, over the best truth."""
    if (np.asarray(truth) < 0).any():
        raise ValueError(
            f"{name} is a ratio of truths and needs them to be 0 or more; this truth has negative ones. "
            "normalised_regret takes any."
        )

    def kernel(truth: Array, scores: Array) -> Array:
        best = truth.max(axis=0)
        defined = (best > 0) & np.isfinite(best)
        value = chosen(np.where(defined, truth, 1.0), scores)
        return np.where(defined, value / np.where(defined, best, 1.0), np.nan)

    return by_columns(kernel, truth, scores)


def _loss(truth: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(n, M, R) how much worse each candidate is than the best; (M, R) whether all are finite, else these are 0."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(truth), axis=0)
    truth = np.where(finite, truth, 0.0)
    return truth.max(axis=0) - truth, finite


def _expected(values: Array, probability: Array) -> Array:
    """(M, R) the expected one of ``values`` (n, M or 1, R) under ``probability`` (n, M, R).

    Counted from the largest value that can come out, so that it is exact where all that can come out are equal:
    metrics that choose equally well must tie, to the last bit.
    """
    largest = np.where(probability > 0, values, -np.inf).max(axis=0)
    return largest - total((largest - values) * probability)


def _any_first(scores: Array) -> Array:
    """(n, M, R) the probability that a candidate is chosen, one of those with the top score being drawn at random."""
    top = scores == scores.max(axis=0)
    return top / np.add.reduce(top, axis=0, dtype=np.int32)


def _the_first(scores: Array) -> Array:
    """(n, M, R) 1 for the first candidate with the top score, 0 for the others."""
    top = scores == scores.max(axis=0)
    return (top & (np.cumsum(top, axis=0, dtype=np.int32) == 1)).astype(np.float64)


def _best_of_first(truth: Array, scores: Array, k: int) -> tuple[Array, Array]:
    """``truth`` from the best down, and the probability that each is the best of the ``k`` that the scores put first.

    Of the candidates with equal scores that straddle the k-th place, g in number, m find a place, drawn at random.
    From the best down, one of them finds none, the u before it having found none, with probability
    (g − u − m) / (g − u).
    """
    best_first = np.argsort(-truth, axis=0, kind="stable")
    truth, scores = (np.take_along_axis(values, best_first, axis=0) for values in (truth, scores))
    order, k = Order(scores), min(k, len(scores))
    above, last = order.above, len(scores) - order.below
    surely, straddles = last <= k, (above < k) & (last > k)
    places = np.where(straddles, k - above, 0).max(axis=0)
    left = np.where(straddles, last - above, 0).max(axis=0) - np.cumsum(straddles, axis=0) + straddles
    missed = np.where(straddles, np.maximum(left - places, 0) / np.maximum(left, 1), ~surely)
    all_missed = np.cumprod(missed, axis=0)
    before = np.concatenate([np.ones_like(all_missed[:1]), all_missed[:-1]])
    return truth, before * (1.0 - missed)


def _whole_number(k: int) -> int:
    try:
        whole = operator.index(k)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ValueError(f"k is {k!r}; it must be a whole number of 1 or more.")
    return whole

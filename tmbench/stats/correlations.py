"""Correlations: how well the scores order, or scale with, the truth of all candidates of a pool.

Every function takes truth (..., n) and scores (..., n) and gives float64 (...,); the policies for NaN, ties, constants
and infinite values are those of ``tmbench.stats.measures``.
"""

import numpy as np

from tmbench.stats.columns import Array, Integers, Order, by_columns, over_partners, total


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

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = Order(truth), Order(scores)
        agreement = _agreement(a, s)
        return 0.5 * _weighted(a, s, agreement, a.ranks(s)) + 0.5 * _weighted(a, s, agreement, s.ranks(a))

    return by_columns(kernel, truth, scores)


def weighted_tau_by_truth(truth: Array, scores: Array) -> Array:
    """The weighted Kendall correlation with the weights of the true ranks only.

    As ``scipy.stats.weightedtau(truth, scores, rank=None)``: w_i in ``weighted_tau`` comes from the ranking by
    truth, ties broken by score. An error among the truly best candidates costs most, wherever the scores put them.

    Range [-1, 1]. O(n²) a row.

    Vigna, A weighted correlation index for rankings with ties, WWW 2015, section 3.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = Order(truth), Order(scores)
        return _weighted(a, s, _agreement(a, s), a.ranks(s))

    return by_columns(kernel, truth, scores)


def weighted_tau_by_score(truth: Array, scores: Array) -> Array:
    """The weighted Kendall correlation with the weights of the scores' ranks only.

    As ``scipy.stats.weightedtau(scores, truth, rank=None)``: w_i in ``weighted_tau`` comes from the ranking by
    score, ties broken by truth. An error among the candidates that the scores put first costs most.

    Range [-1, 1]. O(n²) a row.

    Vigna, A weighted correlation index for rankings with ties, WWW 2015, section 3.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = Order(truth), Order(scores)
        return _weighted(a, s, _agreement(a, s), s.ranks(a))

    return by_columns(kernel, truth, scores)


def kendall_tau(truth: Array, scores: Array) -> Array:
    """Kendall's τ_b, as ``scipy.stats.kendalltau``.

        τ_b = (concordant − discordant) / sqrt(pairs untied in truth · pairs untied in scores)

    Range [-1, 1]. O(n²) a row.

    Kendall, The treatment of ties in ranking problems, Biometrika 33(3), 1945.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = Order(truth), Order(scores)
        return _ratio(_whole(_agreement(a, s)), _whole(a.untied), _whole(s.untied))

    return by_columns(kernel, truth, scores)


def spearman(truth: Array, scores: Array) -> Array:
    """Spearman's ρ, as ``scipy.stats.spearmanr``: Pearson's correlation of the ranks, ties taking their mean rank.

        ρ = Σ A_i S_i / sqrt(Σ A_i² · Σ S_i²),   A_i = Σ_j sgn(a_i − a_j),   S_i = Σ_j sgn(s_i − s_j)

    since A_i is twice the mean rank of i, centred.

    Range [-1, 1]. O(n²) a row.

    Spearman, The proof and measurement of association between two things, Am. J. Psychol. 15(1), 1904.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = (order.below.astype(np.int32) - order.above for order in (Order(truth), Order(scores)))
        return _ratio(_whole(a * s), _whole(a * a), _whole(s * s))

    return by_columns(kernel, truth, scores)


def pearson(truth: Array, scores: Array) -> Array:
    """Pearson's linear correlation, as ``scipy.stats.pearsonr``.

        r = Σ (a_i − ā)(s_i − s̄) / (‖a − ā‖ ‖s − s̄‖)

    Range [-1, 1]. NaN for rows with an infinite value. O(n) a row.
    """

    def kernel(truth: Array, scores: Array) -> Array:
        a, s = _centred(truth), _centred(scores)
        return _ratio(total(a * s), total(a * a), total(s * s))

    return by_columns(kernel, truth, scores)


def _agreement(a: Order, s: Order) -> Integers:
    """(n, M, R) Σ_j sgn(a_i − a_j) sgn(s_i − s_j)."""
    return over_partners(a.signs * s.signs)


def _weighted(a: Order, s: Order, agreement: Integers, ranks: Integers) -> Array:
    weights = 1.0 / (1.0 + ranks)
    return _ratio(total(weights * agreement), total(weights * a.untied), total(weights * s.untied))


def _whole(counts: Integers) -> Array:
    """The sum of whole numbers over the candidates, exact in any order."""
    return np.add.reduce(counts, axis=0, dtype=np.int64).astype(np.float64)


def _ratio(numerator: Array, truth_part: Array, scores_part: Array) -> Array:
    """Numerator / sqrt(truth_part · scores_part); 0 for constant scores, NaN for constant truth and what is NaN."""
    norm = np.sqrt(truth_part * scores_part)
    value = np.divide(numerator, norm, out=np.zeros_like(norm), where=norm != 0)
    return np.where(truth_part != 0, np.clip(value, -1.0, 1.0), np.nan)


def _centred(values: Array) -> Array:
    """``values`` (n, M, R) centred and scaled to 1 by column: scaled twice, so that squares cannot underflow.

    All 0 for constant values, all NaN where one is infinite.
    """
    largest = np.abs(values).max(axis=0)
    with np.errstate(invalid="ignore"):
        scaled = values / np.where(largest > 0, largest, 1.0)
        scaled = scaled - total(scaled) / len(values)
    # An infinite value divided by infinity is NaN, and so is then the mean, and every difference from it.
    largest = np.abs(scaled).max(axis=0)
    return scaled / np.where(largest > 0, largest, 1.0)

"""The error of a linear least-squares fit: what LinMSE and LabMSE are made of."""

from typing import Annotated, Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.feature_set.inputs import BadSample, on_host
from tmbench.metrics.fits.residuals import residuals
from tmbench.metrics.parameters import Interval
from tmbench.metrics.scores import Score

Variant = Literal["exact", "code", "demo", "scale_free"]

Penalty = Annotated[float, Interval(1e-300)]
"""λ, above 0."""

LIGHT = 1e-9
"""A penalty below this share of the scatter's trace leaves a matrix that may be singular but for rounding."""
DIGITS = 1e-4
"""An error below this share of the target's norm is not taken as a difference of the two."""


def error_range(n: int, d: int, classes: int, *, variant: Variant = "exact", **_: Any) -> tuple[float, float]:
    """The range of :func:`least_squares_score`."""
    return (-1.0 if variant == "scale_free" else -np.inf), 0.0


def least_squares_score(sample: FeatureSet, penalty: float, variant: Variant) -> Score:
    """Minus the least error of predicting ``sample.targets`` from ``sample.features`` by a linear map with intercept.

    In the coordinates x = Uᵀy of the centred decomposition with squared singular values σ, and a = n · penalty, the
    least |y - Xw - b|² + a |w|² is r + Σ x_i² a/(a + σ_i), r = |y|² - Σ x_i², and its first term alone is
    r + Σ x_i² (a/(a + σ_i))².

    Args:
        sample: features and targets.
        penalty: λ, the weight of the squared norm of the map.
        variant: 'exact' sums the least penalised error over targets, 'scale_free' averages its ratio to the error of
            the mean, 'code' averages the error without the penalty, 'demo' does so with n λ in place of λ.

    Raises:
        BadSample: for a constant target with 'scale_free'.
    """
    norms, n = sample.targets_norms, sample.n
    weight = n * penalty * (n if variant == "demo" else 1)
    penalised = variant not in ("code", "demo")
    # A penalty that is not the usual one is one of several, which share the decomposition.
    alone = penalised and penalty == 1.0 and sample.d < n and not sample.is_decomposed
    errors = _solved(sample, weight) if alone else None
    if errors is None:
        errors = _decomposed(sample, weight, penalised)
    if variant == "scale_free":
        if not norms.all():
            raise BadSample(
                "a target is the same for all samples, so no error can be divided by its variance. Leave it out, or "
                "use variant=exact."
            )
        value = float(np.mean(errors / norms))
    else:
        value = float(errors.sum() if variant == "exact" else errors.mean()) / n
    constant = sample.statistics.centred_norm2 <= sample.rank_tolerance**2 or not norms.any()
    return Score(0.0 - value, flags=("degenerate",) if constant else ())  # not -0.0


def _decomposed(sample: FeatureSet, weight: float, penalised: bool) -> np.ndarray:
    """(k,) the least penalised errors, or their first terms, from the decomposition."""
    loadings = sample.target_loadings  # (k, r)
    share = weight / (weight + sample.centred.values**2)
    return residuals(sample, loadings, sample.targets_norms) + loadings**2 @ (share if penalised else share**2)


def _solved(sample: FeatureSet, weight: float) -> np.ndarray | None:
    """(k,) the least penalised errors by Cholesky, a third of the cost of a decomposition that nobody else needs.

    |y|² - cᵀ(XᵀX + a I)⁻¹c with c = Xᵀy; None where that difference, or the inverse, has lost its digits.
    """
    from scipy.linalg import cholesky, solve_triangular

    matrix = on_host(sample.statistics.lower_scatter).copy()
    if weight < LIGHT * np.trace(matrix):
        return None
    matrix.flat[:: sample.d + 1] += weight
    factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    explained = solve_triangular(factor, sample.target_cross, lower=True, check_finite=False)
    errors = sample.targets_norms - np.sum(explained**2, axis=0)
    return errors if np.all(errors >= DIGITS * sample.targets_norms) else None


def labels_needed(*, source_labels: str, **_: Any) -> tuple[str, ...]:
    """What a sample must hold, where the source's true labels may stand for its predictions."""
    return ("predictions" if source_labels == "predicted" else "source", "targets")


def labels_known(*, source_labels: str, **_: Any) -> tuple[str, ...]:
    """What must be known of the source."""
    return () if source_labels == "predicted" else ("targets",)


def of_source(sample: FeatureSet, labels: Literal["predicted", "given"]) -> FeatureSet:
    """What the source predicts, or what it was trained to predict, in the place of the features.

    Numbers that float32 holds exactly are taken to come from it, so that its rounding does not count as rank.

    Raises:
        BadSample: where less than two samples have labels of the source.
    """
    found, targets = sample.predictions, sample.targets
    assert targets is not None
    if labels == "given":
        found = np.asarray(sample.source["targets"], dtype=np.float64)
        if found.ndim != 2 or len(found) != sample.n:
            raise BadSample(f"the source's targets are {found.shape}; pass one row a sample, for {sample.n} samples.")
        known = np.isfinite(found).all(axis=1)
        if known.sum() < 2:
            raise BadSample(
                f"what the source was trained to predict is known for {int(known.sum())} of {sample.n} samples; two "
                "are needed. Score more samples, or use source_labels=predicted."
            )
        found, targets = found[known], targets[known]
    assert found is not None
    with np.errstate(over="ignore"):
        single = found.astype(np.float32)
    return FeatureSet(single if np.array_equal(single, found) else found, targets=targets)

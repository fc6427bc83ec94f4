"""LogME: how probable a Bayesian linear model of the features makes the labels."""

from dataclasses import dataclass

import numpy as np

from tmbench.metrics.registry import metric
from tmbench.metrics.sample import Sample
from tmbench.metrics.scores import Score

GRID_STEP = 0.25
"""Grid of log τ; each term of the evidence turns over about 4 units, so no maximum lies between two points."""
GRID_MARGIN = 40.0
"""How far the grid reaches past the eigenvalues: there every term has reached its limit in float64."""
NEWTON_STEPS = 60
"""Bisection alone narrows a bracket of two grid steps to float64's precision in fewer."""


@metric(tasks=("classification", "segmentation", "detection"), needs=("features", "labels"))
def logme(sample: Sample) -> Score:
    """Max log p(t | X) / n over both precisions of the Bayesian linear model, averaged over one-vs-rest targets t.

    sample.features: (n, d), neither centred nor scaled; sample.labels: (n,) in 0..C-1, read as C columns of 0 and 1.
    The weights have prior precision α, the noise precision β. With τ = α/β the best β is closed, and what is left
    is one dimension:

        log p(τ) / n = -(1/2n) Σ_i log(1 + σ_i/τ) - ½ log(Q(τ)/n) - ½ log 2π - ½,   Q(τ) = r + Σ_i x_i² τ/(τ + σ_i),

    σ_i the squared singular values of X, x_i = u_iᵀt, r = |t|² - Σ x_i². It is maximised itself, by a grid and then
    Newton's method, where published codes stop a fixed-point iteration early. A direction with σ_i = 0 adds nothing,
    so n < d needs no care. The two ends count: τ → ∞ (no weight on the features), and τ → 0 where n = rank.

    Any real value, higher is better; invariant to scaling the features, not to shifting them.
    O(n d min(n, d) + C r G), G about 300 grid points.

    Flags: degenerate when all features are 0; saturated when the features fit a target without residual, so that
    the evidence grows without bound and its value is set by the precision of float64; not_converged when Newton's
    method did not settle.

    You et al., LogME: practical assessment of pre-trained models for transfer learning, ICML 2021, Section 4.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> useless = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    >>> round(float(score("logme", useless, [0, 1, 0, 1])), 4)  # -½ log ½ - ½ log 2π - ½
    -1.0724
    """
    basis = sample.uncentred
    squares = sample.class_sums(basis.left) ** 2  # (C, r): (u_iᵀ t_c)²
    maxima = maximise_evidence(basis.values**2, squares, sample.class_counts.astype(np.float64), sample.n)
    flags = []
    if basis.rank == 0:
        flags.append("degenerate")
    if maxima.unbounded.any():
        flags.append("saturated")
    if not maxima.converged.all():
        flags.append("not_converged")
    return Score(float(maxima.values.mean()), flags=tuple(flags))


@dataclass(frozen=True)
class Maxima:
    """The largest log evidence per sample of each of k targets: (k,) values and two (k,) masks."""

    values: np.ndarray
    converged: np.ndarray
    unbounded: np.ndarray


def maximise_evidence(eigenvalues: np.ndarray, squares: np.ndarray, norms: np.ndarray, n: int) -> Maxima:
    """Maximise log p(t)/n over τ > 0 for k targets at once.

    Args:
        eigenvalues: (r,) σ, descending and above 0.
        squares: (k, r) x², the squared coordinates of each target on the left singular vectors.
        norms: (k,) |t|², above 0.
        n: the number of samples.
    """
    # What rounding leaves of a residual that is 0; taken for noise it would shift a maximum at τ → 0 by 1e-9.
    residuals = norms - squares.sum(axis=1)
    residuals[residuals <= 4 * n * np.finfo(np.float64).eps * norms] = 0.0
    at_infinity = _log_evidence(0.0, norms, n)
    targets = len(norms)
    if len(eigenvalues) == 0:
        return Maxima(at_infinity, np.ones(targets, bool), np.zeros(targets, bool))

    sigma = eigenvalues / eigenvalues[0]
    grid = np.arange(np.log(sigma[-1]) - GRID_MARGIN, GRID_MARGIN + GRID_STEP, GRID_STEP)
    tau = np.exp(grid)[:, None]
    volume = np.log1p(sigma / tau).sum(axis=1)  # (G,)
    misfit = residuals[:, None] + squares @ (tau / (tau + sigma)).T  # (k, G)
    best = np.argmax(_log_evidence(volume, misfit, n), axis=1)
    unbounded = (residuals == 0) & (len(sigma) < n) & (best == 0)

    centre = grid[best]
    low, high = centre - GRID_STEP, centre + GRID_STEP
    if unbounded.any():
        low[unbounded] = high[unbounded] = centre[unbounded]
    root, converged = _stationary_point(sigma, squares, residuals, n, low, high)
    tau = np.exp(root)[:, None]
    volume = np.log1p(sigma / tau).sum(axis=1)
    misfit = residuals + (squares * tau / (tau + sigma)).sum(axis=1)
    values = np.maximum(_log_evidence(volume, misfit, n), at_infinity)
    if len(sigma) == n:
        # τ → 0 with n = rank: volume + n log τ → Σ log σ, misfit / τ → Σ x²/σ.
        at_zero = _log_evidence(np.log(sigma).sum(), (squares / sigma).sum(axis=1), n)
        values = np.maximum(values, at_zero)
    return Maxima(values, converged | unbounded, unbounded)


def _log_evidence(volume: np.ndarray | float, misfit: np.ndarray, n: int) -> np.ndarray:
    """Log p / n at the best noise precision, n / misfit."""
    return np.asarray(-volume / (2 * n) - 0.5 * np.log(misfit / n) - 0.5 * np.log(2 * np.pi) - 0.5)


def _stationary_point(
    sigma: np.ndarray, squares: np.ndarray, residuals: np.ndarray, n: int, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) log τ in [low, high] where the slope of the evidence is 0, falling; and (k,) whether it was found.

    Newton's method on the slope, with a bisection wherever a step leaves the bracket.
    """
    low, high = low.copy(), high.copy()
    point = (low + high) / 2
    converged = np.zeros(len(point), bool)
    for _ in range(NEWTON_STEPS):
        tau = np.exp(point)[:, None]
        share = sigma / (tau + sigma)
        rest = tau / (tau + sigma)
        pull = squares * share * rest
        misfit = residuals + (squares * rest).sum(axis=1)
        first = pull.sum(axis=1) / misfit  # d log(misfit) / d log τ
        second = (pull * (share - rest)).sum(axis=1) / misfit - first**2
        slope = share.mean(axis=1) * (sigma.size / n) - first
        curvature = -(share * rest).sum(axis=1) / n - second
        converged |= (np.abs(slope) <= 1e-13) | (high - low <= 1e-9)
        if converged.all():
            break
        low = np.where(slope > 0, point, low)
        high = np.where(slope > 0, high, point)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = point - slope / curvature
        inside = (curvature < 0) & (step > low) & (step < high)
        point = np.where(converged, point, np.where(inside, step, (low + high) / 2))
    return point, converged

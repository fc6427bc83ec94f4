"""NLEEP: LEEP on the clusters of the features, for sources without a head of their own."""

import warnings
from typing import Annotated, Literal

import numpy as np

from tmbench.metrics.leep import leep_flags, leep_range, mean_log_likelihood
from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.sample import Sample
from tmbench.metrics.scores import Score

SAMPLES_PER_COMPONENT = 10
FULL_COVARIANCE_BELOW = 100


@metric(
    tasks=("classification", "segmentation"),
    needs=("features", "labels"),
    randomised=True,
    range=leep_range,
)
def nleep(
    sample: Sample,
    *,
    components_per_class: Annotated[int, Interval(1)] = 5,
    covariance: Literal["auto", "full", "diagonal", "spherical"] = "auto",
    variance: Annotated[float, Interval(0, 1)] = 0.8,
    iterations: Annotated[int, Interval(1)] = 100,
) -> Score:
    """LEEP with the soft assignments of a Gaussian mixture, fitted to the features' principal components.

    sample.features: (n, d); sample.labels: (n,) in 0..C-1. The components that hold ``variance`` of the variance
    are scaled together to mean variance 1, so that the covariances' floor of 1e-6 is relative, and the mixture is
    fitted in float64 by EM from one k-means start, seeded by sample.seeds. Range [-H(y), 0].

    The mixture has V = min(components_per_class · C, n // 10) components, and at least one: as published, but never
    fewer than ten samples a component on average. With V near n each sample is a cluster of its own and every
    source scores 0. ``covariance`` 'auto' is 'full' below 100 classes, as published, and 'diagonal' from there.
    O(iterations · n V k) for k principal components, times k when full: the one metric here that is not dense
    linear algebra. The order of samples does not matter: EM sees them sorted by their coordinates.

    Parts: components, V; dimensions, k. Flags: degenerate with a single component (the score is -H(y)); saturated
    at 0; not_converged when EM used up its iterations.

    Li et al., Ranking neural checkpoints, CVPR 2021, Section 3.3.
    """
    coordinates = sample.principal_components(variance=variance)
    count = min(components_per_class * sample.class_count, sample.n // SAMPLES_PER_COMPONENT)
    parts = {"components": float(max(count, 1)), "dimensions": float(coordinates.shape[1])}
    if count <= 1 or coordinates.shape[1] == 0:
        value = mean_log_likelihood(sample, np.ones((sample.n, 1)))
        return Score(value, flags=("degenerate",), parts={**parts, "components": 1.0})
    if covariance == "auto":
        covariance = "full" if sample.class_count < FULL_COVARIANCE_BELOW else "diagonal"
    coordinates = coordinates / np.sqrt(np.mean(coordinates**2))
    order = np.lexsort(coordinates.T[::-1])
    assignments = np.empty((sample.n, count))
    assignments[order], converged = _mixture(
        coordinates[order], count, covariance, iterations, sample.seeds.integer("nleep mixture") % 2**32
    )
    value = mean_log_likelihood(sample, assignments)
    flags = leep_flags(value, degenerate=False) + (() if converged else ("not_converged",))
    return Score(value, flags=flags, parts=parts)


def _mixture(points: np.ndarray, count: int, covariance: str, iterations: int, seed: int) -> tuple[np.ndarray, bool]:
    """The (n, count) posteriors of a Gaussian mixture with ``count`` components, and whether EM converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        n_components=count,
        covariance_type={"diagonal": "diag"}.get(covariance, covariance),
        max_iter=iterations,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Said by a flag instead; the k-means start warns too when samples coincide.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(points)
    return mixture.predict_proba(points), bool(mixture.converged_)

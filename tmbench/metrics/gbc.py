"""GBC: how much the classes overlap when each is a Gaussian in feature space."""

import math
from typing import Annotated, Any, Literal

import numpy as np

from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.sample import Sample
from tmbench.metrics.scores import Score


def _range(n: int, d: int, classes: int, **_: Any) -> tuple[float, float]:
    return -float(classes * (classes - 1)), 0.0


@metric(
    tasks=("classification", "segmentation"),
    needs=("features", "labels"),
    range=_range,
)
def gbc(
    sample: Sample,
    *,
    covariance: Literal["spherical", "diagonal"] = "spherical",
    components: Annotated[int, Interval(1)] | None = 64,
    floor: Annotated[float, Interval(1e-300)] = 1e-4,
) -> Score:
    """-Σ exp(-D(a, b)) over ordered pairs of classes, D the Bhattacharyya distance of their Gaussians.

    sample.features: (n, d); sample.labels: (n,) in 0..C-1. Features wider than ``components`` are first projected
    on that many principal axes (None: never). A class has its mean and its variances (population, each at least
    ``floor``); 'spherical' takes their mean over the k dimensions, and the distance its dimension factor:
    D = |m_a - m_b|² / 8s + k/2 · log(s / √(s_a s_b)), s = (s_a + s_b) / 2. Range [-C(C-1), 0]. O(n k + C² k), the
    principal axes shared with the other metrics.

    The floor is absolute, so features on a scale far below 0.01 meet it everywhere.

    Parts: log_overlap, the logarithm of the sum, where it is finite: it still ranks sources whose score
    underflows to 0. Flags: degenerate when a class has one sample, or all variances of a class lie on the floor,
    so that its spread is the floor's and not the data's; saturated when the score is 0.

    Pándy et al., Transferability estimation using Bhattacharyya class separability, CVPR 2022, Section 3.
    """
    if components is not None and sample.d > components:
        points = sample.principal_components(count=components)
        means = sample.class_sums(points) / sample.class_counts[:, None]
    else:
        points, means = sample.features64, sample.class_means
    spreads = np.stack([points[rows].var(axis=0) for rows in sample.class_rows])  # (C, k)
    on_floor = bool(np.any(np.all(spreads <= floor, axis=1)))
    spreads = np.maximum(spreads, floor)
    weight = 1
    if covariance == "spherical":
        weight = spreads.shape[1]
        spreads = spreads.mean(axis=1, keepdims=True)
    logarithm = _log_overlap(means, spreads, weight)
    value = -math.exp(logarithm)
    flags = (("degenerate",) if on_floor else ()) + (("saturated",) if value == 0 else ())
    return Score(value, flags=flags, parts={"log_overlap": logarithm} if math.isfinite(logarithm) else {})


def _log_overlap(means: np.ndarray, spreads: np.ndarray, weight: int) -> float:
    """Log Σ exp(-D) over ordered pairs; -inf for a single class.

    Args:
        means: (C, k).
        spreads: (C, k) variances, or (C, 1) that each stand for ``weight`` dimensions.
        weight: how many dimensions a column of ``spreads`` stands for.

    One class against all at a time, so that no (C, C, k) array arises; and by differences, because
    |a|² - 2ab + |b|² loses every digit on features with a large offset.
    """
    logarithms = np.log(spreads)
    totals = []
    for own in range(1, len(means)):
        between = (spreads[:own] + spreads[own]) / 2
        separation = np.sum((means[:own] - means[own]) ** 2 / between, axis=1) / 8
        shape = np.sum(np.log(between) - (logarithms[:own] + logarithms[own]) / 2, axis=1) * weight / 2
        totals.append(np.logaddexp.reduce(-(separation + shape)))
    return float(np.logaddexp.reduce(totals)) + math.log(2) if totals else -math.inf

"""OTCE: what the labels of the source's own samples say of the target's, under an optimal transport between them."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from tmbench.metrics.feature_set import FeatureSet
from tmbench.metrics.feature_set.inputs import BadSample, on_host
from tmbench.metrics.fits.distances import squared_distances
from tmbench.metrics.fits.transport import optimal_plan
from tmbench.metrics.parameters import Interval
from tmbench.metrics.registry import metric
from tmbench.metrics.scores import Score

BLOCK_NUMBERS = 1 << 20
"""Numbers in a block of features whose bits are hashed."""


def _range(
    n: int,
    d: int,
    classes: int,
    *,
    variant: str = "exact",
    wasserstein_weight: float = 0.0,
    entropy_weight: float = 1.0,
    **_: Any,
) -> tuple[float, float]:
    if variant == "comparable":
        return 0.0, 1.0
    return (-math.inf if wasserstein_weight else -entropy_weight * math.log(classes)), 0.0


def _check(*, variant: str, wasserstein_weight: float, entropy_weight: float, **_: Any) -> str | None:
    if variant == "comparable" and (wasserstein_weight, entropy_weight) != (0, 1):
        return "variant=comparable has no weights. Leave wasserstein_weight and entropy_weight out."
    return None


@metric(
    tasks=("classification", "segmentation", "detection"),
    needs=("features", "labels", "source"),
    facts=("features", "labels"),
    randomised=True,
    range=_range,
    check=_check,
)
def otce(
    sample: FeatureSet,
    *,
    variant: Literal["exact", "comparable"] = "exact",
    wasserstein_weight: Annotated[float, Interval(0)] = 0.0,
    entropy_weight: Annotated[float, Interval(0)] = 1.0,
    samples: Annotated[int, Interval(1)] = 1000,
) -> Score:
    """-(entropy_weight · H(Y_t|Y_s) + wasserstein_weight · W) under the cheapest transport of source to target samples.

    sample.features: (n, d) and sample.labels: (n,) of the target; sample.source['features']: (n_s, d) of the source's
    own data through the same network, sample.source['labels']: (n_s,). π is the plan of least cost Σ π_ij
    |x_i - x_j|² with even masses on both sides, exact and without entropic term; W is that cost, and H(Y_t|Y_s) =
    -Σ p(s, t) log p(s, t)/p(s) with p(s, t) = Σ π_ij over the samples of source class s and target class t.

    The default leaves W out, as the authors advise where no auxiliary tasks with known accuracies are there to
    learn the weights from; this is their F-OTCE. Range [-entropy_weight · H(y), 0], and (-inf, 0] with W.

    At most ``samples`` distinct rows of each side are used: those whose float64 bits, hashed with multipliers drawn
    from sample.seeds, come first. So the choice depends on neither the order of samples nor on the class ids, and a
    source that is the target itself has W = 0. Equal rows are one point, with their mass and their shares of labels.
    O(d samples²) and a transport of about samples³ at most: 0.1 s for 1000 on either side, about 1 s where the sides
    differ in number. The features' scale matters to W alone, and everything to the choice of rows where there are
    more than ``samples``.

    Variants: 'exact' is the authors' code. Model Spider's code returns W + H(Y_t|Y_s): wasserstein_weight=1, of
    features as they are, so that W outweighs the entropy by orders of magnitude. 'comparable' is
    1 - H(Y_t|Y_s) / H(Y_t), in [0, 1], whatever the weights; 0 for one class.

    Parts: wasserstein, W; conditional_entropy, H(Y_t|Y_s). Flags: degenerate when one side has a single point or the
    source a single class, so that the plan says nothing of the labels; saturated at the upper end.

    Tan, Li and Huang, OTCE: a transferability metric for cross-domain cross-task representations, CVPR 2021,
    Section 4; F-OTCE: Tan et al., Transferability-guided cross-domain cross-task transfer learning, TNNLS 2024.

    >>> import numpy as np
    >>> from tmbench.metrics import score
    >>> source = {"features": np.array([[0.0], [0.1], [5.0], [5.1]]), "labels": [7, 7, 9, 9]}
    >>> found = score("otce", np.array([[0.2], [5.2], [5.3], [0.3]]), [0, 1, 1, 0], source=source)
    >>> round(float(found), 6), round(found.parts["wasserstein"], 6)
    (0.0, 0.04)
    """
    assert sample.labels is not None
    multipliers = sample.seeds.generator("otce subsample").integers(0, 1 << 63, sample.d, np.uint64) * 2 + 1
    features, labels = _source(sample)
    source = _points(features, labels, multipliers, samples)
    target = _points(on_host(sample.features), sample.labels, multipliers, samples)
    origin = target.mass @ target.features
    costs = squared_distances(source.features - origin, target.features - origin)
    np.maximum(costs, 0, out=costs)
    (rows, columns), amounts = optimal_plan(costs, source.mass, target.mass)
    distance = float(amounts @ costs[rows, columns])
    joint = (source.shares[rows] * amounts[:, None]).T @ target.shares[columns]  # (C_s, C)
    entropy = _conditional_entropy(joint)
    parts = {"wasserstein": distance, "conditional_entropy": entropy}
    single = min(costs.shape) == 1 or len(np.unique(labels)) == 1
    if variant == "comparable":
        whole = _entropy(joint.sum(axis=0))
        value = max(1 - entropy / whole, 0.0) if whole > 0 else 0.0
    else:
        value = 0.0 - (entropy_weight * entropy + wasserstein_weight * distance)
    return Score(value, flags=("degenerate",) if single else (), parts=parts)


@dataclass(frozen=True)
class _Points:
    """Distinct rows: features (m, d) float64, mass (m,) with sum 1, shares (m, C) of labels in each."""

    features: np.ndarray
    mass: np.ndarray
    shares: np.ndarray


def _source(sample: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
    """The source's features and its labels as 0..C_s-1, checked."""
    features = on_host(sample.source["features"])
    labels = np.unique(on_host(sample.source["labels"]), return_inverse=True)[1].reshape(-1)
    if features.ndim != 2 or features.shape[1] != sample.d or len(features) != len(labels) or not len(labels):
        raise BadSample(
            f"otce: the source has features of the shape {features.shape} and {len(labels)} labels; pass its own data "
            f"through the same network as the target's: (n_s, {sample.d}) and (n_s,)."
        )
    if not np.isfinite(features).all():
        raise BadSample("otce: the source's features hold NaN or infinities. Look at the forward pass of its data.")
    return features, labels


def _points(features: np.ndarray, labels: np.ndarray, multipliers: np.ndarray, count: int) -> _Points:
    """The first ``count`` distinct rows in the order of their hashes."""
    hashes = np.empty(len(features), np.uint64)
    step = max(BLOCK_NUMBERS // features.shape[1], 1)
    for start in range(0, len(features), step):
        bits = (features[start : start + step].astype(np.float64) + 0.0).view(np.uint64)  # -0 is 0
        bits ^= bits >> np.uint64(32)  # the low bits of what float32 holds are 0, and a product keeps them so
        hashes[start : start + step] = bits @ multipliers
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    ends = np.append(starts[1:], len(order))[:count]
    chosen, group = order[: ends[-1]], np.repeat(np.arange(len(ends)), ends - starts[:count])
    counts = np.zeros((len(ends), int(labels.max()) + 1))
    np.add.at(counts, (group, labels[chosen]), 1)
    sizes = ends - starts[:count]
    return _Points(
        features[order[starts[:count]]].astype(np.float64),
        sizes / sizes.sum(),
        counts / sizes[:, None],
    )


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


def _conditional_entropy(joint: np.ndarray) -> float:
    """H(column|row) of a joint distribution, not below 0."""
    return max(_entropy(joint.ravel()) - _entropy(joint.sum(axis=1)), 0.0)

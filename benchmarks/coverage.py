"""Which interval over queries: how often each holds the true value, simulated at 2 to 20 queries.

python benchmarks/coverage.py [REPETITIONS]

Nominal .95. The statistic is the mean of one value a query (a win rate, a mean τ), or the stability over queries, which
is a mean over pairs of queries. The values are drawn from distributions of the shapes that occur, and from the
published study: its queries drawn with replacement. The intervals:

    percentile    the α/2 and 1 − α/2 percentiles of the bootstrap
    expanded      the same at wider percentiles: ``tmbench.stats.bootstrap.interval``, the one in use
    BCa           bias-corrected and accelerated percentiles
    expanded BCa  the two together
    Student       estimate ± t_{n−1} · standard error, of the mean or of the delete-one-query jackknife
    bootstrap-t   the percentiles of (mean* − mean) / error*, for means alone; can be infinite
"""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from tmbench.folders import shipped
from tmbench.stats.bootstrap import Resampling, expanded_tail, pair_weights
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import ranking_directions

NUMBERS = (2, 3, 4, 5, 6, 7, 9, 12, 17, 20)
LEVEL = 0.95
DRAWS = 2000
AT_A_TIME = 250
MEASURED = ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")
METHODS = ("percentile", "expanded", "BCa", "expanded BCa", "Student", "bootstrap-t")


def published(name, truth_column, size, pools=300, seed=0):
    """The released cells as win rates (Q, M), ties split, and the rankings' directions (Q, pools x measures, D)."""
    with (Path(shipped("results/published")) / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    source = next(column for column in rows[0] if column.startswith("source"))
    axes = [list(dict.fromkeys(row[column] for row in rows)) for column in ("target_dataset", source, "metric")]
    truth = np.full([len(axis) for axis in axes[:2]], np.nan)
    scores = np.full([len(axis) for axis in axes], np.nan)
    for row in rows:
        place = [
            axis.index(row[column]) for axis, column in zip(axes, ("target_dataset", source, "metric"), strict=True)
        ]
        truth[*place[:2]], scores[*place] = float(row[truth_column]), float(row["score"])
    subsets = np.array(list(combinations(range(len(axes[1])), size)))
    subsets = np.random.default_rng(seed).permutation(subsets)[:pools]
    values = np.stack([_outcomes(truth[query], scores[query], subsets) for query in range(len(truth))])
    first = values == values.max(axis=-1, keepdims=True)
    rates = (first / first.sum(axis=-1, keepdims=True)).mean(axis=1)
    return rates, ranking_directions(values)


def _outcomes(truth, scores, subsets):
    """(pools x measures, M) rounded values on each subset, without the sources that the target lacks (its own)."""
    values = []
    for subset in subsets:
        pool = subset[~np.isnan(truth[subset])]
        values += [MEASURES[name].function(truth[pool], scores[pool].T) for name in MEASURED]
    return np.round(values, 12)


def drawn_from(values) -> Callable:
    """Draw from these values with replacement; their mean is the truth."""
    return lambda generator, shape: generator.choice(values, shape)


def nearly_all_zero(generator, shape):
    """The win rate of a metric that wins on three queries in ten."""
    return np.where(generator.random(shape) < 0.3, generator.beta(1, 2, shape), 0.0)


def rankings(consistency, metrics=5, groups=40):
    """Directions (..., groups, D) of queries that rank the metrics by a common order, their own, and chance."""
    common = consistency * np.linspace(-1, 1, metrics)

    def draw(generator, shape):
        own = generator.normal(size=(*shape, 1, metrics))
        return ranking_directions(common + own + 0.5 * generator.normal(size=(*shape, groups, metrics)))

    return draw


def queries_of(directions):
    """Directions of queries drawn from these with replacement."""
    return lambda generator, shape: directions[generator.integers(0, len(directions), shape)]


def mean_ends(values, generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each interval for the mean over the last axis of ``values`` (R, n)."""
    n = values.shape[1]
    mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(n)
    weights = Resampling(DRAWS, int(generator.integers(1 << 31)), LEVEL).weights([""] * n)
    samples = weights @ values.T / n
    spread = np.sqrt(np.maximum(weights @ (values.T**2) / n - samples**2, 0) / (n - 1))
    without_one = (values.sum(axis=1, keepdims=True) - values) / (n - 1)
    yield from _from_samples(samples, mean, without_one)
    yield from _student(mean, error, n)
    spread[spread < 1e-9] = 0  # all draws of one value, but for rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 / 0 where a draw repeats a sample without spread: no information, the widest.
        studentised = np.nan_to_num((samples - mean) / spread, nan=0.0, posinf=np.inf, neginf=-np.inf)
        t = np.sort(studentised, axis=0)[[round(DRAWS * (1 - LEVEL) / 2), -round(DRAWS * (1 - LEVEL) / 2) - 1]]
        reach = np.where(error > 0, t * error, 0.0)
    yield "bootstrap-t", mean - reach[1], mean - reach[0]


def pair_ends(directions, generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each interval for the mean agreement of two queries, from ``directions`` (R, n, groups, D)."""
    n = directions.shape[1]
    if n == 2:  # one pair, which no interval can be made of
        return
    flat = directions.reshape(*directions.shape[:2], -1)
    agreement = flat @ flat.transpose(0, 2, 1) / directions.shape[2]
    first, second = np.triu_indices(n, k=1)
    pairs = agreement[:, first, second]
    weights = pair_weights(Resampling(DRAWS, int(generator.integers(1 << 31)), LEVEL).weights([""] * n), [""] * n)
    possible = weights.sum(axis=1)
    samples = (weights @ pairs.T)[possible > 0] / possible[possible > 0, None]
    mean = pairs.mean(axis=1)
    alone = agreement.sum(axis=2) - np.diagonal(agreement, axis1=1, axis2=2)
    without_one = (pairs.sum(axis=1, keepdims=True) - alone) / ((n - 1) * (n - 2) / 2)
    error = np.sqrt((n - 1) / n * np.sum((without_one - without_one.mean(axis=1, keepdims=True)) ** 2, axis=1))
    yield from _from_samples(samples, mean, without_one)
    yield from _student(mean, error, n)


def _from_samples(samples, estimate, without_one):
    """The intervals by percentiles of ``samples`` (draws, R), given delete-one values (R, n)."""
    ordered, n = np.sort(samples, axis=0), without_one.shape[1]
    tails = {"": (1 - LEVEL) / 2, "expanded": expanded_tail(n, LEVEL)}
    for name, tail in tails.items():
        shares = [np.full(len(estimate), share) for share in (tail, 1 - tail)]
        yield name or "percentile", *(_quantile(ordered, share) for share in shares)
    below = ((samples < estimate - 1e-12).mean(axis=0) + (samples <= estimate + 1e-12).mean(axis=0)) / 2
    bias = ndtri(np.clip(below, 1 / len(samples), 1 - 1 / len(samples)))
    centred = without_one.mean(axis=1, keepdims=True) - without_one
    squared = np.sum(centred**2, axis=1)
    skew = np.divide(np.sum(centred**3, axis=1), 6 * squared**1.5, out=np.zeros(len(bias)), where=squared > 1e-18)
    for name, tail in tails.items():
        z = [bias + ndtri(np.clip(share, 1e-12, 1 - 1e-12)) for share in (tail, 1 - tail)]
        yield f"{name} BCa".strip(), *(_quantile(ordered, ndtr(bias + one / (1 - skew * one))) for one in z)


def _student(mean, error, n):
    reach = stdtrit(n - 1, (1 + LEVEL) / 2) * error
    yield "Student", mean - reach, mean + reach


def _quantile(ordered, shares):
    """One quantile of each column of the ``ordered`` (draws, R)."""
    place = np.clip(shares, 0, 1) * (len(ordered) - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    column = np.arange(ordered.shape[1])
    return ordered[below, column] + (place - below) * (ordered[above, column] - ordered[below, column])


def coverage(draw, ends, truth, n, repetitions):
    """For each method the share of repetitions whose interval holds ``truth``, and the median width."""
    generator = np.random.default_rng([n, repetitions])
    held, widths = {}, {}
    for start in range(0, repetitions, AT_A_TIME):
        sample = draw(generator, (min(AT_A_TIME, repetitions - start), n))
        for name, low, high in ends(sample, generator):
            held.setdefault(name, []).append((low <= truth + 1e-9) & (truth - 1e-9 <= high))
            widths.setdefault(name, []).append(high - low)
    return {name: (np.concatenate(held[name]).mean(), np.median(np.concatenate(widths[name]))) for name in held}


def table(title, draw, ends, truth, repetitions):
    """Print the coverage by method and number of queries, and the median width at 6 and at 17."""
    found = {n: coverage(draw, ends, truth, n, repetitions) for n in NUMBERS}
    print(f"\n{title}; the truth is {truth:.3f}")
    print(f"{'queries':<13}" + "".join(f"{n:>6}" for n in NUMBERS) + f"{'width, 6':>11}{'17':>7}")
    for name in METHODS:
        if name in found[6]:
            row = "".join(f"{found[n][name][0]:>6.2f}" if found[n] else f"{'–':>6}" for n in NUMBERS)
            print(f"{name:<13}{row}{found[6][name][1]:>11.2f}{found[17][name][1]:>7.2f}")


def main():
    """Print the tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    start = time.perf_counter()
    segmentation, by_dataset = published("segmentation_sources", "test_mean_iou", 15, pools=136)
    full, by_architecture = published("classification_architectures", "test_acc_finetuned", 14)
    print(f"Coverage of a nominal {LEVEL} over {repetitions} repetitions, {DRAWS} draws each. MEANS over queries")
    shapes = {
        "normal": (lambda generator, shape: generator.normal(size=shape), 0.0),
        "U-shaped in [0, 1], beta(.4, .4)": (lambda generator, shape: generator.beta(0.4, 0.4, shape), 0.5),
        "skewed in [0, 1], beta(.5, 2)": (lambda generator, shape: generator.beta(0.5, 2, shape), 0.2),
        "nearly all 0": (nearly_all_zero, 0.1),
        "exponential": (lambda generator, shape: generator.exponential(size=shape), 1.0),
        "win rates of LogME, segmentation": (drawn_from(segmentation[:, 3]), segmentation[:, 3].mean()),
        "win rates of GBC, segmentation": (drawn_from(segmentation[:, 0]), segmentation[:, 0].mean()),
        "win rates of NLEEP, full fine-tuning": (drawn_from(full[:, 2]), full[:, 2].mean()),
    }
    for title, (draw, truth) in shapes.items():
        table(title, draw, mean_ends, truth, repetitions)
    print("\nSTABILITY over queries: means over pairs of queries")
    for title, consistency in (("no common order", 0.0), ("a weak common order", 0.8), ("a strong one", 2.0)):
        draw = rankings(consistency)
        expected = draw(np.random.default_rng(1), (4000,)).mean(axis=(0, 1))
        table(title, draw, pair_ends, np.sum(expected**2), repetitions)
    for title, directions in (("segmentation", by_dataset), ("full fine-tuning", by_architecture)):
        truth = np.sum(directions.mean(axis=0) ** 2) / directions.shape[1]
        table(title, queries_of(directions), pair_ends, truth, repetitions)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

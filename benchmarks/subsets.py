"""What it costs to score many class subsets of one data set from one pass: H-score, LogME and GBC of each.

    python benchmarks/subsets.py                    # 200 subsets of 10,000 and of 50,000 samples, on one thread
    python benchmarks/subsets.py --classes 20 --d 512 --n 20000

Half of the subsets are of random size, half of half the classes. They are scored from the moments of each class, and
some of them again from the raw rows of their own samples alone; both are timed in this run, in seconds of the
processor, and the largest relative difference between the two is printed. Features are float32, with variances that
fall as a network's do.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from tmbench.metrics import FeatureSet, evaluate, find_metric
from tmbench.metrics.feature_set import class_moments
from tmbench.targets.subsets import ClassSubset, class_subsets

CALLS: tuple[tuple[str, dict[str, str]], ...] = (
    ("hscore", {}),
    ("logme", {}),
    ("gbc", {}),
    ("hscore", {"variant": "comparable"}),
    ("logme", {"variant": "scale_free"}),
    ("gbc", {"variant": "comparable"}),
)
"""The first three are timed; the others are compared too."""
TIMED = CALLS[:3]
RAW = 6
"""Subsets that are scored from their rows as well."""


def main() -> None:
    """Measure the sizes asked for."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--n", type=int, nargs="*", default=[10_000, 50_000])
    options.add_argument("--classes", type=int, nargs="*", default=[20, 100])
    options.add_argument("--d", type=int, default=512)
    options.add_argument("--subsets", type=int, default=200)
    given = options.parse_args()
    with threadpool_limits(1):
        for n in given.n:
            for classes in given.classes:
                report(n, given.d, classes, given.subsets)


def report(n: int, d: int, classes: int, count: int) -> None:
    """Print what one size costs."""
    features, labels = made(n, d, classes)
    chosen = [
        *class_subsets(ClassSubset(rule="random", count=count - count // 2), classes),
        *class_subsets(ClassSubset(rule="half", count=count // 2), classes),
    ]
    scored(class_moments(FeatureSet(features[:2000], labels[:2000])).only_classes(chosen[0]), TIMED)  # loads libraries
    start = time.process_time()
    whole = class_moments(FeatureSet(features, labels))
    made_in = time.process_time() - start
    start = time.process_time()
    seconds = []
    for subset in chosen:
        begin = time.process_time()
        scored(whole.only_classes(subset), TIMED)
        seconds.append(time.process_time() - begin)
    total = time.process_time() - start
    raw, differences = [], []
    for subset in chosen[:: max(1, count // RAW)]:
        rows = np.isin(labels, subset)
        own, ids = features[rows], labels[rows]
        begin = time.process_time()
        scored(FeatureSet(own, ids), TIMED)
        raw.append(time.process_time() - begin)
        pairs = zip(scored(whole.only_classes(subset), CALLS), scored(FeatureSet(own, ids), CALLS), strict=True)
        differences += [abs(a - b) / max(abs(b), 1e-300) for a, b in pairs]
    ours = float(np.median(seconds))
    print(
        f"n = {n:,}  d = {d}  C = {classes}: {count} subsets in {total:.1f} s after {made_in:.1f} s for the moments; "
        f"a subset {1000 * ours:.0f} ms (median), from raw rows {1000 * float(np.mean(raw)):.0f} ms, "
        f"{float(np.mean(raw)) / ours:.1f} times as long; largest relative difference {max(differences):.1e}",
        flush=True,
    )


def scored(sample: FeatureSet, calls: tuple[tuple[str, dict[str, str]], ...]) -> list[float]:
    """The scores of one subset."""
    return [evaluate(find_metric(name), sample, parameters).value for name, parameters in calls]


def made(n: int, d: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) float32 features after a ReLU, correlated and with class means, and (n,) labels."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(n) % classes)
    mixing = np.linalg.qr(random.standard_normal((d, d)))[0] * np.arange(1, d + 1) ** -0.5
    means = 0.6 * random.standard_normal((classes, d))
    features = np.empty((n, d), np.float32)
    for start in range(0, n, 5000):
        rows = slice(start, start + 5000)
        features[rows] = np.maximum((means[labels[rows]] + random.standard_normal((len(labels[rows]), d))) @ mixing, 0)
    return features, labels


if __name__ == "__main__":
    main()

"""What the scores of regression cost: milliseconds, beside the paper's own way, scikit-learn once a score.

python benchmarks/regression.py [N D K]

One thread. The authors' reg_score.py fits scikit-learn's LinearRegression and Ridge anew for each score; here one
feature set serves all. The values must agree to 1e-8. Then the ablation of λ: eleven penalties, from 0 to 20.
"""

import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
from sklearn.linear_model import LinearRegression, Ridge  # noqa: E402

from tmbench.metrics import FeatureSet, evaluate, find_metric  # noqa: E402

RUNS = 3
SCORES = (("linmse0", 0.0), ("linmse1", 1.0), ("labmse0", 0.0), ("labmse1", 1.0))
PENALTIES = tuple(float(penalty) for penalty in range(0, 21, 2))


def data(n, d, k):
    """Features (n, d) float32 as a pass stores them, targets and predictions (n, k)."""
    random = np.random.default_rng(0)
    features = np.maximum(random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d), 0)
    targets = features[:, :k] + 0.3 * random.standard_normal((n, k))
    predictions = targets + 0.5 * random.standard_normal((n, k))
    return features.astype(np.float32), targets, predictions.astype(np.float32)


def by_scikit_learn(rows, targets, penalty):
    """A score as the authors compute it: a fit of its own, by the solver they name; the penalty is added back."""
    n = len(rows)
    wide = rows.astype(np.float64)
    model = Ridge(alpha=n * penalty, solver="svd") if penalty else LinearRegression()
    model.fit(wide, targets)
    error = np.mean(np.sum((targets - model.predict(wide)) ** 2, axis=1))
    return -error - penalty * np.sum(model.coef_**2)


def ours(sample, name, penalty):
    """The same from a feature set."""
    return evaluate(find_metric(name), sample, {"penalty": penalty} if penalty else {}).value


def timed(work):
    """The shortest time of a few runs in milliseconds, and what the last gave."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times), np.array(found)


def compared(what, fast, slow):
    """Print one row of the table; the values must agree."""
    (ms, values), (theirs, expected) = timed(fast), timed(slow)
    np.testing.assert_allclose(values, expected, rtol=1e-8)
    print(f"{what:<44}{ms:>12.1f}{theirs:>16.1f}{theirs / ms:>10.1f}")


def main():
    """Print the table."""
    n, d, k = (int(size) for size in sys.argv[1:4]) if len(sys.argv) > 3 else (10_000, 512, 2)
    features, targets, predictions = data(n, d, k)

    def fresh(name=""):
        if name.startswith("lab"):
            return FeatureSet(targets=targets, predictions=predictions)
        return FeatureSet(features, targets=targets, predictions=predictions)

    def together():
        sample = fresh()
        return [ours(sample, name, penalty) for name, penalty in SCORES]

    def ablation():
        sample = fresh()
        return [ours(sample, "linmse1" if penalty else "linmse0", penalty) for penalty in PENALTIES]

    print(f"{f'milliseconds, n={n:,}, d={d}, k={k}':<44}{'tmbench':>12}{'scikit-learn':>16}{'ratio':>10}")
    compared(
        "LinMSE0, LinMSE1, LabMSE0, LabMSE1",
        together,
        lambda: [by_scikit_learn(features if name[:3] == "lin" else predictions, targets, p) for name, p in SCORES],
    )
    compared(
        "ablation: 11 penalties of LinMSE",
        ablation,
        lambda: [by_scikit_learn(features, targets, penalty) for penalty in PENALTIES],
    )
    for name, penalty in SCORES:
        rows = features if name[:3] == "lin" else predictions
        compared(
            f"{name} alone",
            lambda name=name, penalty=penalty: [ours(fresh(name), name, penalty)],
            lambda rows=rows, penalty=penalty: [by_scikit_learn(rows, targets, penalty)],
        )


if __name__ == "__main__":
    main()

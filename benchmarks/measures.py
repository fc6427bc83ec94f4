"""What a value of an evaluation measure costs: microseconds, beside looping scipy over the same rows.

python benchmarks/measures.py [POOLS]

One thread. Five metrics and two baselines share the truth of a pool, as in the study of stability, whose pools hold 11
and 14 candidates; scipy gets a sample of the same rows, and its values must be ours.
"""

import os
import sys
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import scipy.stats  # noqa: E402

from tmbench.stats.measures import MEASURES  # noqa: E402

METRICS = 7
SAMPLE = 300
LOOPED = {
    "weighted_tau": lambda a, s: scipy.stats.weightedtau(a, s)[0],
    "weighted_tau_by_truth": lambda a, s: scipy.stats.weightedtau(a, s, rank=None)[0],
    "weighted_tau_by_score": lambda a, s: scipy.stats.weightedtau(s, a, rank=None)[0],
    "kendall_tau": lambda a, s: scipy.stats.kendalltau(a, s)[0],
    "spearman": lambda a, s: scipy.stats.spearmanr(a, s)[0],
    "pearson": lambda a, s: scipy.stats.pearsonr(a, s)[0],
    "rel_at_1_first": lambda a, s: a[np.argmax(s)] / a.max(),
}


def study(pools, n):
    """Truth (pools, 1, n) and scores (pools, METRICS, n) of random subsets of 19 candidates."""
    generator = np.random.default_rng(n)
    accuracy, score = generator.random(19), generator.random((METRICS, 19))
    members = generator.permuted(np.tile(np.arange(19), (pools, 1)), axis=1)[:, :n]
    return accuracy[members][:, None], score[:, members].transpose(1, 0, 2)


def ours(function, truth, scores):
    """Microseconds a value, best of three, and the values (pools, METRICS)."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        values = function(truth, scores)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) / values.size, values


def looped(function, truth, scores, values):
    """Microseconds a value of a Python loop over a sample of the rows, which must come to ``values``."""
    rows = np.random.default_rng(0).integers(0, [len(truth), METRICS], (SAMPLE, 2))
    start = time.perf_counter()
    found = [function(truth[pool, 0], scores[pool, metric]) for pool, metric in rows]
    seconds = time.perf_counter() - start
    np.testing.assert_allclose(found, values[tuple(rows.T)], atol=1e-12)
    return 1e6 * seconds / SAMPLE


def main():
    """Print the table."""
    pools = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    warnings.simplefilter("ignore")
    print(f"{'µs a value, ' + str(pools) + ' pools x ' + str(METRICS) + ' metrics':<40}{'n':>4}", end="")
    print(f"{'tmbench':>10}{'loop':>10}{'ratio':>8}")
    for n in (11, 14, 19):
        truth, scores = study(pools, n)
        for name, measure in MEASURES.items():
            fast, values = ours(measure.function, truth, scores)
            print(f"{name:<40}{n:>4}{fast:>10.3f}", end="")
            if name in LOOPED:
                slow = looped(LOOPED[name], truth, scores, values)
                print(f"{slow:>10.1f}{slow / fast:>8.0f}", end="")
            print()


if __name__ == "__main__":
    main()

"""How fast the statistics are: the whole study of stability, the kernels beside scipy, and growth with the setups.

    python benchmarks/study.py            # about two minutes on two cores

Each command is timed as a user waits for it, from process start; ratios are of two things timed in this run.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SAMPLE = 300
"""Pools of each query that scipy is given; it needs about a minute for a hundred thousand setups."""

GROWTH = (10**4, 10**5, 10**6, 10**7)


def main() -> None:
    """Run the parts, or the one that a child process is asked for."""
    if sys.argv[1:2] == ["--setups"]:
        print(*grow(int(sys.argv[2])))
        return
    whole_study()
    kernels()
    growth()


def whole_study() -> None:
    """``tmbench aggregate sweep=stability`` as a process of its own."""
    print("sweep=stability, 1,134,240 setups, tables, figures and page, from process start:")
    for draws in (0, 1000):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "tmbench.aggregate",
                "sweep=stability",
                f"bootstrap={draws}",
                f"out={folder}",
            ]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            print(f"  bootstrap={draws:<5} {time.perf_counter() - start:6.1f} s")


def kernels() -> None:
    """Setups a second of tmbench on all of the study's classification part, of scipy on a sample of the same."""
    from tmbench.stats.accumulate import tally_study
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.measures import MEASURES

    plan = stability_plan()
    cells = next(cells for cells in plan.published if cells.scenario == "classification_architectures")
    space = plan.setups.pools(cells.scenario)
    measures = {name: MEASURES[name] for name in plan.setups.measures}
    start = time.perf_counter()
    tally = tally_study(cells, space.chunks(), measures, Resampling(0))
    ours = (time.perf_counter() - start) / sum(one.setups for one in tally.slices)
    start = time.perf_counter()
    theirs = loop_scipy(cells, next(iter(space.chunks())).members[:SAMPLE])
    theirs = (time.perf_counter() - start) / theirs
    print("\none setup, its five metrics under one measure (all sums of the study included in ours):")
    print(f"  tmbench       {1e6 * ours:9.2f} µs")
    print(f"  scipy, looped {1e6 * theirs:9.2f} µs   {theirs / ours:,.0f} times as long")


def loop_scipy(cells, members) -> int:
    """What one would write with scipy, for the first recipe: the number of setups done."""
    import warnings

    from scipy.stats import kendalltau, pearsonr, weightedtau

    warnings.simplefilter("ignore")
    setups = 0
    for query in range(len(cells.queries)):
        for pool in members[: SAMPLE // len(cells.queries)]:
            truth = cells.mean_truth[0, query, pool]
            for function in (weightedtau, kendalltau, pearsonr, lambda a, s: (a[np.argmax(s)] / a.max(),)):
                for metric in range(len(cells.metrics)):
                    if cells.kinds[metric] == "metric":
                        function(truth, cells.scores[0, metric, query, pool])[0]
                setups += 1
    return setups


def growth() -> None:
    """Time and memory against the number of setups, each in a process of its own."""
    print("\ngrowth: 9 queries, random pools of 12 of 24 candidates, 5 metrics, 4 measures, 1,000 resamplings")
    print(f"  {'setups':>12} {'seconds':>9} {'µs a setup':>11} {'peak MB':>9}")
    for setups in GROWTH:
        found = subprocess.run([sys.executable, __file__, "--setups", str(setups)], check=True, capture_output=True)
        number, seconds, peak = (float(word) for word in found.stdout.split())
        print(f"  {number:12,.0f} {seconds:9.2f} {1e6 * seconds / number:11.2f} {peak:9.0f}")


def grow(setups: int) -> tuple[int, float, float]:
    """Sum up about so many setups of random cells: their number, seconds, peak memory of this process in MB."""
    from tmbench.stats.accumulate import tally_study
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.cells import Cells
    from tmbench.stats.measures import MEASURES
    from tmbench.study.options import PoolOption
    from tmbench.study.setups import PoolSpace, Scenario

    generator = np.random.default_rng(0)
    queries, candidates, metrics = 9, 24, 5
    scores = generator.random((1, metrics, queries, candidates))
    cells = Cells(
        "growth", "source_selection", ("full",), ("penultimate",),
        tuple(f"target_{i}" for i in range(queries)), tuple(f"source_{i}" for i in range(candidates)),
        tuple(f"metric_{i}" for i in range(metrics)), ("metric",) * metrics,
        generator.random((1, queries, candidates, 1)), scores, np.zeros(scores.shape, dtype=np.int8),
        ("",) * candidates, np.zeros(candidates, dtype=bool),
    )  # fmt: skip
    measures = {name: MEASURES[name] for name in ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")}
    pools = setups // (queries * len(measures))
    rule = PoolOption(rule="subsets", size=candidates // 2, most=pools)
    space = PoolSpace(Scenario.of(cells), {"random": rule})
    start = time.perf_counter()
    tally = tally_study(cells, space.chunks(), measures, Resampling(1000))
    seconds = time.perf_counter() - start
    return tally.slices[0].setups, seconds, peak_memory()


def peak_memory() -> float:
    """The most memory that this process held, in MB; ``getrusage`` would count what its parent held."""
    status = Path("/proc/self/status").read_text()
    return float(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def stability_plan():
    """The plan of ``sweep=stability``."""
    from tmbench.verb import parser, resolve

    return resolve(parser("benchmark", "").parse_args(["sweep=stability"])).plan


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

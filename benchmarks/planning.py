"""What planning a million setups costs, beside composing each of them with Hydra (a sample of those), in one run.

python benchmarks/planning.py [SAMPLE]
"""

import random
import resource
import subprocess
import sys
import time

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from tmbench.folders import shipped
from tmbench.study.compose import OptionFolders
from tmbench.study.planning import planned
from tmbench.study.sweep import parse

SWEEP = "sweep=stability"


def process(*words):
    """Best of three: seconds of processor time of a whole process, and its wall seconds."""
    times = []
    for _ in range(3):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        times.append((processor, time.perf_counter() - start))
    return min(times)


def each(work, items):
    """Mean seconds of ``work`` on an item."""
    start = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - start) / len(items)


def by_hydra(setup):
    """The config of one setup, composed and resolved by Hydra alone; it must be the one that the plan has."""
    config = OmegaConf.to_container(hydra_compose("config", overrides=list(setup.overrides)), resolve=True)
    assert {key: value for key, value in config.items() if key not in ("cluster", "paths")} == setup.config


def pools(setups):
    """Pools a second in chunks of 2,000: all of the study's, and the seconds that took."""
    start = time.perf_counter()
    count = sum(len(chunk.members) for space in setups.spaces for chunk in space.chunks())
    return count, time.perf_counter() - start


def main():
    """Print the table."""
    sample = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    processor, wall = process("tmbench.plan", SWEEP)
    start = time.perf_counter()
    setups = planned(parse([SWEEP]), OptionFolders())[0].setups
    again = time.perf_counter() - start
    numbers = random.Random(0).sample(range(len(setups)), sample)
    chosen = [setups.at(number) for number in numbers]
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        by_hydra(chosen[0])
        one = each(by_hydra, chosen)
    ours = each(setups.at, numbers)
    whole = one * len(setups)
    count, seconds = pools(setups)
    start = time.perf_counter()
    setups.slice(500_000, 600_000)
    rows = 100_000 / (time.perf_counter() - start)
    print(f"{SWEEP}: {len(setups):,} setups; {sample} of them through Hydra")
    print(f"{'':<58}{'s':>12}{'ratio':>12}")
    print(f"{'tmbench plan, whole process: processor time':<58}{processor:>12.2f}{1:>12}")
    print(f"{'  wall time':<58}{wall:>12.2f}")
    print(f"{'  the plan itself, Hydra and all imported':<58}{again:>12.2f}")
    print(f"{'hydra.compose of every setup (from the sample)':<58}{whole:>12,.0f}{whole / processor:>12,.0f}")
    print(f"\n{'one setup':<58}{'ms':>12}{'ratio':>12}")
    print(f"{'Setups.at: names, id, overrides, config':<58}{1e3 * ours:>12.3f}{1:>12}")
    print(f"{'hydra.compose':<58}{1e3 * one:>12.3f}{one / ours:>12,.0f}")
    print(
        f"\nSetups.slice: {rows:,.0f} setups/s as columns;  pools: {count:,} in chunks, {count / seconds:,.0f} a second"
    )


if __name__ == "__main__":
    main()

"""What 1,000 units of no work cost on a SLURM cluster: tmbench beside submitit and beside Hydra's submitit launcher.

    python benchmarks/slurm.py [UNITS] [--jobs JOBS]    # make slurm-up first, where there is no cluster

tmbench does UNITS, the others JOBS, each a job of its own; all is told per 1,000 units, in proportion. Wall time is
from the start of the submitter's process to the last result; CPU time is that process's, with the sbatch and squeue
that it calls; inodes and bytes are what lies in the run's folder when its jobs are over. Jobs ask for the same, one
core and half a gigabyte, and else each way has its defaults. Folders are made in $TMPDIR, which nodes must see.

The last row needs `pip install hydra-submitit-launcher` and is left out without.
"""

import argparse
import importlib.util
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

MEMORY_GB, MEMORY = 0.5, "477M"
"""The same, for tmbench and for sbatch."""
STALLED_SECONDS = 300.0
"""After so long without a new result something is wrong."""
APP = """
import hydra

@hydra.main(version_base=None, config_path=None)
def main(config):
    pass

main()
"""


@dataclass(frozen=True)
class Way:
    """One way to have units done.

    Attributes:
        label: its row in the table.
        command: the submitter's, for so many units; it runs in the run's folder.
        results: how many results lie in the run's folder.
    """

    label: str
    command: Callable[[int], list[str]]
    results: Callable[[Path], int]


@dataclass(frozen=True)
class Cost:
    """What one run took: ``units`` in ``jobs``, seconds, seconds, and what lies in its folder."""

    units: int
    jobs: int
    wall: float
    cpu: float
    inodes: int
    bytes: int


def submit_with_tmbench(count: int) -> None:
    """Hand the units to SLURM as ``tmbench run cluster=slurm`` does when it has planned them."""
    import engine
    import yaml

    from tmbench.engine.execution import Execution
    from tmbench.engine.options import Cluster
    from tmbench.engine.slurm.submission import Submission
    from tmbench.folders import shipped

    profile = yaml.safe_load((shipped("conf") / "cluster" / "slurm.yaml").read_text())
    profile["slurm"]["max_concurrent"] = len(nodes())
    cluster = Cluster(**profile, needs={"memory_gb": MEMORY_GB})
    units = tuple(engine.trivial(number) for number in range(count))
    perform = f"{Path(engine.__file__).resolve()}:nothing"
    submission = Submission(Execution(units, Path("store").resolve(), Path("runs").resolve(), cluster, perform=perform))
    report = submission.submit(submission.prepared())
    if report.problems:
        raise SystemExit("\n".join(report.problems))


def submit_jobs(count: int) -> None:
    """One call of sbatch a unit."""
    executor = submitit_executor()
    for _ in range(count):
        executor.submit(int)


def submit_array(count: int) -> None:
    """One array."""
    submitit_executor().map_array(int, range(count))


def submitit_executor():
    """An executor with submitit's defaults."""
    import submitit

    executor = submitit.SlurmExecutor(folder="jobs")
    executor.update_parameters(time=30, additional_parameters={"mem": MEMORY})
    return executor


SUBMITTERS = {"tmbench": submit_with_tmbench, "jobs": submit_jobs, "array": submit_array}


def submitter(name: str) -> Callable[[int], list[str]]:
    """The command that calls one of ``SUBMITTERS`` in a process of its own."""
    return lambda count: [sys.executable, str(Path(__file__).resolve()), str(count), "--submitter", name]


def hydra_command(count: int) -> list[str]:
    """An app of no work on ``-m``; it waits for its jobs."""
    asked = ["hydra.launcher.timeout_min=30", f"+hydra.launcher.additional_parameters.mem={MEMORY}"]
    return [sys.executable, "../app.py", "-m", "hydra/launcher=submitit_slurm", *asked, f"+x=range({count})"]


def records(folder: Path) -> int:
    """Rows of tmbench's records."""
    return sum(pq.ParquetFile(shard).metadata.num_rows for shard in (folder / "store/records").glob("*.parquet"))


def pickles(pattern: str) -> Callable[[Path], int]:
    """Results that submitit left."""
    return lambda folder: sum(1 for _ in folder.glob(pattern))


TMBENCH = Way("tmbench", submitter("tmbench"), records)
OTHERS = (
    Way("submitit, one array (map_array)", submitter("array"), pickles("jobs/*_result.pkl")),
    Way("submitit, one job a unit (submit)", submitter("jobs"), pickles("jobs/*_result.pkl")),
)
HYDRA = Way("Hydra's submitit launcher, -m", hydra_command, pickles("multirun/*/*/.submitit/*/*_result.pkl"))


def measured(way: Way, count: int) -> Cost:
    """Run ``count`` units; nothing of it is left, in the queue or on the disk, however it ends.

    Raises:
        SystemExit: when a unit fails or nothing happens for ``STALLED_SECONDS``.
    """
    with tempfile.TemporaryDirectory(prefix="tmbench-slurm-") as made:
        (Path(made) / "app.py").write_text(APP)
        folder = Path(made).resolve() / "run"
        folder.mkdir()
        with (Path(made) / "said.txt").open("w+") as said, no_jobs_left(folder):
            before, start = cpu_of_children(), time.perf_counter()
            with process(way.command(count), folder, said) as child:
                wait_for_results(way, count, folder, child, said)
                wall = time.perf_counter() - start
                child.wait()
            cpu = cpu_of_children() - before  # nothing else was started in between
            while jobs_of(folder):
                time.sleep(0.2)
            return cost(way, count, folder, wall, cpu)


def cost(way: Way, count: int, folder: Path, wall: float, cpu: float) -> Cost:
    """The cost of a run that is over."""
    finished = list(folder.rglob("*_result.pkl"))
    failed = [path for path in finished if b"success" not in path.read_bytes()]
    if failed or way.results(folder) != count:
        raise SystemExit(f"{way.label}: {way.results(folder)} results of {count}, {len(failed)} jobs failed")
    left = [path.lstat() for path in folder.rglob("*")]
    size = sum(status.st_size for status, path in zip(left, folder.rglob("*"), strict=True) if path.is_file())
    return Cost(count, len(finished), wall, cpu, len(left), size)


def wait_for_results(way: Way, count: int, folder: Path, child: subprocess.Popen, said) -> None:
    """Return when all results are there."""
    there, last = 0, time.monotonic()
    while there < count:
        looked = time.monotonic()
        now = way.results(folder)
        if now > there:
            there, last = now, looked
        if child.poll() or looked - last > STALLED_SECONDS:
            said.seek(0)
            raise SystemExit(f"{way.label}: {there} of {count} results. The submitter said:\n{said.read()[-3000:]}")
        # Looking takes a tenth of a core at most, which the jobs may need.
        time.sleep(min(0.05 + 10 * (time.monotonic() - looked), 0.5))


@contextmanager
def process(command: list[str], folder: Path, said) -> Iterator[subprocess.Popen]:
    """The submitter, which does not outlive this block."""
    child = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


@contextmanager
def no_jobs_left(folder: Path) -> Iterator[None]:
    """What still is in the queue at the end of this block is ended: jobs that were submitted in this folder."""
    try:
        yield
    finally:
        while jobs := jobs_of(folder):
            # submitit's jobs bear a SIGTERM; those that wait need the plain form.
            for how in (["--full", "--signal=KILL"], []):
                subprocess.run(["scancel", "--quiet", *how, *jobs], capture_output=True, check=False)
            time.sleep(0.5)


def jobs_of(folder: Path) -> list[str]:
    """Ids of the jobs in the queue that were submitted in ``folder``."""
    lines = [line.partition(" ") for line in output("squeue", "--me", "--noheader", "--format=%F %Z").splitlines()]
    return sorted({job for job, _, place in lines if place.strip() == str(folder)})


def cpu_of_children() -> float:
    """Seconds of all processes that were started here and are over."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def output(*command: str) -> str:
    """What a command of SLURM prints."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"There is no SLURM here ({error}); make slurm-up brings up the test cluster.") from error


def nodes() -> set[str]:
    """Names of the cluster's nodes."""
    return set(output("sinfo", "--noheader", "--Node", "--format=%N").split())


def surroundings() -> str:
    """What else the machine does."""
    others = len(output("squeue", "--noheader", "--array").splitlines())
    return f"load of this machine {os.getloadavg()[0]:.1f}, jobs of others {others}"


def table(costs: dict[str, Cost]) -> Iterator[str]:
    """Lines of the table, per 1,000 units; in brackets, how many times tmbench's."""
    ours = costs[TMBENCH.label]
    heads = "".join(f"{head:>19}" for head in ("wall s", "CPU s", "inodes", "MB"))
    yield f"{'per 1,000 units':<36}{'units':>7}{'jobs':>6}{heads}"
    for label, found in costs.items():
        line = f"{label:<36}{found.units:>7}{found.jobs:>6}"
        for name, unit, digits in (("wall", 1, 1), ("cpu", 1, 2), ("inodes", 1, 0), ("bytes", 1e6, 2)):
            value, own = (getattr(each, name) / each.units * 1000 for each in (found, ours))
            times = f"({value / own:.3g})"
            line += f"{value / unit:>11,.{digits}f} {times:>7}"
        yield line


def main() -> None:
    """Run all ways one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", nargs="?", type=int, default=1000, help="of tmbench")
    parser.add_argument("--jobs", type=int, default=100, help="units, and so jobs, of each of the others")
    parser.add_argument("--submitter", choices=SUBMITTERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.submitter:
        SUBMITTERS[options.submitter](options.units)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that jobs are ended then too
    print(f"{output('sinfo', '--version')}, {len(nodes())} nodes; {surroundings()}", flush=True)
    ways = [TMBENCH, *OTHERS]
    if importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher"):
        ways.append(HYDRA)
    else:
        print(f"left out: {HYDRA.label}. It needs `pip install hydra-submitit-launcher`.")
    costs = {}
    for way in ways:
        costs[way.label] = measured(way, options.units if way is TMBENCH else options.jobs)
        print(f"  {way.label}: {costs[way.label].wall:.1f} s; {surroundings()}", file=sys.stderr, flush=True)
    print("\n".join(table(costs)))
    print("units, jobs: of this run; the rest per 1,000 units, in proportion (times tmbench's). What is paid")
    print("once a run, such as the start of Python, is multiplied too: --jobs 1000 is exact, and takes a while.")


if __name__ == "__main__":
    main()

"""What the engine costs: milliseconds a trivial unit inside a chunk, beside submitit's own cost of a job; start-up.

python benchmarks/engine.py [UNITS]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import submitit

from tmbench.engine.execution import Execution
from tmbench.engine.records import row
from tmbench.engine.units import Unit, key_id, unit_key
from tmbench.identity import canonical


def nothing(unit, bench):
    """The work of a trivial unit: one record."""
    return [
        row(
            id=unit.id,
            unit=unit.id,
            stage=unit.stage,
            name=unit.name,
            status="done",
            value=1.0,
            key=canonical(unit.key),
        )
    ]


def trivial(number):
    """A unit of no work, with a key as large as a real one's."""
    key = unit_key("truth", number=number, source={"parameters": list(range(100))})
    return Unit(key_id(key), "truth", f"unit {number}", key, {"number": number}, f"source{number % 10}", minutes=0.001)


def engine(count):
    """Seconds of a whole in-process run of ``count`` trivial units: state, claim, freeze, chunk, records, merge."""
    with tempfile.TemporaryDirectory() as folder:
        units = tuple(trivial(i) for i in range(count))
        perform = f"{Path(__file__).resolve()}:nothing"
        run = Execution(units, Path(folder) / "store", Path(folder) / "runs", 0, 60.0, 1, 5.0, {}, perform)
        start = time.perf_counter()
        report = run.start()
        assert report.claimed == count
        return time.perf_counter() - start


def submitit_jobs(kind, count):
    """Seconds of ``count`` submitit jobs that do nothing, one job a unit."""
    with tempfile.TemporaryDirectory() as folder:
        executor = submitit.AutoExecutor(folder, cluster=kind)
        start = time.perf_counter()
        for _ in range(count):
            executor.submit(int).result()
        return time.perf_counter() - start


def verb(*words):
    """Best of three wall seconds of a whole process."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    ours = engine(count) / count
    debug = submitit_jobs("debug", 200) / 200
    local = submitit_jobs("local", 3) / 3
    print(f"{'':<44}{'ms a unit':>12}{'ratio':>10}")
    print(f"{f'tmbench, one chunk of {count} trivial units':<44}{1e3 * ours:>12.2f}{1:>10}")
    print(f"{'submitit debug executor, one job a unit':<44}{1e3 * debug:>12.2f}{debug / ours:>10.1f}")
    print(f"{'submitit local executor, one job a unit':<44}{1e3 * local:>12.2f}{local / ours:>10.0f}")
    print(f"\n{'':<44}{'s':>12}")
    for words in (
        ["tmbench.cli", "--help"],
        ["tmbench.plan", "sweep=demo"],
        ["tmbench.status", "sweep=demo", "--json"],
    ):
        try:
            print(f"{'python -m ' + ' '.join(words):<44}{verb(*words):>12.2f}")
        except subprocess.CalledProcessError as error:  # status exits 1 while something is left
            print(f"{'python -m ' + ' '.join(words):<44}{'exit ' + str(error.returncode):>12}")


if __name__ == "__main__":
    main()

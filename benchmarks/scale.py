"""What a study of 100,000 units costs the submitter: planning, a dry run, and status before and after `compact`.

python benchmarks/scale.py [UNITS]

Wall seconds and peak memory of whole processes, start-up included; the best of three (of one, for the records in
1,000 shards). The study is a sweep file: the demo with so many seeds. Its records are made here, in shards of 100 rows.
"""

import random
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from tmbench.engine.plans import register
from tmbench.engine.records import row, write_shard
from tmbench.folders import shipped
from tmbench.verb import resolve

SHARD = 100
"""Rows of a shard: what one worker flushes."""


def process(*words):
    """(wall seconds, peak MB, exit code) of ``tmbench`` with these words, in a process of its own."""
    code = (
        "import re, sys; from tmbench.cli import main; code = main(sys.argv[1:]); "
        # Not getrusage's peak, which a process inherits from the one that starts it.
        "peak = re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]; "
        "print(int(peak) / 1024, code, file=sys.stderr)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    try:
        megabytes, exit_code = done.stderr.splitlines()[-1].split()
        return seconds, float(megabytes), int(exit_code)
    except (IndexError, ValueError):
        raise SystemExit(f"tmbench {words[0]} failed:\n{done.stderr}") from None


def measured(name, *words, times=3):
    """Print the best of some processes."""
    found = [process(*words) for _ in range(times)]
    seconds, megabytes, code = min(found)
    print(f"  {name:<44}{seconds:8.2f} s {megabytes:8.0f} MB   exit {code}", flush=True)


def records_of(units):
    """A finished record for each unit and score of a plan, as a cluster would have left them."""
    number, start = 0, datetime(2026, 1, 1, tzinfo=UTC)
    for batch in units.batches:
        measure = "" if batch.stage == "features" else "accuracy"
        for place, (id, key) in enumerate(zip(batch.ids, batch.spelled(), strict=True)):
            number += 1
            made = {
                "unit": id,
                "status": "done",
                "seconds": 60.0 + number % 7,
                "memory_mb": 900.0,
                "host": f"node{number % 50}",
                "gpus": 1.0,
                "job": f"{number // 5000}_{number // 50 % 100}",
                "commit": "0123456789" * 4,
                "versions": '{"python": "3.11.7", "torch": "2.8.0", "numpy": "2.3.1", "timm": "1.0.19"}',
                "run": f"20260101T000000-{number // 5000:06x}",
                "finished": (start + timedelta(seconds=number, microseconds=number)).isoformat(timespec="microseconds"),
            }
            value = number % 1000 / 1000 if measure else None
            details = {"learning_rate": 0.003, "epoch": number % 60}
            yield row(
                id=id,
                stage=batch.stage,
                name=batch.name,
                measure=measure,
                value=value,
                key=key,
                details=details,
                **made,
            )
            for score, score_key in zip(batch.score_ids(place), batch.spelled_scores(place), strict=True):
                yield row(id=score, stage="score", name=batch.name, value=value or 0.5, key=score_key, **made)


def fill(store, units):
    """Write the records of a plan in shards, in no order."""
    rows = list(records_of(units))
    random.Random(0).shuffle(rows)
    for start in range(0, len(rows), SHARD):
        write_shard(store / "records", f"r{start:08d}", rows[start : start + SHARD])
    return len(rows)


def main(wanted):
    """Print the table."""
    seeds = -(-wanted // 120)  # 10 sources, 6 targets and 2 recipes a seed
    with tempfile.TemporaryDirectory() as folder:
        sweep = yaml.safe_load((shipped("sweeps") / "demo.yaml").read_text()) | {"seed": list(range(seeds))}
        (Path(folder) / "large.yaml").write_text(yaml.safe_dump(sweep))
        study = (f"sweep={folder}/large.yaml",)
        units = resolve(Namespace(overrides=list(study), config_dir=[])).plan.units
        store, paths = Path(folder) / "store", (f"paths.store={folder}/store", f"paths.out={folder}/out")
        print(f"{len(units):,} units")
        measured("plan", "plan", *study, *paths)
        measured("run --dry-run", "run", *study, *paths, "--dry-run")
        measured("run --dry-run on SLURM", "run", *study, *paths, "cluster=slurm", "--dry-run")
        rows = fill(store, units)
        shards = len(list((store / "records").iterdir()))
        print(f"{rows:,} records")
        measured(f"status, {shards:,} shards", "status", *study, *paths, times=1)
        measured("status of the demo's own 308 units, as many", "status", "sweep=demo", *paths, times=1)
        measured("compact", "compact", *paths, times=1)
        measured("status, compacted", "status", *study, *paths)
        measured("status of the demo's own 308 units, compacted", "status", "sweep=demo", *paths)
        register(store, "demo", " ".join(study), units)
        measured("gc", "gc", *paths, times=1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)

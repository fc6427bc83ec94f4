"""What chaos came to, in figures: a table for people and JSON."""

import json
from collections import Counter
from pathlib import Path

from deck import Deck
from faults import output

from tmbench.engine.provenance import commit, host

ABOUT = """# Chaos

What `make chaos` came to: tests/slurm/chaos.py, seed {seed}, commit {commit}, four nodes of tests/slurm/cluster on one
machine of {cores} cores ({processor}). The sweep in fresh stores, one a round: `{sweep}`. {verdict}
"""
WELL = """After each round every unit and score had one result, no value differed, nothing was held or failed, and
tables and cells were those of an undisturbed local run, byte for byte."""


def ends_of_jobs(out: Path) -> Counter[str]:
    """How the workers' jobs ended, each requeue an end of its own, in SLURM's words."""
    names = ",".join(path.name for path in out.glob("*/runs/*/jobs/tmbench-*"))
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State"]
    ends = output(*command, f"--name={names}", "--starttime=now-1day").split("\n") if names else []
    return Counter(f"jobs that ended {line.partition(' ')[0]}" for line in ends if line)


def report(out: Path, seed: int, sweep: list[str], deck: Deck, figures: Counter[str], wrong: list[str]) -> None:
    """The figures as a table and as JSON."""
    faults = [{"kind": kind, "injected": deck.counts[kind], "met a worker": deck.hits[kind]} for kind in deck.counts]
    faults.sort(key=lambda row: str(row["kind"]))
    content = {
        "seed": seed,
        "sweep": " ".join(sweep),
        "commit": commit(),
        **{name: host()[name] for name in ("cores", "processor")},
        "faults": sum(deck.counts.values()),
        "hits": sum(deck.hits.values()),
        "by_kind": faults,
        "figures": dict(sorted(figures.items())),
        "wrong": wrong,
    }
    lines = ["| fault | injected | met something |", "|---|--:|--:|"]
    lines += [f"| {row['kind']} | {row['injected']} | {row['met a worker']} |" for row in faults]
    lines += [f"| **all** | **{content['faults']}** | **{content['hits']}** |", "", "| figure | |", "|---|--:|"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(figures.items())]
    text = "\n".join(lines)
    out.mkdir(parents=True, exist_ok=True)
    (out / "chaos.json").write_text(json.dumps(content, indent=1) + "\n")
    (out / "README.md").write_text(
        f"{ABOUT.format(**content, verdict='**Something was wrong.**' if wrong else WELL)}\n{text}\n"
    )
    print(text)
    for problem in wrong:
        print(f"WRONG: {problem[:2000]}")

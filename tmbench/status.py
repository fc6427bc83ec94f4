"""``tmbench status``: what is done, in work, failed, waiting and left; asks only the files of the store."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, amount, guarded, nothing_to_run, parser, resolve

if TYPE_CHECKING:
    from tmbench.engine.state import Failure, State


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the state of a sweep; exit 0 when all is done, else 1."""
    command = parser("status", "What is done, claimed by a run, failed, waiting and left; failures with class and log.")
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    if study.published:
        facts = {"stages": {}, "minutes_left": 0.0, "failures": []}
        print(json.dumps(facts, indent=2) if options.json else nothing_to_run(study))
        return 0
    state = study.state()
    counts = state.counts()
    if options.json:
        print(json.dumps(_facts(state, counts), indent=2))
    else:
        print(_text(study, state, counts))
    return 0 if _all_done(counts) else 1


def _all_done(counts: dict[str, Counter[str]]) -> bool:
    return all(set(stage) <= {"done"} for stage in ({k for k, v in c.items() if v} for c in counts.values()))


def _facts(state: "State", counts: dict[str, Counter[str]]) -> dict[str, Any]:
    return {
        "stages": {stage: dict(counter) for stage, counter in counts.items()},
        "minutes_left": state.minutes_left(),
        "failures": [asdict(failure) for failure in state.failures()],
        "unreadable_shards": [str(path) for path in state.records.broken],
        "differing_successes": state.differing(),
        "runs": [{"host": c.owner.host, "pid": c.owner.pid, "units": len(c.units)} for c in state.claims],
    }


def _text(study: Study, state: "State", counts: dict[str, Counter[str]]) -> str:
    heads = {"claimed": "running", "pending": "to do"}
    columns = ("done", "claimed", "failed", "waiting", "pending")
    lines = ["".join([f"{'':<10}", *(f"{heads.get(name, name):>9}" for name in columns)])]
    for stage, counter in counts.items():
        if counter:
            lines.append("".join([f"{stage:<10}", *(f"{counter[name] or '–':>9}" for name in columns)]))
    lines += notes(state)
    lines.append(f"left: {amount(state.minutes_left())} of one worker")
    lines.append(f"next: {next_command(study, state, counts)}")
    return "\n".join(lines)


def notes(state: "State") -> list[str]:
    """What a user must know beside the counts: failures by class, unreadable shards, differing successes, runs."""
    lines = []
    failures = state.failures()
    by_class: dict[str, list[Failure]] = {}
    for failure in failures:
        by_class.setdefault(failure.failure, []).append(failure)
    for name, group in sorted(by_class.items()):
        lines.append(f"{len(group)} failed: {name}")
        for failure in group[:5]:
            lines.append(f"  {failure.stage}  {failure.name}: {failure.message.splitlines()[0][:200]}")
            lines.append(f"    log: {failure.log}")
        if len(group) > 5:
            lines.append(f"  … and {len(group) - 5} more (--json lists all)")
    lines += [f"unreadable shard: {path}: `run` computes again what it held" for path in state.records.broken]
    for id, measure in state.differing()[:5]:
        rows = state.records.results[id]
        lines.append(f"not deterministic: {rows[0]['name']} {measure} succeeded twice with different values")
    return lines + [
        f"a run is at work: process {claim.owner.pid} on {claim.owner.host}, {len(claim.units)} units"
        for claim in state.claims
    ]


def next_command(study: Study, state: "State", counts: dict[str, Counter[str]]) -> str:
    """What to type now."""
    open_units = sum(counter["pending"] + counter["waiting"] for counter in counts.values())
    claimed = sum(counter["claimed"] for counter in counts.values())
    failures = state.failures()
    if claimed:
        return f"tmbench status {study.command}"
    if open_units:
        waits_for_failed = not any(counter["pending"] for counter in counts.values())
        if waits_for_failed and failures:
            return f"tmbench run {study.command} retry=failed"
        return f"tmbench run {study.command}"
    if failures:
        classes = {failure.failure for failure in failures}
        retry = classes.pop() if len(classes) == 1 else "failed"
        return f"tmbench run {study.command} retry={retry}   or: tmbench aggregate {study.command}"
    return f"tmbench aggregate {study.command}"


if __name__ == "__main__":
    sys.exit(main())

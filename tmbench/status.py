"""``tmbench status``: what is done, in work, failed, waiting and left, what it costs and who is at work.

Read from the store's files, and from one squeue where jobs are announced.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, amount, guarded, nothing_to_run, parser, printable, resolve

if TYPE_CHECKING:
    from tmbench.engine.accounts import Hours
    from tmbench.engine.at_work import Crew
    from tmbench.engine.state import State

HEADS = {"done": "done", "running": "running", "queued": "queued", "failed": "failed", "waiting": "waiting"}
HEADS |= {"pending": "to do"}
"""Status → the head of its column."""
SHOWN = 5
"""So many failures of a class are shown; --json has all."""


def _main(arguments: Sequence[str] | None = None) -> int:
    """Print the state of a sweep; exit 0 when all is done, else 1."""
    command = parser("status", "What is done, running, queued, failed and left, what it costs, and who is at work.")
    command.add_argument("--watch", action="store_true", help="follow what is at work to its end")
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    if study.published:
        nothing = {"stages": {}, "minutes_left": 0.0, "failures": [], "next": f"tmbench aggregate {study.command}"}
        print(json.dumps(nothing, indent=2) if options.json else nothing_to_run(study))
        return 0
    from tmbench.watching import Lookout

    lookout = Lookout(study)
    state = lookout.follow() if options.watch else lookout.look()
    found = facts(study, state)
    print(json.dumps(found, indent=2) if options.json else printable(text(found)))
    return 0 if all(set(counter) <= {"done"} for counter in found["stages"].values()) else 1


main = guarded(_main, stopped="Nothing was changed, and what is at work goes on.")


def watch(study: Study) -> None:
    """Follow what is at work on a study to its end; prints where it stands then."""
    from tmbench.watching import Lookout

    state = Lookout(study).follow()
    print(printable("\n".join(table(facts(study, state)))), file=sys.stderr)


def facts(study: Study, state: "State") -> dict[str, Any]:
    """All that there is to tell, as plain data."""
    from tmbench.engine.accounts import accounts
    from tmbench.engine.at_work import crews

    counts, at_work, costs = state.counts(), crews(state), accounts(state, study.plan.options.cluster.needs)
    workers = sum(crew.workers for crew in at_work)
    pace = costs.pace
    return {
        "sweep": study.plan.sweep.name,
        "stages": {stage: {name: n for name, n in counter.items() if n} for stage, counter in counts.items()},
        "minutes_left": costs.minutes_left,
        "left": {stage: _hours(hours) for stage, hours in costs.left.items()},
        "spent": _hours(costs.spent),
        "pace": pace and {"units": pace.units, "minutes": pace.minutes, "units_per_hour": pace.per_hour},
        "workers": workers,
        "minutes_to_finish": costs.minutes_to_finish(workers),
        "at_work": [_crew(crew) for crew in at_work],
        "unknown": _unknown(at_work),
        **_troubles(state),
        "next": next_command(study, state, counts),
    }


def _hours(hours: "Hours") -> dict[str, float]:
    return {"gpu_hours": hours.gpu, "core_hours": hours.core}


def _crew(crew: "Crew") -> dict[str, Any]:
    from tmbench.engine.slurm.reasons import in_words

    waiting = [{"reason": word, "words": in_words(word), "elements": n} for word, n in crew.waiting.most_common()]
    count = {"units": len(crew.units), "in_hand": crew.in_hand, "workers": crew.workers}
    return {"kind": crew.kind, "name": crew.name, **count, "waiting": waiting}


def _unknown(at_work: Sequence["Crew"]) -> str:
    return next((crew.unsure for crew in at_work if crew.unsure), "")


def _troubles(state: "State") -> dict[str, Any]:
    """What a user must know beside the counts."""
    from tmbench.engine.given_up import given_up

    differing = [
        {"id": id, "name": state.records.results[id][0]["name"], "measure": measure}
        for id, measure in state.differing()
    ]
    return {
        "failures": [{**asdict(one), "log_exists": _is_file(one.log)} for one in state.failures()],
        "given_up": [{**asdict(one), "log_exists": _is_file(one.log)} for one in given_up(state)],
        "unreadable_shards": [str(path) for path in state.records.broken],
        "differing_successes": differing,
    }


def _is_file(path: str) -> bool:
    return bool(path) and Path(path).exists()


def text(facts: dict[str, Any]) -> str:
    """The facts for people."""
    lines = [*table(facts), *_costs(facts), *_at_work(facts), *_told(facts), f"next: {facts['next']}"]
    return "\n".join(lines)


def table(facts: dict[str, Any]) -> list[str]:
    """A row a stage, a column a status, and what is left."""
    lines = ["".join([f"{'':<10}", *(f"{head:>9}" for head in HEADS.values()), "   left"])]
    for stage, counter in facts["stages"].items():
        if counter:
            cells = (f"{counter[name]:,}" if counter.get(name) else "–" for name in HEADS)
            left = facts["left"].get(stage)
            lines.append("".join([f"{stage:<10}", *(f"{cell:>9}" for cell in cells), f"   {spelled(left)}"]).rstrip())
    return lines


def spelled(hours: dict[str, float] | None) -> str:
    """Hours in the unit a person would use; "" for none."""
    parts = [_one(hours[f"{kind}_hours"], kind) for kind in ("gpu", "core") if hours[f"{kind}_hours"]] if hours else []
    return ", ".join(parts)


def _one(hours: float, kind: str) -> str:
    name = "GPU" if kind == "gpu" else "core"
    for unit, size in (("hours", 1.0), ("minutes", 60.0)):
        if hours * size >= 1:
            return f"{hours * size:,.{0 if hours * size >= 10 else 1}f} {name}-{unit}"
    return f"{hours * 3600:.0f} {name}-seconds"


def _costs(facts: dict[str, Any]) -> list[str]:
    spent = spelled(facts["spent"])
    lines = [f"spent: {spent}"] if spent else []
    if facts["left"]:
        sums = {kind: sum(hours[kind] for hours in facts["left"].values()) for kind in ("gpu_hours", "core_hours")}
        lines.append(f"left: {spelled(sums) or 'seconds'}")
    pace, finish = facts["pace"], facts["minutes_to_finish"]
    if pace and facts["at_work"]:
        lines.append(f"pace: {pace['units_per_hour']:,.0f} units an hour, over the last {amount(pace['minutes'])}")
    if finish:
        lines.append(f"time: about {amount(finish)} until what is queued is done, with {_plural('worker', facts)}")
    return lines


def _plural(noun: str, facts: dict[str, Any]) -> str:
    number = facts[f"{noun}s"]
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _at_work(facts: dict[str, Any]) -> list[str]:
    lines = []
    for crew in facts["at_work"]:
        parts = [f"{crew['units']:,} units"]
        if crew["kind"] == "slurm":
            parts += [f"{crew['workers']:,} running"] if crew["workers"] else []
        elif crew["in_hand"]:
            parts.append(f"{crew['in_hand']:,} of them in hand")
        lines.append(f"at work: {crew['name']}: {', '.join(parts)}")
        lines += [f"  {one['elements']:,} waiting {one['words']}" for one in crew["waiting"]]
    if facts["unknown"]:
        lines.append(f"not known: whether these jobs wait, run or are over: {facts['unknown']}")
    return lines


def _told(facts: dict[str, Any], every: str = "--json") -> list[str]:
    """The troubles in lines; ``every`` is what lists them all."""
    by_class: dict[str, list[dict[str, Any]]] = {}
    for failure in facts["failures"]:
        by_class.setdefault(failure["failure"], []).append(failure)
    lines = []
    for name, group in sorted(by_class.items()):
        lines.append(f"{len(group):,} failed: {name}")
        for one in group[:SHOWN]:
            lines.append(f"  {one['stage']}  {one['name']}: {_first_line(one['message'])}")
            lines.append(_log(one))
        if len(group) > SHOWN:
            lines.append(f"  … and {len(group) - SHOWN:,} more ({every} lists all)")
    for one in facts["given_up"]:
        job = f" (job {one['job']})" if one["job"] else ""
        lines.append(f"given up: {one['name']}{job}, {len(one['left'])} of its units are still to do: {one['failure']}")
        lines += [f"  {_first_line(one['message'])}", _log(one)]
    lines += [f"unreadable shard: {path}: `run` computes again what it held" for path in facts["unreadable_shards"]]
    differing = facts["differing_successes"]
    for one in differing[:SHOWN]:
        lines.append(f"not deterministic: {one['name']} {one['measure']} succeeded twice with different values")
    return lines + [f"  … and {len(differing) - SHOWN:,} more ({every} lists all)"] * (len(differing) > SHOWN)


def _first_line(message: str) -> str:
    return (message.splitlines() or [""])[0][:200]


def _log(one: dict[str, Any]) -> str:
    return f"    log: {one['log']}" + ("" if one["log_exists"] else "  (not there any more)")


def notes(study: Study, state: "State") -> list[str]:
    """What a user must know beside the counts: failures by class, unreadable shards, differing successes, who works."""
    from tmbench.engine.at_work import crews

    found = crews(state)
    at_work = {"at_work": [_crew(crew) for crew in found], "unknown": _unknown(found)}
    return [*_told(_troubles(state), f"tmbench status {study.command} --json"), *_at_work(at_work)]


def next_command(study: Study, state: "State", counts: dict[str, Counter[str]]) -> str:
    """What to type now."""

    def any_is(*statuses: str) -> bool:
        return any(counter[status] for counter in counts.values() for status in statuses)

    if any_is("running", "queued"):
        return f"tmbench status --watch {study.command}"
    classes: Iterable[str] = {failure.failure for failure in state.failures()}
    if any_is("pending", "waiting"):
        waits_for_failed = not any_is("pending") and bool(classes)
        return f"tmbench run {study.command}{' retry=failed' * waits_for_failed}"
    if classes:
        retry = "failed" if len(set(classes)) > 1 else next(iter(classes))
        return f"tmbench run {study.command} retry={retry}   or: tmbench aggregate {study.command}"
    return f"tmbench aggregate {study.command}"


if __name__ == "__main__":
    sys.exit(main())

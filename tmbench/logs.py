"""``tmbench logs``: what a unit said and came to, attempt by attempt, and where it ran or waits."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.errors import ConfigError, NothingMatched
from tmbench.verb import Study, amount, guarded, nothing_to_run, parser, printable, resolve

if TYPE_CHECKING:
    from tmbench.engine.finding import Found
    from tmbench.engine.history import Attempt
    from tmbench.engine.state import State

OF_NAMES = re.compile(r"recipe=[\w./-]+|seed=\d+")
LISTED = 20
"""So many units are listed where several are meant."""


def _main(arguments: Sequence[str] | None = None) -> int:
    """Print what is known of a unit; exit 0, 1 when it failed, 2 when several are meant, 3 when none is."""
    command = parser(
        "logs",
        "UNIT is the beginning of an id, or words of a unit's name: its stage, source, target, and right behind them "
        "recipe=NAME and seed=N. "
        "Prints its attempts, its log, the end of what its job wrote, and the job that holds it.",
    )
    command.usage = "tmbench logs UNIT [OVERRIDE ...] [--config-dir DIR] [--json]"
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    wanted, options.overrides = _sorted_out(options.overrides)
    if not wanted:
        raise ConfigError("which unit? Name the beginning of its id, or its source and target: `tmbench status` tells.")
    study = resolve(options)
    if study.published:
        print(nothing_to_run(study))
        return 0
    from tmbench.watching import Lookout

    state = Lookout(study).look()
    found = _one(study, state, wanted)
    facts = unit_facts(study, state, found)
    print(json.dumps(facts, indent=2) if options.json else printable(text(facts)))
    return 1 if facts["status"] == "failed" else 0


main = guarded(_main, stopped="Nothing was changed.")


def _sorted_out(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that name a unit, and the overrides.

    Names have ``recipe=…`` and ``seed=…`` in them, which are overrides as well: they belong to the name that they
    stand right behind, as they do in a name, and narrow the study anywhere else.
    """
    wanted: list[str] = []
    overrides: list[str] = []
    of_name = False
    for word in words:
        of_name = not _is_override(word) or (of_name and OF_NAMES.fullmatch(word) is not None)
        (wanted if of_name else overrides).append(word)
    return wanted, overrides


def _is_override(word: str) -> bool:
    return "=" in word.split(maxsplit=1)[0] if word.split() else False


def _one(study: Study, state: "State", wanted: Sequence[str]) -> "Found":
    """The unit that is meant.

    Raises:
        ConfigError: when several are.
        NothingMatched: when none is.
    """
    from tmbench.engine.finding import find, nearest_names

    found, words = find(state.units, wanted), " ".join(wanted)
    if not found and [word for word in wanted[1:] if not _is_override(word)] == []:
        # An id says all; whatever recipe and seed stand behind it.
        found = [one for one in find(state.units, wanted[:1]) if one.id.startswith(wanted[0])]
    if len(found) == 1:
        return found[0]
    if not found:
        near = nearest_names(state.units, wanted)
        hint = f"Nearest: {', '.join(near)}." if near else f"`tmbench run {study.command} --dry-run` lists units."
        raise NothingMatched(f"no unit of {study.plan.sweep.name} has '{words}' in its name or id. {hint}")
    lines = [f"  {one.id[:12]}  {one.stage:<9} {_word(_status(state, one)):<8} {one.name}" for one in found[:LISTED]]
    lines += [f"  … and {len(found) - LISTED:,} more"] * (len(found) > LISTED)
    raise ConfigError(
        f"'{words}' means {len(found):,} units:\n" + "\n".join(lines) + "\nName one by the beginning of its id, or "
        "by more words of its name."
    )


def _status(state: "State", one: "Found") -> str:
    return state.status.get(one.id) or state.score_status(one.unit(state.units).id, one.id)


def _word(status: str) -> str:
    return "to do" if status == "pending" else status


def unit_facts(study: Study, state: "State", found: "Found") -> dict[str, Any]:
    """All that is known of a unit, or of a score, as plain data."""
    from tmbench.engine.history import attempts, end_of, job_outputs

    unit = found.unit(state.units)
    runs, store = study.out / "runs", study.store
    made = attempts(store / "records", found.id)
    holder = _holder(state, unit.id)
    log = next((a.record["log"] for a in reversed(made) if a.record["log"]), "")
    own_log = Path(store / "logs" / unit.id[:2] / f"{unit.id}-{unit.stage}.log")
    jobs = [(holder["run"], holder["job"])] if holder else []
    jobs += [(attempt.record["run"], attempt.record["job"]) for attempt in reversed(made)]
    written = (job_outputs(run, job, runs, store / "claims") for run, job in jobs)
    outputs = next(filter(None, written), [])
    if log and not outputs and Path(log) != own_log and Path(log).is_file():
        outputs = [Path(log)]  # of a worker that died without a word
    return {
        "id": found.id,
        "unit": unit.id,
        "stage": found.stage,
        "name": found.name,
        "status": _status(state, found),
        "after": [{"id": id, "status": state.status.get(id, "")} for id in unit.after],
        "resources": unit.resources.model_dump(),
        "minutes": unit.minutes,
        "scores": len(unit.scores),
        "attempts": [_attempt(attempt) for attempt in made],
        "held_by": holder,
        "log": {"path": str(own_log), "text": "\n".join(end_of(own_log, 1000))} if own_log.is_file() else None,
        "job_output": [{"path": str(path), "end": end_of(path)} for path in outputs],
        "next": _next(study, state, found),
    }


def _attempt(attempt: "Attempt") -> dict[str, Any]:
    record = {name: value for name, value in attempt.record.items() if name not in ("id", "unit", "stage", "name")}
    for name in ("details", "flags", "versions"):
        record[name] = json.loads(record[name] or "null")
    return {**record, "values": attempt.values}


def _holder(state: "State", id: str) -> dict[str, Any] | None:
    """Who has the unit, or keeps it for later."""
    from tmbench.engine.history import element_of
    from tmbench.engine.slurm.reasons import in_words

    held = next((held for held in state.holdings if id in held.units), None)
    if held is None or state.status[id] not in ("running", "queued"):
        return None
    element = element_of(held, id)
    if element is None:
        return {"who": held.who, "job": "", "run": Path(held.claim.folder).name}
    waits = in_words(element.reason) if element.state == "PENDING" else ""
    facts = {**asdict(element), "waits": waits, "run": Path(held.claim.folder).name}
    return {"who": f"SLURM job {element.job}", **facts}


def _next(study: Study, state: "State", found: "Found") -> str:
    status = _status(state, found)
    if status in ("running", "queued"):
        return f"tmbench status --watch {study.command}"
    if status == "failed":
        failure = state.records.failure(found.id) or "failed"
        return f"tmbench run {study.command} retry={failure}"
    return f"tmbench {'aggregate' if status == 'done' else 'run'} {study.command}"


def text(facts: dict[str, Any]) -> str:
    """The facts for people."""
    lines = [
        f"{facts['stage']}  {facts['name']}  {_word(facts['status'])}",
        f"  id      {facts['id']}",
    ]
    if facts["unit"] != facts["id"]:
        lines.append(f"  unit    {facts['unit']}")
    lines += _key_facts(facts)
    lines += _holder_lines(facts["held_by"])
    for number, attempt in enumerate(facts["attempts"], 1):
        lines += _attempt_lines(number, attempt)
    if not facts["attempts"]:
        lines.append("no attempt is recorded")
    if facts["log"]:
        lines += [f"log: {facts['log']['path']}", *_indented(facts["log"]["text"].splitlines())]
    for output in facts["job_output"]:
        if output["end"]:
            lines += [f"end of {output['path']}", *_indented(output["end"])]
    return "\n".join([*lines, f"next: {facts['next']}"])


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}".rstrip() for line in lines]


def _key_facts(facts: dict[str, Any]) -> list[str]:
    needs = facts["resources"]
    parts = [f"{needs['gpus']} gpu"] * bool(needs["gpus"])
    parts += [f"{needs['cpus']} cpu", f"{needs['memory_gb']:g} GB"]
    parts += [f"about {amount(facts['minutes'])}"] * bool(facts["minutes"])
    lines = [f"  needs   {', '.join(parts)}"]
    if facts["scores"] and facts["stage"] == "features":
        lines.append(f"  owes    {facts['scores']} scores")
    lines += [f"  after   pretrain {one['id'][:12]}  {one['status']}" for one in facts["after"]]
    return lines


def _holder_lines(holder: dict[str, Any] | None) -> list[str]:
    if holder is None:
        return []
    if not holder["job"]:
        return [f"held by {holder['who']}"]
    if holder["waits"]:
        return [f"held by {holder['who']}, which waits {holder['waits']}"]
    return [f"held by {holder['who']}, {holder['state']} on {holder['node']} for {amount(holder['seconds'] / 60)}"]


def _attempt_lines(number: int, attempt: dict[str, Any]) -> list[str]:
    what = attempt["status"] + (f" ({attempt['failure']})" if attempt["failure"] else "")
    took = [amount(attempt["seconds"] / 60)] if attempt["seconds"] is not None else []
    took += [f"{attempt['memory_mb']:,.0f} MB"] if attempt["memory_mb"] else []
    took += [f"{attempt['gpu_memory_mb']:,.0f} MB on the GPU"] if attempt["gpu_memory_mb"] else []
    where = [f"host {attempt['host']}"] if attempt["host"] else []
    where += [attempt["gpu"]] if attempt["gpu"] else []
    where += [f"job {attempt['job']}"] if attempt["job"] else []
    lines = [
        f"attempt {number}: {what}, {attempt['finished'][:19]}Z, {', '.join([*took, *where, 'run ' + attempt['run']])}"
    ]
    lines += [
        f"  {measure or 'value'} {value:.6g}" for measure, value in attempt["values"].items() if value is not None
    ]
    return lines + _indented(attempt["message"].splitlines())


if __name__ == "__main__":
    sys.exit(main())

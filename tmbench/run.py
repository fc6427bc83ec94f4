"""``tmbench run``: do what is missing of a sweep, on this machine or a cluster, and nothing twice."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, amount, guarded, nothing_to_run, parser, printable, resolve

if TYPE_CHECKING:
    from tmbench.engine.execution import Report
    from tmbench.engine.units import Unit
    from tmbench.study.plan import Plan


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; exit 0 when all of it is done (or, on SLURM, in the queue), else 1."""
    command = parser(
        "run",
        "Do what is missing. retry=failed (or a class of failure: retry=out_of_memory) tries failed units again. "
        "With cluster=slurm the work goes into the queue and the command returns.",
    )
    command.add_argument("--dry-run", action="store_true", help="list the units or sbatch files, and stop")
    command.add_argument("-n", type=_count, default=0, metavar="N", help="do only the first N chunks: -n 1 is a canary")
    command.add_argument("--yes", action="store_true", help="spend a cluster's hours without asking")
    command.add_argument("--wait", action="store_true", help="on SLURM: follow the jobs to their end")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options, extra=("retry",))
    retry = _classes(study.extra.get("retry", ()))
    if study.published:
        print(nothing_to_run(study))
        return 0
    cluster = study.plan.options.cluster
    if options.dry_run and cluster.kind != "slurm":
        return _dry_run(study, study.state().to_do(retry))
    if not options.dry_run:
        _check_inputs(study, retry)
        _check_vision(cluster.slurm.python if cluster.kind == "slurm" else "")
    from tmbench.engine.execution import Execution

    while True:
        units = study.state().units
        execution = Execution(
            units, study.store, study.out / "runs", cluster, frozen(study.plan), study.plan.sweep.name
        )  # fmt: skip
        if cluster.kind == "slurm":
            from tmbench.engine.slurm.submission import Submission
            from tmbench.submitting import on_slurm

            report = on_slurm(study, Submission(execution, retry, options.n), options)
        else:
            register(study)
            report = execution.start(retry, options.n)
        done, study = study, study.after_records()
        for note in study.stuck:
            if note not in done.stuck:
                print(f"warning: {note}", file=sys.stderr)
        if not _goes_on(done, study, report, options):
            break
        print(f"tuning: {len(study.plan.units):,} units are wanted now", file=sys.stderr)
    code = finish(study, report)
    return 0 if report.submitted and not options.wait and not report.problems else code


def _goes_on(done: Study, study: Study, report: "Report", options: argparse.Namespace) -> bool:
    """Whether the results of ``done`` have made its tuning want more, and this command shall do that too."""
    if options.dry_run or options.n or report.problems or (report.submitted and not options.wait):
        return False
    return not set(study.plan.units.all_ids()) <= set(done.plan.units.all_ids())


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of chunks: give 1 or more")
    return int(text)


def _check_inputs(study: Study, retry: frozenset[str]) -> None:
    """Refuse to start while a file of weights or a folder of data is missing that the work reads."""
    from tmbench.errors import TmbenchError
    from tmbench.study.missing import missing, missing_for

    # The plan's own look is enough nearly always, and cheaper than the store's.
    if missing(study.plan.options) and (sentences := missing_for(study.plan, study.state(), retry)):
        raise TmbenchError("\n".join([*sentences, "Nothing was started."]))


def _check_vision(elsewhere: str) -> None:
    """Say at once, and not in every worker's log, that the part which trains networks is not installed."""
    from importlib.util import find_spec

    from tmbench.errors import TmbenchError

    if elsewhere:
        return  # the workers' Python is another one, which `doctor` asks
    missing = [name for name in ("torch", "torchvision", "timm") if find_spec(name) is None]
    if missing:
        raise TmbenchError(f"run needs {', '.join(missing)}: pip install 'tmbench[vision]'. Nothing was started.")


def _classes(value: Any) -> frozenset[str]:
    """The classes of failure that ``retry=`` names."""
    from tmbench.engine.failures import CLASSES, SHORT
    from tmbench.errors import unknown

    names = [str(name) for name in (value if isinstance(value, list | tuple) else [value])]
    names = [SHORT.get(name, name) for name in names]
    for name in names:
        if name not in CLASSES and name != "failed":
            raise unknown("class of failure", name, ["failed", *CLASSES, *SHORT], where=f"retry={name}")
    return frozenset(names)


def frozen(plan: "Plan") -> dict[str, Any]:
    """The resolved study as plain data, to be kept beside its results."""
    options = plan.options
    groups = {
        group: {name: option.model_dump(mode="json") for name, option in getattr(options, group).items()}
        for group in ("source", "target", "level", "metric", "measure", "pool", "cells")
    }
    groups["recipe"] = {f"{task}/{name}": o.model_dump(mode="json") for (task, name), o in options.recipe.items()}
    return {
        "sweep": plan.sweep.model_dump(mode="json"),
        "options": groups,
        "cluster": options.cluster.model_dump(mode="json"),
        "store": options.store.model_dump(mode="json"),
    }


def register(study: Study) -> None:
    """Leave word in the store which units this plan has, so that ``gc`` keeps their artifacts."""
    from tmbench.engine.plans import register

    register(study.store, study.plan.sweep.name, study.command, study.plan.units)


def _dry_run(study: Study, todo: "Sequence[Unit]") -> int:
    for unit in todo:
        scores = f"  + {len(unit.scores)} scores" if unit.scores else ""
        print(f"{unit.stage:<9} {unit.id[:12]}  {unit.name}{scores}  ≈ {amount(unit.minutes)}")
    print(f"{len(todo)} units, ≈ {amount(sum(unit.minutes for unit in todo))} of one worker", file=sys.stderr)
    print(f"next: tmbench run {study.command}", file=sys.stderr)
    return 0


def finish(study: Study, report: "Report") -> int:
    """Say what came of the run and what to type next."""
    from tmbench.engine.state import State
    from tmbench.status import next_command, notes

    for path in report.set_aside:
        print(f"warning: a record shard could not be read and was set aside: {path}", file=sys.stderr)
    for other in report.elsewhere:
        print(f"note: {len(other.units):,} units are left to {other.who}", file=sys.stderr)
    for problem in report.problems:
        print(printable(f"error: {problem}"), file=sys.stderr)
    state = State(study.plan.units, study.store, own=None if report.submitted else report.own)
    for line in notes(study, state):
        print(printable(line), file=sys.stderr)
    counts = state.counts()
    done = sum(counter["done"] for stage, counter in counts.items() if stage != "score")
    total = len(study.plan.units)
    scores = counts["score"]
    print(
        f"{study.plan.sweep.name}: {done:,} of {total:,} units and {scores['done']:,} of {sum(scores.values()):,} "
        f"scores are done{'' if report.submitted else f'; this run did {report.finished:,} units'}"
    )
    print(f"next: {next_command(study, state, counts)}")
    complete = done == total and scores["done"] == sum(scores.values())
    return 0 if complete and not report.problems else 1


if __name__ == "__main__":
    sys.exit(main())

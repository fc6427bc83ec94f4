"""``tmbench cancel``: take a sweep's jobs out of the queue, or only those that a changed sweep no longer lists."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tmbench.verb import agreed, guarded, nothing_to_run, parser, resolve

if TYPE_CHECKING:
    from tmbench.engine.slurm.recall import Recall


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Cancel; exit 0 when nothing of it is left in the queue, 1 when something could not be cancelled."""
    command = parser(
        "cancel", "Take a sweep's jobs out of SLURM's queue. What is finished is kept; `run` goes on with the rest."
    )
    command.add_argument("--unlisted", action="store_true", help="only units that the sweep, changed since, lacks now")
    command.add_argument("--dry-run", action="store_true", help="say what would be cancelled, and stop")
    command.add_argument("--yes", action="store_true", help="do not ask")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    if study.published:
        print(nothing_to_run(study))
        return 0
    from tmbench.engine.slurm.recall import recall

    planned = {unit.id for unit in study.plan.units}
    found = recall(study.store, planned, study.plan.sweep.name, options.unlisted)
    for line in _told(found):
        print(line, file=sys.stderr)
    if options.dry_run or not found.units:
        print(f"{len(found.units):,} units would be cancelled" if options.dry_run else "nothing to cancel")
    elif options.yes or agreed("Cancel?"):
        found.carry_out()
        print(f"{len(found.units):,} units are cancelled: {len(found.jobs)} jobs")
    else:
        print("nothing was cancelled")
    print(f"next: tmbench status {study.command}")
    return 1 if found.elsewhere else 0


def _told(found: "Recall") -> Iterable[str]:
    if found.jobs:
        yield f"{len(found.jobs)} jobs: {', '.join(found.jobs[:10])}{' …' if len(found.jobs) > 10 else ''}"
    dropped = sum(len(units) for _, units in found.dropped)
    if dropped:
        yield f"{dropped:,} units of jobs that go on with others are left out there"
    for held in found.elsewhere:
        yield f"{held.who} is at work on {len(held.units):,} units: stop it there, with Ctrl-C"


if __name__ == "__main__":
    sys.exit(main())

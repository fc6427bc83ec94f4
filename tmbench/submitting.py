"""The part of ``run`` that spends a cluster: says what it costs, asks, submits, follows."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from tmbench.errors import Declined
from tmbench.verb import Study, agreed

if TYPE_CHECKING:
    from tmbench.engine.execution import Report
    from tmbench.engine.records import Records
    from tmbench.engine.slurm.submission import Submission


def on_slurm(study: Study, submission: "Submission", options: Namespace) -> "Report":
    """Submit what is missing, and with ``--wait`` follow the sweep to its end.

    Raises:
        Declined: when nothing is to be submitted, by ``--dry-run`` or by the user's answer.
        ConfigError: when there is nobody to ask.
        StoreError: when the store cannot be written.
    """
    from tmbench.engine.slurm.bill import bill, unheeded
    from tmbench.run import register

    prepared = submission.tried() if options.dry_run else submission.prepared()
    if prepared.arrays:
        print(bill(prepared.arrays), file=sys.stderr)
    needs = study.plan.options.cluster.needs
    for line in [*unheeded(prepared.arrays, prepared.records, needs), *_left_out(study, prepared.records)]:
        print(line, file=sys.stderr)
    if options.dry_run:
        for text in submission.scripts(prepared):
            print(text)
        raise Declined(f"nothing was submitted\nnext: tmbench run {study.command}", exit_code=0)
    if prepared.arrays:
        if not options.yes and not agreed("Submit?"):
            raise Declined(f"nothing was submitted\nnext: tmbench run {study.command} --dry-run", exit_code=1)
        register(study)
        submission.submit(prepared)
    report = prepared.report
    if report.submitted:
        print(f"submitted: {', '.join(report.submitted)}", file=sys.stderr)
    if options.wait:
        from tmbench.status import watch

        watch(study)
    return report


def _left_out(study: Study, records: "Records") -> list[str]:
    """A line for the units that wait for what jobs of earlier runs are making: they are not submitted with the rest."""
    from tmbench.engine.state import HELD, State

    state = State(study.plan.units, study.store, records)
    held = {id for id, status in state.status.items() if status in HELD}
    waiting = [batch for batch in state.units.batches if held.intersection(batch.after)]
    count = sum(state.status[id] == "waiting" for batch in waiting for id in batch.ids)
    return [f"note: {count:,} units wait for weights that are being made: run again when those are done"] * bool(count)

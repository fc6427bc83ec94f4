"""Submission: arrays of chunks into SLURM's queue through submitit, each announced by the run's claim before."""

import getpass
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmbench.engine.chunks import Chunk, freeze
from tmbench.engine.claims import Claim, Job
from tmbench.engine.demands import demands
from tmbench.engine.execution import Execution, Report, new_name
from tmbench.engine.holdings import withdrawn
from tmbench.engine.provenance import commit
from tmbench.engine.records import Records
from tmbench.engine.slurm.arrays import Array, arrays, kept
from tmbench.engine.slurm.parameters import executor, parameters, text
from tmbench.engine.slurm.patience import SlurmUnavailable, SubmissionRefused, patiently
from tmbench.engine.slurm.site import cancel, cancel_by_name, max_array_size, max_submitted, settings
from tmbench.engine.snapshot import Snapshot
from tmbench.engine.state import State
from tmbench.engine.units import Unit
from tmbench.engine.worker import Worker
from tmbench.errors import ConfigError
from tmbench.files import StoreError


@dataclass
class Prepared:
    """What would be submitted, before anything is claimed or written.

    Attributes:
        run: the run's name.
        report: what it has to tell so far.
        records: what was read of the store.
        arrays: how the units that are to be done would go out.
    """

    run: str
    report: Report
    records: Records
    arrays: list[Array]

    @property
    def units(self) -> list[Unit]:
        """All units of the arrays."""
        return [unit for array in self.arrays for share in array.shares for unit in share]


@dataclass(frozen=True)
class Submission:
    """One call of ``run`` on SLURM.

    Attributes:
        execution: what is to be run.
        retry: classes of failures to try again.
        at_most: submit only so many chunks, the first ones; 0 is all.
    """

    execution: Execution
    retry: Collection[str] = ()
    at_most: int = 0

    def prepared(self) -> Prepared:
        """Settle what earlier runs left, and cut what is to be done into arrays.

        Raises:
            SlurmUnavailable: when there is no SLURM or it does not answer.
            StoreError: when the store cannot be written.
        """
        longest = max_array_size(settings())  # a site that does not answer takes no jobs either
        longest = min(longest, max_submitted(getpass.getuser(), self.execution.cluster.slurm.account) or longest)
        report, state, todo = self.execution.open(self.retry)
        return self._cut(report, state, todo, longest)

    def tried(self) -> Prepared:
        """The same, but nothing is written, and where there is no SLURM its usual limits are taken."""
        state = State(self.execution.units, self.execution.store)
        return self._cut(Report(), state, state.to_do(self.retry), max_array_size())

    def _cut(self, report: Report, state: State, todo: Sequence[Unit], longest: int) -> Prepared:
        if any(sign in str(self.execution.folder) for sign in "%\\"):
            raise ConfigError(
                f"paths.out leads to {self.execution.folder}, and SLURM replaces '%' and '\\' in the names of logs: "
                "choose a folder without them."
            )
        cluster, run = self.execution.cluster, new_name()
        wanted = demands(todo, self.execution.units, state.records, cluster.needs)
        return Prepared(run, report, state.records, arrays(todo, wanted, cluster, run, longest, self.at_most))

    def scripts(self, prepared: Prepared) -> Iterator[str]:
        """The sbatch file of each array; what it waits for has no id yet and stands under its name."""
        pretrained = [array.name for array in prepared.arrays if array.wave == "pretrain"]
        for array in prepared.arrays:
            folder = self.execution.folder / prepared.run / "jobs" / array.name
            wanted = self._parameters(array, self.execution.store / "code" / "SNAPSHOT.zip", pretrained)
            yield text(folder, self.execution.cluster.slurm, wanted, len(array.shares))

    def _parameters(self, array: Array, code: Path, waited_for: Sequence[str]) -> dict[str, Any]:
        """What submitit is told of an array; ``waited_for`` are the jobs that pretrain."""
        return parameters(
            self.execution.cluster.slurm,
            array.resources,
            array.minutes,
            array.name,
            [code],
            f"afterany:{':'.join(waited_for)}" if array.wave == "dependent" and waited_for else "",
            array.concurrent,
        )

    def submit(self, prepared: Prepared) -> Report:
        """Claim the units and put their arrays into the queue; what cannot be submitted is given back.

        Raises:
            StoreError: when the store cannot be written.
        """
        report = prepared.report
        mine = self.execution.claim(prepared.units, prepared.records, self.retry, report)
        # Another run may have taken some of what was prepared.
        made = kept(prepared.arrays, {unit.id for unit in mine})
        try:
            if made:
                self._submit(made, prepared.run, report)
        finally:
            if report.own is not None:
                _give_back(report.own)
        return report

    def _submit(self, made: Sequence[Array], run: str, report: Report) -> None:
        assert report.own is not None
        frozen = self.execution.frozen_code()
        folder = self.execution.new_folder(run, frozen)
        chunks = freeze([share for array in made for share in array.shares], folder / "units.parquet", frozen.translate)
        own = report.own = report.own.announce([_announced(array) for array in made], folder)
        waited_for: list[str] = []
        refused_pretraining = False
        revision = commit()
        for number, array in enumerate(made):
            if refused_pretraining and array.wave == "dependent":
                continue
            workers = self._workers(array, number, chunks, run, revision, own, frozen)
            try:
                job = self._sbatch(array, workers, folder, self._parameters(array, frozen.path, waited_for), own)
            except (SubmissionRefused, SlurmUnavailable) as error:
                if isinstance(error, SlurmUnavailable) or error.full:
                    report.problems.append(f"{number} of {len(made)} arrays are submitted, the rest is left: {error}")
                    return
                report.problems.append(f"{sum(map(len, array.shares)):,} units are not submitted: {error}")
                refused_pretraining |= array.wave == "pretrain"
                continue
            if not own.confirm(number, job):
                cancel([job])
                report.problems.append(f"another run took {array.name} over, so its job {job} is cancelled: run again.")
                continue
            report.submitted.append(job)
            if array.wave == "pretrain":
                waited_for.append(job)

    def _workers(
        self, array: Array, number: int, chunks: Sequence[Chunk], run: str, revision: str, own: Claim, frozen: Snapshot
    ) -> list[Worker]:
        cluster = self.execution.cluster
        return [
            Worker(
                chunk,
                str(self.execution.store),
                run,
                revision,
                claim=str(own.path),
                announced=number,
                flush_seconds=cluster.flush_seconds,
                checkpoint_seconds=60 * cluster.checkpoint_minutes,
                grace_seconds=cluster.slurm.signal_seconds / 2,
                gpus=array.resources.gpus,
                cpus=array.resources.cpus,
                code=str(frozen.path),
                perform=self.execution.perform,
            )
            for chunk in chunks[array.first : array.first + len(array.shares)]
        ]

    def _sbatch(self, array: Array, workers: Sequence[Worker], folder: Path, wanted: dict[str, Any], own: Claim) -> str:
        """Submit one array through submitit; its id.

        An answer that got lost may have been a yes: what bears the array's name is ended before another try. Its
        elements could not have worked, because submitit gives them their chunks only when it knows the id.
        """
        site = executor(folder / "jobs" / array.name, self.execution.cluster.slurm)
        site.update_parameters(**wanted)
        tries = iter(range(1000))

        def once() -> str:
            own.touch()
            if next(tries):
                cancel_by_name(array.name)
            with redirect_stderr(io.StringIO()), site.batch():  # submitit prints what its error says as well
                jobs = [site.submit(worker) for worker in workers]
            return str(jobs[0].job_id).partition("_")[0]

        return patiently(once)


def _give_back(own: Claim) -> None:
    """After the submission, however it ended: what got no verdict is withdrawn, and a claim with no job is released.

    Where even that fails, this process is gone in a moment, and the next run does it.
    """
    with suppress(StoreError):
        held = [own.verdict(number) or not withdrawn(own, number) for number in range(len(own.jobs))]
        if not any(held):
            own.release()


def _announced(array: Array) -> Job:
    return Job(
        array.name,
        tuple(range(array.first, array.first + len(array.shares))),
        tuple(tuple(unit.id for unit in share) for share in array.shares),
    )

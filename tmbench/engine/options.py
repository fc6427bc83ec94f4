"""The schema of ``conf/cluster/NAME.yaml``: where units run."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tmbench.sources.resources import Resources


def cores() -> int:
    """The cores that this process may use, one worker each."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Slurm(BaseModel):
    """A SLURM site, as sbatch wants to hear it.

    Attributes:
        partition, account, qos, constraint, exclude: of sbatch; "" leaves the site's default.
        gpus_as: how the site wants graphics processors asked for: ``--gres=gpu:N`` or ``--gpus-per-node=N``.
        gpu_type: a model, as in ``--gres=gpu:a100:N``; "" is any.
        setup: lines of shell at the start of each job (``module load …``, ``source …/activate``); written by the owner
            of the option file, and run as they stand.
        python: the command that starts Python on a node, such as ``apptainer exec --nv image.sif python``; "" is the
            interpreter of ``run``. The store and the working directory must be visible to it.
        max_concurrent: elements that run at a time, over all arrays of a run.
        max_array: elements of an array at most; 0 asks ``scontrol`` for the site's MaxArraySize.
        max_minutes: the longest time limit to ask for, that of the partition, say.
        signal_seconds: so long before the time limit the site warns the worker, which then saves and requeues itself.
        requeues: how often a chunk whose time is up is put back into the queue; preemptions do not count.
        sbatch: other parameters of sbatch by their long names, such as ``{reservation: night}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    exclude: str = ""
    gpus_as: Literal["gres", "gpus_per_node"] = "gres"
    gpu_type: str = ""
    setup: tuple[str, ...] = ()
    python: str = ""
    max_concurrent: int = Field(default=256, ge=1)
    max_array: int = Field(default=0, ge=0)
    max_minutes: float = Field(default=24 * 60.0, ge=1)
    signal_seconds: int = Field(default=120, ge=5)
    requeues: int = Field(default=10, ge=0)
    sbatch: dict[str, str | int | bool] = Field(default_factory=dict)


class Needs(BaseModel):
    """What is asked for in place of what sources and recipes declare; null leaves theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int | None = Field(default=None, ge=0)
    cpus: int | None = Field(default=None, ge=1)
    memory_gb: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)

    def over(self, resources: Resources) -> Resources:
        """``resources`` with what is set here in their place."""
        asked = {name: value for name, value in self.model_dump().items() if value is not None and name != "minutes"}
        return resources.model_copy(update=asked)


class Cluster(BaseModel):
    """Where units run, and how they are cut into jobs.

    Attributes:
        kind: ``debug``, in this process; ``local``, processes of this machine; ``slurm``, a cluster.
        workers: processes of ``local`` at a time; 0 is one a core.
        chunk_minutes: aimed length of a chunk of units, which is one job.
        chunks_per_worker: how many chunks each worker gets at least, to even out wrong estimates.
        flush_seconds: how often workers write records; bounds what a killed one loses beside the unit in progress.
        checkpoint_minutes: how often a training saves its state, so that it can be resumed.
        needs: resources asked for in place of what sources and recipes declare.
        slurm: the site.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["debug", "local", "slurm"]
    workers: int = Field(default=0, ge=0)
    chunk_minutes: float = Field(default=60.0, gt=0)
    chunks_per_worker: int = Field(default=1, ge=1)
    flush_seconds: float = Field(default=5.0, gt=0, le=10)
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    needs: Needs = Needs()
    slurm: Slurm = Slurm()

    @property
    def processes(self) -> int:
        """How many workers run at a time; 0 is none, the work is done by the caller."""
        if self.kind == "slurm":
            return self.slurm.max_concurrent
        return 0 if self.kind == "debug" else self.workers or cores()

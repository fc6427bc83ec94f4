"""From a profile and a unit's needs to what submitit writes at the head of an sbatch file; `run` and `doctor` alike."""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.engine.options import Slurm
from tmbench.engine.threads import THREAD_VARIABLES
from tmbench.sources.resources import Resources

if TYPE_CHECKING:
    import submitit

SIGNAL = "USR2"
"""The warning before the time limit; what submitit listens to."""


def executor(folder: Path, slurm: Slurm) -> "submitit.SlurmExecutor":
    """The executor of submitit, which keeps its files in ``folder``; both sides must see that folder.

    Python takes the place of the job's shell (``exec``), because the warning is sent to that process alone.

    Raises:
        SlurmUnavailable: where there is no SLURM.
    """
    import submitit

    from tmbench.engine.slurm.patience import SlurmUnavailable

    try:
        return submitit.SlurmExecutor(folder=folder, python=_python(slurm), max_num_timeout=slurm.requeues)
    except RuntimeError as error:  # submitit looks for srun
        raise SlurmUnavailable(
            f"there is no SLURM here ({error}). Run on a login node of the cluster, or choose cluster=local."
        ) from error


def parameters(
    slurm: Slurm,
    resources: Resources,
    minutes: float,
    name: str,
    pythonpath: Sequence[Path],
    dependency: str = "",
    concurrent: int = 1,
) -> dict[str, Any]:
    """What ``executor.update_parameters`` takes for jobs of one kind.

    Args:
        slurm: the site.
        resources: what a job needs.
        minutes: its time limit, cut to the site's.
        name: the job's name.
        pythonpath: where a job finds its code, before all else.
        dependency: what it waits for, as sbatch spells it (``afterany:17``).
        concurrent: how many elements of an array run at a time.
    """
    asked: dict[str, Any] = {
        "mem": f"{math.ceil(resources.memory_gb * 1e9 / 2**20)}M",  # SLURM's M is 2^20 bytes
        "requeue": True,
        # To the job's first process only; the time limit of a job is what sends it.
        "signal": f"B:{SIGNAL}@{slurm.signal_seconds}",
        **_gpus(slurm, resources.gpus),
    }
    for key in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(slurm, key):
            asked[key] = value
    if dependency:
        asked["dependency"] = dependency
    return {
        "job_name": name,
        "time": max(1, math.ceil(min(minutes, slurm.max_minutes))),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus,
        "array_parallelism": concurrent,
        "wckey": None,  # submitit's own, which sites that keep accounts by such keys do not know
        "stderr_to_stdout": True,  # one log file a job
        "use_srun": False,  # one call to the controller less for each job, and signals reach Python
        "setup": [*slurm.setup, *_environment(resources, pythonpath)],
        "additional_parameters": _merged(asked, slurm.sbatch),
    }


def text(folder: Path, slurm: Slurm, wanted: dict[str, Any], count: int) -> str:
    """The sbatch file that submitit writes for ``count`` jobs of these :func:`parameters`; needs no SLURM."""
    from submitit.slurm.slurm import _make_sbatch_string

    command = f"{_python(slurm)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    written: str = _make_sbatch_string(command, folder, map_count=count if count > 1 else None, **wanted)
    return written


def _python(slurm: Slurm) -> str:
    return f"exec {slurm.python or shlex.quote(sys.executable)}"


def _gpus(slurm: Slurm, count: int) -> dict[str, str]:
    if not count:
        return {}
    parts = [slurm.gpu_type, str(count)] if slurm.gpu_type else [str(count)]
    if slurm.gpus_as == "gres":
        return {"gres": ":".join(["gpu", *parts])}
    return {"gpus-per-node": ":".join(parts)}


def _merged(asked: dict[str, Any], own: dict[str, str | int | bool]) -> dict[str, Any]:
    """``asked`` with the profile's own parameters over them; False takes a parameter away."""
    own = {key.replace("_", "-"): value for key, value in own.items()}
    if own.keys() & {"mem-per-cpu", "mem-per-gpu"}:
        asked = {key: value for key, value in asked.items() if key != "mem"}  # sbatch takes one of the three
    if own.get("no-requeue"):
        asked = {key: value for key, value in asked.items() if key != "requeue"}
    return {key: value for key, value in {**asked, **own}.items() if value is not False}


def _environment(resources: Resources, pythonpath: Sequence[Path]) -> list[str]:
    """Lines of shell that come after the profile's own."""
    threads = resources.cpus if resources.gpus else 1  # one thread makes sums come out in one order
    places = shlex.quote(":".join(str(path) for path in pythonpath))
    return [
        f"export SUBMITIT_PREEMPT_SIGNAL={SIGNAL}",
        # Python would look for modules in the working directory first, a checkout that was edited since, say.
        "export PYTHONSAFEPATH=1",
        f'export PYTHONPATH={places}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        *(f"export {variable}={threads}" for variable in THREAD_VARIABLES),
    ]

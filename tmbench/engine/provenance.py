"""Provenance: what made a result, so that a reader can make it again."""

import functools
import json
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from tmbench import __version__

PACKAGES = (
    "hydra-core",
    "matplotlib",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "submitit",
    "timm",
    "torch",
    "torchvision",
)


def commit() -> str:
    """The commit of the tmbench checkout, with ``+`` when its tree differs; "" for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python, tmbench and the libraries that results depend on; those not installed are left out."""
    out = {"python": platform.python_version(), "tmbench": __version__}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def where(gpus: int = 0, cpus: int = 1) -> dict[str, Any]:
    """What made a record: columns of :mod:`tmbench.engine.records`; of GPUs and cores what the job holds."""
    job, raw_job = job_ids()
    model, gpu_memory = _gpu()
    return {
        "version": __version__,
        "versions": _versions_text(),
        "host": platform.node(),
        "gpu": model,
        "gpus": float(gpus),
        "cpus": float(cpus),
        "memory_mb": peak_memory_mb(),
        "gpu_memory_mb": gpu_memory,
        "job": job,
        "raw_job": raw_job,
    }


def job_ids() -> tuple[str, str]:
    """SLURM's ids of the job that this process runs in: as squeue shows it (``17_3``), and the raw one; "" outside."""
    raw = os.environ.get("SLURM_JOB_ID", "")
    array = os.environ.get("SLURM_ARRAY_JOB_ID", "")
    return (f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else raw), raw


@functools.cache
def _versions_text() -> str:
    return json.dumps(versions(), sort_keys=True)


def peak_memory_mb() -> float:
    """The peak resident memory of this process until now, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024


def _gpu() -> tuple[str, float | None]:
    """The model of the graphics processor that torch uses and its peak memory in MB; ("", None) on a CPU."""
    torch = sys.modules.get("torch")  # never imported for this: what did not load it used no processor
    if torch is None or not torch.cuda.is_available():
        return "", None
    return torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 1e6


def host() -> dict[str, Any]:
    """The class of machine: enough to judge a timing, nothing that names the machine."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()

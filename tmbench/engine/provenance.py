"""Provenance: what made a result, so that a reader can make it again."""

import os
import platform
import subprocess
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

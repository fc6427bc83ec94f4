"""Where shipped option files, sweeps and published tables lie: beside the package in a checkout, in it in a wheel."""

from pathlib import Path

from tmbench.errors import TmbenchError


def shipped(name: str) -> Path:
    """The folder ``conf``, ``sweeps`` or ``results/published`` that belongs to this installation.

    Raises:
        TmbenchError: when the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise TmbenchError(f"the folder '{name}/' is missing beside {package}. Install tmbench again.")

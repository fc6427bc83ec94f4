"""Where files of published weights lie, and what is said when they do not; knows no torch, for a plan asks."""

import hashlib
from pathlib import Path

from tmbench.sources import BadWeights
from tmbench.sources.options import FileWeights


def absent(weights: FileWeights) -> str | None:
    """What to do about a file that is not there, in one sentence; None when it is."""
    path = Path(weights.file).absolute()
    if path.is_file():
        return None
    if weights.url:
        return f"the weights {path} are missing: download {weights.url} to exactly that path."
    return f"the weights {path} are missing: nobody is known to offer them; put your own file at exactly that path."


def checked_digest(weights: FileWeights) -> str:
    """The SHA-256 of the file, in 64 hexadecimal digits.

    Raises:
        BadWeights: when the file is missing, cannot be read, or is not the one that the option means.
    """
    if problem := absent(weights):
        raise BadWeights(problem)
    try:
        with Path(weights.file).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadWeights(f"{weights.file} cannot be read: {error.strerror}.") from error
    if weights.sha256 and found != weights.sha256:
        again = f"Download {weights.url} again" if weights.url else "Get the file again"
        raise BadWeights(
            f"{weights.file} is another file: its sha256 is {found}, not {weights.sha256}. {again}, or correct "
            "weights.sha256."
        )
    return found

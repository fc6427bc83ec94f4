"""Artifacts: the arrays that units leave behind (weights, features), as safetensors files with a checksum.

Nothing is ever unpickled: a file of a store is data, whoever wrote it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmbench.engine.shards import is_gone
from tmbench.errors import TmbenchError
from tmbench.files import StoreError, whole_file


class CorruptArtifact(TmbenchError):
    """A file of the store is cut short or changed; it was set aside, so that it is made again."""

    failure = "corrupt_artifact"


@dataclass(frozen=True)
class Artifact:
    """Arrays by name and the facts stored with them."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]
    """JSON: numbers of features and weights, the state of a training of a checkpoint."""


def artifact_path(store: Path, stage: str, id: str) -> Path:
    """Where the artifact of a unit lies; folders fan out by the id's first two digits."""
    return store / "artifacts" / stage / id[:2] / f"{id}.safetensors"


def write_artifact(path: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any] | None = None) -> None:
    """Write ``arrays`` (any dtype that safetensors knows) under a temporary name, then rename.

    Raises:
        StoreError: when the folder cannot be written.
    """
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # One entry, because safetensors writes several in no fixed order: equal arrays shall give equal files.
    header = json.dumps({"checksum": _checksum(contiguous), "facts": facts or {}}, sort_keys=True)
    with whole_file(path) as stream:
        stream.write(save(contiguous, {"tmbench": header}))


def read_artifact(path: Path) -> Artifact:
    """Read an artifact and verify its checksum.

    Raises:
        FileNotFoundError: when there is none.
        CorruptArtifact: when it is damaged; the file is renamed to ``*.corrupt`` first.
        StoreError: for an error of the file system, which is no reason to give the file up.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb"):  # safetensors calls whatever it cannot open missing
            pass
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("tmbench", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or is_gone(error):  # safetensors gives no number
            raise FileNotFoundError(f"there is no artifact {path}") from error
        raise StoreError(f"cannot read {path}: {error.strerror or error}. Mend that, then run again.") from error
    except (SafetensorError, ValueError) as error:
        raise _set_aside(path, str(error)) from error
    if header.get("checksum") != _checksum(arrays):
        raise _set_aside(path, "its checksum does not fit its content")
    return Artifact(arrays, header["facts"])


def _set_aside(path: Path, reason: str) -> CorruptArtifact:
    aside = path.with_suffix(".corrupt")
    try:
        path.replace(aside)
    except OSError as error:
        if not is_gone(error):  # as it is when another worker was faster
            raise StoreError(f"cannot set {path} aside: {error.strerror or error}. Mend the folder first.") from error
    return CorruptArtifact(f"{path} is damaged ({reason}); it was renamed to {aside.name} and is made again by `run`.")


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.asarray(array, order="C").tobytes())
    return digest.hexdigest()

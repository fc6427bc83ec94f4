"""A frozen copy of the code, so that editing a checkout never changes queued work.

The package becomes one zip, which Python imports from as it stands: one file on a file system that counts them, and
one to read at the start of a job. A user's own files are copied as files. All are named after their content: the same
code is written once, however often it is submitted.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tmbench
from tmbench.engine.units import Unit
from tmbench.errors import TmbenchError
from tmbench.files import whole_file

LARGEST_FOLDER = 4_000_000
"""Bytes of a folder that is copied with a user's file."""
MOST_FILES = 100
SKIPPED = ("__pycache__", ".")
"""Beginnings of the names in a user's folder that are not copied."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of each file in the zip, the first there is: what a file says makes the zip, not when it was written."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Snapshot:
    """Code that no edit reaches.

    Attributes:
        path: the zip; on PYTHONPATH, tmbench is imported from it.
        copies: a user's file → its frozen copy, both absolute.
        live: a user's files that stay where they are, because what lies beside them, which they may read, is large.
    """

    path: Path
    copies: Mapping[str, str]
    live: tuple[Path, ...] = ()

    def translate(self, config: Any) -> Any:
        """``config`` with every ``function: /folder/file.py:name`` pointing to the frozen copy."""
        if not self.copies:
            return config
        if isinstance(config, dict):
            out = {key: self.translate(value) for key, value in config.items()}
            if (reference := _reference(out)) is not None:
                place, _, name = reference.rpartition(":")
                out["function"] = f"{self.copies.get(place, place)}:{name}"
            return out
        if isinstance(config, list | tuple):
            return [self.translate(item) for item in config]
        return config

    def unit(self, unit: Unit) -> Unit:
        """``unit`` as a worker does it with the frozen code; its keys and ids stay."""
        if not self.copies:
            return unit
        scores = tuple(replace(score, config=self.translate(score.config)) for score in unit.scores)
        return replace(unit, config=self.translate(unit.config), scores=scores)


def snapshot(folder: Path, references: Iterable[str] = ()) -> Snapshot:
    """Freeze tmbench, and the users' files among ``references``, into ``folder``.

    A user's file is loaded by its path and can import what is installed. One that asks for its own place
    (``__file__``) may import or read what lies beside it: its folder is copied whole, unless that is large.

    Args:
        folder: where snapshots lie; made when it does not exist.
        references: ``package.module:function`` or ``/folder/file.py:function``, as :func:`references` finds them.

    Raises:
        StoreError: when ``folder`` cannot be written.
        TmbenchError: when a file cannot be read.
    """
    files = _package()
    path = folder / f"{_digest(files)}.zip"
    if not path.is_file():
        with whole_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, EARLIEST), content, zipfile.ZIP_DEFLATED)
    copies: dict[str, str] = {}
    live: list[Path] = []
    places = {reference.rpartition(":")[0] for reference in references}
    for place in sorted(place for place in places if place.endswith(".py")):
        own = _of_user(Path(place))
        if own is None:
            live.append(Path(place))
        else:
            copies[place] = str(_kept(folder / _digest(own), own) / Path(place).name)
    return Snapshot(path, copies, tuple(live))


def references(config: Any) -> Iterator[str]:
    """The users' files that ``config`` names, at any depth, as ``/folder/file.py:function``; some more than once."""
    if isinstance(config, dict):
        if (reference := _reference(config)) is not None:
            yield reference
        for value in config.values():
            yield from references(value)
    elif isinstance(config, list | tuple):
        for item in config:
            yield from references(item)


def _reference(content: dict[Any, Any]) -> str | None:
    reference = content.get("function")
    return reference if isinstance(reference, str) and ".py:" in reference else None


def _package() -> Files:
    """The modules of tmbench by their names in the zip, sorted; option files and pages are of no use to a worker."""
    root = Path(tmbench.__file__).parent
    paths = sorted(path for path in root.rglob("*.py") if not _skipped(path.relative_to(root)))
    if not paths:
        raise TmbenchError(
            f"tmbench is imported from {root}, which is no folder. Install it, or run it from a checkout."
        )
    return {f"tmbench/{path.relative_to(root).as_posix()}": _read(path) for path in paths}


def _of_user(path: Path) -> Files | None:
    """A user's file, with its folder where it may use that; None where the folder is too large."""
    content = _read(path)
    if b"__file__" not in content:
        return {path.name: content}
    found: Files = {}
    size = 0
    for top, folders, names in os.walk(path.parent):
        folders[:] = sorted(name for name in folders if not name.startswith(SKIPPED))
        for name in sorted(name for name in names if not name.startswith(SKIPPED)):
            beside = Path(top) / name
            size += beside.stat().st_size if beside.is_file() else 0
            if size > LARGEST_FOLDER or len(found) == MOST_FILES:
                return None
            if beside.is_file():
                found[beside.relative_to(path.parent).as_posix()] = _read(beside)
    return found


def _kept(folder: Path, files: Files) -> Path:
    """``folder``, holding ``files``; those that are there are not written again."""
    for name, content in files.items():
        if not (folder / name).is_file():
            with whole_file(folder / name) as stream:
                stream.write(content)
    return folder


def _digest(files: Files) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TmbenchError(f"cannot read {path}: {error.strerror or error}. Mend it, then run again.") from error


def _skipped(path: Path) -> bool:
    return any(part.startswith(SKIPPED) for part in path.parts)

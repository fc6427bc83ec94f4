"""Garbage: files of a store that nothing refers to any more.

What is not known to be garbage stays: files younger than a day, whatever a claim holds, whatever a plan refers to, and
files with names that tmbench did not give.
"""

import contextlib
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tmbench.files import StoreError

DAY_SECONDS = 24 * 60 * 60.0
"""Nothing younger is touched: it may belong to a run that is not registered yet."""

ARTIFACT = re.compile(r"[0-9a-f]{32}\.safetensors")
LEFTOVER = re.compile(r"\..+\.(tmp|draft)")
"""What a killed writer leaves (``files.whole_file``, ``claims.create``)."""


@dataclass(frozen=True)
class Garbage:
    """A file that can go: why, and its size in bytes."""

    path: Path
    reason: str
    bytes: int


@dataclass(frozen=True)
class InUse:
    """What must stay.

    Attributes:
        wanted: ids of units that some plan refers to.
        done: ids of units that are done, so that nobody resumes them.
        held: ids of units that a run or a queued job holds.
    """

    wanted: Collection[str]
    done: Collection[str]
    held: Collection[str]

    def reason(self, store: Path, path: Path) -> str:
        """Why ``path`` can go; "" when it must stay."""
        top, *between = path.relative_to(store).parts[:-1] or ("",)
        if LEFTOVER.fullmatch(path.name):
            return "left by a writer that was killed"
        if (top == "artifacts" and path.suffix == ".corrupt") or (top == "records" and path.suffix == ".broken"):
            return "damaged, and set aside"
        if not ARTIFACT.fullmatch(path.name) or path.stem in self.held:
            return ""
        if top == "artifacts" and len(between) == 2 and path.stem not in self.wanted:
            return f"{_NAMES[between[0]]} that no plan refers to" if between[0] in _NAMES else ""
        if top == "checkpoints":
            return self._of_checkpoint(path.stem)
        return ""

    def _of_checkpoint(self, id: str) -> str:
        if id in self.done:
            return "checkpoint of a unit that is done"
        return "" if id in self.wanted else "checkpoint of a unit that no plan refers to"


_NAMES = {"pretrain": "weights", "features": "features"}


def garbage(store: Path, use: InUse, age: float = DAY_SECONDS) -> list[Garbage]:
    """The files of ``store`` that can go, sorted by path.

    Raises:
        StoreError: when the store cannot be read.
    """
    now = time.time()
    found = []
    for path in sorted(_files(store)):
        reason = use.reason(store, path)
        with contextlib.suppress(FileNotFoundError):
            if reason and (status := _old_file(path, now - age)):
                found.append(Garbage(path, reason, status.st_size))
    return found


def delete(found: Collection[Garbage], store: Path, use: InUse, age: float = DAY_SECONDS) -> list[Garbage]:
    """Delete those of ``found`` that can still go by what is in use by now; what was deleted.

    Raises:
        StoreError: when a file cannot be deleted.
    """
    now = time.time()
    gone = []
    for one in found:
        try:
            if use.reason(store, one.path) and _old_file(one.path, now - age):
                one.path.unlink()
                gone.append(one)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(
                f"cannot delete {one.path}: {error.strerror or error}. {len(gone)} files were deleted before; mend the "
                "folder, then say the same again."
            ) from error
    return gone


def _files(store: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise StoreError(f"cannot read {error.filename}: {error.strerror}. Mend that, then try again.") from error

    for folder, _, names in os.walk(store, onerror=fail):  # links to other folders are not followed
        for name in names:
            yield Path(folder, name)


def _old_file(path: Path, before: float) -> os.stat_result | None:
    """The status of a plain file last changed before a time; None for any other."""
    status = path.lstat()
    return status if stat.S_ISREG(status.st_mode) and status.st_mtime < before else None

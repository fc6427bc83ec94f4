"""What any machine must have to run units: Python, the libraries, folders that behave."""

import contextlib
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tmbench.engine.provenance import commit, versions

OLDEST_PYTHON = (3, 11)
VISION = ("torch", "torchvision", "timm", "PIL")
LEAST_FREE = 2e9
"""Bytes; a store of a small study takes less, and one that runs full stops a sweep."""
SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: what was looked at.
        good: whether it is as it must be; None where that cannot be told, or where it is only good to know.
        text: what was found.
        advice: what to do; only of what is not good.
    """

    check: str
    good: bool | None
    text: str
    advice: str = ""


def machine() -> list[Finding]:
    """Python, tmbench and the libraries, here."""
    found = versions()
    words = f"{found['python']} at {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        python = Finding("Python", False, words, "Install Python 3.11 or later.")
    else:
        python = Finding("Python", True, words)
    revision = commit()
    edited = ", edited since" if revision.endswith("+") else ""
    place = f" at commit {revision[:12]}{edited}" if revision else ""
    code = Finding("tmbench", True, f"{found['tmbench']}{place}")
    missing = [name for name in VISION if find_spec(name) is None]
    if missing:
        advice = "pip install 'tmbench[vision]'; planning, status and aggregate do without."
        return [python, code, Finding("libraries", False, f"without {', '.join(missing)}", advice)]
    named = ", ".join(f"{name} {found[name]}" for name in ("numpy", "torch", "torchvision", "timm") if name in found)
    return [python, code, Finding("libraries", True, named)]


def folder(name: str, key: str, path: Path) -> list[Finding]:
    """Whether ``path`` can be written in the ways that a run does, and how much room it has; it is left as it was.

    Args:
        name: what the folder is, for people.
        key: the setting that names it.
        path: the folder.
    """
    advice = f"Mend {path}, or name another folder: {key}=DIR."
    try:
        with kept_as_it_was(path), _probe_in(path) as probe:
            started = time.monotonic()
            problem = _misbehaves(probe)
            seconds = time.monotonic() - started
            usage, nodes = shutil.disk_usage(probe), os.statvfs(probe)
    except OSError as error:
        return [Finding(name, False, f"{path} cannot be written: {error.strerror or error}", advice)]
    if problem:
        return [Finding(name, False, f"{path}: {problem}", advice)]
    slow = f", slow: {seconds:.1f} s for 6 operations" if seconds > SLOW_SECONDS else ""
    text = f"{path}: write, sync, rename, hard link{slow}"
    # Some file systems have no fixed number of files and say 0.
    files = f" and {nodes.f_favail:,} files" if nodes.f_favail > 0 else ""
    room = f"{usage.free / 1e9:,.0f} GB{files} free"
    enough = usage.free >= LEAST_FREE and (nodes.f_favail == 0 or nodes.f_favail >= 1000)
    return [
        Finding(name, True, text),
        Finding(f"{name}: room", True, room)
        if enough
        else Finding(f"{name}: room", False, room, f"Make room, or name another folder: {key}=DIR."),
    ]


@contextlib.contextmanager
def kept_as_it_was(path: Path) -> Iterator[None]:
    """``path``, made where it is missing; what was made is removed again when nothing is left in it."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for place in missing:
                place.rmdir()


@contextlib.contextmanager
def _probe_in(path: Path) -> Iterator[Path]:
    probe = path / f".doctor-{uuid.uuid4().hex[:8]}"
    probe.mkdir()
    try:
        yield probe
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _misbehaves(probe: Path) -> str:
    """What does not work in the folder ``probe`` that a store needs, or "".

    Raises:
        OSError: when it cannot be written at all.
    """
    first, second, third = probe / "a", probe / "b", probe / "c"
    with first.open("wb") as stream:
        stream.write(b"written")
        stream.flush()
        os.fsync(stream.fileno())
    first.replace(second)
    if second.read_bytes() != b"written" or first.exists():
        return "a renamed file is not what was written"
    try:
        third.hardlink_to(second)
    except OSError as error:
        return f"no hard links ({error.strerror}), by which two runs agree who does what"
    try:
        third.hardlink_to(second)
        return "a hard link overwrites a file, so two runs would do the same units"
    except FileExistsError:
        return ""

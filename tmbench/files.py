"""Writing files so that nobody ever sees half of one."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tmbench.errors import TmbenchError


class StoreError(TmbenchError):
    """A folder cannot be written: the disk is full, read-only or gone."""


@contextlib.contextmanager
def whole_file(path: Path, consequence: str = "") -> Iterator[BinaryIO]:
    """A file that takes the name ``path`` when the block ends well, and leaves nothing behind when it does not.

    It is written under a temporary name, synced and renamed, which network file systems do in one step as well.

    Raises:
        StoreError: when it cannot be written; ``consequence`` says what that means for the user.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        text = f"cannot write {path}: {error.strerror or error}. Make room or mend the folder, then run again"
        raise StoreError(f"{text}: {consequence}" if consequence else f"{text}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()

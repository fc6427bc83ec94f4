"""The test job of ``doctor``: a talk by files between this machine and a node, as workers and status have it.

The node says it is there, this machine asks, the node answers. Four times of two clocks give the difference of the
clocks and how long a file takes to be seen on the other side, network file systems being what they are.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tmbench
from tmbench.files import whole_file

STEP_SECONDS = 0.1
DEVICES_SECONDS = 120.0
"""How long torch may take to be imported, from a busy file system."""
DEVICES = (
    "import json, torch; print(json.dumps([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]))"
)


@dataclass(frozen=True)
class Probe:
    """What runs on the node.

    Attributes:
        folder: where both sides write.
        patience: how many seconds a side waits for the other.
    """

    folder: str
    patience: float = 120.0

    def __call__(self) -> None:
        """Take part in the talk; whatever happens is said in a file, never pickled."""
        warned: list[float] = []
        # In place of submitit's own, which would put the job back into the queue.
        signal.signal(signal.SIGUSR2, lambda number, frame: warned.append(time.time()))
        say(self.folder, "ready", facts())
        asked = heard(self.folder, "question", self.patience)
        seen = time.time()
        if asked is None:
            return
        say(self.folder, "answer", {"token": asked["token"], "seen": seen, "said": time.time()})
        say(self.folder, "devices", devices())
        end = time.monotonic() + self.patience
        while not warned and time.monotonic() < end:
            time.sleep(STEP_SECONDS)
        say(self.folder, "warning", {"heard": bool(warned)})


def facts() -> dict[str, Any]:
    """What a worker would see of the machine it runs on."""
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "code": tmbench.__file__,
        "cores": len(os.sched_getaffinity(0)),
    }


def devices() -> dict[str, Any]:
    """The graphics processors that torch sees; asked in a process of its own, for a broken driver may take it down."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=DEVICES_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"error": str(error)}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"torch ended Python with code {done.returncode}"])[-1]}
    return {"names": json.loads(done.stdout.strip().splitlines()[-1])}


def say(folder: str | Path, name: str, content: dict[str, Any]) -> None:
    """Write a file that the other side waits for; it is never seen in part."""
    with whole_file(Path(folder) / f"{name}.json") as stream:
        stream.write(json.dumps(content).encode())


def heard(folder: str | Path, name: str, seconds: float) -> dict[str, Any] | None:
    """What the other side wrote, None when it does not within ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        try:
            content: dict[str, Any] = json.loads((Path(folder) / f"{name}.json").read_bytes())
            return content
        except FileNotFoundError:
            if time.monotonic() > end:
                return None
            list(Path(folder).iterdir())  # network file systems look again only then
            time.sleep(STEP_SECONDS)

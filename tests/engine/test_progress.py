import os
import time

import engine_work as work

from tmbench.engine import progress
from tmbench.engine.claims import Claim, Owner
from tmbench.engine.progress import Progress
from tmbench.engine.records import row, write_shard
from tmbench.files import StoreError


def claimed(tmp_path):
    path = tmp_path / "claims" / "1.json"
    path.parent.mkdir()
    path.write_text("{}")
    return Claim(path, Owner.current(), frozenset())


def beats(claim):
    """Whether the claim's file is touched within seconds."""
    os.utime(claim.path, (0, 0))
    deadline = time.monotonic() + 10
    while claim.path.stat().st_mtime == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    return claim.path.stat().st_mtime > 0


def test_a_touch_that_fails_is_no_error(tmp_path, monkeypatch):
    claim = claimed(tmp_path)
    with monkeypatch.context() as patched:

        def failing(*arguments):
            raise OSError(5, "Input/output error")

        patched.setattr(os, "utime", failing)
        claim.touch()
    claim.path.unlink()
    claim.touch()
    assert not claim.path.exists()


def test_the_heart_beats_on_whatever_the_store_and_the_terminal_do(tmp_path, monkeypatch, capsys):
    units, claim = [work.unit(i) for i in range(2)], claimed(tmp_path)
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with Progress(units, tmp_path, "r", claim) as following:
        real, read = following._reader.new, []

        def failing(folder):
            read.append(1)
            raise StoreError("passing")

        monkeypatch.setattr(following._reader, "new", failing)
        deadline = time.monotonic() + 10
        while len(read) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert beats(claim)
        monkeypatch.setattr(following._reader, "new", real)
        write_shard(tmp_path / "records", "r", [row(id=units[0].id, run="r", status="done")])
    assert "truth 1/2" in capsys.readouterr().err


def test_the_heart_beats_on_when_the_terminal_is_closed(tmp_path, monkeypatch):
    claim = claimed(tmp_path)
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)

    class Closed:
        def isatty(self):
            return False

        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stderr", Closed())
    with Progress([work.unit(0)], tmp_path, "r", claim) as following:
        following._threads[0].join(10)
        assert not following._threads[0].is_alive()
        assert beats(claim)

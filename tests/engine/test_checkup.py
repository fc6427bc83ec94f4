"""What a machine must have, and folders that do not behave."""

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from tmbench.engine import checkup
from tmbench.engine.checkup import folder, machine


def test_this_machine_is_well(monkeypatch):
    pytest.importorskip("timm")
    assert [finding.check for finding in machine() if finding.good] == ["Python", "tmbench", "libraries"]


def test_a_machine_without_the_vision_part_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(checkup, "find_spec", lambda name: None if name == "timm" else name)
    found = machine()[-1]
    assert (found.good, found.text) == (False, "without timm")
    assert "pip install 'tmbench[vision]'" in found.advice


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    found = folder("store", "paths.store", tmp_path / "new" / "store")
    assert [finding.good for finding in found] == [True, True]
    assert "write, sync, rename, hard link" in found[0].text
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").write_text("x")
    folder("store", "paths.store", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    (found,) = folder("store", "paths.store", tmp_path / "file" / "store")
    assert not found.good
    assert "cannot be written: Not a directory" in found.text
    assert found.advice.endswith("name another folder: paths.store=DIR.")


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    found = folder("store", "paths.store", tmp_path)[0]
    assert (found.good, "no hard links (Operation not permitted)" in found.text) == (False, True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")(1e6)
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: usage)
    found = folder("store", "paths.store", tmp_path)[1]
    assert (found.good, found.advice) == (False, "Make room, or name another folder: paths.store=DIR.")

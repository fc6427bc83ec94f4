"""Frozen code: one zip that workers import from, and copies of users' files."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from engine_work import unit

import tmbench
from tmbench.engine import snapshot as frozen
from tmbench.engine.snapshot import references, snapshot
from tmbench.metrics.registry import shipped

WORK = """
import json, sys
from tmbench.engine import provenance, stages, worker
from tmbench.metrics.registry import names
from tmbench.functions import find_function
import tmbench.truth.classification, tmbench.features.extraction, tmbench.sources.pretrain
print(json.dumps({"file": tmbench.__file__, "names": names(), "commit": provenance.commit(),
                  "perform": find_function("tmbench.engine.stages:perform").__module__,
                  "outside": [m for m, v in sys.modules.items() if m.split(".")[0] == "tmbench"
                              and not v.__file__.startswith(sys.argv[1])]}))
"""


def in_a_job(zip, code, folder, *words):
    """What ``code`` prints where a job would run it: from the zip, in a folder without the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(zip), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def user_file(folder, text="def value():\n    return 1\n", name="mine.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return f"{folder / name}:value"


def test_a_worker_imports_all_it_needs_from_the_zip(tmp_path):
    pytest.importorskip("timm")
    path = snapshot(tmp_path / "code").path
    said = json.loads(in_a_job(path, WORK, tmp_path, str(path)))
    assert said["file"] == f"{path}/tmbench/__init__.py"
    assert said["outside"] == []
    assert set(shipped()) <= set(said["names"])
    assert said["commit"] == ""
    assert said["perform"] == "tmbench.engine.stages"


def test_the_same_code_is_one_file_written_once(tmp_path):
    first = snapshot(tmp_path)
    written = first.path.stat()
    assert snapshot(tmp_path) == first
    assert first.path.stat() == written
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name]
    again = snapshot(tmp_path / "elsewhere").path
    assert (again.name, again.read_bytes()) == (first.path.name, first.path.read_bytes())
    with zipfile.ZipFile(first.path) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {Path(name).suffix for name in names} == {".py"}


def test_an_edited_checkout_is_another_file(tmp_path, monkeypatch):
    copy = tmp_path / "checkout" / "tmbench"
    shutil.copytree(Path(tmbench.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = snapshot(tmp_path).path
    monkeypatch.setattr(tmbench, "__file__", str(copy / "__init__.py"))
    assert snapshot(tmp_path).path == before, "where a checkout lies does not matter"
    with (copy / "identity.py").open("a") as stream:
        stream.write("# edited\n")
    after = snapshot(tmp_path).path
    assert after != before
    assert "# edited" in in_a_job(after, "import inspect, tmbench.identity as i; print(inspect.getsource(i))", tmp_path)
    assert "# edited" not in in_a_job(
        before, "import inspect, tmbench.identity as i; print(inspect.getsource(i))", tmp_path
    )


def test_references_are_found_at_any_depth():
    config = {
        "source": {
            "architecture": {"function": "/a/net.py:build"},
            "weights": {"target": {"function": "/a/t.py:load"}},
        },
        "function": "tmbench.metrics.logme:logme",
        "parts": [{"function": "/b/x.py:f"}],
    }
    assert set(references(config)) == {"/a/net.py:build", "/a/t.py:load", "/b/x.py:f"}


def test_a_users_file_is_frozen_and_its_units_keep_their_ids(tmp_path):
    reference = user_file(tmp_path / "mine")
    asked = unit(1, scores=1)
    asked.config["source"] = {"architecture": {"function": reference, "parameters": {"widths": [1, 2]}}}
    asked.scores[0].config["function"] = reference
    taken = snapshot(tmp_path / "code", references(asked.config))
    done = taken.unit(asked)
    user_file(tmp_path / "mine", "def value():\n    return 2\n")
    for config in (done.config["source"]["architecture"], done.scores[0].config):
        place, _, name = config["function"].rpartition(":")
        assert name == "value"
        assert Path(place).is_relative_to(tmp_path / "code")
        assert "return 1" in Path(place).read_text()
    assert (done.id, done.key, done.scores[0].id) == (asked.id, asked.key, asked.scores[0].id)
    assert done.config["source"]["architecture"]["parameters"] == {"widths": [1, 2]}
    assert asked.config["source"]["architecture"]["function"] == reference, "what was asked is not changed"
    assert snapshot(tmp_path / "code", [reference]).copies != taken.copies


def test_two_files_of_one_name_stay_two(tmp_path):
    one = user_file(tmp_path / "a", "def value():\n    return 1\n")
    two = user_file(tmp_path / "b", "def value():\n    return 2\n")
    copies = snapshot(tmp_path / "code", [one, two, "tmbench.metrics.logme:logme"]).copies
    assert len(set(copies.values())) == len(copies) == 2


def test_a_file_that_asks_for_its_place_brings_its_folder(tmp_path):
    text = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import helper
def value():
    return helper.number + int((Path(__file__).parent / "data" / "more.txt").read_text())
"""
    reference = user_file(tmp_path / "mine", text)
    user_file(tmp_path / "mine", "number = 40\n", "helper.py")
    user_file(tmp_path / "mine" / "data", "2", "more.txt")
    user_file(tmp_path / "mine" / "__pycache__", "", "helper.pyc")
    taken = snapshot(tmp_path / "code", [reference])
    shutil.rmtree(tmp_path / "mine")
    code = "import sys; from tmbench.functions import find_function; print(find_function(sys.argv[1])())"
    (copy,) = taken.copies.values()
    assert in_a_job(taken.path, code, tmp_path, f"{copy}:value") == "42\n"
    assert not (Path(copy).parent / "__pycache__" / "helper.pyc").exists()


def test_a_file_in_a_large_folder_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "LARGEST_FOLDER", 100)
    reference = user_file(tmp_path / "mine", "from pathlib import Path\nhere = Path(__file__)\n")
    user_file(tmp_path / "mine", "x" * 200, "table.csv")
    taken = snapshot(tmp_path / "code", [reference])
    assert taken.live == (tmp_path / "mine" / "mine.py",)
    assert taken.translate({"function": reference}) == {"function": reference}


def test_a_file_that_is_gone_is_named(tmp_path):
    from tmbench.errors import TmbenchError

    with pytest.raises(TmbenchError, match=r"cannot read .*gone\.py: No such file"):
        snapshot(tmp_path, ["/nowhere/gone.py:f"])

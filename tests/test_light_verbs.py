"""What a verb imports before it is needed, each in a process of its own."""

import subprocess
import sys

import pytest

from tmbench.cli import VERBS

LIGHT = """
import runpy, sys
heavy = set({heavy!r})
sys.argv = {words!r}
try:
    runpy.run_module({words!r}[0], run_name="__main__")
except SystemExit:
    pass
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
HEAVY = ["torch", "scipy.stats", "pandas", "matplotlib", "sklearn"]


def in_a_process(words, heavy, folder):
    """stdout of a verb in a process of its own, which must not have imported ``heavy``."""
    code = LIGHT.format(words=words, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["tmbench.cli", *(f"tmbench.{verb}" for verb in VERBS)])
def test_help_imports_nothing_heavy(module, tmp_path):
    assert "usage" in in_a_process([module, "--help"], [*HEAVY, "hydra", "pyarrow", "scipy"], tmp_path)


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_planning_imports_no_torch(verb, tmp_path):
    assert "next: tmbench run sweep=demo" in in_a_process([f"tmbench.{verb}", "sweep=demo"], HEAVY, tmp_path)


def test_planning_published_tables_imports_nothing_heavy(tmp_path):
    # Without pandas too, but pyarrow imports it where it is installed.
    heavy = {*HEAVY, "scipy"} - {"pandas"}
    assert "715,632" in in_a_process(["tmbench.plan", "sweep=stability"], heavy, tmp_path)

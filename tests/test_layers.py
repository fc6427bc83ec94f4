"""Imports run one way, and what a verb may import lightly stays light."""

import ast
from pathlib import Path

import pytest

import tmbench

BASE = {"errors", "files", "identity", "functions", "folders", "recent", ""}
MAY_IMPORT = {
    "metrics": set(),
    "stats": set(),
    "targets": set(),
    "sources": {"targets"},
    "features": {"metrics", "sources", "targets"},
    "truth": {"sources", "targets"},
    "engine": {"features", "truth", "sources", "targets", "metrics"},
    "study": {"engine", "features", "truth", "sources", "targets", "metrics", "stats"},
    "report": {"stats"},
}
PACKAGE = Path(tmbench.__file__).parent


def imports(path):
    """The rooms of tmbench that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
            if node.module == "tmbench":
                names = [f"tmbench.{alias.name}" for alias in node.names if (PACKAGE / alias.name).exists()]
        yield from (name.split(".")[1] if "." in name else "" for name in names if name.split(".")[0] == "tmbench")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    allowed = BASE | {room} | MAY_IMPORT[room]
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    wrong = {(path.name, name) for path in files for name in imports(path) if name not in allowed}
    assert not wrong


def test_only_workers_import_torch():
    """Outside the vision rooms, torch is imported by the engine's stages alone."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "torch" for alias in node.names)
    }
    outside = {name for name in found if name.split("/")[0] not in ("sources", "features", "truth")}
    assert outside == {"engine/stages.py"}


@pytest.mark.parametrize("folder", ["feature_set", "fits"])
def test_what_metrics_share_knows_none_of_them(folder):
    from tmbench.metrics.registry import shipped

    metrics = {f"tmbench.metrics.{name}" for name in shipped()}
    found = {
        (path.name, node.module)
        for path in (PACKAGE / "metrics" / folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in metrics
    }
    assert not found


def test_every_room_is_listed():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)

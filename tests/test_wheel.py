"""What an installed wheel holds: conf/ and sweeps/ as well as the code."""

import os
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The content of a freshly built wheel, unpacked as an installer would."""
    from pathlib import Path

    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    repository = Path(__file__).resolve().parents[1]
    (wheel,) = WheelBuilder(str(repository)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed, folder, *words):
    path = str(installed)
    code = f"import sys; sys.path.insert(0, {path!r}); from tmbench.cli import main; sys.exit(main({list(words)!r}))"
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_wheel_plans_the_demo_without_the_checkout(installed, tmp_path):
    done = run(installed, tmp_path, "plan", "sweep=demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("demo v1")


def test_a_wheel_shows_its_own_files(installed, tmp_path):
    done = run(installed, tmp_path, "show", "metric=hscore")
    assert done.returncode == 0, done.stderr
    assert str(installed / "tmbench" / "conf" / "metric" / "hscore.yaml") in done.stdout
    assert (installed / "tmbench" / "report" / "templates").is_dir()


def test_a_wheel_holds_the_published_cells(installed):
    folder = installed / "tmbench" / "results" / "published"
    assert {"segmentation_sources.csv", "classification_architectures.csv", "README.md"} <= {
        path.name for path in folder.iterdir()
    }

"""The head of an sbatch file, as submitit writes it from a profile and a unit's needs."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tmbench.engine.options import Slurm
from tmbench.engine.slurm import parameters as module
from tmbench.engine.slurm.parameters import executor, parameters
from tmbench.sources.resources import Resources


@pytest.fixture(autouse=True)
def srun(tmp_path, monkeypatch):
    """What submitit looks for before it writes anything."""
    if shutil.which("srun") is None:
        path = tmp_path / "bin" / "srun"
        path.parent.mkdir()
        path.touch(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def text(slurm=None, resources=None, minutes=60.0, name="tmbench-a", **more):
    slurm = slurm or Slurm()
    made = executor(Path("/store/jobs of me"), slurm)
    places = more.pop("pythonpath", [Path("/store/code/0123.zip")])
    wanted = parameters(slurm, resources or Resources(), minutes, name, places, **more)
    made.update_parameters(**wanted)
    written = made._make_submission_file_text(made._submitit_command_str, "uid")
    assert module.text(made.folder, slurm, wanted, 1) == written, "a dry run shows what is submitted"
    return written


def flags(written):
    """What ``#SBATCH`` lines ask for, by name; a flag without a value is True."""
    found = {}
    for line in written.splitlines():
        if line.startswith("#SBATCH --"):
            key, given, value = line.removeprefix("#SBATCH --").partition("=")
            found[key] = shlex.split(value)[0] if given else True
    return found


def test_a_profile_of_defaults_asks_for_what_the_unit_needs_and_no_more():
    asked = flags(text(resources=Resources(cpus=2, memory_gb=4)))
    for key in ("output", "open-mode"):
        del asked[key]
    assert asked == {
        "job-name": "tmbench-a",
        "time": "60",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "2",
        "mem": "3815M",  # 4·10⁹ bytes fit a node of 4000 MiB
        "requeue": True,
        "signal": "B:USR2@120",
    }


def test_all_of_a_profile_is_asked_for():
    slurm = Slurm(
        partition="gpu", account="me", qos="long", constraint="a100|h100", exclude="n[1-3]", signal_seconds=300
    )
    asked = flags(text(slurm, dependency="afterany:17"))
    expected = {
        "partition": "gpu",
        "account": "me",
        "qos": "long",
        "constraint": "a100|h100",
        "exclude": "n[1-3]",
        "signal": "B:USR2@300",
        "dependency": "afterany:17",
    }
    assert asked | expected == asked


@pytest.mark.parametrize(
    ("slurm", "expected"),
    [
        (Slurm(), {"gres": "gpu:2"}),
        (Slurm(gpu_type="a100"), {"gres": "gpu:a100:2"}),
        (Slurm(gpus_as="gpus_per_node"), {"gpus-per-node": "2"}),
        (Slurm(gpus_as="gpus_per_node", gpu_type="a100"), {"gpus-per-node": "a100:2"}),
    ],
)
def test_graphics_processors_are_asked_for_as_the_site_wants(slurm, expected):
    def of_gpus(resources):
        return {key: value for key, value in flags(text(slurm, resources)).items() if key in ("gres", "gpus-per-node")}

    assert of_gpus(Resources(gpus=2)) == expected
    assert of_gpus(Resources()) == {}


@pytest.mark.parametrize(("minutes", "time"), [(0.2, "1"), (90.1, "91"), (99999, "1440")])
def test_time_limits_are_whole_minutes_within_the_sites(minutes, time):
    assert flags(text(minutes=minutes))["time"] == time


def test_other_parameters_of_sbatch_go_over_ours():
    own = {"reservation": "to night", "exclusive": True, "requeue": False, "mem_per_cpu": "2G", "nodes": 2}
    asked = flags(text(Slurm(sbatch=own)))
    assert (asked["reservation"], asked["exclusive"], asked["mem-per-cpu"]) == ("to night", True, "2G")
    assert "requeue" not in asked
    assert "mem" not in asked
    assert asked["nodes"] == "2"


def test_arrays_are_throttled():
    assert parameters(Slurm(), Resources(), 1, "a", [], concurrent=7)["array_parallelism"] == 7


def test_a_dry_run_shows_an_array_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = parameters(Slurm(), Resources(), 5, "a", [Path("/code.zip")], concurrent=7)
    assert flags(module.text(tmp_path / "jobs", Slurm(), wanted, 20))["array"] == "0-19%7"
    assert not (tmp_path / "jobs").exists()


def test_setup_comes_first_then_what_workers_need(tmp_path):
    """The lines are run by a shell, in front of what stands in for Python."""
    slurm = Slurm(setup=("export FIRST=1 PYTHONPATH=/modules",), python="echo python")
    places = [tmp_path / 'it\'s a "place"' / "code.zip", Path("/b")]
    written = text(slurm, Resources(gpus=1, cpus=4), pythonpath=places)
    assert written.splitlines()[-1] == "exec echo python -u -m submitit.core._submit '/store/jobs of me'"
    shown = written.replace("exec echo python", "env; exec echo python")
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True)
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert found["FIRST"] == "1"
    assert found["PYTHONPATH"] == f"{places[0]}:/b:/modules"
    assert found["PYTHONSAFEPATH"] == "1"
    assert found["SUBMITIT_PREEMPT_SIGNAL"] == "USR2"
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "4"
    assert "export OMP_NUM_THREADS=1\n" in text(resources=Resources(cpus=4))


def test_python_is_that_of_run_unless_the_profile_names_one():
    assert f"exec {shlex.quote(sys.executable)} -u -m submitit" in text()
    container = "apptainer exec --nv /images/a.sif python"
    assert f"\nexec {container} -u -m submitit" in text(Slurm(python=container))
    assert "srun" not in text()

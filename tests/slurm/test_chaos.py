"""The demo on four nodes while everything fails once; the long form is `make chaos`."""

import json
import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).with_name("chaos.py")


def chaos(tmp_path, *arguments):
    """What the chaos of these arguments came to."""
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    command = [sys.executable, str(CHAOS), *arguments, *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads((tmp_path / "out" / "chaos.json").read_text())


def test_a_quiet_sweep_on_the_cluster_gives_the_tables_of_the_local_run(tmp_path, cluster):
    told = chaos(tmp_path, "--faults", "0", "--sweep", *TINY)
    assert told["figures"]["tables compared"] > 20


def test_the_demo_ends_with_the_tables_of_the_local_run_whatever_happens(tmp_path, cluster):
    """One fault of each kind, a dozen and two: first on this machine undisturbed, then on the cluster."""
    told = chaos(tmp_path, "--faults", "14", "--seed", "5", "--sweep", "sweep=demo", *DEMO)
    assert told["faults"] == 14
    assert told["hits"] >= 7
    assert told["figures"]["lost"] == told["figures"]["doubled"] == 0


TINY = [
    "sweep=demo",
    "source=[small_resnet_random,small_vit_random]",
    "target=[digits,greek]",
    "recipe=[head]",
    "metric=[hscore,gbc,source_size]",
    "pool=all",
    "seed=0",
]
"""No pretraining, heads alone: seconds."""
DEMO = ["--cluster", "cluster.chunk_minutes=0.5", "--pace", "4", "12"]
"""Chunks of half a minute, and a fault every eight seconds."""

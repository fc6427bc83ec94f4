"""The settings of the machine: profiles of clusters, and what a command line changes in them."""

import pytest
import yaml

from tmbench.errors import ConfigError
from tmbench.folders import shipped
from tmbench.study.compose import OptionFolders, compose_settings

PROFILES = sorted(path.stem for path in (shipped("conf") / "cluster").glob("*.yaml"))


def cluster(*settings, folders=()):
    return compose_settings(settings, OptionFolders(folders))[0]


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_composes_and_is_valid(name):
    found = cluster(f"cluster={name}")
    assert found.kind == name.partition("_")[0]


@pytest.mark.parametrize("name", [name for name in PROFILES if "_" in name])
def test_an_example_says_what_to_change(name):
    text = (shipped("conf") / "cluster" / f"{name}.yaml").read_text()
    assert text.startswith("# Example: ")
    assert "# yours" in text
    assert set(yaml.safe_load(text)) == {"defaults", "slurm"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["cluster.slurm.partition=gpu"], {"partition": "gpu"}),
        (["+cluster.slurm.partition=gpu"], {"partition": "gpu"}),
        (["cluster.slurm.setup=[module load x]"], {"setup": ("module load x",)}),
        (["cluster.slurm.sbatch={reservation:night}"], {"sbatch": {"reservation": "night"}}),
        (["+cluster.slurm.sbatch.reservation=night"], {"sbatch": {"reservation": "night"}}),
        (["cluster.slurm.sbatch.exclusive=true"], {"sbatch": {"exclusive": True}}),
    ],
)
def test_any_key_of_the_schema_is_set_whether_the_profile_has_it_or_not(words, found):
    slurm = cluster("cluster=slurm", *words).slurm
    assert slurm.model_dump(include=set(found)) == found


def test_a_copied_profile_is_changed_key_by_key(tmp_path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "mine.yaml").write_text(
        "defaults: [slurm@_here_, _self_]\nslurm: {partition: a, sbatch: {nice: 3}}\n"
    )
    found = cluster("cluster=mine", "cluster.slurm.sbatch.nice=7", "cluster.needs.memory_gb=32", folders=[tmp_path])
    assert (found.slurm.partition, found.slurm.sbatch, found.needs.memory_gb) == ("a", {"nice": 7}, 32)
    assert found.slurm.max_minutes == 1440


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("cluster=slrum", "no cluster is named 'slrum'. Nearest: 'slurm'"),
        ("cluster.slurm.partiton=x", r"no key of cluster\.slurm is named 'partiton'\. Nearest: 'partition'"),
        ("cluster.workers.x=1", "cluster.workers is one value and has no keys"),
        ("cluster.slurm=3", "slurm: it should be keys with values"),
        ("cluster.slurm.max_minutes=long", r"slurm\.max_minutes: it should be a number"),
    ],
)
def test_what_is_wrong_is_named(word, says):
    with pytest.raises(ConfigError, match=says):
        cluster(word)

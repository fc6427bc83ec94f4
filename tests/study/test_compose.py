import random

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from tmbench.errors import ConfigError
from tmbench.folders import shipped
from tmbench.sources.options import Source
from tmbench.sources.recipes import recipe_of
from tmbench.study.compose import OptionFolders, compose, compose_settings, describe_options, schema_of, validated
from tmbench.study.options import GROUPS
from tmbench.study.sweep import Sweep, load_sweep, parse
from tmbench.targets.options import target_of


def demo(**changes):
    sweep = load_sweep(parse(["sweep=demo"]))
    return Sweep.model_validate({**sweep.model_dump(), **changes})


@pytest.mark.parametrize("group", GROUPS)
def test_every_shipped_option_composes_and_is_valid(group):
    folders = OptionFolders()
    known = folders.names(group)
    assert known
    for name, content in describe_options(group, list(known), folders).items():
        assert validated(schema_of(group, content, known[name]), content, known[name])


def test_options_composed_together_equal_options_composed_alone():
    """An option file sets keys of its own group only, so relocation and company change nothing."""
    options = compose(demo())
    draw = random.Random(0)
    cells = [
        (draw.choice(list(options.source)), draw.choice(list(options.target)), draw.choice(["head", "full"]))
        for _ in range(8)
    ]
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        for source, target, recipe in cells:
            task = options.target[target].task
            config = hydra_compose(
                "config", overrides=[f"+source={source}", f"+target={target}", f"+recipe/{task}={recipe}"]
            )
            alone = OmegaConf.to_container(config, resolve=True)
            assert Source.model_validate(alone["source"]) == options.source[source]
            assert target_of(alone["target"]) == options.target[target]
            assert recipe_of(alone["recipe"][task]) == options.recipe[task, recipe]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metric": ("logmee",)}, "no metric is named 'logmee'. Nearest: 'logme'"),
        ({"source": ("small_resnet_rando",)}, "Nearest: 'small_resnet_random'"),
        ({"recipe": ("ful",)}, "no recipe is named 'ful'. Nearest: 'full'"),
    ],
)
def test_unknown_names_get_the_nearest(changes, says):
    with pytest.raises(ConfigError, match=says):
        compose(demo(**changes))


def test_settings_reach_the_cluster_and_are_validated():
    assert compose(demo(), ["cluster=debug"]).cluster.kind == "debug"
    assert compose(demo(), ["cluster.workers=7"]).cluster.workers == 7
    with pytest.raises(ConfigError, match="workers"):
        compose(demo(), ["cluster.workers=-1"])
    with pytest.raises(ConfigError, match="Nearest: 'workers'"):
        compose(demo(), ["cluster.wrkers=1"])


def test_what_is_stored_of_the_features_is_a_setting():
    assert compose(demo()).store.features == "rows"
    for word in ("store=moments", "store.features=moments"):
        assert compose(demo(), [word]).store.features == "moments"
    with pytest.raises(ConfigError, match="'rows' or 'moments', and is 'sums'"):
        compose(demo(), ["store.features=sums"])
    with pytest.raises(ConfigError, match=r"no store is named 'moment'\. Nearest: 'moments'"):
        compose(demo(), ["store=moment"])


def mine(tmp_path, yaml_text, group="metric", name="mine"):
    (tmp_path / group).mkdir(exist_ok=True)
    (tmp_path / group / f"{name}.yaml").write_text(yaml_text)
    return OptionFolders([tmp_path])


def test_a_users_option_is_found_and_its_file_located(tmp_path):
    folders = mine(tmp_path, "function: mine.py:score\n")
    options = compose(demo(metric=("hscore", "mine")), folders=folders)
    assert options.metric["mine"].function == f"{tmp_path.resolve()}/metric/mine.py:score"


def test_a_users_mistake_names_file_and_key(tmp_path):
    folders = mine(tmp_path, "functoin: mine.py:score\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: the key '?functoin|mine\.yaml: the key 'function' is missing"):
        compose(demo(metric=("mine",)), folders=folders)


def test_a_shadowed_option_is_reported(tmp_path):
    folders = mine(tmp_path, "function: mine.py:score\n", name="hscore")
    assert [path.name for path in folders.shadowed()] == ["hscore.yaml"]
    assert compose(demo(metric=("hscore",)), folders=folders).metric["hscore"].function.startswith("tmbench.")


def test_a_config_dir_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="is no folder"):
        OptionFolders([tmp_path / "nothing"])


@pytest.mark.parametrize("name", ["o q'u", 'd $(x) "e', "new\nline", "b\\c", "x,{y}", "e\\'", "back\\", "ünder"])
def test_a_config_dir_of_any_name(tmp_path, name):
    profile = tmp_path / name / "cluster" / "mine.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("kind: debug")
    assert compose_settings(["cluster=mine"], OptionFolders([tmp_path / name]))[0].kind == "debug"


def test_a_config_dir_that_hydra_would_take_for_a_reference(tmp_path):
    (tmp_path / "${b}").mkdir()
    with pytest.raises(ConfigError, match=r"takes .* for a reference\. Rename the folder"):
        OptionFolders([tmp_path / "${b}"])


def test_a_comma_in_a_setting_stands_in_quotes():
    with pytest.raises(ConfigError, match="takes one value") as caught:
        parse(["cluster.slurm.partition=high,normal"], study=False)
    typed = str(caught.value).split('"')[1]
    settings = parse([typed], study=False).settings
    assert compose_settings(settings, OptionFolders())[0].slurm.partition == "high,normal"

import pytest
import yaml

from tmbench.errors import ConfigError
from tmbench.study.sweep import load_sweep, parse, sweep_files


def sweep(tmp_path, **changes):
    content = {
        "name": "mine", "version": 1, "source": ["a", "b"], "target": ["t"], "level": ["penultimate"],
        "recipe": ["head"], "metric": ["hscore"], "measure": ["pearson"], "pool": ["all"], "seed": [0],
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


def test_overrides_are_taken_apart():
    request = parse(
        ["sweep=demo", "metric=[hscore,logme]", "seed=3", "cluster=debug", "paths.store=/x", "retry=bug"], ("retry",)
    )
    assert request.sweep == "demo"
    assert request.axes == {"metric": ["hscore", "logme"], "seed": 3}
    assert request.settings == ("cluster=debug", "paths.store=/x")
    assert request.extra == {"retry": "bug"}


def test_a_comma_is_a_list_too():
    assert parse(["sweep=demo", "metric=hscore,logme"]).axes == {"metric": ["hscore", "logme"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["metric=[hscore]"], "say which study"),
        (["sweep=demo", "metrc=[hscore]"], "Nearest: 'metric'"),
        (["sweep=demo", "metric"], "is not an override"),
        (["sweep=demo", "retry=nan"], "no key is named 'retry'"),
    ],
)
def test_what_is_no_override_is_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        parse(words)


def test_axes_are_replaced(tmp_path):
    path = sweep(tmp_path)
    loaded = load_sweep(parse([f"sweep={path}", "source=c", "seed=[4,5]"]))
    assert (loaded.source, loaded.seed, loaded.target) == (("c",), (4, 5), ("t",))


def test_every_shipped_sweep_is_valid_and_named_like_its_file():
    assert "demo" in sweep_files()
    for name in sweep_files():
        assert load_sweep(parse([f"sweep={name}"])).name == name


def test_an_unknown_sweep_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no sweep is named 'dmo'\. Nearest: 'demo'"):
        load_sweep(parse(["sweep=dmo"]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sorce": ["a"]}, r"mine\.yaml: the key 'sorce' does not exist. Nearest: source"),
        ({"seed": ["x"]}, r"mine\.yaml: seed"),
        ({"source": ["a", "a"]}, "named twice: a"),
        ({"exclude": [{"metric": ["x"]}]}, "is no axis to exclude by"),
        ({"source": []}, "source"),
        ({"exclude": [{}]}, "exclude everything"),
        ({"exclude": [{"recipe": ["head"]}]}, "is no axis to exclude by"),
    ],
)
def test_a_wrong_sweep_is_explained(tmp_path, changes, says):
    with pytest.raises(ConfigError, match=says):
        load_sweep(parse([f"sweep={sweep(tmp_path, **changes)}"]))


def test_broken_yaml_and_missing_files(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_sweep(parse([f"sweep={tmp_path}/x.yaml"]))
    with pytest.raises(ConfigError, match="there is no sweep file"):
        load_sweep(parse([f"sweep={tmp_path}/y.yaml"]))


def test_exclude_matches_all_named_axes(tmp_path):
    loaded = load_sweep(parse([f"sweep={sweep(tmp_path, exclude=[{'source': ['a'], 'target': ['t']}])}"]))
    assert loaded.excludes(source="a", target="t")
    assert not loaded.excludes(source="b", target="t")
    assert not loaded.excludes(source="a")

"""What a user types wrongly: one sentence in the user's own words."""

import re

import pytest
import yaml
from pydantic import ValidationError

from tmbench.errors import ConfigError, NothingMatched
from tmbench.functions import find_function
from tmbench.sources.options import Source
from tmbench.study import plan as planning
from tmbench.study.compose import OptionFolders
from tmbench.study.options import PoolOption
from tmbench.study.planning import planned
from tmbench.study.sweep import load_sweep, parse
from tmbench.study.validation import explain


def plan(*words):
    return planned(parse(words), OptionFolders())[0]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A wide table of six models and three data sets in the working directory."""
    monkeypatch.chdir(tmp_path)
    rows = ["source,target,truth,logme,gbc"]
    rows += [f"m{m},d{d},{(m + d + 1) / 10},{m},{-m * d}" for m in range(6) for d in range(3)]
    (tmp_path / "zoo.csv").write_text("\n".join(rows))
    return "cells=zoo.csv"


@pytest.mark.parametrize(
    "words",
    [
        ("cells=a", "cells=b"),
        ("sweep=demo", "sweep=demo"),
        ("sweep=demo", "metric=logme", "metric=[leep]"),
        ("sweep=demo", "bootstrap=0", "bootstrap=5"),
        ("cells=a", "cells.level=x", "cells.level=y"),
        ("sweep=demo", "paths.store=x", "paths.store=y"),
    ],
)
def test_a_key_is_given_once(words):
    key = words[-1].partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^'{key}' is given twice: {words[-2]} and ".replace("[", r"\[")):
        parse(words)


def test_folders_add_up():
    assert parse(["sweep=demo", "hydra.searchpath=[file://a]", "hydra.searchpath=[b]"]).folders == ("a", "b")


def test_one_line_serves_every_verb(table):
    line = [table, "bootstrap=5", "out=there", "seed=3", "pool=all"]
    assert parse(line).extra == {}
    assert parse(line, ("bootstrap", "out")).extra == {"bootstrap": 5, "out": "there"}
    assert len(plan(*line).setups) == 3 * 4
    with pytest.raises(ConfigError, match=r"no key is named 'bootstap'\. Nearest: 'bootstrap'"):
        parse([table, "bootstap=5"])


@pytest.mark.parametrize("size", ["0", "1", "-1", "x", "2.5", "true", "[3,4]"])
def test_a_size_that_is_none(size):
    with pytest.raises(ConfigError, match=r"^pool\.size=.* give one whole number, 2 or more\.$"):
        parse(["sweep=stability", f"pool.size={size}"])


def test_a_wrong_size_in_a_file_is_one_problem(tmp_path):
    content = {"name": "x", "version": 1, "cells": "segmentation_sources", "measure": "pearson", "pool_size": 1}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"x\.yaml: pool_size: it should be at least 2, and is 1\.$"):
        load_sweep(parse([f"sweep={tmp_path}/x.yaml"]))


@pytest.mark.parametrize(
    ("words", "says", "not_said"),
    [
        (["pool.size=100"], "pool.size is 6 at most here", "pool=all"),
        (["pool=all", "source=m1"], "at most 1 candidate of a target .* and a pool needs two", "pool=all"),
        (["pool=leave_5_out"], "pool=leave_5_out forms no pool of two .* or say pool=all", "pool.size"),
    ],
)
def test_advice_when_there_is_no_pool(table, words, says, not_said):
    study = plan(table, *words)
    assert not len(study.setups)
    assert re.search(says, study.why_no_setups)
    assert not_said not in study.why_no_setups


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["measure=[]"], r"measure: name at least one measure\.$"),
        (["metric=[logme,logme]"], r"metric: named twice: logme\.$"),
        (["cells.sizes.m1=big"], r"sizes\.m1: it should be a number, and is 'big'\.$"),
        (["cells.direction=up"], r"direction: it should be 'source_selection' or 'target_selection', and is 'up'\.$"),
        (["cells.recipe=''"], r"recipe: it should have at least 1 character, and is ''\.$"),
        (["cells.columns=source"], r"columns: it should be keys with values, and is 'source'\.$"),
        (["cells.columns.sorce=a"], r"columns: no column is named 'sorce'\. Nearest: 'source', 'score'"),
    ],
)
def test_wrong_values_in_plain_words(table, words, says):
    with pytest.raises(ConfigError, match=says) as error:
        plan(table, *words)
    assert "Value error" not in str(error.value)


def test_an_error_of_a_whole_option_has_no_empty_key():
    with pytest.raises(ValueError, match="subsets need") as error:
        PoolOption.model_validate({"rule": "subsets"})
    assert str(explain(error.value, PoolOption, "p.yaml")).startswith("p.yaml: subsets need exactly one of size")


def test_a_misnamed_function_gets_the_nearest_or_all(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def first(): ...\ndef second(): ...\ndef third(): ...\ndef fourth(): ...\ndef _own(): ...\n")
    with pytest.raises(ConfigError, match=r"no function 'secnd'\. Nearest: second\.$"):
        find_function(f"{path}:secnd")
    with pytest.raises(ConfigError, match=r"no function 'xyz'\. It has: first, fourth, second, third\.$"):
        find_function(f"{path}:xyz")


def test_exclude_that_removes_everything(table, tmp_path):
    content = {"name": "x", "version": 1, "cells": "segmentation_sources", "measure": "pearson", "pool": "all"}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({**content, "exclude": [{"recipe": "full"}]}))
    with pytest.raises(NothingMatched, match=r"no cell of segmentation_sources is left by the 'exclude' rules\."):
        plan("sweep=x.yaml")
    with pytest.raises(NothingMatched, match=r"is left by target=camvid and the 'exclude' rules\."):
        plan("sweep=x.yaml", "target=camvid")


def test_a_sweep_whose_filters_do_not_fit_a_table(table):
    with pytest.raises(NothingMatched) as error:
        plan("sweep=stability", table)
    assert "the filter recipe=full,head of sweep stability does not fit zoo, where recipe is default" in str(
        error.value
    )
    assert "Say recipe=default, or name the table without sweep=." in str(error.value)
    assert len(plan("sweep=stability", table, "recipe=default", "pool=all").setups) == 3 * 4


def test_long_work_is_said_up_front(table, monkeypatch):
    assert not any("minutes" in note for note in plan(table).notes)
    # 15 pools of four candidates for each of three queries, four measures and two metrics
    monkeypatch.setattr(planning, "LONG", 15 * 3 * 4 * 2 * 4)
    assert not any("minutes" in note for note in plan(table).notes)
    monkeypatch.setattr(planning, "LONG", 15 * 3 * 4 * 2 * 4 - 1)
    assert any("180 setups" in note and "takes minutes; pool=all is quick" in note for note in plan(table).notes)
    assert not any("minutes" in note for note in plan(table, "pool=all").notes)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"sha256": 12}, r"^s\.yaml: weights\.sha256: it should be text, and is 12\.$"),
        ({"file": 7}, r"^s\.yaml: weights\.file: it should be text"),
        ({"shaa256": "x"}, r"^s\.yaml: the key 'weights\.shaa256' does not exist\. Nearest: sha256"),
        (
            {"kind": "pretrain", "target": {"task": "detection", "sizes": {"train": 0}}},
            r"weights\.target\.sizes\.train",
        ),
        ({"file": None}, r"weights\.file: it should be text"),
    ],
)
def test_a_key_is_named_as_it_stands_in_the_file(weights, says):
    """The kind of weights is part of pydantic's location, and ``file`` is a kind and a key."""
    content = {
        "architecture": {"function": "a:b"},
        "input": {"size": 32},
        "weights": {"kind": "file", "file": "a.pth", "layout": "timm"} | weights,
    }
    if weights.get("kind") == "pretrain":
        del content["weights"]["file"], content["weights"]["layout"]
        content["weights"]["target"] |= {"function": "a:b", "classes": 2, "image_size": 32}
        content["weights"]["recipe"] = {"task": "detection"}
    with pytest.raises(ValidationError) as error:
        Source.model_validate(content)
    assert re.search(says, str(explain(error.value, Source, "s.yaml")))

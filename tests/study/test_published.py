"""Sweeps of published tables, and tables of a user's own."""

from pathlib import Path

import pandas
import pytest
import yaml

from tmbench.errors import ConfigError, NothingMatched
from tmbench.study.compose import OptionFolders
from tmbench.study.planning import planned
from tmbench.study.sweep import parse


def plan(*words, extra=()):
    return planned(parse(words, extra), OptionFolders())[0]


def counts(*words):
    return plan(*words).setups.counts()


SEGMENTATION, CLASSIFICATION = "segmentation_sources", "classification_architectures"


def test_the_715_632_setups_and_the_head_beside_them():
    study = plan("sweep=stability")
    assert study.setups.counts() == {
        (SEGMENTATION, "full"): 297_024,
        (CLASSIFICATION, "full"): 418_608,
        (CLASSIFICATION, "head"): 418_608,
    }
    assert len(study.setups) == 1_134_240
    assert len(study.units) == 0
    assert [cells.scenario for cells in study.published] == [scenario.name for scenario in study.scenarios]
    assert study.compared == ["gbc", "leep", "nleep", "logme", "hscore_elementwise"]
    assert not study.notes


def test_the_notebooks_own_rule():
    assert counts("sweep=stability_notebook") == {
        (SEGMENTATION, "full"): 9_248,
        (CLASSIFICATION, "full"): 6_156,
        (CLASSIFICATION, "head"): 6_156,
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["target=camvid"], {(SEGMENTATION, "full"): 4368 * 4}),
        (["target=[camvid,dtd]", "recipe=full"], {(SEGMENTATION, "full"): 4368 * 4, (CLASSIFICATION, "full"): 46_512}),
        (["recipe=head", "measure=[pearson]"], {(CLASSIFICATION, "head"): 418_608 // 4}),
        (["cells=segmentation_sources"], {(SEGMENTATION, "full"): 297_024}),
        (["source=[city,bdd,coco,ade]", "pool=all"], {(SEGMENTATION, "full"): 17 * 4}),
        (["recipe=head", "pool.size=18"], {(CLASSIFICATION, "head"): 19 * 9 * 4}),
        (["recipe=head", "pool=without_family"], {(CLASSIFICATION, "head"): 7 * 9 * 4}),
        (["recipe=head", "pool=size_matched_5"], {(CLASSIFICATION, "head"): 15 * 9 * 4}),
    ],
)
def test_filters(words, expected):
    assert counts("sweep=stability", *words) == expected


def test_a_metric_is_chosen():
    study = plan("sweep=stability", "metric=[logme,gbc]")
    assert all(cells.metrics == ("logme", "gbc") for cells in study.published)
    assert study.compared == ["logme", "gbc"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["target=camvd"], "no target is named 'camvd'. Nearest: 'camvid'"),
        (["metric=[logme,gcb]"], "no metric is named 'gcb'. Nearest: 'gbc'"),
        (["source=resnet5"], "no source is named 'resnet5'. Nearest: 'resnet50'"),
        (["cells=segmentation_source"], "no cells is named 'segmentation_source'. Nearest: 'segmentation_sources'"),
        (["cells.level=x"], "cells.level=x says how a table is read, and no file is named"),
        (["measure=pearsn"], "no measure is named 'pearsn'. Nearest: 'pearson'"),
        (["cells=segmentation_sources", "recipe=head"], "no recipe is named 'head'"),
        (["recipe=head", "pool=[leave_5_out,size_14]"], "no pool is named 'size_14'"),
    ],
)
def test_a_name_that_no_table_has(words, says):
    with pytest.raises(ConfigError, match=says):
        plan("sweep=stability", *words)


def test_filters_that_leave_nothing():
    with pytest.raises(
        NothingMatched, match=r"no cell of segmentation_sources, .* is left by target=camvid recipe=head"
    ):
        plan("sweep=stability", "target=camvid", "recipe=head")


def test_exclude_couples_scenario_and_recipe(tmp_path):
    content = {
        "name": "coupled", "version": 1, "cells": [SEGMENTATION, CLASSIFICATION], "measure": "pearson",
        "pool": "leave_5_out",
        "exclude": [{"scenario": CLASSIFICATION, "recipe": "full", "target": ["dtd", "cifar10"]}],
    }  # fmt: skip
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    study = plan(f"sweep={tmp_path}/x.yaml")
    pools = 11_628
    assert study.setups.counts() == {
        (SEGMENTATION, "full"): 17 * 4368,
        (CLASSIFICATION, "head"): 9 * pools,
        (CLASSIFICATION, "full"): 7 * pools,
    }
    assert len(study.published) == len(study.scenarios) == 3
    content["exclude"] = [{"target": "camvidd"}]
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"exclude: no target is named 'camvidd'\. Nearest: 'camvid'"):
        plan(f"sweep={tmp_path}/x.yaml")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A wide table of six models and three data sets in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(name, sign=1.0):
        rows = ["source,target,truth,logme,gbc"]
        rows += [f"m{m},d{d},{sign * (m + d + 1) / 10},{m},{-m * d}" for m in range(6) for d in range(3)]
        (tmp_path / name).write_text("\n".join(rows))
        return f"cells={name}"

    return write


def test_a_table_makes_a_sweep(table):
    study = plan(table("My-Cells.v2.csv"))
    assert study.sweep.name == "my_cells"
    assert study.sweep.measure == ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")
    assert study.sweep.pool == ("three_quarters",)
    # 15 subsets of four for each data set.
    assert len(study.setups) == 15 * 3 * 4
    assert study.compared == ["logme", "gbc"]


def test_a_negative_truth_has_no_ratio(table):
    assert plan(table("errors.csv", sign=-1)).sweep.measure[-1] == "normalised_regret"


def test_a_table_takes_the_axes_of_a_sweep(table):
    study = plan(table("mine.csv"), "pool.size=3", "measure=pearson", "target=[d0,d2]", "metric=gbc")
    assert len(study.setups) == 20 * 2
    assert study.compared == ["gbc"]
    with pytest.raises(ConfigError, match="no target is named 'd7'"):
        plan("cells=mine.csv", "target=d7")


def test_a_table_in_a_sweep_of_tables(table, tmp_path):
    table("mine.csv")
    content = {"name": "mine", "version": 1, "cells": SEGMENTATION, "measure": "pearson", "pool": "all"}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    assert plan("sweep=x.yaml", "cells=mine.csv").setups.counts() == {("mine", "default"): 3}


def test_a_shipped_table_needs_no_sweep():
    study = plan("cells=segmentation_sources", "pool=all")
    assert (study.sweep.name, len(study.setups)) == (SEGMENTATION, 17 * 4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cells=nothing.csv"], r"there is no file nothing\.csv"),
        (["cells=[segmentation_sources,mine.csv]"], "'segmentation_sources' is an option and 'mine.csv' a file"),
        (["cells=mine.csv", "cells.colums.source=x"], "colums"),
        (["cells=mine.csv", "measure=[]"], "the command line: measure"),
        (["cells=mine"], "no cells is named 'mine'"),
    ],
)
def test_a_table_that_is_named_wrongly(table, words, says):
    table("mine.csv")
    with pytest.raises(ConfigError, match=says):
        plan(*words)


def test_two_tables_of_one_scenario_are_refused(tmp_path, table):
    (tmp_path / "conf" / "cells").mkdir(parents=True)
    for name in ("one", "two"):
        table(f"{name}.csv")
        (tmp_path / "conf" / "cells" / f"{name}.yaml").write_text(f"{{file: {name}.csv, scenario: same}}")
    request = parse(["cells=[one,two]"])
    with pytest.raises(ConfigError, match="cells 'one' and 'two' both have a scenario 'same'"):
        planned(request, OptionFolders([tmp_path / "conf"]))


def test_groups_of_queries_are_scenarios_that_know_their_table(tmp_path, table):
    table("mine.csv")
    groups = "cells.query_groups={half of it:[d0,d1],all:[d2]}"
    study = plan("cells=mine.csv", groups, "pool=all")
    assert [(one.scenario, one.queries) for one in study.published] == [
        ("mine_half_of_it", ("d0", "d1")),
        ("mine_all", ("d2",)),
    ]
    last = study.setups.at(len(study.setups) - 1)
    assert (last.scenario, last.query, last.config["cells"]["file"]) == ("mine_all", "d2", "mine.csv")
    assert [cells.scenario for cells in study.tables] == ["mine"]


def test_a_group_that_another_scenario_is_named_like_is_refused(tmp_path, table):
    (tmp_path / "conf" / "cells").mkdir(parents=True)
    table("one.csv")
    table("two.csv")
    groups = "query_groups: {half: [d0, d1], all: [d2]}"
    (tmp_path / "conf" / "cells" / "one.yaml").write_text(f"{{file: one.csv, scenario: zoo, {groups}}}")
    (tmp_path / "conf" / "cells" / "two.yaml").write_text("{file: two.csv, scenario: zoo_half}")
    with pytest.raises(ConfigError, match="scenarios 'zoo' and 'zoo_half' would both be 'zoo_half'"):
        planned(parse(["cells=[one,two]"]), OptionFolders([tmp_path / "conf"]))


def test_the_verbs_own_keys_are_handed_on(table):
    request = parse([table("mine.csv"), "seed=3", "bootstrap=1000", "out=there"], ("bootstrap", "out"))
    assert planned(request, OptionFolders())[1] == {"seed": 3, "bootstrap": 1000, "out": "there"}
    for word in ("bootstrap=-1", "bootstrap=x", "seed=[1,2]", "seed=1.5"):
        with pytest.raises(ConfigError, match="give one whole number, 0 or more"):
            planned(parse(["cells=mine.csv", word], ("bootstrap",)), OptionFolders())


def test_exclude_of_a_cell_under_one_recipe_reaches_the_tables(tmp_path, monkeypatch, capsys):
    """The recipes then have other candidates; the cells are written as they were read."""
    from tmbench.cli import main

    monkeypatch.chdir(tmp_path)
    content = {
        "name": "coupled", "version": 1, "cells": [CLASSIFICATION], "measure": "kendall_tau", "pool": "leave_1_out",
        "recipe": ["full", "head"], "exclude": [{"recipe": "head", "source": "vgg16"}],
    }  # fmt: skip
    Path("x.yaml").write_text(yaml.safe_dump(content))
    assert main(["aggregate", "sweep=x.yaml", "bootstrap=0"]) == 0, capsys.readouterr().err
    counts = pandas.read_csv("results/coupled/tables/counts.csv").set_index(["recipe", "what"])["count"]
    assert (counts["full", "setups"], counts["head", "setups"]) == (9 * 19, 9 * 18)
    assert (counts["full", "candidates"], counts["head", "candidates"]) == (19, 18)
    truths = pandas.read_csv("results/coupled/cells/truths.csv")
    assert ((truths["recipe"] == "head") & (truths["source"] == "vgg16")).sum() == 9


def test_setups_of_other_tables_have_other_ids(tmp_path):
    rows = ["source,target,truth,logme", *(f"s{i},t,{i / 9},{i}" for i in range(5))]
    ids = []
    for folder, rows_there in (("one", rows), ("copy", rows), ("other", [*rows[:-1], "s4,t,0.1,4"])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "zoo.csv").write_text("\n".join(rows_there))
        ids.append(plan(f"cells={tmp_path}/{folder}/zoo.csv").setups.at(0).id)
    assert ids[0] == ids[1] != ids[2]

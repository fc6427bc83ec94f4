"""Tables that newcomers brought: empty metrics, percentages, mappings that contradict each other, names and places."""

import re

import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.stats.cells import MISSING
from tmbench.study.compose import OptionFolders
from tmbench.study.planning import planned
from tmbench.study.sweep import parse
from tmbench.study.tables import cells_option, read_cells, write_cells
from tmbench.study.tables.options import validated

WIDE = "source,target,truth,logme,leep\na,x,.5,1,\nb,x,.6,2,NaN\n"


def test_an_empty_column_beside_metrics_is_a_metric_without_scores(read):
    (cells,) = read(WIDE)
    assert cells.metrics == ("logme", "leep")
    assert (cells.state[0, 1] == MISSING).all()
    assert cells.counts == {"empty_scores": 2}
    (asked,) = read(WIDE, metrics=["logme"])
    assert asked.metrics == ("logme",)

    def notes(*words):
        return planned(parse([f"cells={read.path}", "pool=all", *words]), OptionFolders())[0].notes

    warned = "table: no score at all of leep: all are missing, in every setup. To leave it out, say metric=[logme]."
    assert warned in notes()
    assert warned not in notes("metric=[logme]")


def test_columns_without_any_number_are_no_metrics(read):
    with pytest.raises(ConfigError, match=r"none of these holds a number: logme, leep"):
        read("source,target,truth,logme,leep\na,x,.5,,\nb,x,.6,high,\n")


@pytest.mark.parametrize(
    ("truths", "says"),
    [
        ((0.84, 0.9), ""),
        ((84, 0.9), r"truths are not proportions \(largest 84\).*divide percentages by 100"),
        ((-3, 0.9), r"truths are not proportions \(smallest -3\): no noise ceiling follows from the test sizes\.$"),
    ],
)
def test_test_sizes_are_those_of_proportions(read, truths, says):
    (cells,) = read(f"source,target,truth,test_size,m\na,x,{truths[0]},100,1\nb,x,{truths[1]},100,2\nc,x,2,,3\n")
    assert cells.counts.get("truths_no_proportion", 0) == bool(says)
    found = [note for note in read.warnings if "proportions" in note]
    assert [bool(re.search(says, note)) for note in found] == [True] * bool(says)
    assert np.isnan(cells.test_sizes[0, 2])


def test_the_truth_has_one_place(read):
    with pytest.raises(ConfigError, match=r"columns\.truth=truth and truths\.full=leep both say") as error:
        read(WIDE, **{"columns.truth": "truth", "truths.full": "leep"})
    assert "Value error" not in str(error.value)
    assert "it is" not in str(error.value)


@pytest.mark.parametrize(
    ("direction", "column", "of", "other"),
    [
        ("target_selection", "family", "target", "'query_family' (cells.columns.query_family=family)"),
        ("source_selection", "family", "source", "'query_family' (cells.columns.query_family=family)"),
        ("source_selection", "query_family", "target", "'family' (cells.columns.family=query_family)"),
    ],
)
def test_whose_family_it_is(read, direction, column, of, other):
    name = {"source": "a,{}", "target": "{},x"}[of]
    rows = [f"{name.format(k)},.{k + 1},1,f{k}" for k in range(2)]
    text = f"source,target,truth,m,{column}\n" + "\n".join(rows)
    with pytest.raises(ConfigError) as error:
        read(text, direction=direction)
    assert f"In {direction} '{column}' is the {of}'s" in str(error.value)
    assert str(error.value).endswith(f"is {other}.")
    if direction == "target_selection":
        (cells,) = read(text, direction=direction, **{"columns.query_family": "family"})
        assert cells.families == ("",)


def test_a_table_lies_beside_its_option(tmp_path, monkeypatch):
    mine, here = tmp_path / "conf" / "cells", tmp_path / "here"
    for folder in (mine, here):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (mine / "zoo.yaml").write_text("file: zoo.csv")

    def setup():
        return planned(parse(["cells=zoo", "pool=all"]), OptionFolders([tmp_path / "conf"]))[0].setups.at(0)

    with pytest.raises(ConfigError, match=r"zoo\.yaml: there is no file zoo\.csv, neither beside this option") as error:
        setup()
    assert str(mine) in str(error.value)
    assert str(here) in str(error.value)
    text = "source,target,truth,m\na,x,.5,1\nb,x,.6,2\n"
    (here / "zoo.csv").write_text(text)
    assert setup().pool == ("a", "b")
    (mine / "zoo.csv").write_text(text.replace("b,", "c,"))
    of_mine = setup()
    assert of_mine.pool == ("a", "c")
    (here / "zoo.csv").write_text(text.replace(".5", ".7"))
    assert setup().id == of_mine.id


def test_two_tables_lie_beside_their_option(tmp_path):
    (tmp_path / "truths.csv").write_text("source,target,value\na,x,.5\nb,x,.6\n")
    (tmp_path / "scores.csv").write_text("source,target,metric,value\na,x,m,1\nb,x,m,2\n")
    option = validated({"files": {"truths": "truths.csv", "scores": "scores.csv"}}, "mine.yaml")
    assert read_cells(option, "mine.yaml", beside=tmp_path)[0].candidates == ("a", "b")
    with pytest.raises(ConfigError, match=r"there is no file truth\.csv.*Nearest: truths\.csv"):
        read_cells(validated({"file": "truth.csv"}, "mine.yaml"), "mine.yaml", beside=tmp_path)


def test_written_cells_bear_the_name_of_their_study(tmp_path, monkeypatch, read):
    (cells,) = read()
    folder = tmp_path / "results" / "A_1" / "cells"
    write_cells(folder, [cells])

    def name(*words):
        return planned(parse(["pool=all", *words]), OptionFolders())[0].sweep.name

    assert name(f"cells={folder}") == name(f"cells={folder}/") == "a_1"
    assert name(f"cells=[{folder}/truths.csv,{folder}/scores.csv]") == "a_1"
    monkeypatch.chdir(folder)
    assert name("cells=./") == "a_1"
    (folder / "axes.csv").unlink()
    (tmp_path / "cells.csv").write_bytes(read.path.read_bytes())
    assert name(f"cells={tmp_path}/cells.csv") == "cells"
    for file in ("truths.csv", "scores.csv"):  # nothing names the scenario
        rows = (folder / file).read_text().splitlines()
        (folder / file).write_text("\n".join(row.partition(",")[2] for row in rows))
    assert read_cells(cells_option(str(folder)))[0].scenario == "A_1"

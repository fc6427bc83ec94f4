"""Wrong files, forms and settings of a table of cells: every error says what to do."""

import re

import pytest
from tables_work import JOINED, same

from tmbench.errors import ConfigError
from tmbench.study.tables import cells_option, read_cells
from tmbench.study.tables.options import validated


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty: it has no header"),
        (b"\n\n", r"is empty"),
        (b"source,target\n", r"has a header and no rows"),
        (b"source,target\n,\n", r"has a header and no rows"),
        (b"source;target;metric\na;b;c\n", r"separates its columns by semicolons"),
        (b"source\ttarget\na\tb\n", r"separates its columns by tabs"),
        (b"source,target,source\na,b,c\n", r"the column 'source' stands twice"),
        ("source,target,metric,score,truth\né,x,m,1,2\n".encode("latin-1"), r"is not UTF-8 text"),
        ("sourcé,target\n".encode("latin-1"), r"is not UTF-8 text"),
        (JOINED.encode("utf-16"), r"is not UTF-8 text"),
        (JOINED.encode("utf-16-le"), r"is not UTF-8 text"),
        (b"source,target,metric\na,b\n", r"its rows are not those of one table: .*Expected 3 columns, got 2"),
    ],
)
def test_wrong_files(read, content, message):
    with pytest.raises(ConfigError, match=r"table\.csv.*" + message):
        read(content)


def test_a_byte_order_mark_is_no_name(read):
    same(read()[0], read(JOINED.encode("utf-8-sig"))[0])


def test_places_that_are_no_table(tmp_path, read):
    read(name="cells.csv")
    for name, message in (
        ("cels.csv", r"there is no file .*Nearest: cells\.csv"),
        ("", r"is a folder without truths\.csv.*It holds: cells\.csv"),
        ("nowhere/x.csv", r"there is no file"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_cells(cells_option(str(tmp_path / name)))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"Give one of: \.csv"):
        read_cells(cells_option(str(tmp_path / "notes.txt")))
    with pytest.raises(ConfigError, match=r"is a folder; give a file"):
        read_cells(cells_option([str(tmp_path), str(tmp_path)]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ConfigError, match=r"no valid Parquet file"):
        read_cells(cells_option(str(tmp_path / "broken.parquet")))


def test_a_form_that_is_not_clear(read):
    with pytest.raises(ConfigError) as error:
        read("model,dataset,accuracy,metric,value\na,x,.5,m,1\n")
    text = str(error.value)
    assert "Found: model, dataset, accuracy, metric, value." in text
    assert "Looked for and not found: 'source', 'target', 'truth' (or a column for each recipe" in text
    example = re.search(r"for example: (.*)\.$", text)[1].split()
    assert example == ["cells.columns.source=model", "cells.columns.target=dataset", "cells.truths.full=accuracy"]
    (cells,) = read(
        "model,dataset,accuracy,metric,value\na,x,.5,m,1\n",
        **dict(word.removeprefix("cells.").split("=") for word in example),
    )
    assert (cells.candidates, cells.recipes) == (("a",), ("full",))
    with pytest.raises(
        ConfigError, match=r"not found: 'metric' with 'score'.*example: cells.metrics=\[COLUMN,…\], or give"
    ):
        read("source,target,truth\na,x,1\n")
    with pytest.raises(
        ConfigError, match=r"cells\.truths\.full=COLUMN, or give the truths too: cells=\[TRUTHS,SCORES\]"
    ):
        read("source,target,metric,value\na,x,m,1\n")
    with pytest.raises(ConfigError, match=r"not found: 'metric' with 'score'.*example: cells.metrics=\[COLUMN,…\]"):
        read("source,target,truth\na,x,1\n")
    with pytest.raises(ConfigError, match=r"not found: 'score'\. Say it, for example: cells\.columns\.score=result"):
        read("source,target,truth,metric,result\na,x,1,m,1\n")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"column.source": "a"}, r"the key 'column' does not exist\. Nearest: columns"),
        ({"columns.sorce": "a"}, r"no column is named 'sorce'\. Nearest: 'source'"),
        ({"columns.source": "sourc"}, r"columns\.source: no column is named 'sourc'\. Nearest: 'source'"),
        ({"truths.full": "thruth"}, r"truths\.full: no column is named 'thruth'\. Nearest: 'truth'"),
        ({"metrics": ["score"]}, r"it has a column of metrics \('metric'\)"),
        ({"direction": "source"}, r"direction"),
        ({"rename.lep": "x"}, r"no metric is named 'lep'\. Nearest: 'leep'"),
        ({"rename.leep": "logme"}, r"'leep' becomes 'logme', which is the name of another"),
        ({"kinds.logm": "variant"}, r"kinds: no metric is named 'logm'"),
        ({"kinds.logme": "main"}, r"kinds\.logme"),
        ({"families.f": ["z"]}, r"families\.f: no candidate is named 'z'"),
        ({"families": {"f": ["a"], "g": ["a"]}}, r"in two families: a"),
        ({"sizes.x": 3}, r"sizes: no source is named 'x'"),
        ({"sizes.a": -3}, r"sizes\.a"),
        ({"test_sizes.a": 3}, r"test_sizes: no target is named 'a'"),
        ({"rename.leep": "static"}, r"a metric is named 'static'.*rename\.static=my_static"),
        ({"file": "x.csv"}, r"'file' belongs into an option file"),
    ],
)
def test_wrong_settings(read, setting, message):
    with pytest.raises(ConfigError, match=message):
        read(**setting)


def test_an_option_names_one_place():
    for content in ({}, {"file": "a.csv", "files": {"truths": "a.csv", "scores": "b.csv"}}):
        with pytest.raises(ConfigError, match=r"mine\.yaml: (both|neither) 'file'"):
            read_cells(validated(content, "mine.yaml"), "mine.yaml")
    with pytest.raises(ConfigError, match=r"3 files"):
        cells_option(["a", "b", "c"])


def test_a_wrong_column_does_not_fill_the_memory(read):
    rows = [f"s{i},t{i},m,1,1" for i in range(20_000)]
    with pytest.raises(ConfigError, match=r"Do 'source' and 'target' name the right columns"):
        read("source,target,metric,score,truth\n" + "\n".join(rows))

"""Every form of a table of cells gives the same cells."""

import gzip

import numpy as np
import pandas as pd
import pytest
from tables_work import JOINED, TRUTHS, same

from tmbench.errors import ConfigError
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK
from tmbench.study.tables import cells_option, read_cells


def test_joined(read):
    (cells,) = read()
    assert (cells.scenario, cells.direction) == ("table", "source_selection")
    assert (cells.recipes, cells.levels, cells.seeds) == (("default",), ("default",), ("0",))
    assert (cells.queries, cells.candidates, cells.metrics) == (("x", "y"), ("a", "b"), ("leep", "logme"))
    assert cells.truth[0, :, :, 0].tolist() == [[0.5, 0.75], [0.25, 0.125]]
    assert cells.scores[0, 0].tolist() == [[-1.5, -1.25], [-3.0, -2.0]]
    assert cells.present.all()
    assert not cells.counts
    assert not read.warnings


def test_every_form_gives_the_same_cells(read, read_two):
    (joined,) = read()
    frame = pd.read_csv(pd.io.common.StringIO(JOINED))
    (parquet,) = read(frame, "table.parquet")
    same(joined, parquet)
    (zipped,) = read(gzip.compress(JOINED.encode()), "table.csv.gz")
    same(joined, zipped)
    wide = frame.pivot(index=["target", "source", "truth"], columns="metric", values="score").reset_index()
    (found,) = read(wide.to_csv(index=False))
    same(joined, found)
    assert "taken for metrics: leep, logme" in read.warnings[0]
    (tidied,) = read_two(
        TRUTHS, frame.rename(columns={"score": "value"}).drop(columns="truth").to_csv(), scenario="table"
    )
    same(joined, tidied)
    (wide_scores,) = read_two(TRUTHS, wide.drop(columns="truth").to_csv(index=False), scenario="table")
    same(joined, wide_scores)


def test_two_files_in_either_order(tmp_path, read):
    (joined,) = read(scenario="s")
    truths, scores = tmp_path / "one.csv", tmp_path / "two.csv"
    truths.write_text(TRUTHS)
    scores.write_text("\n".join(line.rpartition(",")[0] for line in JOINED.splitlines()))
    for pair in ([truths, scores], [scores, truths]):
        (cells,) = read_cells(cells_option([str(path) for path in pair], {"scenario": "s"}))
        same(joined, cells)


def test_mapping_recipes_and_renaming(read):
    text = "dataset,model,acc head,acc full,metric,score\nx,a,.1,.2,hscore,1\nx,b,.3,.4,hscore,2\n"
    (cells,) = read(
        text,
        **{"columns.source": "model", "columns": {"target": "dataset"}, "rename.hscore": "hscore_elementwise"},
        truths={"head": "acc head", "full": "acc full"},
        level="penultimate",
        measure="accuracy",
        kinds={"hscore_elementwise": "variant"},
    )
    assert cells.recipes == ("head", "full")
    assert cells.truth[:, 0, :, 0].tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert (cells.levels, cells.metrics, cells.kinds) == (("penultimate",), ("hscore_elementwise",), ("variant",))
    assert cells.truth_measure == "accuracy"


def test_a_mapped_column_hides_one_of_that_name(read):
    (cells,) = read(
        "source,target,metric,score,truth\nx,a,m,1,2\nx,b,m,2,3\n", columns={"source": "target", "target": "source"}
    )
    assert (cells.queries, cells.candidates) == (("x",), ("a", "b"))


def test_target_selection_ranks_targets(read):
    (cells,) = read(direction="target_selection")
    assert (cells.queries, cells.candidates) == (("a", "b"), ("x", "y"))
    assert cells.truth[0, :, :, 0].tolist() == [[0.5, 0.25], [0.75, 0.125]]


def test_seeds_stay_and_samples_are_averaged(read_two):
    truths = "source,target,seed,value\na,x,1,0.25\na,x,2,0.75\nb,x,2,0.5\n"
    scores = "source,target,metric,sample_seed,value\na,x,m,0,1\na,x,m,1,2\nb,x,m,0,3\nb,x,m,1,\n"
    (cells,) = read_two(truths, scores)
    assert cells.seeds == ("1", "2")
    assert np.array_equal(cells.truth[0, 0], [[0.25, 0.75], [np.nan, 0.5]], equal_nan=True)
    assert cells.mean_truth[0, 0].tolist() == [0.5, 0.5]
    assert cells.scores[0, 0, 0].tolist() == [1.5, 3.0]
    assert cells.counts == {"averaged_scores": 1, "empty_scores": 1}


def test_a_joined_table_may_have_recipes_and_seeds(read):
    lines = ["source,target,recipe,seed,metric,score,truth"]
    lines += [
        f"{s},x,{r},{k},{m},{len(m)},0.{k}" for s in "ab" for r in ("head", "full") for k in (1, 2) for m in ("m", "nn")
    ]
    (cells,) = read("\r\n".join(lines))
    assert (cells.recipes, cells.seeds, cells.metrics) == (("head", "full"), ("1", "2"), ("m", "nn"))
    assert cells.truth[1, 0].tolist() == [[0.1, 0.2]] * 2
    assert cells.counts == {"constant_scores": 2}
    assert read("\n".join([*lines, lines[1]]))[0].counts["duplicate_rows"] == 1
    with pytest.raises(ConfigError, match=r"rows 2 and 18 give different scores, 1\.0 and 7\.0"):
        read("\n".join([*lines, "a,x,full,3,m,7,.5"]))


def test_levels_implementations_and_variants(read):
    text = (
        "source,target,level,implementation,metric,variant,score,truth\n"
        "a,x,l3,,m,,1,.5\na,x,l3,theirs,m,,2,.5\na,x,l3,,m,fast,3,.5\nb,x,l3,,m,,4,.6\n"
    )
    (cells,) = read(text)
    assert cells.levels == ("l3", "l3@theirs")
    assert (cells.metrics, cells.kinds) == (("m", "m/fast"), ("metric", "variant"))
    assert np.array_equal(cells.scores[:, 0, 0], [[1, 4], [2, np.nan]], equal_nan=True)
    assert cells.state[:, :, 0].tolist() == [[[OK, OK], [OK, MISSING]], [[OK, MISSING], [INAPPLICABLE] * 2]]
    assert cells.counts["absent_metrics"] == 1


def test_scenarios_are_read_apart(read):
    text = "scenario,source,target,metric,score,truth\ns,a,x,m,1,.5\nt,b,x,m,1,.5\ns,c,x,m,,.5\nt,a,x,n,2,.5\n"
    first, second = read(text)
    assert (first.scenario, first.candidates, first.metrics) == ("s", ("a", "c"), ("m",))
    assert (second.scenario, second.candidates, second.metrics) == ("t", ("b", "a"), ("m", "n"))
    assert first.counts["empty_scores"] == 1
    assert "empty_scores" not in second.counts
    (only,) = read(text, scenario="t")
    same(only, second)


def test_the_primary_measure(read_two):
    truths = "source,target,measure,value\na,x,accuracy,.5\na,x,top5,.9\nb,x,accuracy,.6\n"
    scores = "source,target,metric,score\na,x,m,1\nb,x,m,2\n"
    with pytest.raises(ConfigError, match=r"2 measures: 'accuracy', 'top5'.*measure=accuracy"):
        read_two(truths, scores)
    (cells,) = read_two(truths, scores, measure="accuracy")
    assert cells.truth[0, 0, :, 0].tolist() == [0.5, 0.6]
    assert (cells.truth_measure, cells.counts) == ("accuracy", {"other_measures": 1})
    with pytest.raises(ConfigError, match=r"no truth of measure 'acuracy'"):
        read_two(truths, scores, measure="acuracy")


def test_tasks(read):
    text = "task,source,target,metric,score,truth\nseg,a,x,m,1,.5\ncls,a,x,m,2,.25\ncls,b,x,m,3,.5\n"
    with pytest.raises(ConfigError, match=r"'x' stands under several tasks, seg, cls\. Say task=seg"):
        read(text)
    (cells,) = read(text, task="cls")
    assert cells.scores[0, 0, 0].tolist() == [2, 3]
    assert cells.counts == {"other_tasks": 2}


def test_names_of_a_parquet_file_are_text(read):
    frame = pd.DataFrame(
        {
            "source": [1, 2],
            "target": pd.Categorical(["x", "x"], ["unused", "x"]),
            "seed": [3.0, 3.0],
            "truth": [1, 2],
        }
    )
    (cells,) = read(frame.assign(m=np.float32([0.5, np.nan])), "table.parquet")
    assert (cells.candidates, cells.queries, cells.seeds, cells.metrics) == (("1", "2"), ("x",), ("3",), ("m",))
    assert cells.counts["empty_scores"] == 1


def test_the_names_that_look_like_nothing(read):
    (cells,) = read("source,target,metric,score,truth\nNA,nan,null,1,.5\nNone,nan,null,2,.6\n")
    assert (cells.candidates, cells.queries, cells.metrics) == (("NA", "None"), ("nan",), ("null",))


def test_what_a_wide_table_has_beside_its_metrics(read):
    (cells,) = read("source,target,truth,m,n,note\na,x,1,inf,2,hi\nb,x,2,inf,oops,yo\n")
    assert cells.metrics == ("m", "n")
    assert cells.counts == {"text_scores": 1, "infinite_scores": 2, "constant_scores": 1}
    taken, unread, text = read.warnings
    assert "taken for metrics: m, n." in taken
    assert "not read: note." in unread
    assert "column 'n' has text that is no number, 'oops' in row 3" in text
    (cells,) = read("source,target,truth,m,n,note\na,x,1,inf,2,hi\nb,x,2,inf,3,yo\n", metrics="n")
    assert cells.metrics == ("n",)
    assert read.warnings == [f"{read.path}: columns that are not read: m, note."]


def test_an_index_that_pandas_wrote_is_no_metric(read):
    frame = pd.DataFrame({"source": ["a", "b"], "target": "x", "truth": [0.5, 0.6], "m": [1, 2]})
    (cells,) = read(frame.to_csv())
    assert cells.metrics == ("m",)
    (cells,) = read(frame.iloc[[1, 0]], "table.parquet")
    assert cells.metrics == ("m",)

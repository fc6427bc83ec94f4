"""Cell tables in and out: every form gives the same cells, every policy is counted, every error says what to do."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tmbench.errors import ConfigError
from tmbench.folders import shipped
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells, Combined
from tmbench.stats.combine import sum_of_scaled, sum_of_standardised
from tmbench.study import tables
from tmbench.study.tables import cells_option, read_cells, tidy, write_cells
from tmbench.study.tables.options import COLUMNS, validated

JOINED = """source,target,metric,score,truth
a,x,leep,-1.5,0.5
a,x,logme,0.25,0.5
b,x,leep,-1.25,0.75
b,x,logme,0.5,0.75
b,y,leep,-2,0.125
b,y,logme,0.125,0.125
a,y,leep,-3,0.25
a,y,logme,1,0.25
"""
TRUTHS = "source,target,value\na,x,0.5\nb,x,0.75\nb,y,0.125\na,y,0.25\n"


@pytest.fixture
def read(tmp_path):
    """Reads text, or a data frame, as one table; warnings are in ``read.warnings``."""

    def call(content=JOINED, name="table.csv", **settings):
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        call.warnings, call.path = [], path
        return read_cells(cells_option(str(path), settings), warnings=call.warnings)

    return call


@pytest.fixture
def read_two(tmp_path):
    """Reads two tidy tables."""

    def call(truths, scores, **settings):
        (tmp_path / "truths.csv").write_text(truths)
        (tmp_path / "scores.csv").write_text(scores)
        call.warnings = []
        return read_cells(cells_option(str(tmp_path), settings), warnings=call.warnings)

    return call


def same(one: Cells, other: Cells) -> None:
    """Every field but ``counts``, which tell of a file."""
    for name in Cells.__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "combined":
            assert len(mine) == len(theirs)
            for first, second in zip(mine, theirs, strict=True):
                assert (first.name, first.kind, first.part_names) == (second.name, second.kind, second.part_names)
                assert first.combine is second.combine
                assert np.array_equal(first.parts, second.parts, equal_nan=True)
                assert np.array_equal(first.state, second.state)
        elif isinstance(mine, np.ndarray):
            assert np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"), name
        elif name != "counts":
            assert mine == theirs, name


def number(cells, metric, source, target):
    at = cells.metrics.index(metric), cells.queries.index(target), cells.candidates.index(source)
    return float(cells.scores[(0, *at)])


def state(cells, metric, source, target):
    return int(cells.state[0, cells.metrics.index(metric), cells.queries.index(target), cells.candidates.index(source)])


class TestForms:
    def test_joined(self, read):
        (cells,) = read()
        assert (cells.scenario, cells.direction) == ("table", "source_selection")
        assert (cells.recipes, cells.levels, cells.seeds) == (("default",), ("default",), ("0",))
        assert (cells.queries, cells.candidates, cells.metrics) == (("x", "y"), ("a", "b"), ("leep", "logme"))
        assert cells.truth[0, :, :, 0].tolist() == [[0.5, 0.75], [0.25, 0.125]]
        assert cells.scores[0, 0].tolist() == [[-1.5, -1.25], [-3.0, -2.0]]
        assert cells.present.all()
        assert not cells.counts
        assert not read.warnings

    def test_every_form_gives_the_same_cells(self, read, read_two):
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

    def test_two_files_in_either_order(self, tmp_path, read):
        (joined,) = read(scenario="s")
        truths, scores = tmp_path / "one.csv", tmp_path / "two.csv"
        truths.write_text(TRUTHS)
        scores.write_text("\n".join(line.rpartition(",")[0] for line in JOINED.splitlines()))
        for pair in ([truths, scores], [scores, truths]):
            (cells,) = read_cells(cells_option([str(path) for path in pair], {"scenario": "s"}))
            same(joined, cells)

    def test_mapping_recipes_and_renaming(self, read):
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

    def test_a_mapped_column_hides_one_of_that_name(self, read):
        (cells,) = read(
            "source,target,metric,score,truth\nx,a,m,1,2\nx,b,m,2,3\n", columns={"source": "target", "target": "source"}
        )
        assert (cells.queries, cells.candidates) == (("x",), ("a", "b"))

    def test_target_selection_ranks_targets(self, read):
        (cells,) = read(direction="target_selection")
        assert (cells.queries, cells.candidates) == (("a", "b"), ("x", "y"))
        assert cells.truth[0, :, :, 0].tolist() == [[0.5, 0.25], [0.75, 0.125]]

    def test_seeds_stay_and_samples_are_averaged(self, read_two):
        truths = "source,target,seed,value\na,x,1,0.25\na,x,2,0.75\nb,x,2,0.5\n"
        scores = "source,target,metric,sample_seed,value\na,x,m,0,1\na,x,m,1,2\nb,x,m,0,3\nb,x,m,1,\n"
        (cells,) = read_two(truths, scores)
        assert cells.seeds == ("1", "2")
        assert np.array_equal(cells.truth[0, 0], [[0.25, 0.75], [np.nan, 0.5]], equal_nan=True)
        assert cells.mean_truth[0, 0].tolist() == [0.5, 0.5]
        assert cells.scores[0, 0, 0].tolist() == [1.5, 3.0]
        assert cells.counts == {"averaged_scores": 1, "empty_scores": 1}

    def test_a_joined_table_may_have_recipes_and_seeds(self, read):
        lines = ["source,target,recipe,seed,metric,score,truth"]
        lines += [
            f"{s},x,{r},{k},{m},{len(m)},0.{k}"
            for s in "ab"
            for r in ("head", "full")
            for k in (1, 2)
            for m in ("m", "nn")
        ]
        (cells,) = read("\r\n".join(lines))
        assert (cells.recipes, cells.seeds, cells.metrics) == (("head", "full"), ("1", "2"), ("m", "nn"))
        assert cells.truth[1, 0].tolist() == [[0.1, 0.2]] * 2
        assert cells.counts == {"constant_scores": 2}
        assert read("\n".join([*lines, lines[1]]))[0].counts["duplicate_rows"] == 1
        with pytest.raises(ConfigError, match=r"rows 2 and 18 give different scores, 1\.0 and 7\.0"):
            read("\n".join([*lines, "a,x,full,3,m,7,.5"]))

    def test_levels_implementations_and_variants(self, read):
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

    def test_scenarios_are_read_apart(self, read):
        text = "scenario,source,target,metric,score,truth\ns,a,x,m,1,.5\nt,b,x,m,1,.5\ns,c,x,m,,.5\nt,a,x,n,2,.5\n"
        first, second = read(text)
        assert (first.scenario, first.candidates, first.metrics) == ("s", ("a", "c"), ("m",))
        assert (second.scenario, second.candidates, second.metrics) == ("t", ("b", "a"), ("m", "n"))
        assert first.counts["empty_scores"] == 1
        assert "empty_scores" not in second.counts
        (only,) = read(text, scenario="t")
        same(only, second)

    def test_the_primary_measure(self, read_two):
        truths = "source,target,measure,value\na,x,accuracy,.5\na,x,top5,.9\nb,x,accuracy,.6\n"
        scores = "source,target,metric,score\na,x,m,1\nb,x,m,2\n"
        with pytest.raises(ConfigError, match=r"2 measures: 'accuracy', 'top5'.*measure=accuracy"):
            read_two(truths, scores)
        (cells,) = read_two(truths, scores, measure="accuracy")
        assert cells.truth[0, 0, :, 0].tolist() == [0.5, 0.6]
        assert (cells.truth_measure, cells.counts) == ("accuracy", {"other_measures": 1})
        with pytest.raises(ConfigError, match=r"no truth of measure 'acuracy'"):
            read_two(truths, scores, measure="acuracy")

    def test_tasks(self, read):
        text = "task,source,target,metric,score,truth\nseg,a,x,m,1,.5\ncls,a,x,m,2,.25\ncls,b,x,m,3,.5\n"
        with pytest.raises(ConfigError, match=r"'x' stands under several tasks, seg, cls\. Say task=seg"):
            read(text)
        (cells,) = read(text, task="cls")
        assert cells.scores[0, 0, 0].tolist() == [2, 3]
        assert cells.counts == {"other_tasks": 2}

    def test_names_of_a_parquet_file_are_text(self, read):
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

    def test_the_names_that_look_like_nothing(self, read):
        (cells,) = read("source,target,metric,score,truth\nNA,nan,null,1,.5\nNone,nan,null,2,.6\n")
        assert (cells.candidates, cells.queries, cells.metrics) == (("NA", "None"), ("nan",), ("null",))

    def test_what_a_wide_table_has_beside_its_metrics(self, read):
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

    def test_an_index_that_pandas_wrote_is_no_metric(self, read):
        frame = pd.DataFrame({"source": ["a", "b"], "target": "x", "truth": [0.5, 0.6], "m": [1, 2]})
        (cells,) = read(frame.to_csv())
        assert cells.metrics == ("m",)
        (cells,) = read(frame.iloc[[1, 0]], "table.parquet")
        assert cells.metrics == ("m",)


class TestPolicies:
    def test_a_pair_without_a_row_is_no_cell(self, read):
        (cells,) = read(JOINED.rsplit("a,y", 2)[0])
        assert cells.present.tolist() == [[True, True], [False, True]]
        assert np.isnan(cells.truth[0, 1, 0]).all()
        assert (cells.state[0, :, 1, 0] == INAPPLICABLE).all()
        assert cells.counts == {"queries_with_one_candidate": 1}

    def test_what_is_no_number(self, read):
        text = (
            "source,target,metric,score,truth,flags\na,x,m,,0.5,\nb,x,m,NaN,n/a,\nc,x,m,-inf,inf,\nd,x,m,oops,-INF,\n"
            "e,x,m,,.5,\"['inapplicable']\"\nf,x,m,1,12%,inapplicable\ng,x,m,1e999,.5,\nh,x,m,1_0,.5,\n"
        )
        (cells,) = read(text)
        states = [MISSING, MISSING, OK, MISSING, INAPPLICABLE, OK, OK, MISSING]
        assert [state(cells, "m", name, "x") for name in "abcdefgh"] == states
        assert (number(cells, "m", "c", "x"), number(cells, "m", "g", "x")) == (-np.inf, np.inf)
        assert np.isnan(cells.truth[0, 0, :, 0]).tolist() == [False, True, True, True, False, True, False, False]
        assert cells.counts == {
            "empty_truths": 1, "text_truths": 1, "infinite_truths": 2, "empty_scores": 2, "text_scores": 2,
            "infinite_scores": 2, "inapplicable_scores": 1, "scores_without_truth": 2, "truths_without_score": 3,
        }  # fmt: skip
        assert any("'oops' in row 5" in text for text in read.warnings)
        assert any("'12%' in row 7" in text for text in read.warnings)

    def test_rows_that_repeat_are_read_once(self, read):
        repeated = JOINED + "a,x,leep,-1.50,0.5\na,x,leep,-1.5,.5\n"
        (cells,) = read(repeated)
        same(cells, read()[0])
        assert read(repeated)[0].counts == {"duplicate_rows": 2}

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("a,x,leep,-9,0.5", r"rows 2 and 10 give different scores, -1\.5 and -9\.0, .*metric 'leep'.*sample_seed"),
            ("a,x,leep,,0.5", r"rows 2 and 10 give different scores, -1\.5 and empty"),
            ("a,x,leep,-1.5,0.6", r"rows 2 and 10 give different truths, 0\.5 and 0\.6, .*source 'a', target 'x'"),
            ("a,x,new,1,", r"rows 2 and 10 give different truths, 0\.5 and empty"),
        ],
    )
    def test_rows_that_differ_stop(self, read, row, message):
        with pytest.raises(ConfigError, match=message):
            read(JOINED + row)

    def test_gaps_are_counted(self, read_two):
        truths = "source,target,value\na,x,.5\nb,x,.6\na,y,.5\nb,y,\n"
        scores = "source,target,metric,score\nb,x,m,1\na,x,n,1\nb,x,n,1\na,y,m,2\nb,y,m,3\nc,y,m,3\n"
        (cells,) = read_two(truths, scores)
        assert cells.present.tolist() == [[True, True, False], [True, True, True]]
        assert cells.counts == {
            "empty_truths": 1, "absent_scores": 4, "scores_without_truth": 2, "constant_scores": 1,
        }  # fmt: skip
        assert state(cells, "n", "a", "y") == MISSING
        assert state(cells, "m", "c", "x") == INAPPLICABLE

    def test_blanks_around_names(self, read):
        (cells,) = read(JOINED.replace("b,x,leep", " b ,x,leep").replace("source,", "source ,") + ",,,,\n , ,,,\n")
        same(cells, read()[0])
        assert read(JOINED.replace("b,x,leep", " b ,x,leep") + ",,,,\n")[0].counts == {
            "stripped_names": 1,
            "blank_rows": 1,
        }

    def test_names_that_differ_by_case_stay_apart(self, read):
        (cells,) = read(JOINED + "A,x,leep,1,.5\n")
        assert cells.candidates == ("a", "b", "A")
        assert read.warnings == ["table: sources 'a' and 'A' differ only by case; both stay."]

    def test_a_row_without_a_name_stops(self, read):
        with pytest.raises(ConfigError, match=r"row 10 has content and an empty target \(column 'target'\)"):
            read(JOINED + "a,,leep,1,.5\n")

    def test_baselines_of_the_sources(self, read):
        lines = JOINED.splitlines()
        sized = [
            lines[0] + ",size,source_accuracy",
            *(f"{x},{2e6 if x[0] == 'a' else 5e6},{x[0] == 'a':d}" for x in lines[1:]),
        ]
        (cells,) = read("\n".join(sized))
        assert (cells.metrics[2:], cells.kinds[2:]) == (("source_size", "source_accuracy"), ("baseline", "baseline"))
        assert cells.sizes.tolist() == [2e6, 5e6]
        assert cells.scores[0, 2:, 1].tolist() == [[2e6, 5e6], [1, 0]]
        (cells,) = read(sizes={"a": 3}, source_accuracy={"a": 0.5, "b": 0.75})
        assert cells.metrics[2:] == ("source_accuracy",)
        assert cells.counts == {"unknown_sizes": 1}
        assert np.array_equal(cells.sizes, [3, np.nan], equal_nan=True)
        assert any("no baseline source_size, for 1 of 2 candidates have none: b" in text for text in read.warnings)
        (cells,) = read("\n".join(sized), direction="target_selection")
        assert cells.metrics == ("leep", "logme")
        assert np.isnan(cells.sizes).all()

    def test_facts_that_contradict_stop(self, read):
        text = "source,target,metric,score,truth,size,family\na,x,m,1,.5,10,f\na,y,m,1,.5,{},{}\n"
        with pytest.raises(ConfigError, match=r"row 3 gives the size of 'a' as 20\.0, an earlier row as 10\.0"):
            read(text.format(20, "f"))
        with pytest.raises(ConfigError, match=r"row 3 gives the family of 'a' as 'g', an earlier row as 'f'"):
            read(text.format(10, "g"))
        (cells,) = read(text.format("", ""))
        assert (cells.sizes.tolist(), cells.families) == ([10], ("f",))
        assert read(text.format("big", ""))[0].counts["text_facts"] == 1

    def test_families_and_test_sets(self, read):
        (cells,) = read(
            families={"f": ["b"]}, query_families={"q": ["x", "y"]}, test_sizes={"y": 100}, random_start="a"
        )
        assert (cells.families, cells.query_families) == (("", "f"), ("q", "q"))
        assert np.array_equal(cells.test_sizes, [[np.nan] * 2, [100, 100]], equal_nan=True)
        assert cells.random_start.tolist() == [True, False]

    def test_parts_are_combined(self, read_two):
        truths = "source,target,value\na,x,.5\nb,x,.6\nc,x,.7\n"
        rows = ["a,x,t,p,1", "a,x,t,q,2", "b,x,t,p,3", "c,x,t,p,4", "c,x,t,q,5"]
        scores = "source,target,metric,part,value\n" + "\n".join(rows) + "\n"
        with pytest.raises(ConfigError, match=r"'t' comes in parts; .* combine\.t=tmbench\.stats\.combine:sum_of_"):
            read_two(truths, scores)
        setting = {"combine": {"t": "tmbench.stats.combine:sum_of_scaled"}, "kinds": {"t": "variant"}}
        (cells,) = read_two(truths, scores, **setting)
        (one,) = cells.combined
        assert (cells.metrics, one.name, one.kind, one.part_names) == ((), "t", "variant", ("p", "q"))
        assert one.combine is sum_of_scaled
        assert one.state.tolist() == [[[OK, MISSING, OK]]]
        assert np.array_equal(one.parts[0, :, 0], [[1, np.nan, 4], [2, np.nan, 5]], equal_nan=True)
        assert cells.counts["incomplete_parts"] == 1
        with pytest.raises(ConfigError, match=r"'t' comes in parts, and row 7 names none"):
            read_two(truths, scores + "b,x,t,,1\n", **setting)
        with pytest.raises(ConfigError, match=r"combine\.u is set, and no row of that metric names a part"):
            read_two(
                truths,
                scores + "b,x,u,,1\n",
                combine={**setting["combine"], "u": "tmbench.stats.combine:sum_of_scaled"},
            )

    def test_every_count_is_documented(self):
        source = "".join((Path(tables.__file__).parent / f"{name}.py").read_text() for name in ("assembly", "scores"))
        source += Path(tables.__file__).read_text().partition('"""\n\nfrom')[2]
        counted = set(re.findall(r'counts(?:\[|\.get\()"(\w+)"', source)) | set(
            re.findall(r'\(\s*"(\w+_\w+)", \(?(?:holds|several|absent|self\.rows|EMPTY|TEXT|INF)', source)
        )
        assert len(counted) > 15
        for name in counted:
            assert name in tables.POLICIES


class TestErrors:
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
    def test_wrong_files(self, read, content, message):
        with pytest.raises(ConfigError, match=r"table\.csv.*" + message):
            read(content)

    def test_a_byte_order_mark_is_no_name(self, read):
        same(read()[0], read(JOINED.encode("utf-8-sig"))[0])

    def test_places_that_are_no_table(self, tmp_path, read):
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

    def test_a_form_that_is_not_clear(self, read):
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
        with pytest.raises(
            ConfigError, match=r"not found: 'score'\. Say it, for example: cells\.columns\.score=result"
        ):
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
    def test_wrong_settings(self, read, setting, message):
        with pytest.raises(ConfigError, match=message):
            read(**setting)

    def test_an_option_names_one_place(self):
        for content in ({}, {"file": "a.csv", "files": {"truths": "a.csv", "scores": "b.csv"}}):
            with pytest.raises(ConfigError, match=r"mine\.yaml: (both|neither) 'file'"):
                read_cells(validated(content, "mine.yaml"), "mine.yaml")
        with pytest.raises(ConfigError, match=r"3 files"):
            cells_option(["a", "b", "c"])

    def test_a_wrong_column_does_not_fill_the_memory(self, read):
        rows = [f"s{i},t{i},m,1,1" for i in range(20_000)]
        with pytest.raises(ConfigError, match=r"Do 'source' and 'target' name the right columns"):
            read("source,target,metric,score,truth\n" + "\n".join(rows))


def example(direction="source_selection", scenario="mine") -> Cells:
    """Cells with everything that cells can have; an axis order that no order of rows can give."""
    rng = np.random.default_rng(1)
    present = ~np.eye(3, 4, dtype=bool)
    truth = np.where(present[None, :, :, None], rng.normal(size=(2, 3, 4, 2)), np.nan)
    truth[0, 0, 1] = np.nan
    truth[1, 0, 1, 1] = np.nan
    states = np.where(present, OK, INAPPLICABLE).astype(np.int8)
    state = np.tile(states, (2, 4, 1, 1))
    state[0, 0, 0, 1], state[0, 1, 2, 3], state[1, 1] = MISSING, INAPPLICABLE, INAPPLICABLE
    scores = np.where(state == OK, rng.normal(size=state.shape) * 10.0 ** rng.integers(-300, 300, state.shape), np.nan)
    scores[0, 2, 1, 2] = np.inf
    part_state = np.tile(states, (2, 1, 1))
    part_state[1, 2, 0] = MISSING
    parts = np.where((part_state == OK)[:, None], rng.normal(size=(2, 3, 3, 4)), np.nan)
    return Cells(
        scenario=scenario,
        direction=direction,
        recipes=("head", "full"),
        levels=("local", "local@theirs"),
        queries=("a", "b", "c"),
        candidates=("a", "b", "c", 'd,"1" é'),
        metrics=("m", "m/fast", "source_size", "v/w"),
        kinds=("metric", "variant", "baseline", "metric"),
        truth=truth,
        scores=scores,
        state=state,
        families=("f", "f", "", "g"),
        random_start=np.array([False, True, False, False]),
        static=scenario == "mine",
        present=present,
        sizes=np.array([1e6, np.nan, 0.1, 3]) if direction == "source_selection" else None,
        query_families=("q", "", "q"),
        test_sizes=np.where(present, 100.0, np.nan),
        combined=(Combined("rel", "variant", sum_of_standardised, ("p", "q", "r"), parts, part_state),),
        truth_measure="mean_iou",
        seeds=("7", "3"),
    )


class TestOut:
    @pytest.mark.parametrize("direction", ["source_selection", "target_selection"])
    def test_round_trip(self, tmp_path, direction):
        cells = [example(direction), example("source_selection", "other")]
        files = write_cells(tmp_path, cells)
        assert [path.name for path in files] == ["truths.csv", "scores.csv", "axes.csv"]
        found = read_cells(cells_option(str(tmp_path)))
        for one, other in zip(cells, found, strict=True):
            same(one, other)
        before = [path.read_bytes() for path in files]
        write_cells(tmp_path, found)
        assert [path.read_bytes() for path in files] == before

    def test_the_tables_are_the_documented_ones(self):
        truths, scores = tidy(example())
        assert set(truths) | set(scores) <= set(COLUMNS)
        assert len(truths) == 2 * 2 * 9
        assert len(scores) == 2 * 9 * (4 + 3)
        assert set(scores.loc[scores["flags"] == "inapplicable", "metric"]) == {"m"}
        assert scores.loc[scores["flags"] == "inapplicable", "value"].isna().all()

    def test_a_function_that_a_data_file_names_is_not_run(self, tmp_path):
        write_cells(tmp_path, [example()])
        axes = tmp_path / "axes.csv"
        axes.write_text(axes.read_text().replace("tmbench.stats.combine:sum_of_standardised", "evil.py:run"))
        with pytest.raises(ConfigError, match=r"axes\.csv names evil\.py:run, which is run only if you name it"):
            read_cells(cells_option(str(tmp_path)))
        (cells,) = read_cells(cells_option(str(tmp_path), {"combine.rel": "tmbench.stats.combine:sum_of_scaled"}))
        assert cells.combined[0].combine is sum_of_scaled

    def test_what_cannot_be_written(self, tmp_path):
        with pytest.raises(ValueError, match="one scenario name"):
            write_cells(tmp_path, [example(), example()])

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
    @settings(max_examples=30, deadline=None)
    def test_numbers_come_back_bit_for_bit(self, tmp_path_factory, values):
        text = JOINED.splitlines()[0] + "\n"
        text += "\n".join(f"{s},{t},m,{v!r},{v!r}" for (s, t), v in zip(("ax", "bx", "by", "ay"), values, strict=True))
        folder = tmp_path_factory.mktemp("bits")
        (folder / "table.csv").write_text(text)
        (cells,) = read_cells(cells_option(str(folder / "table.csv")))
        write_cells(folder, [cells])
        (again,) = read_cells(cells_option(str(folder)))
        wanted = np.array([values[:2], values[:1:-1]]).tobytes()
        assert cells.scores[0, 0].tobytes() == again.scores[0, 0].tobytes() == wanted
        assert again.truth[0, :, :, 0].tobytes() == wanted


class TestPublished:
    @staticmethod
    def load(name):
        path = shipped("conf") / "cells" / f"{name}.yaml"
        warnings = []
        (cells,) = read_cells(validated(yaml.safe_load(path.read_text()), str(path)), str(path), warnings)
        assert not warnings
        assert not cells.counts
        return cells

    def test_segmentation(self):
        cells = self.load("segmentation_sources")
        assert cells.metrics == ("gbc", "leep", "nleep", "logme", "hscore_elementwise")
        assert set(cells.kinds) == {"metric"}
        assert (cells.recipes, cells.levels, cells.truth_measure) == (("full",), ("penultimate",), "mean_iou")
        assert (len(cells.queries), len(cells.candidates), int(cells.present.sum())) == (17, 17, 272)
        own = np.array([[query == candidate for candidate in cells.candidates] for query in cells.queries])
        assert np.array_equal(cells.present, ~own)
        assert np.array_equal(cells.state == OK, np.broadcast_to(~own, cells.state.shape))
        assert np.array_equal(~np.isnan(cells.truth[0, :, :, 0]), ~own)
        assert number(cells, "leep", "city", "isprs") == -1.23147
        assert "" not in cells.families

    def test_classification(self):
        cells = self.load("classification_architectures")
        assert (cells.recipes, len(cells.queries), len(cells.candidates)) == (("head", "full"), 9, 19)
        assert (cells.metrics[4:], cells.kinds[4:]) == (("hscore_elementwise", "source_size"), ("metric", "baseline"))
        assert cells.present.all()
        assert (cells.state == OK).all()
        assert not np.isnan(cells.truth).any()
        assert number(cells, "nleep", "resnet50", "sun397") == -1.680784
        assert cells.truth[:, 0, 0, 0].tolist() == [0.660138, 0.65954]
        assert "" not in cells.families

    def test_accuracies_are_whole_numbers_of_test_images(self):
        cells = self.load("classification_architectures")
        images = cells.truth[..., 0] * cells.test_sizes
        rounding = 6e-7 * cells.test_sizes  # the table has 6 decimals, of float32
        assert (np.abs(images - np.round(images)) <= rounding).all()
        assert (np.nanmax(rounding)) < 0.02

    @pytest.mark.parametrize("name", ["segmentation_sources", "classification_architectures"])
    def test_round_trip(self, tmp_path, name):
        cells = self.load(name)
        write_cells(tmp_path, [cells])
        same(cells, read_cells(cells_option(str(tmp_path)))[0])

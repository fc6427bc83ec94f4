"""What a table of cells lacks, repeats or contradicts: every policy is counted."""

import re
from pathlib import Path

import numpy as np
import pytest
from tables_work import JOINED, number, same, state

from tmbench.errors import ConfigError
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK
from tmbench.stats.combine import sum_of_scaled
from tmbench.study import tables


def test_a_pair_without_a_row_is_no_cell(read):
    (cells,) = read(JOINED.rsplit("a,y", 2)[0])
    assert cells.present.tolist() == [[True, True], [False, True]]
    assert np.isnan(cells.truth[0, 1, 0]).all()
    assert (cells.state[0, :, 1, 0] == INAPPLICABLE).all()
    assert cells.counts == {"queries_with_one_candidate": 1}


def test_what_is_no_number(read):
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


def test_rows_that_repeat_are_read_once(read):
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
def test_rows_that_differ_stop(read, row, message):
    with pytest.raises(ConfigError, match=message):
        read(JOINED + row)


def test_gaps_are_counted(read_two):
    truths = "source,target,value\na,x,.5\nb,x,.6\na,y,.5\nb,y,\n"
    scores = "source,target,metric,score\nb,x,m,1\na,x,n,1\nb,x,n,1\na,y,m,2\nb,y,m,3\nc,y,m,3\n"
    (cells,) = read_two(truths, scores)
    assert cells.present.tolist() == [[True, True, False], [True, True, True]]
    assert cells.counts == {
        "empty_truths": 1, "absent_scores": 4, "scores_without_truth": 2, "constant_scores": 1,
    }  # fmt: skip
    assert state(cells, "n", "a", "y") == MISSING
    assert state(cells, "m", "c", "x") == INAPPLICABLE


def test_blanks_around_names(read):
    (cells,) = read(JOINED.replace("b,x,leep", " b ,x,leep").replace("source,", "source ,") + ",,,,\n , ,,,\n")
    same(cells, read()[0])
    assert read(JOINED.replace("b,x,leep", " b ,x,leep") + ",,,,\n")[0].counts == {
        "stripped_names": 1,
        "blank_rows": 1,
    }


def test_names_that_differ_by_case_stay_apart(read):
    (cells,) = read(JOINED + "A,x,leep,1,.5\n")
    assert cells.candidates == ("a", "b", "A")
    assert read.warnings == ["table: sources 'a' and 'A' differ only by case; both stay."]


def test_a_row_without_a_name_stops(read):
    with pytest.raises(ConfigError, match=r"row 10 has content and an empty target \(column 'target'\)"):
        read(JOINED + "a,,leep,1,.5\n")


def test_baselines_of_the_sources(read):
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


def test_facts_that_contradict_stop(read):
    text = "source,target,metric,score,truth,size,family\na,x,m,1,.5,10,f\na,y,m,1,.5,{},{}\n"
    with pytest.raises(ConfigError, match=r"row 3 gives the size of 'a' as 20\.0, an earlier row as 10\.0"):
        read(text.format(20, "f"))
    with pytest.raises(ConfigError, match=r"row 3 gives the family of 'a' as 'g', an earlier row as 'f'"):
        read(text.format(10, "g"))
    (cells,) = read(text.format("", ""))
    assert (cells.sizes.tolist(), cells.families) == ([10], ("f",))
    assert read(text.format("big", ""))[0].counts["text_facts"] == 1


def test_families_and_test_sets(read):
    (cells,) = read(families={"f": ["b"]}, query_families={"q": ["x", "y"]}, test_sizes={"y": 100}, random_start="a")
    assert (cells.families, cells.query_families) == (("", "f"), ("q", "q"))
    assert np.array_equal(cells.test_sizes, [[np.nan] * 2, [100, 100]], equal_nan=True)
    assert cells.random_start.tolist() == [True, False]


def test_parts_are_combined(read_two):
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


def test_every_count_is_documented():
    source = "".join((Path(tables.__file__).parent / f"{name}.py").read_text() for name in ("assembly", "scores"))
    source += Path(tables.__file__).read_text().partition('"""\n\nfrom')[2]
    counted = set(re.findall(r'counts(?:\[|\.get\()"(\w+)"', source)) | set(
        re.findall(r'\(\s*"(\w+_\w+)", \(?(?:holds|several|absent|self\.rows|EMPTY|TEXT|INF)', source)
    )
    assert len(counted) > 15
    for name in counted:
        assert name in tables.POLICIES

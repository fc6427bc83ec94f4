"""What stands under the tables: counts, field, how intervals were made and why there are none."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.report.captions import ABOUT, captions
from tmbench.report.contract import COLUMNS, TITLES
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import MISSING, OK

FIELD = "Field: hscore, logme, leep, gbc. Variants and baselines take no vote."


@pytest.fixture(scope="module")
def found(study):
    return captions(*study[1:], Resampling(300))


def test_every_table_has_one(study, found):
    tables = study[2]
    assert set(found) == set(tables)
    assert set(COLUMNS) | {"cells"} <= set(ABOUT)
    assert set(ABOUT) == set(TITLES)
    for name, text in found.items():
        assert text.startswith(f"{TITLES[name]}. {ABOUT[name]}")
        assert "2,688 setups, 0 of them missing" in text
        assert "  " not in text


def test_what_competes_is_named(found):
    for name in ("win_rate", "win_rate_by_measure", "stability", "convergence", "bounds", "rank_entropy"):
        assert FIELD in found[name]
    assert "Field" not in found["means"]


def test_how_intervals_were_made(found):
    for name in ("win_rate", "win_rate_by_measure", "means", "stability", "pairwise", "by_candidates"):
        assert "Intervals: 95 %, expanded percentiles of 300 resamplings of targets." in found[name]
    assert "Intervals" not in found["bounds"]
    assert "No interval over families" in found["win_rate"]


def test_the_smallest_p_is_printed(found):
    assert "smallest attainable p = 2^(1 − n) of n independent queries: 0.031 with 6 targets" in found["pairwise"]


def test_no_intervals_asked_for(study):
    found = captions(*study[1:], Resampling(0))
    assert "No intervals were asked for." in found["means"]
    assert "families" not in found["win_rate"]


def test_why_there_is_no_interval(make_cells, make_tables):
    few, enough = make_cells(scenario="few", queries=5), make_cells(scenario="enough")
    alike = replace(make_cells(scenario="alike"), query_families=("a", "a", "b", "b", "c", "c"))
    resampling = Resampling(300)
    scenes, tables = make_tables(few, enough, alike, draws=300)
    text = captions(scenes, tables, resampling)["means"]
    assert "300 resamplings of targets, those of one family together." in text
    assert "No interval: few has 5 targets, fewer than 6; see ranges." in text
    assert "No interval: alike has 3 independent targets, fewer than 6; see ranges." in text
    assert "No interval: enough" not in text
    assert "few 2,240, 0 missing; enough 2,688, 0 missing" in text
    text = captions(scenes, tables, resampling)["pairwise"]
    assert "0.062 with 5 targets; 0.031 with 6 targets; 0.25 with 3 independent targets." in text
    alone, its_tables = make_tables(few, draws=300)
    text = captions(alone, its_tables, resampling)["win_rate"]
    assert "Intervals:" not in text
    assert "No interval: there are 5 targets, fewer than 6; see ranges." in text


def test_fields_that_differ_are_told_apart(make_cells, make_tables):
    one, two = make_cells(scenario="one"), make_cells(scenario="two")
    scenes, tables = make_tables(one, two.only(metrics=["hscore", "gbc"]))
    text = captions(scenes, tables, Resampling(0))["win_rate"]
    assert "Field: one: hscore, logme, leep, gbc; two: hscore, gbc. Variants" in text


def test_missing_values_are_counted(make_cells, make_tables):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    found = captions(*make_tables(cells), Resampling(0))
    for text in found.values():
        assert "2,688 setups, 280 of them missing" in text
    # One metric of seven on one query of six, under four measures and two recipes.
    assert "8 of 336 values are missing." in found["per_query"]


def test_the_jackknife_says_how_many_families(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcd"]
    scenes, tables = make_tables(cells, draws=300, without=without)
    text = captions(scenes, tables, Resampling(300))["win_rate"]
    assert "delete-one-family jackknife over 4 families of candidates." in text

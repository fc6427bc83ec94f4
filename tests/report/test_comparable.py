"""Means over different setups are marked, and nobody is called the best of them."""

import io
from dataclasses import replace

import numpy as np
import pandas
import pytest
from rich.console import Console

from tmbench.report import print_summary
from tmbench.report.comparable import compared, partial_means
from tmbench.report.findings import findings
from tmbench.report.grids import short_grids
from tmbench.report.markup import best_rows, places
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import MISSING, OK

NO = Resampling(0)


@pytest.fixture(scope="module")
def partial(make_cells, make_tables):
    """The leading metric lacks one score, and with it some setups."""
    cells = make_cells().only(recipes=["full"])
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    return make_tables(replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan)))[1]


def test_partial_means():
    assert partial_means({"a": 3, "b": 5, "c": 0}, ["a", "b", "c"]) == ["a"]
    assert partial_means({"a": 3, "b": 3}, ["a", "b"]) == []
    assert partial_means({}, ["a"]) == []


def test_the_mark_and_its_note(partial, measures):
    comparison = compared(partial["means"], list(measures), frozenset())
    assert comparison.marked == {("hscore", measure) for measure in measures}
    assert comparison.note == "† mean over fewer setups than others, not to be compared: hscore 301 of 336"
    assert all(np.isnan(value) for value in comparison.best.values())


def test_short_tables_mark_and_set_nothing_in_bold(partial, measures):
    (grid,) = short_grids(partial, findings(partial, measures, NO), measures, NO)
    rows = {row[0].text: row[3:7] for row in grid.rows}
    assert all(cell.text.endswith("†") for cell in rows["hscore"])
    assert not any(cell.best for row in rows.values() for cell in row)
    assert not any("†" in cell.text for cell in rows["gbc"])
    assert grid.caption.startswith("† mean over fewer setups")


def test_a_whole_study_has_neither_mark_nor_note(study, measures):
    grids = list(short_grids(study[2], findings(study[2], measures, Resampling(300)), measures, Resampling(300)))
    assert all(not grid.caption and sum(cell.best for row in grid.rows for cell in row) == 5 for grid in grids)


def test_findings_say_over_which_setups(partial, measures):
    details = findings(partial, measures, NO)[0].details
    assert "each over the setups that have a value (hscore 301 of 336), hscore is the best metric" in details[0]
    assert details[0].endswith("better, each on the setups that have a value.")


def test_no_row_is_best_over_different_counts():
    table = pandas.DataFrame(
        {"measure": ["m", "m", "n", "n"], "metric": ["a", "b"] * 2, "kind": ["metric"] * 4, "mean": [0.1, 0.2] * 2}
    )
    assert best_rows(table.assign(setups=[5, 5, 5, 4])) == {1}
    assert best_rows(table.assign(queries=[5, 4, 5, 5])) == {3}


def test_baselines_stand_in_one_order(make_cells, make_tables, measures):
    tables = make_tables(make_cells())[1]
    order = places(tables["means"], "demo")
    assert order["static"] < order["random"] < order["source_size"]
    means = tables["means"]
    # Another order in one recipe alone does not show.
    of_head = (means["recipe"] == "head") & (means["metric"] == "source_size")
    tables = {**tables, "means": means.assign(mean=means["mean"].where(~of_head, 0.3))}
    found = [
        [row[0].text for position, row in enumerate(grid.rows) if position in grid.muted]
        for grid in short_grids(tables, findings(tables, measures, NO), measures, NO)
    ]
    assert found[0] == found[1]


def test_the_terminal_marks_shortens_and_leaves_no_blanks(partial, measures):
    name = "a_metric_whose_name_goes_on_and_on_and_on_and_on"
    tables = {key: table.replace({"hscore": name}) for key, table in partial.items()}
    stream = io.StringIO()
    print_summary(tables, measures, NO, Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    row = next(line for line in lines if line.startswith("a_metric"))
    assert row.startswith("a_metric_wh…_on_and_on ")
    assert row.count("†") == 4
    assert "† mean over fewer setups" in stream.getvalue()

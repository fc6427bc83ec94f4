"""Tables that are wider than the terminal: names give way and lines grow, and every number is whole."""

import io
import re
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from tmbench.report import print_summary
from tmbench.report.terminal import print_table
from tmbench.stats.bootstrap import Resampling

NUMBER = r"[−–\d.]*\d"


def printed(show, width, terminal):
    stream = io.StringIO()
    show(Console(file=stream, width=width, force_terminal=terminal, color_system=None))
    return stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_no_number_of_five_measures_is_cut(terminal):
    def show(console):
        table = Table(title="of five measures", box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        titles = ("wins", "range", "normalised regret", "weighted τ", "Kendall τ", "Pearson r", "a_measure_of_one_word")
        for title in titles:
            table.add_column(title, justify="right", min_width=5)
        for row in range(3):
            values = [f"0.{row}{column}7" for column in range(6)]
            table.add_row(f"a_metric_of_{row}_long_name", "0.25", "−0.17–0.83", *values[1:])
        print_table(console, table)

    narrow, whole = (printed(show, width, terminal) for width in (60, 300))
    numbers = Counter(re.findall(NUMBER, whole))
    assert (numbers["−0.17–0.83"], numbers["0.157"]) == (3, 1)
    assert not numbers - Counter(re.findall(NUMBER, narrow))
    assert "normalised" in narrow
    assert "a_metric_of_2" in narrow


@pytest.mark.parametrize("terminal", [True, False])
def test_no_number_of_a_study_is_cut(make_cells, make_tables, measures, terminal):
    names = ("a_metric_whose_name_goes_on", "another_of_which_it_is_so", "leep", "gbc", "source_size")
    _, tables = make_tables(replace(make_cells(queries=2), metrics=names))
    narrow, whole = (
        printed(lambda console: print_summary(tables, measures, Resampling(0), console), width, terminal)
        for width in (60, 300)
    )
    assert not Counter(re.findall(NUMBER, whole)) - Counter(re.findall(NUMBER, narrow))

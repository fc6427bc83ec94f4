"""What the sentences say where there is little to say: one metric, one target, too few for any test."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.report.captions import captions, p_text
from tmbench.report.findings import counts, findings
from tmbench.report.latex import escaped
from tmbench.stats.bootstrap import Resampling


@pytest.mark.parametrize(("p", "text"), [(0.0312, "0.031"), (1.0, "1"), (1.526e-5, "1.5 × 10⁻⁵"), (0.0, "0")])
def test_p_as_a_reader_has_it(p, text):
    assert p_text(p) == text


def test_small_p_in_latex():
    assert escaped(p_text(1.526e-5)) == r"1.5 $\times$ 10$^{-}$$^{5}$"


def headline(make_cells, make_tables, measures, queries, metrics, draws=0):
    cells = make_cells(queries=queries).only(recipes=["full"], metrics=metrics)
    return findings(make_tables(cells, draws=draws)[1], measures, Resampling(draws))[0].headline


def test_one_metric_has_no_rival(make_cells, make_tables, measures):
    text = headline(make_cells, make_tables, measures, 4, ["hscore"])
    assert text.endswith("ties split, because it has no rival.")
    assert "too few" not in text


def test_one_target_allows_no_test(make_cells, make_tables, measures):
    text = headline(make_cells, make_tables, measures, 1, ["hscore", "gbc"])
    assert "1 target, too few for an interval." in text
    assert text.endswith("one target allows no test of whether the two differ.")
    assert "fall below" not in text


def test_a_study_that_can_tell_nothing_says_so(make_cells, make_tables, measures):
    text = headline(make_cells, make_tables, measures, 5, ["hscore", "gbc"])
    assert "no two metrics can be told apart by this study: with 5 targets" in text
    assert text.endswith("cannot fall below 0.062 before the correction for 1 pair.") or text.endswith("below 0.062.")
    text = headline(make_cells, make_tables, measures, 8, ["hscore", "logme", "gbc"])
    assert "no two metrics" not in text
    assert "before the correction p cannot fall below 0.0078" in text


def test_equal_ends_are_no_range(make_cells, make_tables, measures):
    tables = make_tables(make_cells(queries=3).only(recipes=["full"]))[1]
    ranges = tables["ranges"].assign(least=1.0, greatest=1.0)
    text = findings({**tables, "ranges": ranges}, measures, Resampling(0))[0].headline
    assert "100 % of the setups of each target" in text
    assert "100 % to 100 %" not in text


def test_scores_of_baselines_are_not_counted(make_cells, make_tables):
    cells = make_cells()
    state = cells.state.copy()
    state[0, -1, 0, 0] = 1  # of the baseline
    cells = replace(cells, state=state, scores=np.where(state == 0, cells.scores, np.nan))
    numbers = {count.what: count.number for count in counts(make_tables(cells)[0])}
    assert numbers["scores"] + numbers["inapplicable"] == 4 * 60
    assert numbers["scores missing"] == 0


def test_captions_stay_short(study):
    found = captions(*study[1:], Resampling(300))
    assert max(map(len, found.values())) < 480
    one = captions(*study[1:], Resampling(0))
    assert "demo 2,688" not in " ".join(one.values())


def test_scenarios_in_parts_are_counted_together(make_cells, make_tables):
    cells = make_cells()
    scenes, tables = make_tables(cells.only(recipes=["head"]), cells.only(recipes=["full"]))
    assert "2,688 setups, 0 of them missing." in captions(scenes, tables, Resampling(0))["means"]


def test_the_jackknife_says_which_pools(make_cells, make_tally, make_tables):
    cells = replace(make_cells(), families=("a", "b", "c", "d", "e") * 2)
    without = [make_tally(cells.without_family(name)) for name in "abcd"]
    scenes, tables = make_tables(cells, draws=300, without=without)
    text = captions(scenes, tables, Resampling(300))["win_rate"]
    assert "keep their size where the rest is large enough, else the whole rest is the pool." in text

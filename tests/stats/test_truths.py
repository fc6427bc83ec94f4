"""The table of truths: what is compared with what, and whether sources differ at all."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from tmbench.stats.truths import Runs, differ_p, truth_rows


def runs(source, *values, target="t", recipe="r", initialisation="", family="f", size=1.0, schedule=10.0, measure="ap"):
    of = (target, recipe, source, initialisation, family, size, schedule, "protocol", measure)
    return Runs(*of, np.array(values, dtype=np.float64))


def test_mean_deviation_and_what_is_missing():
    (row,) = truth_rows([runs("a", 0.1, np.nan, 0.3)])
    assert (row.mean, row.sd) == (pytest.approx(0.2), pytest.approx(np.std([0.1, 0.3], ddof=1)))
    assert (row.seeds, row.missing) == (2, 1)
    (one,) = truth_rows([runs("a", 0.1)])
    assert np.isnan(one.sd)
    (none,) = truth_rows([runs("a", np.nan)])
    assert np.isnan(none.mean)
    assert none.differ == ""


def test_differences_are_those_within_a_family():
    every = [
        runs("s", 0.5, initialisation="supervised"),
        runs("z", 0.2, initialisation="random"),
        runs("m", 0.6, initialisation="mae"),
        runs("other", 0.9, initialisation="supervised", family="g"),
        runs("m2", 0.7, initialisation="mae", target="u"),
    ]
    rows = {row.source: row for row in truth_rows(every)}
    assert rows["m"].to_supervised == pytest.approx(0.1)
    assert rows["m"].to_random == pytest.approx(0.4)
    assert rows["s"].to_supervised == 0
    assert np.isnan(rows["other"].to_random)
    assert np.isnan(rows["m2"].to_supervised)  # another target


def test_several_random_starts_count_by_their_mean():
    every = [runs("m", 0.6), runs("z0", 0.2, initialisation="random"), runs("z1", 0.4, initialisation="random")]
    assert truth_rows(every)[0].to_random == pytest.approx(0.3)


def test_the_gain_is_over_the_next_smaller_family_of_equal_initialisation():
    every = [
        runs("mae_t", 0.1, initialisation="mae", family="tiny", size=5),
        runs("mae_b", 0.5, initialisation="mae", family="base", size=86),
        runs("mae_l", 0.6, initialisation="mae", family="large", size=304),
        runs("beit_l", 0.7, initialisation="beit", family="large", size=304),
        runs("unsaid_l", 0.7, family="large", size=304),
        runs("unsaid_b", 0.7, family="base", size=86),
    ]
    gains = {row.source: row.from_smaller for row in truth_rows(every)}
    assert gains["mae_l"] == pytest.approx(0.1)
    assert gains["mae_b"] == pytest.approx(0.4)
    assert all(np.isnan(gains[name]) for name in ("mae_t", "beit_l", "unsaid_l"))


def schedules(source, initialisation, *means, epochs=(25, 50, 100)):
    return [
        runs(source, mean, recipe=f"r{e}", schedule=float(e), initialisation=initialisation)
        for e, mean in zip(epochs, means, strict=True)
    ]


def test_epochs_to_what_supervised_weights_reach_with_the_most():
    every = [
        *schedules("s", "supervised", 0.3, 0.45, 0.5),
        *schedules("m", "mae", 0.4, 0.5, 0.6),
        *schedules("z", "random", 0.1, 0.2, 0.3),
    ]
    found = {row.source: row.epochs_to_supervised for row in truth_rows(every)}
    assert found["m"] == 50  # with equality
    assert found["s"] == 100
    assert np.isnan(found["z"])


def test_no_goal_without_the_longest_supervised_run():
    every = [*schedules("s", "supervised", 0.3, 0.45, np.nan), *schedules("m", "mae", 0.4, 0.5, 0.6)]
    assert all(np.isnan(row.epochs_to_supervised) for row in truth_rows(every))


def test_another_protocol_is_another_goal():
    every = schedules("s", "supervised", 0.3, 0.45, 0.5)
    other = [Runs("t", "x", "m", "mae", "f", 1.0, 5.0, "another", "ap", np.array([0.9]))]
    assert np.isnan(truth_rows([*every, *other])[-1].epochs_to_supervised)


def test_p_is_that_of_the_analysis_of_variance():
    groups = [np.array([0.1, 0.2, 0.25]), np.array([0.3, 0.35, np.nan]), np.array([0.2, 0.3, 0.4])]
    expected = f_oneway(*(group[~np.isnan(group)] for group in groups)).pvalue
    assert differ_p(groups) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([[0.1, 0.1], [0.2, 0.2]], 0.0),
        ([[0.1, 0.3], [0.3, 0.1]], 1.0),
        ([[0.1], [0.2]], np.nan),
        ([[0.1, 0.2]], np.nan),
        ([], np.nan),
    ],
)
def test_p_where_there_is_little_to_compare(values, p):
    assert differ_p([np.array(one) for one in values]) == pytest.approx(p, nan_ok=True)


def test_a_target_on_which_nothing_differs_is_flagged():
    every = [
        runs("a", 0.10, 0.30, 0.20, target="noise"),
        runs("b", 0.15, 0.28, 0.22, target="noise"),
        runs("a", 0.10, 0.11, 0.12, target="clear"),
        runs("b", 0.50, 0.51, 0.52, target="clear"),
        runs("a", 0.10, target="one"),
        runs("b", 0.90, target="one"),
    ]
    assert [row.differ for row in truth_rows(every)] == ["no", "no", "yes", "yes", "", ""]

"""Cells: what they refuse, who is a common candidate, and the static baseline by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.stats.baselines import static_scores
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Combined, common_candidates


def test_static_ranking_by_hand():
    truth = np.array([[0.1, 0.3, 0.5], [0.6, 0.6, 0.6], [0.9, 0.5, 0.1]])
    z = np.sqrt(1.5)
    np.testing.assert_allclose(
        static_scores(truth),
        [[z / 2, 0, -z / 2], [0, 0, 0], [-z / 2, 0, z / 2]],  # the middle query is constant: z = 0
        atol=1e-12,
    )


def test_static_ranking_never_sees_the_query():
    generator = np.random.default_rng(0)
    truth = generator.random((4, 5))
    changed = truth.copy()
    changed[2] = generator.random(5)
    np.testing.assert_array_equal(static_scores(truth)[2], static_scores(changed)[2])
    assert not np.allclose(static_scores(truth)[1], static_scores(changed)[1])


def test_static_ranking_with_missing_truths():
    truth = np.array([[0.1, 0.3, np.nan], [0.2, 0.4, np.nan], [np.nan, 0.5, 0.7]])
    scores = static_scores(truth)
    assert scores[2, 0] == pytest.approx(-1)  # the mean of its z on the other two
    assert scores[0, 0] == pytest.approx(-1)  # one other query only
    assert np.isnan(scores[2, 2])  # no other query knows it
    assert np.isnan(static_scores(truth[:1])).all()


def test_mean_truth_takes_the_seeds_that_exist(make_cells):
    cells = make_cells()
    truth = cells.truth.copy()
    truth[0, 0, 0, 1] = np.nan
    truth[0, 0, 1] = np.nan
    mean = replace(cells, truth=truth).mean_truth
    assert mean[0, 0, 0] == truth[0, 0, 0, 0]
    assert np.isnan(mean[0, 0, 1])
    np.testing.assert_allclose(mean[1], cells.truth[1].mean(axis=-1))


def test_common_candidates(make_cells):
    cells = make_cells()
    np.testing.assert_array_equal(common_candidates(cells), np.tile(~cells.random_start, (6, 1)))
    state = cells.state.copy()
    state[0, 4] = INAPPLICABLE  # a baseline removes nobody
    state[0, 0, 0, 0] = MISSING  # nor does a missing score
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    np.testing.assert_array_equal(common_candidates(cells), np.tile(~cells.random_start, (6, 1)))
    state[0, 2] = INAPPLICABLE  # a metric that applies to nothing does not compete
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))
    assert common_candidates(cells).all()


def test_static_row_stands_after_the_metrics_and_follows_the_recipe(make_cells):
    cells = make_cells()
    assert cells.names == (*cells.metrics, "static", "random")
    assert cells.all_kinds[-2:] == ("baseline", "baseline")
    np.testing.assert_array_equal(cells.rows(1, 0)[-1], static_scores(cells.mean_truth[1]))
    assert not np.array_equal(cells.rows(0, 0)[-1], cells.rows(1, 0)[-1])
    assert replace(cells, static=False).rows(0, 0).shape[0] == len(cells.metrics)


def test_where_nothing_applies_there_is_no_candidate(make_cells):
    cells = make_cells()
    state = cells.state.copy()
    state[:, :, 3, 4] = INAPPLICABLE
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan), present=None)
    assert not cells.eligible[3, 4]
    assert cells.eligible.sum() == 59
    assert (cells.row_states(0, 0)[-2:, 3, 4] == INAPPLICABLE).all()
    assert np.isnan(cells.rows(0, 0)[-1, 3, 4])


def test_without_family(make_cells):
    cells = make_cells().without_family("vit")
    assert cells.candidates == tuple(f"resnet_{n}" for n in ("glyphs", "shapes", "textures", "scenes", "random"))
    assert cells.truth.shape == (2, 6, 5, 2)
    assert cells.scores.shape == (1, 5, 6, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipes": ("head",)}, "truth has shape"),
        ({"queries": ("a",) * 6}, "a name twice"),
        ({"kinds": ("metric",) * 4 + ("bassline",)}, "no kind is named 'bassline'"),
        ({"direction": "sideways"}, "no direction"),
        ({"metrics": ("hscore", "logme", "leep", "gbc", "static")}, "names has a name twice"),
    ],
)
def test_cells_refuse(make_cells, change, message):
    with pytest.raises(ValueError, match=message):
        replace(make_cells(), **change)


def test_cells_refuse_nan_that_claims_to_be_a_score(make_cells):
    cells = make_cells()
    with pytest.raises(ValueError, match="NaN exactly where"):
        replace(cells, state=np.zeros_like(cells.state))
    with pytest.raises(ValueError, match="infinite"):
        replace(cells, truth=np.full_like(cells.truth, np.inf))


def test_only(make_cells):
    cells = make_cells()
    some = cells.only(queries=["target_4", "target_1"], metrics=["gbc", "hscore"], recipes=["full"])
    assert (some.queries, some.metrics, some.recipes) == (("target_4", "target_1"), ("gbc", "hscore"), ("full",))
    np.testing.assert_array_equal(some.scores, cells.scores[:, [3, 0]][:, :, [4, 1]])
    np.testing.assert_array_equal(some.truth, cells.truth[1:][:, [4, 1]])
    with pytest.raises(ValueError, match="no 'targt_1' among"):
        cells.only(queries=["targt_1"])


def combined(cells, parts, state=None):
    """``cells`` with a metric of two parts, combined as their sum after each was divided by its pool's maximum."""
    return replace(
        cells,
        combined=(
            Combined(
                "relative",
                "metric",
                lambda part: (part / part.max(axis=-1, keepdims=True)).sum(axis=1),
                ("one", "two"),
                parts,
                np.zeros((1, 6, 10), dtype=np.int8) if state is None else state,
            ),
        ),
    )


def test_parts_are_combined_inside_each_pool(make_cells, make_tally, all_pools):
    from tmbench.stats.measures import MEASURES

    parts = np.random.default_rng(0).random((1, 2, 6, 10))
    cells = combined(make_cells(seeds=1), parts)
    assert cells.names == (*cells.metrics, "relative", "static", "random")
    tally = make_tally(cells).slices[1]
    place, total = cells.names.index("relative"), 0.0
    for chunk in all_pools(cells, 5):
        for members in chunk.members[chunk.serves[:, 2]]:
            part = parts[0, :, 2, members].T
            scores = (part / part.max(axis=1, keepdims=True)).sum(axis=0)
            total += MEASURES["kendall_tau"].function(cells.mean_truth[1, 2, members], scores)
    assert tally.sums["value"][1, 2, place] == pytest.approx(total)
    assert place in tally.field


def test_parts_that_are_missing(make_cells, make_tally):
    parts = np.random.default_rng(0).random((1, 2, 6, 10))
    state = np.zeros((1, 6, 10), dtype=np.int8)
    parts[0, 1, 0, 0], state[0, 0, 0] = np.nan, MISSING
    tally = make_tally(combined(make_cells(), parts, state)).slices[0]
    assert tally.missing == 4 * 35  # the pools of 5 of 8 that hold the first candidate, on the first query
    with pytest.raises(ValueError, match="parts of relative must be NaN exactly where"):
        combined(make_cells(), parts)

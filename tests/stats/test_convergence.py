"""Convergence and rank entropy, against brute force and by hand."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from tmbench.stats.convergence import convergence
from tmbench.stats.entropy import candidate_entropies, metric_entropies, rank_shares


def chances(wins):
    """Who is named: the chance of each metric, ties at the top sharing it."""
    first = [round(w, 9) == round(max(wins), 9) for w in wins]
    return [one / sum(first) for one in first]


def test_queries_that_name_the_winner_of_the_others(make_cells, make_tally):
    tally = make_tally(make_cells()).slices[0]
    wins = tally.sums["split"].sum(axis=0)
    found = {one.count: one.probability for one in convergence(tally) if one.unit == "queries"}
    assert list(found) == [1, 2, 3]
    for count, probability in found.items():
        right = []
        for some in itertools.combinations(range(6), count):
            rest = [query for query in range(6) if query not in some]
            named, winner = chances(wins[list(some)].sum(axis=0)), chances(wins[rest].sum(axis=0))
            right.append(sum(p for p, w in zip(named, winner, strict=True) if w > 0))
        assert probability == pytest.approx(fmean(right))


def test_queries_of_one_family_stand_on_one_side(make_cells, make_tally):
    """Each query three times over tells no more than each once."""
    cells = make_cells().only(recipes=["full"])
    copies = replace(
        cells,
        queries=tuple(f"{name}_{copy}" for name in cells.queries for copy in range(3)),
        query_families=tuple(name for name in cells.queries for _ in range(3)),
        query_groups=(),
        truth=np.repeat(cells.truth, 3, axis=1),
        scores=np.repeat(cells.scores, 3, axis=2),
        state=np.repeat(cells.state, 3, axis=2),
        present=np.repeat(cells.eligible, 3, axis=0),
        test_sizes=None,
        static=False,
    )
    once = [one for one in convergence(make_tally(replace(cells, static=False)).slices[0]) if one.unit == "queries"]
    assert [one for one in convergence(make_tally(copies).slices[0]) if one.unit == "queries"] == once


def test_setups_that_name_the_overall_winner(make_cells, make_tally):
    tally = make_tally(make_cells()).slices[0]
    found = {one.count: one.probability for one in convergence(tally) if one.unit == "setups"}
    share = tally.sums["split"].sum(axis=(0, 1)) / tally.sums["complete"].sum()
    assert found[1] == pytest.approx(share.max())
    assert found[1] < found[10] < found[1000] <= 1
    # Three draws with replacement, each named by its own winners, enumerated.
    sets = [(bits, number / tally.setups) for bits, number in tally.winner_sets.items()]
    exact = 0.0
    for drawn in itertools.product(sets, repeat=3):
        wins = np.zeros(4)
        for bits, _ in drawn:
            won = np.array([(bits >> metric) & 1 for metric in range(4)])
            wins += won / won.sum()
        exact += math.prod(p for _, p in drawn) * chances(wins)[int(share.argmax())]
    assert found[3] == pytest.approx(exact, abs=0.02)


def test_no_winner_among_fewer_than_two_metrics(make_cells, make_tally):
    cells = make_cells()
    alone = replace(cells, kinds=("metric", "variant", "variant", "variant", "baseline"))
    assert convergence(make_tally(alone).slices[0]) == []


def test_winner_sets_add_up_to_the_complete_setups(make_cells, make_tally):
    tally = make_tally(make_cells()).slices[0]
    assert isinstance(tally.winner_sets, Counter)
    assert tally.winner_sets.total() == tally.sums["complete"].sum() == tally.setups - tally.missing


def test_ties_share_their_ranks():
    shares = rank_shares(np.array([[3.0, 1.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(shares[0], [[0.5, 0.5, 0], [0, 0, 1], [0.5, 0.5, 0]])
    np.testing.assert_allclose(shares[1], np.full((3, 3), 1 / 3))
    np.testing.assert_allclose(shares[2], np.eye(3)[::-1])


def test_entropy_of_the_ranks_of_metrics(make_cells, make_tally):
    cells = make_cells()
    steady = np.stack([cells.mean_truth[0] * sign for sign in (1, -1)])[None]
    cells = replace(
        cells,
        recipes=("head",),
        metrics=("right", "wrong"),
        kinds=("metric", "metric"),
        truth=cells.truth[:1],
        scores=steady,
        state=np.zeros(steady.shape, dtype=np.int8),
    )
    right, wrong = metric_entropies(make_tally(cells).slices[0])
    assert (right.name, right.entropy, right.mean_rank) == ("right", 0, 1)
    assert (wrong.entropy, wrong.mean_rank, wrong.count) == (0, 2, make_tally(cells).slices[0].setups)


def test_entropy_of_the_ranks_of_candidates(make_cells):
    cells = make_cells(queries=300)
    ladder = np.broadcast_to(np.arange(10.0)[:, None], cells.truth.shape)
    assert [row.entropy for row in candidate_entropies(replace(cells, truth=ladder), 0)] == pytest.approx([0] * 10)
    noise = np.random.default_rng(0).random(cells.truth.shape)
    found = candidate_entropies(replace(cells, truth=noise), 0)
    assert all(0.97 < row.entropy <= 1 and 5 < row.mean_rank < 6 and row.count == 300 for row in found)


def test_entropy_where_queries_lack_candidates(make_cells):
    """A candidate that is always best takes the first of the classes, however many rivals a query has."""
    cells = make_cells()
    truth = np.array(np.broadcast_to(np.arange(10.0)[::-1, None], cells.truth.shape))
    truth[:, 2, 5:] = np.nan
    best = candidate_entropies(replace(cells, truth=truth), 0)[0]
    assert (best.entropy, best.mean_rank) == (0, 1)

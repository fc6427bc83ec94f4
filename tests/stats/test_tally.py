"""The sums made in one pass equal the statistics by their definitions, on cells full of ties, gaps and constants."""

import itertools
import math
import os
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import INAPPLICABLE, OK
from tmbench.stats.measures import MEASURES
from tmbench.stats.outcomes import PoolChunk
from tmbench.stats.pairwise import duels
from tmbench.stats.stability import stability, stability_across
from tmbench.stats.win_rate import win_rate

NO_INTERVALS = Resampling(0)
PAPER = {name: MEASURES[name] for name in ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")}


@pytest.fixture(scope="module", params=range(3))
def both(request, rough_cells, all_pools, make_tally, by_definition):
    """A tally, and the same setups enumerated."""
    cells = rough_cells(request.param)
    return make_tally(cells, 4), by_definition(cells, all_pools(cells, 4))


def test_counts_and_means(both):
    tallies, every = both
    assert sum(tally.setups for tally in tallies.slices) == len(every.setups)
    for tally in tallies.slices:
        values = every.of(tally.where.recipe, tally.where.level)
        assert tally.setups == len(values)
        assert tally.missing == np.isnan(values).any(axis=1).sum() > 0
        mean = tally.sums["value"].sum(axis=(0, 1)) / tally.sums["valued"].sum(axis=(0, 1))
        np.testing.assert_allclose(mean[: values.shape[1]], np.nanmean(values, axis=0), atol=1e-12)


def test_win_rates_and_bounds(both):
    tallies, every = both
    for tally in tallies.slices:
        values = every.of(tally.where.recipe, tally.where.level)
        whole = values[~np.isnan(values).any(axis=1)]
        first = whole == whole.max(axis=1, keepdims=True)
        rate = win_rate(tally, NO_INTERVALS)
        np.testing.assert_allclose(rate.strict, (first & (first.sum(axis=1) == 1)[:, None]).mean(axis=0))
        np.testing.assert_allclose(rate.split.value, (first / first.sum(axis=1)[:, None]).mean(axis=0))
        np.testing.assert_allclose(rate.all, first.mean(axis=0))
        assert (rate.setups, rate.missing) == (len(whole), len(values) - len(whole))
        for metric in range(values.shape[1]):
            low, as_loss, high = (fmean(column) for column in zip(*bounds(values, metric), strict=True))
            assert rate.lowest[metric] == pytest.approx(low)
            assert rate.as_loss[metric] == pytest.approx(as_loss)
            assert rate.highest[metric] == pytest.approx(high)
            assert low <= as_loss <= high


def bounds(values, metric):
    """For each setup the share that ``metric`` wins: the worst case, missing as a loss, and the best case."""
    for row in values:
        present = row[~np.isnan(row)]
        mine = row[metric]
        share = 0.0 if math.isnan(mine) or mine < present.max() else 1 / (present == mine).sum()
        yield share if len(present) == len(row) else 0.0, share, 1.0 if math.isnan(mine) else share


def test_win_rate_of_one_measure(both):
    tally, every = both[0].slices[0], both[1]
    chosen = [list(v.values()) for k, v in every.setups.items() if k[:2] == tally.where[1:3] and k[4] == "rel_at_1"]
    values = np.round(np.array(chosen), 12)
    whole = values[~np.isnan(values).any(axis=1)]
    first = whole == whole.max(axis=1, keepdims=True)
    rate = win_rate(tally, NO_INTERVALS, list(PAPER).index("rel_at_1"))
    np.testing.assert_allclose(rate.split.value, (first / first.sum(axis=1)[:, None]).mean(axis=0))


def test_duels(both):
    tallies, every = both
    for tally in tallies.slices:
        values = every.of(tally.where.recipe, tally.where.level)
        found = {(duel.metric, duel.other): duel for duel in duels(tally, NO_INTERVALS)}
        for a, b in itertools.permutations(range(values.shape[1]), 2):
            difference = (values[:, a] - values[:, b])[~np.isnan(values[:, [a, b]]).any(axis=1)]
            duel = found[f"metric_{a}", f"metric_{b}"]
            shares = [fmean(difference > 0), fmean(difference == 0), fmean(difference < 0)]
            assert [duel.win, duel.tie, duel.loss] == pytest.approx(shares)
            assert duel.setups == len(difference)


@pytest.mark.parametrize("varied", ["query", "pool", "measure"])
def test_closed_form_of_stability_equals_its_definition(both, varied):
    tallies, every = both
    for tally in tallies.slices:
        found = stability(tally, varied, NO_INTERVALS)
        wanted = every.stability(varied, recipe=tally.where.recipe, level=tally.where.level)
        assert found.stability == pytest.approx(wanted, abs=1e-12)


def test_stability_when_recipe_level_or_seed_varies(both, all_pools, by_definition):
    tallies, every = both
    seen = set()
    for across in tallies.across:
        seen.add(across.varied)
        found = stability_across(across, NO_INTERVALS).stability
        recipe, level = across.where.recipe, across.where.level
        if across.varied == "recipe":
            assert recipe == "all"
            wanted = every.stability("recipe", level=level)
        elif across.varied == "level":
            assert level == "all"
            wanted = every.stability("level", recipe=recipe)
        else:
            by_seed = [by_definition(every.cells, all_pools(every.cells, 4), seed) for seed in range(2)]
            pairs = {k: [[round(x, 12) for x in one.setups[k].values()] for one in by_seed] for k in every.setups}
            wanted = agreement([pair for key, pair in pairs.items() if key[:2] == (recipe, level)])
        assert found == pytest.approx(wanted, abs=1e-12)
    assert seen == {"recipe", "level", "seed"}


def agreement(groups):
    import scipy.stats

    taus = [scipy.stats.kendalltau(*pair)[0] for pair in groups if all(len(set(one)) > 1 for one in pair)]
    return fmean(tau for tau in taus if not math.isnan(tau))


def test_implementations_are_levels_that_share_a_name(rough_cells, make_tally):
    cells = replace(rough_cells(), levels=("global@ours", "global@authors"))
    varied = {(across.varied, across.where.level) for across in make_tally(cells, 4).across}
    assert ("implementation", "global@all") in varied
    assert not any(name == "level" for name, _ in varied)


def test_sums_do_not_depend_on_the_chunks(make_cells, all_pools):
    cells = make_cells()
    once = tally_study(cells, all_pools(cells, 5, 10**6), PAPER, Resampling(50))
    often = tally_study(cells, all_pools(cells, 5, 3), PAPER, Resampling(50))
    for one, other in zip(once.slices, often.slices, strict=True):
        assert one.winner_sets == other.winner_sets
        for name, value in one.sums.items():
            np.testing.assert_allclose(value, other.sums[name], atol=1e-9)


@pytest.fixture
def one_core():
    """Restrict this thread to one core, of which there is then one worker."""
    cores = os.sched_getaffinity(0)

    def restrict():
        os.sched_setaffinity(0, {min(cores)})
        assert len(os.sched_getaffinity(0)) == 1

    yield restrict
    os.sched_setaffinity(0, cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no thread to a core")
def test_one_thread_and_several_give_the_same_bits(make_cells, all_pools, one_core):
    """The first chunk takes longest: it is finished last where there are several threads."""
    cells = make_cells()
    (whole,) = all_pools(cells, 5, 252)
    chunks = [
        PoolChunk(whole.members[start:stop], whole.serves[start:stop])
        for start, stop in itertools.pairwise((0, *range(200, 253, 4)))
    ]
    several = tally_study(cells, chunks, PAPER, Resampling(50))
    one_core()
    alone = tally_study(cells, chunks, PAPER, Resampling(50))
    for one, other in zip([*several.slices, *several.across], [*alone.slices, *alone.across], strict=True):
        for name, value in one.sums.items():
            np.testing.assert_array_equal(value, other.sums[name])


def test_a_metric_that_never_applies_is_not_in_the_field(make_cells, make_tally):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 1] = INAPPLICABLE
    tally = make_tally(replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan))).slices[0]
    assert [tally.names[metric] for metric in tally.field] == ["hscore", "leep", "gbc"]
    assert tally.missing == 0


def test_constant_scores_are_flagged_and_fail(rough_cells, make_tally):
    cells = rough_cells(missing=0)
    tally = make_tally(cells, 4).slices[0]
    first, measures = tally.names.index("metric_0"), list(PAPER)
    assert (tally.sums["constant"][0, first], tally.sums["setups"][0, 0]) == (4 * 5, 5)
    assert tally.sums["value"][measures.index("kendall_tau"), 0, first] == 0
    assert tally.sums["constant"][:, tally.names.index("random")].sum() == 0


def test_lower_is_better_for_regret(make_cells, make_tally):
    """Rel@1 = 1 − regret / best, so that within a pool both name the same winners."""
    cells = make_cells()
    by_ratio = make_tally(cells, measures={"rel_at_1": MEASURES["rel_at_1"]}).slices[0]
    by_regret = make_tally(cells, measures={"regret": MEASURES["regret"]}).slices[0]
    np.testing.assert_array_equal(by_ratio.sums["split"], by_regret.sums["split"])
    np.testing.assert_array_equal(by_ratio.sums["won"], by_regret.sums["won"])


def test_pools_of_one_candidate_have_no_value(make_cells):
    cells = make_cells(queries=2)
    member = np.zeros((1, 10), dtype=bool)
    member[0, 3] = True
    tally = tally_study(cells, [PoolChunk(member, np.ones((1, 2), dtype=bool))], PAPER, NO_INTERVALS).slices[0]
    assert (tally.setups, tally.missing) == (8, 8)


def test_a_ratio_of_negative_truths_is_refused(make_cells, make_tally):
    cells = make_cells()
    with pytest.raises(ConfigError, match=r"'rel_at_1' is a ratio of truths.*normalised_regret"):
        make_tally(replace(cells, truth=-cells.truth))
    names = ("weighted_tau", "normalised_regret")
    tally = make_tally(replace(cells, truth=-cells.truth), measures={name: MEASURES[name] for name in names})
    assert tally.slices[0].missing == 0


@pytest.mark.parametrize("families", [("",) * 7, ("a", "a", "", "", "", "", ""), ("a", "a", "", "", "b", "b", "")])
def test_a_query_drawn_twice_is_not_paired_with_itself(families, rough_cells, all_pools, by_definition):
    """Slowly: every resampling rebuilt as a list of drawn groups of queries, pairs of copies of one group left out."""
    import scipy.stats

    from tmbench.stats.bootstrap import group_of, interval

    cells = rough_cells(queries=7, recipes=1, levels=1, seeds=1, missing=0)
    cells = replace(cells, query_families=families, truth=np.where(cells.present[..., None], cells.truth, np.nan))
    few = list(all_pools(cells, 4))
    resampling = Resampling(60)
    measure = {"kendall_tau": MEASURES["kendall_tau"]}
    found = stability(tally_study(cells, few, measure, resampling).slices[0], "query", resampling)
    rows = {
        (key[3], cells.queries.index(key[2])): [round(value, 12) for value in values.values()]
        for key, values in by_definition(cells, few).setups.items()
        if key[4] == "kendall_tau" and len(set(values.values())) > 1 and not any(map(math.isnan, values.values()))
    }
    tau = {
        (pool, a, b): scipy.stats.kendalltau(rows[pool, a], rows[pool, b])[0]
        for (pool, a), (other, b) in itertools.product(rows, repeat=2)
        if pool == other and a != b
    }
    groups = group_of(families)
    samples = []
    for weights in resampling.weights(families):
        drawn = [(query, copy) for query in range(7) for copy in range(int(weights[query]))]
        pairs = [
            (a, b)
            for (a, i), (b, j) in itertools.combinations(drawn, 2)
            if groups[a] != groups[b] or (a != b and i == j)
        ]
        by_pool = [[tau[pool, *pair] for pair in pairs if (pool, *pair) in tau] for pool in {pool for pool, _ in rows}]
        scores = [fmean(taus) for taus in by_pool if taus]
        samples.append(fmean(scores) if scores else np.nan)
    paired = [families[query] for query in range(7) if any(place == query for _, place in rows)]
    low, high = interval(np.array(samples)[:, None], resampling.groups(paired))
    if resampling.groups(paired) < 6:
        assert np.isnan([found.low, found.high]).all()
    else:
        assert (found.low, found.high) == pytest.approx((low[0], high[0]), abs=1e-9)


def test_more_metrics_than_a_set_holds_are_refused(rough_cells, make_tally):
    with pytest.raises(ConfigError, match="more than 62 metrics compete"):
        make_tally(rough_cells(metrics=63), 4)

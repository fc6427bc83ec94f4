"""Curricula and covering sets, against every possibility there is."""

from itertools import chain, combinations, permutations, product

import numpy as np
import pytest

from tmbench.stats.arborescence import spanning_arborescence
from tmbench.stats.covering import NOTHING, best_covers, best_within, cheapest
from tmbench.stats.curriculum import compared, curriculum, normalised, parents_in, ranged, worth


def heaviest_tree(weights, root):
    """The heaviest of all assignments of parents that lead back to the root; -inf where there is none."""
    nodes = [node for node in range(len(weights)) if node != root]
    best = -np.inf
    for parents in product(range(len(weights)), repeat=len(nodes)):
        above = dict(zip(nodes, parents, strict=True))
        total = sum(weights[parent, node] for node, parent in above.items())
        if not total > best:
            continue
        if all(leads_to(root, node, above) for node in nodes):
            best = total
    return best


def leads_to(root, node, above):
    for _ in range(len(above)):
        node = above[node]
        if node == root:
            return True
    return False


def weight_of(parents, weights, root):
    return sum(weights[parent, node] for node, parent in enumerate(parents) if node != root)


@pytest.mark.parametrize("seed", range(12))
def test_no_arborescence_is_heavier(seed):
    draw = np.random.default_rng(seed)
    size = 3 + seed % 4
    root = int(draw.integers(size))
    # Whole numbers, so that there are ties and, among near-equal edges, nested cycles.
    weights = draw.integers(0, 9, (size, size)).astype(float)
    weights += 20 * (draw.random((size, size)) < 0.4)
    if seed % 2:
        weights[draw.random((size, size)) < 0.25] = np.nan
        weights[root] = np.where(np.isnan(weights[root]), -50.0, weights[root])
    parents = spanning_arborescence(weights, root)
    assert parents[root] == -1
    assert all(leads_to(root, node, dict(enumerate(parents))) for node in range(size) if node != root)
    expected = heaviest_tree(np.where(np.eye(size, dtype=bool), np.nan, weights), root)
    assert weight_of(parents, weights, root) == pytest.approx(expected)


def test_cycles_within_cycles():
    """1 and 2 prefer each other, and 3 and 4 both of these; 40 tasks in nested rings do not loop for ever."""
    draw = np.random.default_rng(3)
    weights = draw.random((40, 40))
    for width in (2, 4, 8, 16, 32):
        for start in range(0, 40 - width, width):
            weights[start : start + width, start : start + width] += 10 / width
    parents = spanning_arborescence(weights, 39)
    assert all(leads_to(39, node, dict(enumerate(parents))) for node in range(39))


def test_a_node_that_nothing_reaches():
    weights = np.array([[0, 1, np.nan], [0, 0, np.nan], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"from node 0 to 2\."):
        spanning_arborescence(weights, 0)


def drawn(tasks, seed, scratch=True):
    draw = np.random.default_rng(seed)
    values = draw.random((tasks + 1, tasks))
    values[np.arange(tasks), np.arange(tasks)] = np.nan
    values[tasks] = draw.random(tasks) * 0.3 if scratch else np.nan
    return values


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scratch", [True, False])
def test_no_order_is_better(seed, scratch):
    """The sum of what each task gets from the best before it, over all orders of five tasks."""
    values = drawn(5, seed, scratch)

    def gains(order):
        return sum(values[p, t] for t, p in enumerate(parents_in(order, values)) if p != 5 or scratch)

    found = curriculum(values)
    assert sorted(found.order) == list(range(5))
    place = {task: i for i, task in enumerate((5, *found.order))}
    assert all(place[parent] < place[task] for task, parent in enumerate(found.parents))
    assert np.array_equal(parents_in(found.order, values), found.parents)
    assert gains(found.order) == pytest.approx(max(map(gains, permutations(range(5)))))
    assert sum(parent == 5 for parent in found.parents) >= 1
    if not scratch:
        assert sum(parent == 5 for parent in found.parents) == 1


def test_tasks_that_nothing_transfers_to_begin_from_scratch():
    values = np.full((4, 3), np.nan)
    values[0, 1] = 1.0
    found = curriculum(values)
    assert found.parents == (3, 0, 3)
    assert found.order == (0, 1, 2)  # what another one builds on comes first


def every_cover(values, members, budget):
    """The best mean value over all sets of members, and the fewest members for which each target has its share."""
    names = sorted(set(chain.from_iterable(members)))
    for count in range(budget + 1):
        for paid in combinations(names, count):
            made = [i for i, each in enumerate(members) if set(each) <= set(paid)]
            yield count, np.max(np.where(np.isnan(values[made]), 0, values[made]), axis=0, initial=0.0)


def sources(seed, tasks, pairs, free):
    draw = np.random.default_rng(seed)
    members = [(i,) for i in range(tasks)] + list(combinations(range(tasks), 2))[:pairs] + [()] * free
    values = draw.random((len(members), 5))
    values[tasks : tasks + pairs] *= 1.3
    values[len(members) - free :] *= 0.2
    values[draw.random(values.shape) < 0.15] = np.nan
    return values, members


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("pairs", "free"), [(0, 0), (0, 1), (6, 1)])
def test_no_cover_is_better(seed, pairs, free):
    values, members = sources(seed, 5, pairs, free)
    for budget in (1, 2, 4):
        found = best_within(values, members, budget)
        assert found.cost <= budget
        expected = max(np.mean(value) for _, value in every_cover(values, members, budget))
        assert found.mean == pytest.approx(expected, abs=1e-9)
        for target, (source, value) in enumerate(zip(found.sources, found.values, strict=True)):
            assert value == (0 if source == NOTHING else values[source, target])
            assert source == NOTHING or set(members[source]) <= set(found.members)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_no_cover_is_cheaper(seed, share):
    values, members = sources(seed, 5, 4, 1)
    enough = share * np.nanmax(values, axis=0) * (1 - 1e-9)
    fits = [(count, value) for count, value in every_cover(values, members, 5) if (value >= enough).all()]
    found = cheapest(values, members, share)
    assert (np.array(found.values) >= enough).all()
    assert found.cost == min(count for count, _ in fits)
    assert found.mean == pytest.approx(max(value.mean() for count, value in fits if count == found.cost))


def test_pairs_pay_for_each_task_once():
    """Two pairs that share a task cost three tasks, and serve better than three tasks alone."""
    values = np.array([[0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    members = [(0,), (1,), (2,), (0, 1), (1, 2)]
    assert best_within(values, members, 2).mean == pytest.approx(0.5)
    found = best_within(values, members, 3)
    assert (found.members, found.sources) == ((0, 1, 2), (3, 4))
    assert cheapest(values, members, 1.0).cost == 3


def test_nothing_is_learned_that_serves_no_better():
    """The pair serves both tasks as well as what was learned for each; a third task that serves its own adds to it."""
    values = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.3], [0.1, 0.1, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.5]])
    members = [(0,), (1,), (2,), (3, 4), (3,)]
    for budget in (2, 3, 5):
        found = best_within(values, members, budget)
        assert (found.mean, found.cost) == (1.0, 2)
    assert best_within(values, members, 1).members == (3,)
    assert best_within(np.zeros((2, 2)), [(0,), (1,)], 2).members == ()
    alike = np.ones((4, 3))
    assert len({cover.members for cover in best_covers(alike, [(0,), (1,), (2,), (0, 1)], [1, 2, 3]).values()}) == 1


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        cheapest(np.array([[1.0, -1.0]]), [(0,)], 0.9)


def test_normalised_transferability_is_one_for_the_targets_own():
    scores = np.array([[2.0, 1.0], [0.5, 4.0], [1.0, 1.0]])
    assert np.array_equal(normalised(scores, np.diag(scores)), [[1, 0.25], [0.25, 1], [0.5, 0.25]])
    for own in ([1.0, -1.0], [1.0, np.nan], [0.0, 1.0]):
        with pytest.raises(ValueError, match="positive score"):
            normalised(scores, np.array(own))


def test_scales_of_targets_do_not_matter():
    """A target in per cent, or shifted, changes neither shares nor comparison."""
    draw = np.random.default_rng(0)
    truth = draw.random((5, 4, 3))
    truth[np.arange(4), np.arange(4)] = np.nan
    scaled = truth * np.array([1, 100, 0.01, 7.0])[None, :, None] - np.array([0, 5, 1, -3.0])[None, :, None]
    values = drawn(4, 1)
    order = curriculum(values)
    one, other = (compared(order, values, each, np.random.default_rng(0)) for each in (truth, scaled))
    assert one.value == pytest.approx(other.value)
    assert one.by_seed == pytest.approx(other.by_seed)
    assert np.allclose(one.orders, other.orders)
    assert np.isnan(ranged(np.array([[1.0], [1.0]]))).all()


def test_without_truths_from_scratch_chance_is_of_what_has_truths():
    """Three tasks with scores from scratch and no truths there: draws in which all begin so say nothing."""
    truth, values = drawn(3, 2, scratch=False), drawn(3, 2)
    found = compared(curriculum(values), values, truth[..., None], np.random.default_rng(0))
    assert 0 < len(found.parents) < 1000
    assert not np.isnan([*found.parents, found.z(found.parents)]).any()
    nothing = np.where(np.arange(3) == 0, truth, np.nan)[..., None] * np.array([1.0])
    nothing[1:] = np.nan
    empty = compared(curriculum(values), values, nothing, np.random.default_rng(0))
    assert np.isnan([empty.value, empty.z(empty.parents), empty.percentile(empty.orders)]).all()


def test_a_curriculum_against_chance():
    """Made from the truths it is the best of all 120 orders; from their opposite it is among the worst."""
    truth = drawn(5, 4)
    truths = truth[..., None] + np.array([-0.01, 0.0, 0.01])
    good = compared(curriculum(ranged(truth)), ranged(truth), truths, np.random.default_rng(0))
    assert good.every_order
    assert len(good.orders) == 120
    assert good.value == pytest.approx(good.best)
    assert good.value == pytest.approx(good.orders.max())
    assert good.percentile(good.orders) > 0.9
    assert good.z(good.orders) > 1
    assert good.value > good.parents.max() - 1e-9
    bad = compared(curriculum(-truth), -truth, truths, np.random.default_rng(0))
    assert bad.value < good.parents.mean()
    # The mean over seeds is the value, for it is linear; these three differ by one step each, of each task's own width.
    assert np.mean(good.by_seed) == pytest.approx(good.value)
    width = np.nanmax(truth, axis=0) - np.nanmin(truth, axis=0)
    assert good.spread == pytest.approx(0.01 * np.mean(1 / width))


def test_what_an_order_is_worth():
    truth = np.array([[np.nan, 1.0, 0.5], [0.0, np.nan, 1.0], [1.0, 0.0, np.nan], [0.5, 0.5, 0.0]])
    assert worth(np.array([3, 0, 1]), truth) == pytest.approx((0.5 + 1 + 1) / 3)
    truth[0, 1] = np.nan
    assert worth(np.array([3, 0, 1]), truth) == pytest.approx(0.75)  # of the two that are known


def test_many_tasks_have_a_thousand_random_orders():
    values = drawn(9, 0)
    found = compared(curriculum(values), values, values[..., None], np.random.default_rng(0))
    assert not found.every_order
    assert len(found.orders) == 1000
    assert np.isnan(found.spread)
    assert found.scratch == pytest.approx(np.mean(ranged(values)[9]))

"""The delete-one-family jackknife: by hand, on families of unequal size, and on a published win rate."""

import math

import numpy as np
import pytest

from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.jackknife import jackknife_error, jackknife_interval
from tmbench.stats.win_rate import win_rate
from tmbench.verb import parser, resolve

SIZES = np.array([5, 2, 3, 1, 3, 1, 4])
"""Of the families resnet, vgg, densenet, xception, mobilenet, nasnet and efficientnet in the published study."""


def test_of_a_mean_is_its_standard_error():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    without = [np.array([np.delete(values, i).mean()]) for i in range(4)]
    np.testing.assert_allclose(jackknife_error(without), values.std(ddof=1) / 2)
    low, high = jackknife_interval(np.array([values.mean()]), without)
    reach = 3.182446305 * values.std(ddof=1) / 2
    np.testing.assert_allclose([low[0], high[0]], [3.5 - reach, 3.5 + reach])
    low, high = jackknife_interval(np.array([values.mean()]), without, least=0.0, most=7.5)
    assert (low[0], high[0]) == (0.0, 7.5)


def test_too_few_families_and_a_family_that_cannot_go():
    without = [np.array([0.1, 0.2]), np.array([0.3, np.nan]), np.array([0.2, 0.2])]
    assert np.isnan(jackknife_error(without)).tolist() == [False, True]
    assert np.isnan(jackknife_interval(np.array([0.2, 0.2]), without)[0]).tolist() == [False, True]
    assert np.isnan(jackknife_error(without[:2])).all()
    assert jackknife_interval(np.array([0.2, 0.2]), [])[1].shape == (2,)


def unequal_groups(values, family):
    """The delete-m_j jackknife of a mean (Busing et al. 1999), its variance."""
    n, mean = values.shape[1], values.mean(axis=1)
    h = n / SIZES
    without = np.stack([values[:, family != g].mean(axis=1) for g in range(len(SIZES))], axis=1)
    centre = len(SIZES) * mean - ((1 - 1 / h) * without).sum(axis=1)
    pseudo = h * mean[:, None] - (h - 1) * without
    return ((pseudo - centre[:, None]) ** 2 / (h - 1)).mean(axis=1)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_families_of_unequal_size(alike):
    """The plain formula is right whether candidates of a family are alike or not; delete-m_j only if they are not."""
    generator = np.random.default_rng(0)
    family = np.repeat(np.arange(len(SIZES)), SIZES)
    values = np.sqrt(alike) * generator.normal(size=(20_000, len(SIZES)))[:, family]
    values += np.sqrt(1 - alike) * generator.normal(size=values.shape)
    without = [values[:, family != g].mean(axis=1) for g in range(len(SIZES))]
    error = np.sqrt(np.mean(jackknife_error(without) ** 2))
    true = values.mean(axis=1).std()
    assert error / true == pytest.approx(1.0, abs=0.05)
    if alike == 1:
        assert np.sqrt(unequal_groups(values, family).mean()) / true < 0.92


@pytest.fixture(scope="module")
def published():
    """Full fine-tuning of 19 architectures on 9 targets, pools of 14: the tally, and those without each family."""
    words = ["sweep=stability", "cells=classification_architectures", "recipe=full"]
    plan = resolve(parser("test", "").parse_args(words)).plan
    (cells,), (space,) = plan.published, plan.setups.spaces
    measures = {name: option.bind(name) for name, option in plan.options.measure.items()}
    families = list(dict.fromkeys(cells.families))
    assert [cells.families.count(name) for name in families] == SIZES.tolist()
    parts = [(cells, space)] + [(cells.without_family(name), space.without_family(name)) for name in families]
    found = [tally_study(part, pools.chunks(), measures, Resampling(0)).slices[0] for part, pools in parts]
    return found[0], found[1:]


def test_published_win_rate_is_less_sure_over_families_than_over_targets(published):
    """NLEEP: .771 with all families, and without each of the seven."""
    whole, fewer = published
    places = [tally.field.tolist().index(tally.names.index("nleep")) for tally in (whole, *fewer)]
    rates = [win_rate(tally, Resampling(0)).split.value for tally in (whole, *fewer)]
    every, *without = (rate[[place]] for rate, place in zip(rates, places, strict=True))
    assert every[0] == pytest.approx(0.771, abs=5e-4)
    expected = [0.5995, 0.7454, 0.6584, 0.7506, 0.7391, 0.7543, 0.7336]
    np.testing.assert_allclose(np.concatenate(without), expected, atol=5e-5)
    # Pools of 14 out of 19 less the family, on 9 targets by 4 measures; where fewer are left, these are the one pool.
    assert [tally.setups for tally in fewer] == [36 * math.comb(19 - size, 14) for size in SIZES]
    by_target = whole.sums["split"][:, :, places[0]].sum(axis=0) / whole.sums["complete"].sum(axis=0)
    assert jackknife_error(without)[0] == pytest.approx(0.13, abs=0.01)
    assert by_target.std(ddof=1) / 3 == pytest.approx(0.06, abs=0.005)

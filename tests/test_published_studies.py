"""The published studies, whole: counts, win rates and stabilities that were computed independently of this code."""

import pytest

from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.stability import stability
from tmbench.stats.win_rate import win_rate
from tmbench.verb import parser, resolve

NO_INTERVALS = Resampling(0)


def tallies(sweep):
    """(scenario, recipe) → tally."""
    plan = resolve(parser("test", "").parse_args([f"sweep={sweep}"])).plan
    measures = {name: option.bind(name) for name, option in plan.options.measure.items()}
    found = {}
    for cells, space in zip(plan.published, plan.setups.spaces, strict=True):
        for tally in tally_study(cells, space.chunks(), measures, NO_INTERVALS).slices:
            found[tally.where.scenario, tally.where.recipe] = tally
    assert plan.setups.total == sum(tally.setups for tally in found.values())
    return found


@pytest.fixture(scope="module")
def stability_study():
    return tallies("stability")


@pytest.fixture(scope="module")
def notebook_study():
    return tallies("stability_notebook")


SEGMENTATION, ARCHITECTURES = "segmentation_sources", "classification_architectures"


def stabilities(tally):
    return [round(stability(tally, varied, NO_INTERVALS).stability, 3) for varied in ("query", "pool", "measure")]


def wins(tally):
    rate = win_rate(tally, NO_INTERVALS)
    return {tally.names[metric]: round(rate.split.value[i], 3) for i, metric in enumerate(rate.metrics)}


@pytest.mark.parametrize(
    ("place", "setups", "stable", "won"),
    [
        (
            (SEGMENTATION, "full"),
            297_024,
            [0.229, 0.600, 0.529],
            {"logme": 0.479, "gbc": 0.189, "leep": 0.132, "nleep": 0.088, "hscore_elementwise": 0.112},
        ),
        ((ARCHITECTURES, "full"), 418_608, [0.621, 0.804, 0.685], {"nleep": 0.771}),
        ((ARCHITECTURES, "head"), 418_608, [0.675, 0.826, 0.753], {"nleep": 0.866}),
    ],
)
def test_the_study_of_stability(stability_study, place, setups, stable, won):
    tally = stability_study[place]
    assert (tally.setups, tally.missing) == (setups, 0)
    assert stabilities(tally) == stable
    assert won.items() <= wins(tally).items()


def test_the_pools_of_the_released_notebook(notebook_study):
    tally = notebook_study[SEGMENTATION, "full"]
    assert (tally.setups, tally.missing) == (9_248, 0)
    assert stabilities(tally) == [0.236, 0.799, 0.527]
    assert wins(tally)["logme"] == 0.515
    for recipe, stable in (("head", [0.702, 0.922, 0.778]), ("full", [0.642, 0.898, 0.688])):
        tally = notebook_study[ARCHITECTURES, recipe]
        assert tally.setups == 6_156
        assert stabilities(tally) == stable


def test_means_of_the_notebook(notebook_study):
    tally = notebook_study[ARCHITECTURES, "full"]
    mean = tally.sums["value"].sum(axis=1) / tally.sums["valued"].sum(axis=1)
    found = dict(zip(tally.names, mean[tally.measures.index("weighted_tau")], strict=True))
    assert round(found["nleep"], 3) == 0.611
    assert round(mean[tally.measures.index("rel_at_1_first"), tally.names.index("nleep")], 3) == 0.978


def test_the_static_ranking_beats_every_metric_in_full_fine_tuning(stability_study):
    tally = stability_study[ARCHITECTURES, "full"]
    mean = tally.sums["value"].sum(axis=1) / tally.sums["valued"].sum(axis=1)
    found = dict(zip(tally.names, mean[tally.measures.index("weighted_tau")], strict=True))
    assert round(found["static"], 3) == 0.728
    assert max(value for name, value in found.items() if name != "static") == found["nleep"] < found["static"]

"""Synthetic studies as fixtures."""

from pathlib import Path

import pytest

from tmbench.functions import find_function
from tmbench.report import Scene, build_tables
from tmbench.stats.accumulate import tally_study
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import MEASURES

SYNTHETIC = Path(__file__).parents[1] / "stats" / "synthetic.py"

PAPER = {name: MEASURES[name] for name in ("weighted_tau", "kendall_tau", "pearson", "rel_at_1")}
"""The four measures of the ECCV 2022 study."""


def tally(cells, resampling=None, measures=PAPER):
    """The sums over all pools of five."""
    all_pools = find_function(f"{SYNTHETIC}:all_pools")
    return tally_study(cells, all_pools(cells, 5, at_a_time=300), measures, resampling or Resampling(0))


@pytest.fixture(scope="session")
def make_cells():
    return find_function(f"{SYNTHETIC}:make_cells")


@pytest.fixture(scope="session")
def target_cells():
    return find_function(f"{SYNTHETIC}:target_cells")


@pytest.fixture(scope="session")
def make_tally():
    return tally


@pytest.fixture(scope="session")
def measures():
    return PAPER


@pytest.fixture(scope="session")
def make_tables():
    """The scenes of some cells, and their tables."""

    def make(*every, draws=0, measures=PAPER, without=(), policies=None):
        resampling = Resampling(draws)
        scenes = [Scene(cells, tally(cells, resampling, measures), without) for cells in every]
        return scenes, build_tables(scenes, measures, resampling, policies)

    return make


@pytest.fixture(scope="session")
def study(make_cells, make_tables):
    """Two recipes of six targets: the cells, scenes and tables, to be read alone."""
    cells = make_cells()
    return cells, *make_tables(cells, draws=300)

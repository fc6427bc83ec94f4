"""Synthetic cells as fixtures, and the statistics by their definitions."""

from pathlib import Path

import pytest

from tmbench.functions import find_function

HERE = Path(__file__).parent


def load(name, file="synthetic.py"):
    return find_function(f"{HERE / file}:{name}")


@pytest.fixture(scope="session")
def make_cells():
    return load("make_cells")


@pytest.fixture(scope="session")
def rough_cells():
    return load("rough_cells")


@pytest.fixture(scope="session")
def target_cells():
    return load("target_cells")


@pytest.fixture(scope="session")
def make_tally():
    return load("make_tally")


@pytest.fixture(scope="session")
def all_pools():
    return load("all_pools")


@pytest.fixture(scope="session")
def by_definition():
    return load("Enumerated", "enumerated.py")

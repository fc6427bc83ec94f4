"""Synthetic cells as fixtures."""

from pathlib import Path

import pytest

from tmbench.functions import find_function

SYNTHETIC = Path(__file__).parents[1] / "stats" / "synthetic.py"


@pytest.fixture(scope="session")
def make_cells():
    return find_function(f"{SYNTHETIC}:make_cells")


@pytest.fixture(scope="session")
def make_outcomes():
    return find_function(f"{SYNTHETIC}:make_outcomes")

"""The tables that come with tmbench."""

import numpy as np
import pytest
import yaml
from tables_work import number, same

from tmbench.folders import shipped
from tmbench.stats.cells import OK
from tmbench.study.tables import cells_option, read_cells, write_cells
from tmbench.study.tables.options import validated


def load(name):
    path = shipped("conf") / "cells" / f"{name}.yaml"
    warnings = []
    (cells,) = read_cells(validated(yaml.safe_load(path.read_text()), str(path)), str(path), warnings)
    assert not warnings
    assert not cells.counts
    return cells


def test_segmentation():
    cells = load("segmentation_sources")
    assert cells.metrics == ("gbc", "leep", "nleep", "logme", "hscore_elementwise")
    assert set(cells.kinds) == {"metric"}
    assert (cells.recipes, cells.levels, cells.truth_measure) == (("full",), ("penultimate",), "mean_iou")
    assert (len(cells.queries), len(cells.candidates), int(cells.present.sum())) == (17, 17, 272)
    own = np.array([[query == candidate for candidate in cells.candidates] for query in cells.queries])
    assert np.array_equal(cells.present, ~own)
    assert np.array_equal(cells.state == OK, np.broadcast_to(~own, cells.state.shape))
    assert np.array_equal(~np.isnan(cells.truth[0, :, :, 0]), ~own)
    assert number(cells, "leep", "city", "isprs") == -1.23147
    assert "" not in cells.families


def test_classification():
    cells = load("classification_architectures")
    assert (cells.recipes, len(cells.queries), len(cells.candidates)) == (("head", "full"), 9, 19)
    assert (cells.metrics[4:], cells.kinds[4:]) == (("hscore_elementwise", "source_size"), ("metric", "baseline"))
    assert cells.present.all()
    assert (cells.state == OK).all()
    assert not np.isnan(cells.truth).any()
    assert number(cells, "nleep", "resnet50", "sun397") == -1.680784
    assert cells.truth[:, 0, 0, 0].tolist() == [0.660138, 0.65954]
    assert "" not in cells.families


def test_accuracies_are_whole_numbers_of_test_images():
    cells = load("classification_architectures")
    images = cells.truth[..., 0] * cells.test_sizes
    rounding = 6e-7 * cells.test_sizes  # the table has 6 decimals, of float32
    assert (np.abs(images - np.round(images)) <= rounding).all()
    assert (np.nanmax(rounding)) < 0.02


@pytest.mark.parametrize("name", ["segmentation_sources", "classification_architectures"])
def test_round_trip(tmp_path, name):
    cells = load(name)
    write_cells(tmp_path, [cells])
    same(cells, read_cells(cells_option(str(tmp_path)))[0])

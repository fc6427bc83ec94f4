"""Cells written are the cells read."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_work import JOINED, same

from tmbench.errors import ConfigError
from tmbench.stats.cells import INAPPLICABLE, MISSING, OK, Cells, Combined
from tmbench.stats.combine import sum_of_scaled, sum_of_standardised, weighted_sum
from tmbench.study.tables import cells_option, read_cells, tidy, write_cells
from tmbench.study.tables.options import COLUMNS


def example(direction="source_selection", scenario="mine") -> Cells:
    """Cells with everything that cells can have; an axis order that no order of rows can give."""
    rng = np.random.default_rng(1)
    present = ~np.eye(3, 4, dtype=bool)
    truth = np.where(present[None, :, :, None], rng.normal(size=(2, 3, 4, 2)), np.nan)
    truth[0, 0, 1] = np.nan
    truth[1, 0, 1, 1] = np.nan
    states = np.where(present, OK, INAPPLICABLE).astype(np.int8)
    state = np.tile(states, (2, 4, 1, 1))
    state[0, 0, 0, 1], state[0, 1, 2, 3], state[1, 1] = MISSING, INAPPLICABLE, INAPPLICABLE
    scores = np.where(state == OK, rng.normal(size=state.shape) * 10.0 ** rng.integers(-300, 300, state.shape), np.nan)
    scores[0, 2, 1, 2] = np.inf
    part_state = np.tile(states, (2, 1, 1))
    part_state[1, 2, 0] = MISSING
    parts = np.where((part_state == OK)[:, None], rng.normal(size=(2, 3, 3, 4)), np.nan)
    return Cells(
        scenario=scenario,
        direction=direction,
        recipes=("head", "full"),
        levels=("local", "local@theirs"),
        queries=("a", "b", "c"),
        candidates=("a", "b", "c", 'd,"1" é'),
        metrics=("m", "m/fast", "source_size", "v/w"),
        kinds=("metric", "variant", "baseline", "metric"),
        truth=truth,
        scores=scores,
        state=state,
        families=("f", "f", "", "g"),
        random_start=np.array([False, True, False, False]),
        static=scenario == "mine",
        present=present,
        sizes=np.array([1e6, np.nan, 0.1, 3]) if direction == "source_selection" else None,
        query_families=("q", "", "q"),
        query_groups=("random", "half", ""),
        test_sizes=np.where(present, 100.0, np.nan),
        combined=(Combined("rel", "variant", sum_of_standardised, ("p", "q", "r"), parts, part_state),),
        truth_measure="mean_iou",
        seeds=("7", "3"),
    )


@pytest.mark.parametrize("direction", ["source_selection", "target_selection"])
def test_round_trip(tmp_path, direction):
    cells = [example(direction), example("source_selection", "other")]
    files = write_cells(tmp_path, cells)
    assert [path.name for path in files] == ["truths.csv", "scores.csv", "axes.csv"]
    found = read_cells(cells_option(str(tmp_path)))
    for one, other in zip(cells, found, strict=True):
        same(one, other)
    before = [path.read_bytes() for path in files]
    write_cells(tmp_path, found)
    assert [path.read_bytes() for path in files] == before


def test_the_tables_are_the_documented_ones():
    truths, scores = tidy(example())
    assert set(truths) | set(scores) <= set(COLUMNS)
    assert len(truths) == 2 * 2 * 9
    assert len(scores) == 2 * 9 * (4 + 3)
    assert set(scores.loc[scores["flags"] == "inapplicable", "metric"]) == {"m"}
    assert scores.loc[scores["flags"] == "inapplicable", "value"].isna().all()


def test_a_function_that_a_data_file_names_is_not_run(tmp_path):
    write_cells(tmp_path, [example()])
    axes = tmp_path / "axes.csv"
    axes.write_text(axes.read_text().replace("tmbench.stats.combine:sum_of_standardised", "evil.py:run"))
    with pytest.raises(ConfigError, match=r"axes\.csv names evil\.py:run, which is run only if you name it"):
        read_cells(cells_option(str(tmp_path)))
    (cells,) = read_cells(cells_option(str(tmp_path), {"combine.rel": "tmbench.stats.combine:sum_of_scaled"}))
    assert cells.combined[0].combine is sum_of_scaled


def weighted(tmp_path):
    """Cells whose metric is combined with weights, written."""
    cells = example()
    (one,) = cells.combined
    combine = partial(weighted_sum, weights=(0.15, 0.85, -1.0), scaling=("range", "deviation", "none"))
    write_cells(tmp_path, [replace(cells, combined=(replace(one, combine=combine),))])
    return replace(cells, combined=(replace(one, combine=combine),))


def test_weights_come_back_with_the_parts_they_belong_to(tmp_path):
    cells = weighted(tmp_path)
    (found,) = read_cells(cells_option(str(tmp_path)))
    same(cells, found)
    # In another order of rows the parts keep their weights.
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    (tmp_path / "scores.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    (found,) = read_cells(cells_option(str(tmp_path)))
    same(cells, found)


def test_weights_of_parts_that_are_not_there(tmp_path):
    weighted(tmp_path)
    scores = tmp_path / "scores.csv"
    scores.write_text(scores.read_text().replace(",rel,,q,", ",rel,,other,"))
    with pytest.raises(ConfigError, match=r"'rel' is combined from the parts p, q, r .*its rows have other, p, r"):
        read_cells(cells_option(str(tmp_path)))
    axes = tmp_path / "axes.csv"
    axes.write_text(axes.read_text().replace('""weights""', '""weihgts""'))
    with pytest.raises(ConfigError, match=r"'weihgts'\. Nearest: 'weights'"):
        read_cells(cells_option(str(tmp_path)))
    axes.write_text(axes.read_text().replace('"{', '"'))
    with pytest.raises(ConfigError, match=r"combine_with is .* it holds parameters as a JSON object"):
        read_cells(cells_option(str(tmp_path)))


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="one scenario name"):
        write_cells(tmp_path, [example(), example()])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_numbers_come_back_bit_for_bit(tmp_path_factory, values):
    text = JOINED.splitlines()[0] + "\n"
    text += "\n".join(f"{s},{t},m,{v!r},{v!r}" for (s, t), v in zip(("ax", "bx", "by", "ay"), values, strict=True))
    folder = tmp_path_factory.mktemp("bits")
    (folder / "table.csv").write_text(text)
    (cells,) = read_cells(cells_option(str(folder / "table.csv")))
    write_cells(folder, [cells])
    (again,) = read_cells(cells_option(str(folder)))
    wanted = np.array([values[:2], values[:1:-1]]).tobytes()
    assert cells.scores[0, 0].tobytes() == again.scores[0, 0].tobytes() == wanted
    assert again.truth[0, :, :, 0].tobytes() == wanted

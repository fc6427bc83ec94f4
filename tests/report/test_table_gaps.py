"""What is missing, inapplicable or constant is counted in the tables."""

from dataclasses import replace

import numpy as np

from tmbench.stats.cells import MISSING, OK


def test_missing_scores_are_counted(make_cells, make_tables):
    cells = make_cells()
    state = cells.state.copy()
    state[0, 0, 0, 0] = MISSING
    cells = replace(cells, state=state, scores=np.where(state == OK, cells.scores, np.nan), counts={"text_scores": 1})
    _, tables = make_tables(cells, policies={"text_scores": "text is no number: missing"})
    # One source of eight stands in 35 of the 56 pools of five, on one target, under four measures.
    assert (tables["win_rate"]["missing"] == 35 * 4).all()
    assert (tables["win_rate"]["setups"] == 1344 - 140).all()
    means = tables["means"].set_index(["recipe", "measure", "metric"])
    assert means.loc[("full", "pearson", "hscore"), "missing"] == 35
    assert means.loc[("full", "pearson", "logme"), "missing"] == 0
    assert tables["cells"].loc[0, "missing"] == "hscore"
    bounds = tables["bounds"].set_index(["recipe", "metric"])
    assert (bounds["lowest"] <= bounds["as_loss"]).all()
    assert (bounds["as_loss"] <= bounds["highest"]).all()
    assert bounds.loc[("full", "hscore"), "lowest"] < bounds.loc[("full", "hscore"), "highest"]
    counts = tables["counts"].set_index(["recipe", "what"])
    assert counts.loc[("full", "setups"), "count"] == 1344
    assert counts.loc[("full", "setups missing"), "count"] == 140
    assert counts.loc[("all", "text_scores"), "count"] == 1
    assert counts.loc[("all", "text_scores"), "policy"] == "text is no number: missing"
    per_query = tables["per_query"].set_index(["recipe", "query", "measure", "metric"])["value"]
    assert np.isnan(per_query["full", "target_0", "pearson", "hscore"])


def test_inapplicable_is_not_missing(make_cells, make_tables):
    """A variant that does not apply to some candidates has fewer setups, none of them missing."""
    cells = replace(make_cells(), kinds=("metric", "metric", "variant", "metric", "baseline"))
    means = make_tables(cells)[1]["means"].set_index(["recipe", "measure", "metric"])
    leep = means.loc[("full", "pearson", "leep")]
    assert leep["missing"] == 0
    # Pools of five out of the eight candidates that have a head, of those out of ten.
    assert leep["setups"] == 6 * 56
    assert means.loc[("full", "pearson", "gbc"), "setups"] == 6 * 252


def test_constant_scores_are_counted(make_cells, make_tables):
    cells = make_cells()
    scores = cells.scores.copy()
    scores[0, 3, 1] = 0.5
    counts = make_tables(replace(cells, scores=scores))[1]["counts"].set_index(["recipe", "what"])["count"]
    assert counts["head", "constant scores: gbc"] == 56 * 4
    assert ("head", "constant scores: hscore") not in counts.index

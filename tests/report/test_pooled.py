"""The table of pooled correlations: the mean of the query beside each metric, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from tmbench.report.findings import findings
from tmbench.report.pooled import pooled_sentences
from tmbench.report.query_tables import pooled_table
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.cells import MISSING
from tmbench.stats.measures import MEASURES

PEARSON = {"pearson": MEASURES["pearson"]}
TAU = {"kendall_tau": MEASURES["kendall_tau"]}


@pytest.fixture
def levels(make_cells):
    """Two metrics on targets of very different levels, which the first one does not know."""
    cells = make_cells().only(recipes=["full"], metrics=["hscore", "gbc"])
    apart = np.arange(6)[:, None]
    return replace(cells, truth=cells.truth + apart[..., None], scores=cells.scores + np.stack([0 * apart, 9 * apart]))


def place(table, metric, measure="pearson"):
    return table[(table["metric"] == metric) & (table["measure"] == measure)].iloc[0]


def test_each_metric_stands_beside_the_mean_of_the_query(levels):
    table = pooled_table([levels], PEARSON)
    truth = levels.mean_truth[0]
    others = (truth.sum(axis=1, keepdims=True) - truth) / 9
    expected = np.corrcoef(truth.ravel(), others.ravel())[0, 1]
    between = 10 * np.var(truth.mean(axis=1)) * 6 / (np.var(truth) * 60)
    assert table["query_mean"].to_numpy() == pytest.approx(expected)
    assert table["between"].to_numpy() == pytest.approx(between)
    own = place(table, "query_mean")
    assert (own["kind"], own["per_query"], own["pooled"]) == ("baseline", 0, pytest.approx(expected))


def test_it_is_of_the_cells_that_the_metric_has_a_value_on(levels):
    state, scores = levels.state.copy(), levels.scores.copy()
    state[0, 0, 5, 3], scores[0, 0, 5, 3] = MISSING, np.nan
    table = pooled_table([replace(levels, state=state, scores=scores)], PEARSON)
    five = pooled_table([levels.only(queries=levels.queries[:5])], PEARSON)
    for column in ("query_mean", "between"):
        assert place(table, "hscore")[column] == pytest.approx(place(five, "hscore")[column])
        assert place(table, "gbc")[column] != pytest.approx(place(five, "gbc")[column], rel=1e-6)


def test_a_metric_that_is_not_above_it_is_named(levels):
    (said,) = pooled_sentences(pooled_table([levels], PEARSON), PEARSON)
    reached = place(pooled_table([levels], PEARSON), "query_mean")["pooled"]
    assert said.startswith("pooled over targets, the mean of the target alone reaches Pearson r ")
    assert f"Pearson r {reached:.4f} (" in said
    assert "and 1 of 2 metrics is not above it (hscore " in said
    assert said.endswith("read the correlation per target.")
    (said,) = pooled_sentences(pooled_table([levels.only(metrics=["hscore"])], PEARSON), PEARSON)
    assert "and 1 of 1 metrics is not above it" in said


def test_nothing_is_said_where_all_are_above_it_or_it_tells_nothing(levels):
    gbc = levels.scores.copy()
    gbc[0] = levels.mean_truth[0]
    assert not list(pooled_sentences(pooled_table([replace(levels, scores=gbc)], PEARSON), PEARSON))
    alike = replace(levels, truth=levels.truth - levels.mean_truth.mean(axis=2)[..., None, None])
    table = pooled_table([alike], PEARSON)
    assert place(table, "query_mean")["pooled"] == 0  # rather than −1, the reverse order that leaving out makes
    assert not list(pooled_sentences(table, PEARSON))


def test_without_metrics_the_truths_alone_say_it(levels):
    (said,) = pooled_sentences(pooled_table([levels.only(metrics=[])], TAU), TAU)
    assert "the mean of the target alone reaches Kendall τ" in said
    assert "metric" not in said


def test_the_findings_say_it_too(levels, make_tables):
    measures = {**TAU, **PEARSON}
    _, tables = make_tables(levels, measures=measures)
    (finding,) = findings(tables, measures, Resampling(0))
    assert any(text.startswith("Pooled over targets, the mean of the target alone") for text in finding.details)


def test_pearson_has_no_limit_of_points(levels, monkeypatch):
    monkeypatch.setattr("tmbench.report.query_tables.MOST_POOLED", 20)
    table = pooled_table([levels], {**TAU, **PEARSON})
    assert np.isnan(place(table, "gbc", "kendall_tau")["pooled"])
    assert place(table, "gbc")["pooled"] > 0

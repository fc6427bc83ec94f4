"""Tables of truths without scores, and queries in groups."""

import numpy as np
import pytest

from tmbench.errors import ConfigError
from tmbench.report.pooled import pooled_sentences
from tmbench.report.query_tables import pooled_table
from tmbench.stats.measures import MEASURES
from tmbench.verb import parser, resolve

TRUTHS = "source,target,truth,note\na,x,-0.5,1\nb,x,-0.75,2\nb,y,-0.125,3\n"


def test_a_table_of_truths_has_no_metric(read):
    (cells,) = read(TRUTHS, truths_only=True)
    assert (cells.metrics, cells.levels, cells.scores.shape) == ((), ("default",), (1, 0, 2, 2))
    assert cells.truth[0, 0, :, 0].tolist() == [-0.5, -0.75]
    assert cells.present.tolist() == [[True, True], [False, True]]
    assert cells.counts == {"queries_with_one_candidate": 1}
    assert read.warnings == [f"{read.path}: columns that are not read: note."]


def test_only_if_it_is_said(read):
    with pytest.raises(ConfigError, match="Looked for and not found: 'metric'"):
        read("source,target,truth\na,x,1\n")
    with pytest.raises(ConfigError, match="Looked for and not found: 'truth'"):
        read("source,target,accuracy\na,x,1\n", truths_only=True)


def test_groups_of_queries_from_a_column_or_the_option(read):
    text = "source,target,truth,logme,rule\na,x,1,1,half\nb,x,2,2,half\na,y,1,1,\nb,y,2,2,\n"
    (cells,) = read(text, metrics=["logme"], **{"columns.query_group": "rule"})
    assert cells.query_groups == ("half", "")
    (cells,) = read(text, metrics=["logme"], query_groups={"random": ["y"]})
    assert cells.query_groups == ("", "random")
    with pytest.raises(ConfigError, match="no query is named 'z'"):
        read(text, metrics=["logme"], query_groups={"random": ["z"]})
    with pytest.raises(ConfigError, match="in two groups: x"):
        read(text, metrics=["logme"], query_groups={"random": ["x"], "half": ["x"]})


@pytest.fixture(scope="module")
def keypoints():
    return resolve(parser("test", "").parse_args(["cells=regression_keypoints"])).plan


def test_the_published_keypoints(keypoints):
    (cells,) = keypoints.published
    assert (len(cells.queries), len(cells.candidates), int(cells.eligible.sum())) == (15, 17, 255)
    assert (cells.truth < 0).all()
    assert cells.truth[0, 4, 14, 0] == pytest.approx(-(0.185**2))


def test_the_mean_of_the_target_reaches_what_the_paper_prints(keypoints):
    """The two numbers were computed from the released file, not by this code."""
    pearson = {"pearson": MEASURES["pearson"]}
    table = pooled_table(keypoints.published, pearson)
    (row,) = table[table["metric"] == "query_mean"].itertuples()
    assert (round(row.pooled, 4), round(row.between, 3), row.per_query) == (0.9948, 0.991, 0)
    (said,) = pooled_sentences(table, pearson)
    assert "the mean of the target alone reaches Pearson r 0.9948 (99.1 % of the truth's variance" in said
    truth = keypoints.published[0].mean_truth[0]
    by_loop = [[np.delete(row, i).mean() for i in range(17)] for row in truth]
    assert row.pooled == pytest.approx(np.corrcoef(truth.ravel(), np.ravel(by_loop))[0, 1])

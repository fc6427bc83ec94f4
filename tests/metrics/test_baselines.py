import pytest

from tmbench.metrics import BadSample, find_metric, score


def test_source_size_is_logarithmic():
    assert float(score("source_size", source={"parameters": 10_000})) == 4


def test_a_source_of_no_size_is_refused():
    with pytest.raises(BadSample, match="must be above 0"):
        score("source_size", source={"parameters": 0})


def test_source_accuracy():
    assert float(score("source_accuracy", source={"accuracy": 0.75})) == 0.75


def test_a_random_start_has_no_accuracy():
    with pytest.raises(BadSample, match=r"no source\.accuracy"):
        score("source_accuracy", source={"parameters": 10, "accuracy": None})


@pytest.mark.parametrize("name", ["source_size", "source_accuracy"])
def test_takes_no_vote(name):
    assert find_metric(name).kind == "baseline"

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import ValidationError

from tmbench.errors import ConfigError
from tmbench.functions import find_function
from tmbench.metrics import find_metric, metric, metric_of, names, score
from tmbench.metrics.options import MetricOption
from tmbench.metrics.parameters import Interval

OPTIONS = sorted((Path(__file__).parents[2] / "conf" / "metric").glob("*.yaml"))


@metric(tasks=("classification",), needs=("features", "labels"), version=3)
def example(
    sample,
    *,
    size: Annotated[int, Interval(1, 9)] = 2,
    share: Annotated[float, Interval(0)] | None = None,
    mode: Literal["slow", "fast"] = "fast",
    exact: bool = False,
    anything=None,
):
    """An example."""
    return float(size)


def test_the_shipped_metrics():
    assert names() == ["gbc", "hscore", "leep", "logme", "nleep", "source_accuracy", "source_size"]
    assert names("regression") == ["source_accuracy", "source_size"]
    assert "logme" in names("detection")
    with pytest.raises(ConfigError, match=r"no task is named 'clasification'\. Nearest: 'classification'"):
        names("clasification")


def test_an_unknown_metric_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no metric is named 'logmee'\. Nearest: 'logme'"):
        score("logmee", [[1.0]], [0])


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_every_option_file_names_a_metric_and_admissible_parameters(path):
    option = MetricOption.model_validate(yaml.safe_load(path.read_text()))
    described = metric_of(find_function(option.function))
    described.bind(option.parameters)
    assert path.read_text().startswith("# ")
    assert path.stem.startswith(described.name)


def test_every_shipped_metric_has_an_option_file():
    assert set(names()) <= {path.stem for path in OPTIONS}


def test_an_option_refuses_unknown_keys_and_keeps_types():
    with pytest.raises(ValidationError):
        MetricOption.model_validate({"function": "a:b", "params": {}})
    option = MetricOption(function="a:b", parameters={"count": 3, "share": 0.5, "exact": True, "mode": None})
    assert [type(value) for value in option.parameters.values()] == [int, float, bool, type(None)]


def test_a_title_is_no_part_of_what_a_score_is():
    named = MetricOption(function="tmbench.metrics.gbc:gbc", parameters={"components": 64}, title="ours")
    plain = MetricOption(function="tmbench.metrics.gbc:gbc")
    assert named.key() == plain.key() == metric_of(find_function(plain.function)).key()
    with pytest.raises(ConfigError, match="no parameter is named 'component'"):
        MetricOption(function="tmbench.metrics.gbc:gbc", parameters={"component": 3}).key()


def test_parameters_are_bound_to_the_defaults():
    bound = metric_of(example).bind({"size": 4})
    assert bound == {"size": 4, "share": None, "mode": "fast", "exact": False, "anything": None}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sise": 3}, "metric 'example': no parameter is named 'sise'. Nearest: 'size'"),
        ({"size": 0}, "size=0 is not a whole number from 1 to 9"),
        ({"size": 2.0}, "size=2.0 is not a whole number"),
        ({"size": True}, "size=True is not a whole number"),
        ({"share": -1}, "share=-1 is not a number from 0 or null"),
        ({"share": "much"}, "share='much' is not"),
        ({"share": float("nan")}, "share=nan is not"),
        ({"mode": "quick"}, r"mode='quick' is not one of 'slow', 'fast' \(default 'fast'\)"),
        ({"exact": 1}, "exact=1 is not true or false"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        metric_of(example).bind(parameters)


def test_the_key_holds_what_differs_from_the_defaults():
    described = metric_of(example)
    assert described.key() == described.key({"size": 2})
    assert described.key({"size": 5})["parameters"] == {"size": 5}
    assert described.key()["version"] == 3


def test_a_metric_in_a_file_of_the_users(tmp_path):
    path = tmp_path / "spread.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from tmbench.metrics import metric\n"
        "if TYPE_CHECKING:\n"
        "    from tmbench.metrics import Sample\n"
        "@metric(tasks=('classification',), needs=('features',))\n"
        "def spread(sample: Sample, *, power: float = 2.0) -> float:\n"
        '    """The mean power of the centred features."""\n'
        "    return float(abs(sample.centred_features**power).mean())\n"
    )
    described = find_metric(f"{path}:spread")
    assert described.reference == "spread.py:spread"
    assert described.summary == "The mean power of the centred features."
    assert float(score(f"{path}:spread", [[1.0], [3.0]])) == 1
    assert float(score(described.function, [[1.0], [3.0]], power=4)) == 1


def test_a_function_without_declaration_is_refused():
    with pytest.raises(ConfigError, match=r"'len' declares no metric\. Put @metric"):
        metric_of(len)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"tasks": ("clasification",), "needs": ("features",)}, "no task is named 'clasification'"),
        ({"tasks": ("classification",), "needs": ("feature",)}, "no need is named 'feature'. Nearest: 'features'"),
        ({"tasks": "classification", "needs": ("features",)}, "write tasks as a tuple"),
    ],
)
def test_a_wrong_declaration_is_refused(declared, message):
    with pytest.raises(ConfigError, match=message):

        @metric(**declared)
        def wrong(sample):
            return 0.0


@pytest.mark.parametrize(
    "function", [lambda: 0.0, lambda sample, size: 0.0, lambda sample, *, size: 0.0, lambda sample, **others: 0.0]
)
def test_a_signature_that_no_option_could_fill_is_refused(function):
    with pytest.raises(ConfigError, match="one sample, then parameters after a star"):
        metric(tasks=("classification",), needs=("features",))(function)

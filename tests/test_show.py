"""``tmbench show``: everything that a metric declares, and a list that one broken option does not stop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from verbs_work import facts, said

MINE = '''
from typing import Annotated, Literal

from tmbench.metrics import Pooled, Score, metric
from tmbench.metrics.parameters import Interval


@metric(
    tasks=("classification", "regression"),
    needs=("features", "labels|targets", "source"),
    facts=("layers",),
    version=3,
    randomised=True,
    range=lambda n, d, classes, *, scale, form: (-scale * d, float("inf")),
    infinite=True,
    one_class="refused",
    reads=lambda *, scale, form: "moments" if form == "short" else "rows",
    pooled=lambda *, scale, form: Pooled(("fit", "cost"), (1.0, -2.0), "deviation", ("rest",)) if scale > 1 else None,
    invariances=("scale", "rotation"),
)
def mine(sample, *, scale: Annotated[float, Interval(0)] = 1.0, form: Literal["short", "long"] = "short"):
    """A metric that declares everything."""
    return Score(scale, parts={"fit": 1.0, "cost": 2.0, "rest": 3.0})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("mine/metric")
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(MINE)
    (folder / "mine.yaml").write_text("{title: ours, function: 'mine.py:mine', parameters: {scale: 2.0}}\n")
    return folder


def test_a_metric_shows_everything_that_it_declares(folder, capsys):
    code, out, err = said(capsys, "show", "metric=mine", "--config-dir", "mine")
    assert (code, err) == (0, "")
    for line in (
        "is           metric",
        "tasks        classification, regression",
        "needs        features, labels or targets, source",
        "facts        source.layers",
        "reads        the moments of the features",
        "version      3",
        "range        [-1024, inf) at n=1000, d=512, C=10, and infinite",
        "one class    refused",
        "randomised   yes, by the seed of the sample",
        "invariances  scale, rotation",
        "pooled       scaled(fit) - 2 · scaled(cost) + rest, scaled to mean 0 and deviation 1 within the pool",
        "function     mine.py:mine",
        "parameter    scale = 2.0 (default 1.0): a number from 0",
        "parameter    form = 'short': one of 'short', 'long'",
        "A metric that declares everything.",
        "title: ours",
    ):
        assert line in out.splitlines()
    assert out.splitlines()[-1] == "next: tmbench check --config-dir mine metric=mine"
    (said_too,) = facts(capsys, "show", "metric=mine", "--config-dir", "mine")
    assert said_too["needs"] == ["features", "labels|targets", "source"]
    assert said_too["parameters"]["scale"] == {"value": 2.0, "default": 1.0, "admits": "a number from 0"}


def test_a_function_without_an_option_file_is_shown_too(folder, capsys):
    code, out, _ = said(capsys, "show", "metric=mine/metric/mine.py:mine")
    assert code == 0
    assert "parameter    scale = 1.0: a number from 0" in out
    assert not any(line.startswith("pooled") for line in out.splitlines())


def test_a_metric_of_few_declarations(capsys):
    out = said(capsys, "show", "metric=source_size")[1]
    assert "is           baseline" in out
    assert "facts        source.size" in out
    assert "range        none declared" in out
    assert not {"reads", "pooled", "invariances", "one"} & {line.partition(" ")[0] for line in out.splitlines()}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("function: [\n", "cannot be composed"),
        ("function: nothing.py:f\n", "there is no file"),
        ("function: broken.py:f\n", "ZeroDivisionError"),
        ("function: tmbench.identity:canonical\n", "declares no metric"),
        ("title: no function\n", "function"),
        ("{function: 'mine.py:mine', parameters: {scal: 1.0}}\n", "no parameter is named 'scal'"),
        ("defaults: [nowhere@_here_]\n", "cannot be composed"),
    ],
)
def test_a_broken_option_hides_none_of_the_others(folder, capsys, text, says):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "broken.yaml").write_text(text)
    code, out, _ = said(capsys, "show", "metrics", "--config-dir", "mine")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "(cannot be read here: " in lines["broken"]
    assert says in out
    assert "Max log p(t | X)" in lines["logme"]
    assert "A metric that declares everything." in lines["mine"]
    listed = json.loads(said(capsys, "show", "metrics", "--config-dir", "mine", "--json")[1])
    assert {"mine", "broken", "hscore"} <= {one["name"] for one in listed}
    # One by its name says what is wrong with it.
    code, _, err = said(capsys, "show", "metric=broken", "--config-dir", "mine")
    assert code == 2
    assert says in err


def test_what_an_installed_package_offers_is_listed_and_shown(monkeypatch, capsys):
    offered = {"far_overlap": "tmbench.metrics.gbc:gbc", "gone": "nowhere.at.all:f"}
    monkeypatch.setattr("tmbench.metrics.registry.installed", lambda: offered)
    listed = said(capsys, "show", "metrics")[1]
    assert "(offered by an installed package as nowhere.at.all:f)" in listed
    code, out, _ = said(capsys, "show", "metric=far_overlap")
    assert code == 0
    assert out.splitlines()[-1] == "next: tmbench check metric=far_overlap"
    assert "cannot import 'nowhere.at.all'" in said(capsys, "show", "metric=gone")[2]


def test_listing_the_metrics_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from tmbench.show import main; main(['metrics']); "
        "print(*{'torch', 'scipy', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "hscore" in done.stdout
    assert done.stderr.split() == []


def test_a_recipe_of_a_sweeps_name_is_shown_for_each_task(capsys):
    pages = facts(capsys, "show", "recipe=full")
    tasks = ["classification", "detection", "regression", "segmentation"]
    assert [page["name"] for page in pages] == [f"{task}/full" for task in tasks]
    (page,) = facts(capsys, "show", "recipe=detection/full")
    assert page["options"]["task"] == "detection"
    code, _, err = said(capsys, "show", "recipe=fulll")
    assert code == 2
    assert "no recipe is named 'fulll'" in err


def test_an_option_is_shown_as_option_files_are_written(capsys):
    lines = said(capsys, "show", "recipe=detection/mask_rcnn_vit_50_epochs")[1].splitlines()
    assert "learning_rates: [8.0e-05]" in lines
    assert "vit: {window: 14, global_blocks: 4, relative_position: bias, drop_path: 0.1}" in lines
    assert "every key: tmbench.sources.detection.recipe:DetectionRecipe" in lines
    assert "rows: image" in said(capsys, "show", "level=image_last")[1].splitlines()


def test_a_sweep_is_shown_without_what_it_leaves_empty(capsys):
    lines = said(capsys, "show", "sweep=vit_detection")[1].splitlines()
    assert "target: [coco2017]" in lines
    assert not {"metric: []", "cells: []", "pool_size: null"} & set(lines)
    assert facts(capsys, "show", "sweep=vit_detection")[0]["options"]["metric"] == []


def test_the_overview_is_no_wider_than_a_page(capsys):
    assert max(map(len, said(capsys, "show")[1].splitlines())) <= 120

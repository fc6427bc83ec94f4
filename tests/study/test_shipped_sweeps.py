"""Every shipped sweep that runs makes a plan, without torch and without the user's data."""

import subprocess
import sys

import pytest
import yaml

from tmbench.errors import ConfigError
from tmbench.study.compose import OptionFolders
from tmbench.study.planning import planned
from tmbench.study.sweep import load_sweep, parse, sweep_files
from tmbench.study.truths import _protocol

RUN = [name for name, path in sweep_files().items() if not yaml.safe_load(path.read_text()).get("cells")]


def plan(*words):
    return planned(parse(words), OptionFolders())[0]


@pytest.mark.parametrize("name", RUN)
def test_a_sweep_has_units_and_what_it_is_about(name):
    made = plan(f"sweep={name}")
    assert any(batch.stage == "truth" for batch in made.units.batches)
    assert bool(made.setups.total) == bool(made.sweep.metric), made.why_no_setups
    assert made.sweep.title


def test_none_of_them_needs_torch():
    """The demos are of every task and of both directions."""
    demos = [name for name in RUN if name.startswith("demo")]
    program = (
        "import sys\n"
        "from tmbench.study.compose import OptionFolders\n"
        "from tmbench.study.planning import planned\n"
        "from tmbench.study.sweep import parse\n"
        f"for name in {demos!r}:\n"
        "    planned(parse([f'sweep={name}']), OptionFolders())\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_synthetic_study_has_all_ordered_pairs():
    for name, direction in (
        ("tlogme_synthetic", "source_selection"),
        ("tlogme_synthetic_targets", "target_selection"),
    ):
        made = plan(f"sweep={name}")
        assert (len(made.cells), len(made.own)) == (20, 5)
        assert all(source != f"detector_{target}" for source, target in made.cells)
        assert made.scenarios[0].direction == direction


@pytest.mark.parametrize(("name", "other"), [("tlogme_synthetic",) * 2, ("demo_detection",) * 2])
def test_both_selections_share_their_units(name, other):
    units, shared = plan(f"sweep={name}").units, plan(f"sweep={other}_targets").units
    assert set(units.all_ids()) == set(shared.all_ids())


def test_the_second_real_study_has_twenty_subsets_of_five_classes():
    options = plan("sweep=tlogme_real2").options
    assert len(options.target) == 20
    assert all(len(target.only_classes) == target.classes == 5 for target in options.target.values())
    assert len({target.only_classes for target in options.target.values()}) == 20


def test_the_vit_study_tunes_the_smaller_model_and_scores_nothing():
    made = plan("sweep=vit_detection")
    assert {batch.stage for batch in made.units.batches} == {"truth"}
    assert {batch.source.rpartition("_")[0].split("_")[1] for batch in made.units.batches} == {"base"}
    assert sum(len(batch.ids) for batch in made.units.batches) == 5 * 9


def test_the_schedules_of_the_vit_study_are_one_protocol():
    made = plan("sweep=vit_detection")
    recipes = [made.options.recipe["detection", name] for name in made.sweep.recipe]
    assert len({recipe.epochs for recipe in recipes}) == 3
    assert len({_protocol(recipe) for recipe in recipes}) == 1


def without_scores(tmp_path, **changes):
    content = {
        "name": "mine",
        "version": 1,
        "source": ["small_resnet_random", "small_vit_letters"],
        "target": ["digits"],
        "recipe": ["head"],
        "seed": [0, 1],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**content, **changes}))
    return f"sweep={tmp_path}/mine.yaml"


def test_a_sweep_may_name_no_metric(tmp_path):
    made = plan(without_scores(tmp_path))
    assert [batch.stage for batch in made.units.batches] == ["pretrain", "truth", "truth"]
    assert made.setups.total == 0
    scored = plan(without_scores(tmp_path), "level=penultimate", "metric=logme", "measure=pearson", "pool=all")
    truths = {unit.id for unit in scored.units if unit.stage == "truth"}
    assert truths == {unit.id for unit in made.units if unit.stage == "truth"}


def test_an_exclude_rule_holds_without_levels(tmp_path):
    words = without_scores(tmp_path, exclude=[{"source": ["small_vit_letters"], "recipe": ["head"]}])
    assert plan(words).cells == (("small_resnet_random", "digits"),)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metric": ["logme"]}, r"metric: nothing is scored without a level: name one"),
        ({"level": ["penultimate"]}, r"metric: name one or more, for a level is named"),
        ({"level": ["penultimate"], "metric": ["logme"]}, r"measure: name one or more, for a level is named"),
        (
            {"level": ["penultimate"], "metric": ["logme"], "measure": ["pearson"]},
            "neither pool nor pool_size is given",
        ),
    ],
)
def test_half_a_scoring_is_refused(tmp_path, changes, says):
    with pytest.raises(ConfigError, match=says):
        load_sweep(parse([without_scores(tmp_path, **changes)]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": ["detector_digits_on_black"]}, "source 'detector_digits_on_black' is a detector, and target 'digi"),
        ({"source": ["fasterrcnn_resnet50_coco"]}, "source 'fasterrcnn_resnet50_coco' is a detector, and target 'digi"),
        ({"target": ["scenes_shapes"], "recipe": ["dense"]}, "no recipe for detection is named 'dense'"),
    ],
)
def test_what_would_fail_in_a_worker_is_refused(tmp_path, changes, says):
    with pytest.raises(ConfigError, match=says):
        plan(without_scores(tmp_path, **changes))

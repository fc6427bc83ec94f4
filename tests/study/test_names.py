"""Sources that are cut or joined, targets of which an option stands for many: what a sweep says by a name alone."""

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from tmbench.engine.records import Records
from tmbench.errors import ConfigError
from tmbench.folders import shipped
from tmbench.stats.cells import INAPPLICABLE
from tmbench.study.cells import collect
from tmbench.study.compose import OptionFolders
from tmbench.study.names import is_among, query_name, query_option, source_parts
from tmbench.study.planning import planned
from tmbench.study.sweep import parse

WHOLE = "small_resnet_letters"
CUT, JOINED = f"{WHOLE}@stages.1", f"{WHOLE}+small_resnet_shapes@stages.2"


def planned_from(*words):
    return planned(parse(words), OptionFolders())[0]


def plan(*words):
    return planned_from("sweep=demo", "metric=[hscore,source_size]", *words)


def by_stage(plan, stage):
    return [unit for unit in plan.units if unit.stage == stage]


@pytest.fixture(scope="module")
def views():
    return plan(f"source=['{WHOLE}','{CUT}','{JOINED}',small_resnet_random]", "target=[digits,greek]", "pool=all")


@pytest.fixture(scope="module")
def subsets():
    words = ["source=[small_resnet_letters,small_resnet_random]", "pool=all", "recipe=head"]
    return planned_from("sweep=demo_targets", *words, "target=[digits_random_subsets,digits_half_subsets]")


def composed(overrides):
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        config = OmegaConf.to_container(hydra_compose("config", overrides=list(overrides)), resolve=True)
    return {key: value for key, value in config.items() if key not in ("cluster", "paths", "store", "hydra")}


def test_names_are_taken_apart():
    assert source_parts("a@layer4.0+b") == [("a", "layer4.0"), ("b", "")]
    assert query_option(query_name("a", "b_random")) == "a"
    assert query_name("a", "") == "a"
    assert is_among("digits_random.003", ["digits_random"])
    assert is_among("a · digits_random", ["a"])
    assert not is_among("digits.v2x", ["v2x"])


def test_a_cut_network_shares_pretraining_and_pass_with_the_whole(views):
    units = by_stage(views, "pretrain")
    assert [unit.source for unit in units] == [WHOLE, "small_resnet_shapes"]
    passes = by_stage(views, "features")
    assert len(passes) == 3 * 2  # four sources, of which two are one network
    shared = next(unit for unit in passes if unit.source == WHOLE)
    assert set(shared.config["layers"]) == {"penultimate", "stages.1"}
    layers = {score.config["layer"] for score in shared.scores if score.metric == "hscore"}
    assert layers == {"penultimate", "stages.1"}
    assert shared.after == (units[0].id,)


def test_joined_sources_come_after_all_of_their_parts(views):
    made = tuple(unit.id for unit in by_stage(views, "pretrain"))
    for unit in views.units:
        if unit.source == JOINED and unit.stage != "pretrain":
            assert unit.after == made
    truths = {unit.key["source"].get("layer") for unit in by_stage(views, "truth") if unit.source == CUT}
    assert truths == {"stages.1"}


def test_ids_of_the_whole_are_those_of_a_sweep_without_views(views):
    words = [f"source=[{WHOLE},small_resnet_random]", "target=[digits,greek]", "pool=all"]
    alone = {unit.id for unit in plan(*words).units}
    assert alone <= {unit.id for unit in views.units}


def test_what_is_known_of_a_cut_network(views):
    cells, _ = collect(views, Records())
    size = cells.metrics.index("source_size")
    states = dict(zip(cells.candidates, cells.state[0, size, 0], strict=True))
    assert states[CUT] == INAPPLICABLE  # nobody counts the parameters up to a layer
    assert states[WHOLE] != INAPPLICABLE
    assert states[JOINED] != INAPPLICABLE


@pytest.mark.parametrize("which", ["views", "subsets"])
def test_hydra_composes_the_same(which, request):
    setups = request.getfixturevalue(which).setups
    for number in range(0, setups.total, max(1, setups.total // 6)):
        setup = setups.at(number)
        assert composed(setup.overrides) == setup.config
    assert len({setups.at(number).id for number in range(min(20, setups.total))}) == min(20, setups.total)


def test_levels_inside_a_cut_network_are_refused():
    with pytest.raises(ConfigError, match=r"source 'small_resnet_letters@stages.1' is read at its end, and level"):
        plan(f"source=['{CUT}',small_resnet_random]", "level=[penultimate,global_middle]")


def test_a_source_is_not_joined_with_itself():
    with pytest.raises(ConfigError, match=r"joins a source with itself"):
        plan(f"source=['{WHOLE}+{WHOLE}',small_resnet_random]")


def test_an_unknown_part_is_named():
    with pytest.raises(ConfigError, match=r"no source is named 'small_resnet_leters'"):
        plan("source=['small_resnet_leters@stages.1',small_resnet_random]")


def test_subsets_of_one_data_set_share_a_pass(subsets):
    assert len(subsets.options.target) == 24
    assert len(by_stage(subsets, "features")) == 2
    owed = by_stage(subsets, "features")[0].scores
    parts = {str(score.config["part"]) for score in owed if score.metric == "hscore"}
    assert len(parts) == 24
    assert len({score.id for score in owed if score.metric == "hscore"}) == 24


def test_each_option_is_ranked_by_itself(subsets):
    cells, _ = collect(subsets, Records())
    assert cells.queries == tuple(
        f"{source} · digits_{rule}_subsets"
        for source in ("small_resnet_letters", "small_resnet_random")
        for rule in ("random", "half")
    )
    assert cells.eligible.sum(axis=1).tolist() == [12] * 4
    random = [name.startswith("digits_random") for name in cells.candidates]
    assert cells.eligible[0].tolist() == random
    assert set(cells.query_families) == {"digits"}
    assert cells.query_groups == ("random size", "half of the classes") * 2
    assert [(one.name, len(one.queries), len(one.candidates)) for one in subsets.scenarios] == [
        ("demo_targets_random_size", 2, 12),
        ("demo_targets_half_of_the_classes", 2, 12),
    ]


def test_exclude_takes_an_option_for_all_of_its_targets(tmp_path):
    text = (shipped("sweeps") / "demo_targets.yaml").read_text()
    path = tmp_path / "some.yaml"
    path.write_text(text + "exclude:\n  - {target: digits_half_subsets}\n")
    left = planned_from(f"sweep={path}", "target=[digits_random_subsets,digits_half_subsets]")
    assert {name.partition(".")[0] for _, name in left.cells} == {"digits_random_subsets"}


def test_exclude_takes_a_single_target_of_many(tmp_path):
    text = (shipped("sweeps") / "demo_targets.yaml").read_text()
    path = tmp_path / "some.yaml"
    path.write_text(text + "exclude:\n  - {target: digits_half_subsets.003}\n")
    left = planned_from(f"sweep={path}", "target=digits_half_subsets", "source=small_resnet_letters")
    assert len(left.cells) == 11
    assert "digits_half_subsets.003" not in {name for _, name in left.cells}


def test_a_truth_that_no_task_records_is_refused(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text((shipped("sweeps") / "demo.yaml").read_text() + "truth: miou\n")
    with pytest.raises(ConfigError, match=r"no measure of truths is named 'miou'.*accuracy"):
        planned_from(f"sweep={path}")


def test_a_sources_own_target_is_scored_when_asked_for(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text((shipped("sweeps") / "demo.yaml").read_text() + "own: scored\n")
    words = ["target=[letters,digits]", "source=[small_resnet_letters,small_resnet_random]", "metric=[hscore]"]
    found = planned_from(f"sweep={path}", "pool=all", *words)
    own = ("small_resnet_letters", "letters")
    assert found.own == (own,)
    assert own in {(unit.source, unit.target) for unit in by_stage(found, "features")}
    assert own not in {(unit.source, unit.target) for unit in by_stage(found, "truth")}
    cells, _ = collect(found, Records())
    with_own, _ = collect(found, Records(), own=True)
    at = cells.queries.index("letters"), cells.candidates.index("small_resnet_letters")
    assert not cells.eligible[at]
    assert cells.state[0, 0][at] == INAPPLICABLE
    assert with_own.state[0, 0][at] != INAPPLICABLE


def test_an_own_target_that_exclude_leaves_out_costs_nothing(tmp_path):
    path = tmp_path / "some.yaml"
    rule = "exclude:\n  - {source: small_resnet_letters}\n"
    path.write_text((shipped("sweeps") / "demo.yaml").read_text() + "own: scored\n" + rule)
    words = ["target=[letters,digits]", "source=[small_resnet_letters,small_resnet_shapes,small_resnet_random]"]
    found = planned_from(f"sweep={path}", "pool=all", "metric=[hscore]", *words)
    assert "small_resnet_letters" not in {unit.source for unit in found.units}


def test_a_joined_source_is_read_at_its_end_wherever_its_first_part_is_cut():
    joined = f"{CUT}+small_resnet_shapes"
    found = plan(f"source=['{joined}','{CUT}']", "target=[digits]", "pool=all")
    layers = {unit.source: set(unit.config["layers"]) for unit in by_stage(found, "features")}
    assert layers == {joined: {"penultimate"}, CUT: {"stages.1"}}


def test_moments_of_each_class_are_kept_for_class_subsets(subsets):
    words = ["source=[small_resnet_random]", "pool=all", "recipe=head", "metric=[hscore]", "store.features=moments"]
    found = planned_from("sweep=demo_targets", *words, "target=[digits_random_subsets]")
    (unit,) = by_stage(found, "features")
    assert unit.config["layers"] == {"penultimate": "class_moments"}
    assert {score.config["reads"] for score in unit.scores} == {"class_moments"}


def test_sources_joined_in_another_order_are_twins():
    with pytest.raises(ConfigError, match=r"is the same as source"):
        plan(f"source=['{WHOLE}+small_resnet_random','small_resnet_random+{WHOLE}']")


def with_files(tmp_path, *words, **texts):
    """The plan with source files of one's own."""
    (tmp_path / "source").mkdir()
    for name, text in texts.items():
        (tmp_path / f"source/{name}.yaml").write_text(text)
    words = ["sweep=demo", "metric=[hscore]", "pool=all", *words]
    return planned(parse(words), OptionFolders([tmp_path]))[0]


def test_a_joined_source_needs_what_its_parts_need(tmp_path):
    large = "defaults: [small_resnet_random@_here_, _self_]\nweights: {seed: 1}\nresources: {memory_gb: 50}\n"
    joined = f"small_resnet_random+{WHOLE}"
    found = with_files(tmp_path, f"source=['small_resnet_random+large','{joined}']", large=large)
    assert found.options.source["small_resnet_random+large"].resources.memory_gb == 50
    assert found.options.source["small_resnet_random+large"].initialised_by == "random"
    assert found.options.source[joined].initialised_by != "random"
    cells, _ = collect(found, Records())
    assert cells.random_start.tolist() == [True, False]


def test_a_source_file_names_no_others(tmp_path):
    other = "{architecture: {function: 'm:f'}, input: {size: 32}, weights: {kind: random}}"
    mine = f"defaults: [{WHOLE}@_here_, _self_]\nbeside: {{x: {other}}}\n"
    with pytest.raises(ConfigError, match=r"mine\.yaml: an option file names no other sources"):
        with_files(tmp_path, "source=[mine,small_resnet_random]", mine=mine)


def test_a_source_is_not_pretrained_on_an_option_that_stands_for_many_targets(tmp_path):
    mine = f"defaults: [{WHOLE}@_here_, _self_]\nweights: {{target: {{subset: {{rule: half, count: 3}}}}}}\n"
    with pytest.raises(ConfigError, match=r"Say which: weights\.target\.subset\.number"):
        with_files(tmp_path, "source=[mine,small_resnet_random]", mine=mine)


def test_a_module_with_a_number_is_not_of_the_one_above():
    assert not is_among("a@layer4.0", ["a@layer4"])
    assert not is_among("a@layer4.100", ["a@layer4"])
    assert not is_among("oxford.17", ["oxford"])


@pytest.mark.parametrize("measure", ["pck", "negative_mse/beak.x"])
def test_a_truth_that_a_regression_does_not_record_is_refused(tmp_path, measure):
    text = (shipped("sweeps") / "demo_regression.yaml").read_text()
    path = tmp_path / "some.yaml"
    path.write_text(f"{text}truth: {measure}\n")
    words = [f"sweep={path}", "target=[dsprites]", "level=penultimate", "metric=[linmse1]", "pool=all"]
    with pytest.raises(ConfigError, match=r"no measure of truths is named"):
        planned_from(*words)


def test_levels_that_read_the_same_on_all_targets_are_twins(tmp_path):
    (tmp_path / "level").mkdir()
    (tmp_path / "level/suited.yaml").write_text("title: what suits\nreading: task\nlayer: penultimate\n")
    with pytest.raises(ConfigError, match=r"level 'suited' is the same as level 'penultimate'"):
        with_files(tmp_path, f"source=[{WHOLE},small_resnet_random]", "level=[penultimate,suited]")


def test_the_truth_that_ranks_may_be_said_on_the_command_line():
    words = ["sweep=demo_targets", "target=digits_half_subsets", "source=small_resnet_letters"]
    raw, beyond = planned_from(*words), planned_from(*words, "truth=accuracy_over_chance")
    assert list(raw.units.all_ids()) == list(beyond.units.all_ids())
    assert collect(beyond, Records())[0].truth_measure == "accuracy_over_chance"
    assert raw.setups.at(0).id != beyond.setups.at(0).id


def test_a_cut_without_a_module_is_refused():
    with pytest.raises(ConfigError, match=r"say after which module small_resnet_letters ends"):
        plan("source=['small_resnet_letters@',small_resnet_random]")


def test_a_recipe_is_named_without_its_task():
    with pytest.raises(ConfigError, match=r"recipe=head\."):
        plan("recipe=classification/head")
    with pytest.raises(ConfigError, match=r"no recipe for classification is named 'mask_rcnn_vitdet'.*full"):
        plan("recipe=mask_rcnn_vitdet")

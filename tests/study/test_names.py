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

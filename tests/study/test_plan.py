import pytest
import yaml

from tmbench.engine.records import Records
from tmbench.errors import ConfigError, NothingMatched
from tmbench.study.cells import collect
from tmbench.study.compose import OptionFolders, compose
from tmbench.study.exclusion import parts
from tmbench.study.plan import build
from tmbench.study.sweep import load_sweep, parse


def plan(*overrides, folders=None):
    named = any(text.startswith("sweep=") for text in overrides)
    request = parse([*([] if named else ["sweep=demo"]), *overrides])
    sweep = load_sweep(request)
    return build(sweep, compose(sweep, request.settings, folders))


@pytest.fixture(scope="module")
def demo():
    return plan()


def stage(plan, name):
    return [unit for unit in plan.units if unit.stage == name]


def test_the_demo_study_is_what_it_says(demo):
    assert len(demo.options.source) >= 10
    assert len(demo.options.target) >= 6
    assert len(demo.cells) == len(demo.options.source) * len(demo.options.target)
    assert len(stage(demo, "pretrain")) == sum(s.pretrained_on is not None for s in demo.options.source.values()) >= 8
    assert len(stage(demo, "features")) == len(demo.cells)
    assert len(stage(demo, "truth")) == len(demo.cells) * 2 * len(demo.sweep.seed)
    assert len([u for u in stage(demo, "truth") if u.recipe == "full"]) <= 200
    assert len(demo.setups) > 2000
    assert not demo.own


def test_ids_are_unique_and_sources_come_first(demo):
    ids = [unit.id for unit in demo.units] + [score.id for unit in demo.units for score in unit.scores]
    assert len(set(ids)) == len(ids)
    seen = set()
    for unit in demo.units:
        assert seen.issuperset(unit.after)
        seen.add(unit.id)


def test_ids_do_not_depend_on_order_titles_or_company(demo):
    sources = list(demo.options.source)
    alone = plan(f"source=[{sources[3]},{sources[0]}]", f"target=[{list(demo.options.target)[2]}]")
    everything = {unit.id: unit.name for unit in demo.units}
    for unit in alone.units:
        assert everything[unit.id] == unit.name


def test_leep_has_no_input_on_a_random_start(demo):
    random = {name for name, source in demo.options.source.items() if source.pretrained_on is None}
    assert random
    cells = [
        (source, target) for source, target in demo.cells if not demo.applies(source, target, "penultimate", "leep")
    ]
    assert cells == [(source, target) for source, target in demo.cells if source in random]
    for unit in stage(demo, "features"):
        assert ("leep" in {score.metric for score in unit.scores}) == (unit.source not in random)


def test_candidates_are_those_that_all_compared_metrics_score(demo):
    names = list(demo.options.source)
    random = {i for i, name in enumerate(names) if demo.options.source[name].pretrained_on is None}
    (scenario,) = demo.scenarios
    assert scenario.candidates == tuple(names)
    assert not scenario.eligible[:, sorted(random)].any()
    assert scenario.eligible.sum() == (len(names) - len(random)) * len(scenario.queries)
    assert plan("metric=[hscore,logme]").scenarios[0].eligible.all()


def test_a_pass_is_named_by_neither_levels_nor_metrics(demo):
    few = plan("metric=[hscore]")
    assert {u.id for u in stage(few, "features")} == {u.id for u in stage(demo, "features")}


def test_a_metric_that_does_not_fit_is_refused_with_those_that_do(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "boxes.yaml").write_text("function: boxes.py:boxes\n")
    (tmp_path / "metric" / "boxes.py").write_text(
        "from tmbench.metrics.registry import metric\n"
        "@metric(tasks=('detection',), needs=('features',))\n"
        "def boxes(sample):\n"
        "    '''Never called.'''\n"
        "    return 0.0\n"
    )
    with pytest.raises(
        ConfigError, match=r"metric 'boxes' serves detection, but target '\w+' is a classification.*hscore"
    ):
        plan("metric=[boxes]", folders=OptionFolders([tmp_path]))


def test_a_metric_of_another_reading_is_refused(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "objects.yaml").write_text("function: objects.py:objects\n")
    (tmp_path / "metric" / "objects.py").write_text(
        "from tmbench.metrics.registry import metric\n"
        "@metric(tasks=('classification',), levels=('local',), needs=('features',))\n"
        "def objects(sample):\n"
        "    return 0.0\n"
    )
    with pytest.raises(
        ConfigError, match=r"'objects' reads features that are local, but level 'penultimate' is global"
    ):
        plan("metric=[objects]", folders=OptionFolders([tmp_path]))


def test_what_no_pass_gives_is_refused_with_what_does():
    with pytest.raises(
        ConfigError, match=r"'emms' needs label_embeddings, which a pass .*\(classification\)"
    ) as problem:
        plan("metric=[hscore,emms]")
    listed = str(problem.value).partition("Metrics for classification: ")[2]
    assert "hscore" in listed
    assert "emms" not in listed
    with pytest.raises(ConfigError, match=r"metric 'hscore' serves classification, segmentation and detection, but"):
        plan("sweep=demo_regression", "metric=[hscore]")
    with pytest.raises(ConfigError, match=r"metric 'linmse0' serves detection and regression, but target 'digits'"):
        plan("metric=[hscore,linmse0]")


def test_a_level_that_a_target_has_not_is_refused():
    with pytest.raises(ConfigError, match=r"level 'local_last' is local, and target 'digits' is a classification data"):
        plan("level=local_last")


def test_own_data_are_those_that_the_study_trains_a_source_on(demo):
    own = plan("metric=[hscore,otce,ped,parc_plasticity]")
    random = {name for name, source in demo.options.source.items() if source.pretrained_on is None}
    lacking = {(s, m) for s, t in own.cells for m in own.metrics if not own.applies(s, t, "penultimate", m)}
    assert lacking == {(source, metric) for source in random for metric in ("otce", "ped")}
    for unit in stage(own, "features"):
        assert unit.config["own_layers"] == ([] if unit.source in random else ["penultimate"])
    # Neither they nor what is stored changes what a pass is called.
    assert {unit.id for unit in stage(own, "features")} == {unit.id for unit in stage(demo, "features")}
    assert all(unit.config["own_layers"] == [] for unit in stage(demo, "features"))


@pytest.mark.parametrize(
    ("metrics", "rows", "moments"),
    [
        ("hscore,leep", "rows", "moments"),
        ("leep,nce", "rows", "moments"),
        ("hscore,gbc", "rows", "class_moments"),
        ("gbc,parc,transrate_official", "rows", "rows"),
    ],
)
def test_what_is_kept_of_the_features(metrics, rows, moments):
    words = f"metric=[{metrics}]"
    for store, kept in (("rows", rows), ("moments", moments)):
        units = stage(made := plan(words, f"store.features={store}"), "features")
        assert all(unit.config["layers"] == {"penultimate": kept} for unit in units)
        assert [note for note in made.notes if "keeps the rows" in note] == (
            [
                "store.features=moments keeps the rows all the same, for parc, transrate_official read the features "
                "sample by sample. Without them only moments are stored."
            ]
            if store == "moments" and kept == "rows"
            else []
        )


def test_variants_of_one_function_do_not_split_its_votes():
    made = plan("metric=[gbc_diagonal,hscore,gbc,source_size,hscore_elementwise]")
    assert made.kinds == {
        "gbc_diagonal": "metric",
        "hscore": "metric",
        "gbc": "variant",
        "source_size": "baseline",
        "hscore_elementwise": "variant",
    }
    assert made.compared == ["gbc_diagonal", "hscore"]
    assert collect(made, Records())[0].kinds == tuple(made.kinds.values())


GBC = "tmbench.metrics.gbc"
ON_DIGITS = "defaults: [digits@_here_, _self_]"
ON_VIT = "defaults: [small_vit_random@_here_, _self_]"


@pytest.mark.parametrize(
    ("group", "content", "says"),
    [
        ("metric", f"{{function: '{GBC}:gbc', parameters: {{covarianc: diagonal}}}}", "covariance"),
        ("metric", f"{{function: '{GBC}:gbb'}}", "has no function 'gbb'"),
        (
            "metric",
            f"{{function: '{GBC}:gbc', parameters: {{variant: no_dimension, covariance: full}}}}",
            "with full it changes nothing",
        ),
        ("target", f"{{{ON_DIGITS}, parameters: {{nose: 0.1}}}}", "'nose'. Nearest: 'noise'"),
        ("target", f"{{{ON_DIGITS}, function: 'tmbench.targets.digts:digits'}}", "cannot import"),
        ("source", f"{{{ON_VIT}, architecture: {{parameters: {{dept: 3}}}}}}", "'depth'"),
    ],
)
def test_a_parameter_that_does_not_exist_names_the_file_and_the_nearest(tmp_path, group, content, says):
    path = tmp_path / group / "x.yaml"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"x\.yaml: ") as problem:
        plan(f"{group}=[x]", folders=OptionFolders([tmp_path]))
    assert says in str(problem.value)


def test_what_a_variant_needs_is_looked_at(demo):
    with pytest.raises(ConfigError, match=r"metric 'etran_sum' needs targets, which a pass over target .* does not"):
        plan("metric=[hscore,etran_sum]")
    made = plan("metric=[hscore,parc_plasticity]")
    (facts,) = {tuple(score.config["facts"]) for unit in made.units for score in unit.scores if "layers" in str(score)}
    assert facts == ("layers",)


def test_two_names_for_one_thing_are_refused(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "again.yaml").write_text("function: tmbench.metrics.hscore:hscore\n")
    with pytest.raises(ConfigError, match="metric 'again' is the same as metric 'hscore'"):
        plan("metric=[hscore,again]", folders=OptionFolders([tmp_path]))


def test_a_source_is_not_compared_on_what_it_was_pretrained_on(demo, tmp_path):
    source = next(s for s in demo.options.source.values() if s.pretrained_on is not None)
    own = source.pretrained_on.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "own.yaml").write_text(yaml.safe_dump(own))
    with_own = plan("target=[digits,own]", folders=OptionFolders([tmp_path]))
    assert {target for _, target in with_own.own} == {"own"}
    assert not set(with_own.own) & set(with_own.cells)


def test_nothing_left(tmp_path, demo):
    content = demo.sweep.model_dump(mode="json")
    content["exclude"] = [{"target": content["target"]}]
    (tmp_path / "none.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(NothingMatched):
        plan(f"sweep={tmp_path}/none.yaml")


def changed(tmp_path, demo, **changes):
    """The plan of the demo with other keys."""
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump({**demo.sweep.model_dump(mode="json", exclude_none=True), **changes}))
    return plan(f"sweep={path}")


def test_target_selection_ranks_targets_for_each_source(tmp_path, demo):
    turned = changed(tmp_path, demo, scenario="target_selection", pool=["leave_1_out"], name="turned")
    (scenario,) = turned.scenarios
    assert scenario.queries == tuple(demo.options.source)
    assert scenario.candidates == tuple(demo.options.target)
    # LEEP applies to no cell of a source without a head: nothing can be compared there.
    random = [s for s, source in demo.options.source.items() if source.pretrained_on is None]
    assert [q for q, own in zip(scenario.queries, scenario.eligible, strict=True) if not own.any()] == random
    assert len(turned.setups) == 8 * 6 * 2 * 4
    assert {unit.id for unit in turned.units} == {unit.id for unit in demo.units}
    setup = turned.setups.at(0)
    assert set(setup.config["target"]) == set(setup.pool)
    assert setup.config["source"]["weights"]


def test_a_recipe_that_is_left_out_for_a_target_is_not_computed_there(tmp_path, demo):
    coupled = changed(tmp_path, demo, exclude=[{"recipe": "full", "target": ["greek", "signs"]}])
    truths = {(unit.target, unit.recipe) for unit in stage(coupled, "truth")}
    assert ("greek", "head") in truths
    assert not {("greek", "full"), ("signs", "full")} & truths
    assert coupled.cells == demo.cells
    assert coupled.setups.counts() == {("demo", "head"): 2016, ("demo", "full"): 2016 * 4 // 6}
    # The cells of the records fall into the same parts as the setups.
    found = parts(coupled.sweep, collect(coupled, Records())[0])
    assert [cells.recipes for cells in found] == [scenario.recipes for scenario in coupled.scenarios]
    for cells, scenario in zip(found, coupled.scenarios, strict=True):
        assert (cells.queries, cells.candidates) == (scenario.queries, scenario.candidates)


def test_a_recipe_left_out_everywhere_leaves_one_scenario(tmp_path, demo):
    head = changed(tmp_path, demo, exclude=[{"recipe": "full"}])
    assert [scenario.recipes for scenario in head.scenarios] == [("head",)]
    assert len(head.setups) == 2016


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"recipe": "ful"}, "exclude: no recipe is named 'ful'. Nearest: 'full'"),
        ({"scenario": "dmo"}, "exclude: no scenario is named 'dmo'. Nearest: 'demo'"),
        ({"level": "penultimat", "source": "small_vit_random"}, "no level is named 'penultimat'"),
    ],
)
def test_an_excluded_name_that_does_not_exist(tmp_path, demo, rule, says):
    with pytest.raises(ConfigError, match=says):
        changed(tmp_path, demo, exclude=[rule])

"""Tuning: the grid grows while its best point lies on the edge, and the plan wants what the records allow."""

import pytest
import yaml

from tmbench.engine.records import Records, row, write_shard
from tmbench.errors import ConfigError
from tmbench.study.cells import collect
from tmbench.study.compose import OptionFolders
from tmbench.study.planning import planned
from tmbench.study.sweep import load_sweep, parse
from tmbench.study.tuned import tuning_rows
from tmbench.study.tuning import Stage, applied, grown

RATES = {"name": "rates", "recipe": "head", "learning_rate": [0.001, 0.002, 0.004], "weight_decay": [0.1, 0.2]}


def stage(**changes):
    return Stage.model_validate({**RATES, **changes})


def peak(rate, decay):
    """A result that falls with the distance, in factors, from its best point."""

    def result(point):
        ratio = point["learning_rate"] / rate, point["weight_decay"] / decay
        return -sum(max(one, 1 / one) for one in ratio)

    return result


def test_a_best_point_inside_ends_the_search():
    grid = grown(stage(weight_decay=[0.1, 0.2, 0.4]), peak(0.002, 0.2))
    assert grid.best == {"learning_rate": 0.002, "weight_decay": 0.2}
    assert (grid.edge, grid.extensions, len(grid.points)) == ((), 0, 9)


def test_the_grid_follows_its_best_point_over_the_edge():
    grid = grown(stage(), peak(0.008, 0.05))
    assert grid.best == {"learning_rate": 0.008, "weight_decay": 0.05}
    assert grid.axes == {"learning_rate": (0.001, 0.002, 0.004, 0.008, 0.016), "weight_decay": (0.025, 0.05, 0.1, 0.2)}
    assert grid.edge == ()


def test_extensions_are_bounded_and_the_edge_is_told():
    grid = grown(stage(extensions=2), peak(10.0, 0.1))
    assert grid.extensions == 2
    assert grid.best == {"learning_rate": 0.016, "weight_decay": 0.1}
    assert grid.edge == ("learning_rate",)
    assert grown(stage(extensions=0), peak(10.0, 0.1)).axes["learning_rate"] == (0.001, 0.002, 0.004)


def test_nothing_is_chosen_while_a_result_is_awaited():
    full = peak(0.002, 0.1)
    grid = grown(stage(), lambda point: None if point["learning_rate"] == 0.004 else full(point))
    assert grid.best is None
    assert len(grid.points) == 6


def test_what_diverged_is_never_chosen():
    def result(point):
        return -float("inf") if point["learning_rate"] > 0.002 else point["learning_rate"]

    grid = grown(stage(weight_decay=[]), result)
    assert (grid.best, grid.edge) == ({"learning_rate": 0.002}, ())
    assert grown(stage(), lambda point: -float("inf")).best is None


def test_an_axis_from_nothing_has_no_factor_to_go_on_by():
    grid = grown(stage(learning_rate=[], weight_decay=[0.0, 0.1]), lambda point: -point["weight_decay"])
    assert (grid.axes, grid.edge) == ({"weight_decay": (0.0, 0.1)}, ("weight_decay",))


def test_drop_path_is_not_extended():
    grid = grown(stage(learning_rate=[], weight_decay=[], drop_path=[0.0, 0.1]), lambda point: point["drop_path"])
    assert (grid.axes["drop_path"], grid.edge) == ((0.0, 0.1), ("drop_path",))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"learning_rate": [], "weight_decay": []}, "name values of"),
        ({"learning_rate": [0.2, 0.1]}, "should rise"),
        ({"learning_rate": [0.1, 0.1]}, "should rise"),
        ({"drop_path": [0.5, 1.0]}, "below 1"),
        ({"inherit": {"a": "b", "b": "c"}}, "'b' cannot inherit and be inherited from"),
    ],
)
def test_a_wrong_stage_is_explained(changes, says):
    with pytest.raises(ValueError, match=says):
        stage(**changes)


# In a study.

STUDY = {
    "name": "mine",
    "version": 1,
    "source": ["small_resnet_random", "small_vit_random"],
    "target": ["digits"],
    "recipe": ["full"],
    "seed": [3, 4],
    "tuning": [{**RATES, "inherit": {"small_vit": "small_resnet"}}],
}


@pytest.fixture
def plan(tmp_path):
    def call(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**STUDY, **changes}))
        return planned(parse([f"sweep={path}"]), OptionFolders())[0]

    return call


def results(plan, folder, value):
    """Records of every truth that the plan wants; those of a grid by ``value`` of their recipe."""
    rows = []
    for unit in plan.units:
        measures = {"accuracy": 0.5, "validation_accuracy": value(unit.config["recipe"])}
        common = {"id": unit.id, "unit": unit.id, "stage": "truth", "name": unit.name, "status": "done"}
        rows += [row(**common, measure=name, value=found) for name, found in measures.items()]
    write_shard(folder, "r", rows)
    return Records().merge(folder)


def nearness(recipe):
    rate, decay = recipe["learning_rates"][0] / 0.008, recipe["weight_decay"] / 0.2
    return 1 / (max(rate, 1 / rate) + max(decay, 1 / decay))


def test_the_plan_goes_on_from_the_records_until_nothing_new_is_wanted(plan, tmp_path):
    first = plan()
    assert {unit.recipe for unit in first.units} == {"head (rates)"}
    assert len(first.units) == 6
    assert {unit.source for unit in first.units} == {"small_resnet_random"}  # the other one inherits
    assert {unit.seed for unit in first.units} == {3}
    second = first.after(results(first, tmp_path / "a", nearness))
    assert len(second.units) == 6 + 2 + 4  # both axes at their ends: 4 rates × 3 decays
    records = results(second, tmp_path / "b", nearness)
    third = second.after(records)
    records = results(third, tmp_path / "c", nearness)
    last = third.after(records)
    truths = [unit for unit in last.units if unit.recipe == "full"]
    assert {(unit.source, unit.seed) for unit in truths} == {(s, n) for s in STUDY["source"] for n in STUDY["seed"]}
    assert {tuple(unit.config["recipe"]["learning_rates"]) for unit in truths} == {(0.008,)}
    assert {unit.config["recipe"]["weight_decay"] for unit in truths} == {0.2}
    assert {unit.config["recipe"]["epochs"] for unit in truths} == {15}  # of the recipe that the truths are by
    assert set(last.after(results(last, tmp_path / "d", nearness)).units.all_ids()) == set(last.units.all_ids())


def test_what_is_wanted_depends_on_the_records_alone(plan, tmp_path):
    records = results(plan(), tmp_path / "a", nearness)
    once, again = plan().after(records), plan().after(records)
    assert list(once.units.all_ids()) == list(again.units.all_ids())


def test_the_test_split_has_no_say(plan, tmp_path):
    """Accuracy on test prefers the lowest rate, validation the middle one."""
    first = plan(tuning=[{**RATES, "weight_decay": []}])
    rows = []
    for unit in first.units:
        rate = unit.config["recipe"]["learning_rates"][0]
        common = {"id": unit.id, "unit": unit.id, "stage": "truth", "name": unit.name, "status": "done"}
        rows.append(row(**common, measure="accuracy", value=1 - rate))
        rows.append(row(**common, measure="validation_accuracy", value=0.9 if rate == 0.002 else 0.1))
    write_shard(tmp_path, "r", rows)
    chosen = first.after(Records().merge(tmp_path))
    assert {u.config["recipe"]["learning_rates"][0] for u in chosen.units if u.recipe == "full"} == {0.002}


def test_the_table_tells_what_was_tried_chosen_and_inherited(plan, tmp_path):
    first = plan(tuning=[{**RATES, "inherit": {"small_vit": "small_resnet"}, "extensions": 0}])
    assert {one["state"] for one in tuning_rows(first, Records())} == {"to do"}
    rows = tuning_rows(first, results(first, tmp_path, nearness))
    (best,) = [one for one in rows if one["best"] == "yes" and not one["inherited_from"]]
    assert (best["learning_rate"], best["weight_decay"], best["measure"]) == (0.004, 0.2, "validation_accuracy")
    assert best["edge"] == "learning_rate, weight_decay"
    (inherited,) = [one for one in rows if one["inherited_from"]]
    assert inherited["source"] == "small_vit_random"
    assert (inherited["learning_rate"], inherited["value"]) == (0.004, None)


def test_a_diverged_point_counts_as_the_worst_and_another_failure_is_awaited(plan, tmp_path):
    first = plan(tuning=[{**RATES, "weight_decay": [], "extensions": 0}])
    units = list(first.units)
    for failure, wanted in (("nan", 0.002), ("out_of_memory", None)):
        folder = tmp_path / failure
        rows = []
        for unit in units:
            rate = unit.config["recipe"]["learning_rates"][0]
            common = {"id": unit.id, "unit": unit.id, "stage": "truth", "name": unit.name}
            if rate == 0.004:
                rows.append(row(**common, status="failed", failure=failure))
            else:
                rows.append(row(**common, status="done", measure="validation_accuracy", value=rate))
        write_shard(folder, "r", rows)
        last = first.after(Records().merge(folder))
        rates = {u.config["recipe"]["learning_rates"][0] for u in last.units if u.recipe == "full"}
        assert rates == ({wanted} if wanted else set())


def test_points_of_a_grid_are_no_truths_of_the_study(plan, tmp_path):
    first = plan()
    cells, gaps = collect(first, results(first, tmp_path, nearness))
    assert cells.truth.shape == (1, 1, 2, 2)
    assert gaps.truths == 0


def test_a_truth_that_is_a_point_of_the_grid_is_one_unit(plan, tmp_path):
    first = plan(recipe=["head"], seed=[3], tuning=[{**RATES, "extensions": 0}])
    last = first.after(results(first, tmp_path, nearness))
    ids = list(last.units.all_ids())
    assert len(ids) == len(set(ids)) == len(first.units)
    assert sum(unit.recipe == "head" for unit in last.units) == 2


def test_a_source_without_a_giver_is_refused(plan):
    with pytest.raises(ConfigError, match=r"'small_vit_random' .* takes over .* family 'small_resnet', which has 0"):
        plan(source=["small_vit_random"])


def test_what_a_recipe_has_not_is_not_varied(plan):
    with pytest.raises(ConfigError, match=r"stage 'path' varies drop_path, which the classification recipe 'full'"):
        plan(tuning=[{"name": "path", "recipe": "full", "drop_path": [0.0, 0.1]}])


def test_published_truths_are_not_tuned(tmp_path):
    content = {"name": "x", "version": 1, "cells": "segmentation_sources", "measure": "pearson", "pool": "all"}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({**content, "tuning": [RATES]}))
    with pytest.raises(ConfigError, match="published truths are not tuned"):
        load_sweep(parse([f"sweep={tmp_path}/x.yaml"]))


def test_values_take_the_place_of_the_recipes_own(plan):
    recipe = plan().options.recipe["classification", "full"]
    changed = applied(recipe, {"learning_rate": 0.5, "weight_decay": 0.25})
    assert (changed.learning_rates, changed.weight_decay) == ((0.5,), 0.25)
    assert changed.epochs == recipe.epochs
    assert changed.key() != recipe.key()
    detection = planned(parse(["sweep=demo_detection"]), OptionFolders())[0].options.recipe["detection", "full"]
    assert applied(detection, {"drop_path": 0.3}).vit.drop_path == 0.3

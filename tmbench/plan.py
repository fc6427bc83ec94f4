"""``tmbench plan``: what a sweep needs, what of it is shared, what is there already, and what the rest costs."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, amount, guarded, parser, resolve

if TYPE_CHECKING:
    from tmbench.engine.records import Records
    from tmbench.engine.state import State
    from tmbench.study.plan import Plan
    from tmbench.study.scenario import Scenario


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the plan of a sweep."""
    command = parser("plan", "What a sweep needs: setups, cells, units, what they share, cost. Computes nothing.")
    command.add_argument("--json", action="store_true", help="the same as JSON")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    if study.published:
        facts = tables_summary(study.plan)
        print(json.dumps(facts, indent=2) if options.json else tables_text(facts, study))
        return 0
    from tmbench.study.memory import step_memory
    from tmbench.study.missing import missing_for

    state = study.state()
    facts = summary(study.plan, state)
    facts |= {"gpu_memory": step_memory(study.plan), "missing": missing_for(study.plan, state)}
    print(json.dumps(facts, indent=2) if options.json else text(facts, study))
    return 0


def tables_summary(plan: "Plan") -> dict[str, Any]:
    """The plan of published tables in numbers: there is nothing to run, and only setups to count."""
    counts = plan.setups.counts()
    return {
        "sweep": plan.sweep.name,
        "version": plan.sweep.version,
        "title": plan.sweep.title,
        "setups": plan.setups.total,
        "pools": sum(block.pools for block in plan.setups),
        "measures": list(plan.sweep.measure),
        "metrics": plan.compared,
        "pool_rules": list(plan.options.pool),
        "scenarios": [
            {
                "name": cells.scenario,
                "direction": cells.direction,
                "queries": len(cells.queries),
                "candidates": len(cells.candidates),
                "cells": int(cells.eligible.sum()),
                "levels": list(cells.levels),
                "recipes": {recipe: counts.get((cells.scenario, recipe), 0) for recipe in cells.recipes},
            }
            for cells in plan.published
        ],
        "units": 0,
    }


def tables_text(facts: dict[str, Any], study: Study) -> str:
    """The plan of published tables for people: the setups of each scenario and recipe."""
    scenarios = facts["scenarios"]
    lines = [
        f"{facts['sweep']} v{facts['version']} · published tables · {facts['title']}",
        f"  setups    {facts['setups']:>9,}   {facts['pools']:,} pools over queries, levels and recipes "
        f"× {len(facts['measures'])} measures",
        f"  └ cells   {sum(one['cells'] for one in scenarios):>9,}   {'; '.join(map(_ranked, scenarios))}",
    ]
    width = max(len(recipe) for one in scenarios for recipe in one["recipes"])
    for recipe in dict.fromkeys(recipe for one in scenarios for recipe in one["recipes"]):
        parts = {one["name"]: one["recipes"][recipe] for one in scenarios if recipe in one["recipes"]}
        total = f" = {sum(parts.values()):,}" if len(parts) > 1 else ""
        sum_of = " + ".join(f"{count:,} {name}" for name, count in parts.items())
        lines.append(f"    {recipe:<{width}}  {sum_of}{total}")
    without = [one["name"] for one in scenarios if not any(one["recipes"].values())]
    lines += [
        f"warning: no setup in {s.name}: {study.plan.why_none([s])}" for s in study.plan.scenarios if s.name in without
    ]
    lines.append("  nothing to run: truths and scores stand in the tables")
    return "\n".join([*lines, f"next: tmbench aggregate {study.command}"])


def _ranked(scenario: dict[str, Any]) -> str:
    """How many candidates of a scenario are ranked for how many queries."""
    from tmbench.report.contract import query_word
    from tmbench.stats.cells import axes_of

    _, candidate = axes_of(scenario["direction"])
    ranked_for = _count(scenario["queries"], query_word(scenario["direction"]))
    return f"{scenario['name']}: {_count(scenario['candidates'], candidate)} ranked for {ranked_for}"


def _most(scenario: "Scenario") -> int:
    """The candidates of a query, at most."""
    return int(scenario.eligible.sum(axis=1).max(initial=0))


def _count(number: int, noun: str) -> str:
    from tmbench.report.contract import plural

    return f"{number} {noun if number == 1 else plural(noun)}"


def summary(plan: "Plan", state: "State") -> dict[str, Any]:
    """The plan in numbers."""
    counts = state.counts()
    stages = {
        stage: {
            "total": sum(counts[stage].values()),
            "done": counts[stage]["done"],
            "failed": counts[stage]["failed"],
            "minutes_left": state.minutes_left(stage),
        }
        for stage in counts
    }
    truths: Counter[str] = Counter()
    for batch in plan.units.batches:
        truths.update({batch.recipe: len(batch.ids)} if batch.stage == "truth" else {})
    pools = sum(block.pools for block in plan.setups)
    return {
        "sweep": plan.sweep.name,
        "version": plan.sweep.version,
        "title": plan.sweep.title,
        "scenario": plan.sweep.scenario,
        "setups": plan.setups.total,
        "pools": pools,
        "scenarios": [
            {"name": s.name, "direction": s.direction, "queries": len(s.queries), "candidates": _most(s)}
            for s in plan.scenarios
        ],
        "tuning": _tuning(plan, state.records),
        "measures": list(plan.sweep.measure),
        "sources": len({source for source, _ in plan.cells}),
        "targets": len({target for _, target in plan.cells}),
        "cells": len(plan.cells),
        "metrics": list(plan.metrics),
        "variants": [name for name, kind in plan.kinds.items() if kind == "variant"],
        "pooled": list(plan.pooled),
        "seeds": list(plan.sweep.seed),
        "stages": stages,
        "truths_by_recipe": dict(truths),
        "inapplicable": _inapplicable(plan),
        "own_cells_left_out": len(plan.own),
        "minutes_left": state.minutes_left(),
        "workers": max(1, plan.options.cluster.processes),
        "cluster": plan.options.cluster.kind,
        "units": len(plan.units),
    }


def _tuning(plan: "Plan", records: "Records") -> list[dict[str, Any]]:
    """Each stage of the tuning: how many points are done, and of which sources the best lies on the edge."""
    from tmbench.study.tuned import tuning_rows

    rows = tuning_rows(plan, records) if plan.sweep.tuning else []
    return [
        {
            "stage": stage.name,
            "points": len([row for row in rows if row["stage"] == stage.name and row["state"] != "inherited"]),
            "done": len([row for row in rows if row["stage"] == stage.name and row["state"] in ("done", "diverged")]),
            "chosen": [_chosen(row) for row in rows if row["stage"] == stage.name and row["best"] == "yes"],
        }
        for stage in plan.sweep.tuning
    ]


def _chosen(row: dict[str, Any]) -> dict[str, Any]:
    axes = ("learning_rate", "weight_decay", "drop_path")
    kept = ("source", "target", *axes, "value", "edge", "inherited_from")
    return {name: row[name] for name in kept if row[name] is not None}


def _inapplicable(plan: "Plan") -> dict[str, int]:
    """Metric → number of cells that it cannot score."""
    levels = plan.options.level
    counts = {m: sum(not any(plan.applies(*cell, v, m) for v in levels) for cell in plan.cells) for m in plan.metrics}
    return {metric: count for metric, count in counts.items() if count}


def text(facts: dict[str, Any], study: Study) -> str:
    """The plan for people."""
    stages = facts["stages"]
    recipes = ", ".join(f"{count} {name}" for name, count in facts["truths_by_recipe"].items())
    setups = f"{facts['pools']:,} pools over queries, levels and recipes × {len(facts['measures'])} measures"
    scored = bool(facts["metrics"])
    pairs = f"{_count(facts['sources'], 'source')} × {_count(facts['targets'], 'target')}"
    lines = [
        f"{facts['sweep']} v{facts['version']} · {facts['scenario'].replace('_', ' ')} · {facts['title']}",
        f"  setups    {facts['setups']:>9,}   {setups if scored else 'no metric is named: truths alone'}",
        *(f"  ├ {_ranked(scenario)}" for scenario in facts["scenarios"] if len(facts["scenarios"]) > 1),
        f"  └ cells   {facts['cells']:>9,}   {pairs}{_left_out(facts)}",
        _line("pretrained", stages["pretrain"], "sources that this study trains itself"),
    ]
    if scored:
        of_what = "a cell" if stages["features"]["total"] == facts["cells"] else "a network and data set"
        said = f"one forward pass {of_what}, shared by all levels and metrics"
        lines.append(_line("passes", stages["features"], said))
        lines.append(_line("scores", stages["score"], _scores(facts)))
    lines += [
        _line("truths", stages["truth"], f"{recipes}; {_count(len(facts['seeds']), 'seed')} each"),
        *_tuning_lines(facts),
        f"  left      {amount(facts['minutes_left']):>9}   {_on_workers(facts)}",
    ]
    lines += [
        f"  memory    {one['gb']:>6,.1f} GB   estimated, of a GPU in a training step of recipe={one['recipe']}, "
        f"at most, on {one['source']}"
        for one in facts["gpu_memory"]
    ]
    if scored and not facts["setups"]:
        lines.append(f"warning: no setup: {study.plan.why_no_setups}")
    lines += [f"warning: {sentence}" for sentence in facts["missing"]]
    verb = "run" if facts["minutes_left"] else "aggregate"
    return "\n".join([*lines, f"next: tmbench {verb} {study.command}"])


def _tuning_lines(facts: dict[str, Any]) -> list[str]:
    """How far each stage of the tuning is; more points are wanted when their forerunners are done."""
    lines = []
    for one in facts["tuning"]:
        edge = sum(bool(row["edge"]) for row in one["chosen"])
        said = (
            f"{one['done']:,} of {one['points']:,} points done; {len(one['chosen'])} of {facts['cells']} cells decided"
        )
        lines.append(f"    ├ tuning    {one['stage']}: {said}{f', {edge} with the best on the edge' if edge else ''}")
    return lines


def _on_workers(facts: dict[str, Any]) -> str:
    if not facts["minutes_left"]:
        return "nothing to do"
    return f"of one worker; about {amount(facts['minutes_left'] / facts['workers'])} on {facts['workers']}"


def _line(name: str, stage: dict[str, Any], about: str) -> str:
    left = stage["total"] - stage["done"] - stage["failed"]
    state = f"{stage['done']:,} done, {left:,} to do" + (f", {stage['failed']} failed" if stage["failed"] else "")
    cost = f"  ≈ {amount(stage['minutes_left'])}" if stage["minutes_left"] else ""
    return f"    ├ {name:<10}{stage['total']:>5,}   {state}{cost}   ({about})"


def _scores(facts: dict[str, Any]) -> str:
    gaps = ", ".join(f"{metric} on {count}" for metric, count in facts["inapplicable"].items())
    variants, pooled = len(facts["variants"]), ", ".join(facts["pooled"])
    parts = [f"{len(facts['metrics'])} metrics" + (f", {variants} of them variants" if variants else "")]
    parts += [f"formed inside each pool: {pooled}"] if pooled else []
    return "; ".join([*parts, *([f"inapplicable: {gaps} cells"] if gaps else [])])


def _left_out(facts: dict[str, Any]) -> str:
    own = facts["own_cells_left_out"]
    return f"; {own} left out: pretrained on the target itself" if own else ""


if __name__ == "__main__":
    sys.exit(main())

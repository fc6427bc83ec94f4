"""``tmbench aggregate``: records → tables, figures and one page, as far as the records go."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study, guarded, parser, resolve

if TYPE_CHECKING:
    from tmbench.engine.records import Records
    from tmbench.engine.state import State
    from tmbench.study.cells import Gaps
    from tmbench.study.plan import Plan


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, figures and page of a sweep; exit 0 when nothing was missing, else 1."""
    command = parser("aggregate", "From the records of a sweep to its tables, figures and report.html.")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    from pandas import DataFrame

    from tmbench.errors import NothingMatched
    from tmbench.functions import find_function
    from tmbench.report import build_tables, print_summary, write_report
    from tmbench.stats.outcomes import evaluate_study
    from tmbench.study.cells import collect

    state = study.state()
    plan = study.plan
    cells, gaps = collect(plan, state.records)
    if not any(unit.id in state.records.results for unit in plan.units if unit.stage == "truth"):
        raise NothingMatched(f"no truth of {plan.sweep.name} is there yet. Next: tmbench run {study.command}")
    if not plan.compared:
        raise NothingMatched("only baselines are named, and they compete for no win: name a metric beside them.")
    if not len(plan.setups):
        raise NothingMatched(f"there is no setup to evaluate: {plan.why_no_setups}")
    measures = {name: find_function(option.function) for name, option in plan.options.measure.items()}
    outcomes = evaluate_study(cells, lambda query: plan.setups.pools(cells.queries[query]), measures)
    tables = build_tables(cells, outcomes, measures=measures)
    flags = flag_rows(plan, state.records)
    if flags:
        tables["flags"] = DataFrame(flags)
    files = write_report(
        study.out,
        cells,
        outcomes,
        provenance(study, state.records),
        plan.sweep.title or plan.sweep.name,
        tables=tables,
        rebuild=f"tmbench run {study.command} && tmbench aggregate {study.command}",
    )
    print_summary(tables)
    return _finish(study, state, gaps, files, flags)


def provenance(study: Study, records: "Records") -> dict[str, Any]:
    """What made these results: commit, versions, resolved config, seeds, times, class of machine."""
    from tmbench.engine.provenance import commit, host, versions
    from tmbench.run import frozen

    ids = [id for unit in study.plan.units for id in (unit.id, *(score.id for score in unit.scores))]
    rows = [records.results[id][0] for id in ids if id in records.results]
    units = [row for row in rows if row["stage"] != "score"]
    return {
        "command": f"tmbench aggregate {study.command}",
        "aggregated": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "commits_of_records": sorted({row["commit"] for row in rows}),
        "versions": versions(),
        "host": host(),
        "seeds": list(study.plan.sweep.seed),
        "records": {
            "units": len(units),
            "scores": len(rows) - len(units),
            "worker_seconds": round(sum(row["seconds"] or 0.0 for row in units), 1),
            "peak_memory_mb_of_a_worker": round(max((row["memory_mb"] or 0.0 for row in rows), default=0.0)),
            "first": min((row["finished"] for row in rows), default=""),
            "last": max((row["finished"] for row in rows), default=""),
        },
        "config": frozen(study.plan),
    }


def flag_rows(plan: "Plan", records: "Records") -> list[dict[str, Any]]:
    """How many cells of each metric bear each flag (``saturated``, ``degenerate``, ``not_converged``)."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for unit in plan.units:
        for score in unit.scores:
            for record in records.results.get(score.id, ())[:1]:
                counts.update((score.level, score.metric, flag) for flag in json.loads(record["flags"]))
    slice_of = {"scenario": plan.sweep.name, "recipe": "all"}
    return [
        {**slice_of, "level": level, "direction": plan.sweep.scenario, "metric": metric, "flag": flag, "cells": count}
        | {"of": len(plan.cells)}
        for (level, metric, flag), count in sorted(counts.items())
    ]


def _flag_notes(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"note: {row['metric']} at {row['level']} is {row['flag'].replace('_', ' ')} on {row['cells']} of {row['of']} "
        "cells: it says little there (tables/flags.csv)"
        for row in rows
    ]


def _shared_families(plan: "Plan") -> list[str]:
    """Targets of one family are not independent; until they are resampled together, say so."""
    families: dict[str, list[str]] = {}
    for name, target in plan.options.target.items():
        if target.family:
            families.setdefault(target.family, []).append(name)
    return [
        f"note: targets {', '.join(names)} are of one family and not independent: intervals are too narrow"
        for names in families.values()
        if len(names) > 1
    ]


def _finish(study: Study, state: "State", gaps: "Gaps", files: dict[str, Path], flags: list[dict[str, Any]]) -> int:
    from tmbench.status import notes

    for line in notes(state):
        print(line, file=sys.stderr)
    for line in (*_shared_families(study.plan), *_flag_notes(flags)):
        print(line, file=sys.stderr)
    if gaps.truths or gaps.scores:
        print(
            f"missing: {gaps.truths} truths and {gaps.scores} scores; they are counted in every table", file=sys.stderr
        )
    print(f"\n{len(files)} files in {_shown(study.out)}")
    if gaps.truths or gaps.scores:
        print(f"next: tmbench run {study.command}")
        return 1
    print(f"next: open {_shown(files['report'])}")
    return 0


def _shown(path: Path) -> Path:
    """Relative to the working directory where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    sys.exit(main())

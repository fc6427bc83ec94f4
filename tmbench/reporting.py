"""What ``tmbench aggregate`` says beside its tables: where results come from, what to beware of, what is missing."""

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.verb import Study

if TYPE_CHECKING:
    from tmbench.engine.records import Records
    from tmbench.engine.state import State
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.measures import Measure
    from tmbench.study.cells import Gaps
    from tmbench.study.plan import Plan


def provenance(study: Study, resampling: "Resampling", records: "Records | None") -> dict[str, Any]:
    """What made these results: commit, versions, resolved config, seeds, times, class of machine."""
    from tmbench.engine.provenance import commit, host, versions
    from tmbench.run import frozen

    made: dict[str, Any] = {
        "command": command(study),
        "aggregated": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": versions(),
        "host": host(),
        "resampling": {"draws": resampling.draws, "seed": resampling.seed, "level": resampling.level},
        "config": frozen(study.plan),
    }
    return made if records is None else made | _recorded(study, records)


def measures_of(plan: "Plan") -> "dict[str, Measure]":
    """The evaluation measures of a study by name."""
    files = plan.options.files
    return {name: option.bind(name, str(files["measure", name])) for name, option in plan.options.measure.items()}


def _recorded(study: Study, records: "Records") -> dict[str, Any]:
    """What the records say of their making."""
    rows = [records.results[id][0] for id in study.plan.units.all_ids() if id in records.results]
    units = [row for row in rows if row["stage"] != "score"]
    return {
        "commits_of_records": sorted({row["commit"] for row in rows}),
        "seeds": list(study.plan.sweep.seed),
        "records": {
            "units": len(units),
            "scores": len(rows) - len(units),
            "worker_seconds": round(sum(row["seconds"] or 0.0 for row in units), 1),
            "peak_memory_mb_of_a_worker": round(max((row["memory_mb"] or 0.0 for row in rows), default=0.0)),
            "first": min((row["finished"] for row in rows), default=""),
            "last": max((row["finished"] for row in rows), default=""),
        },
    }


def flag_rows(plan: "Plan", records: "Records") -> list[dict[str, Any]]:
    """How many cells of each metric bear each flag (``saturated``, ``degenerate``, ``not_converged``)."""
    counts: Counter[tuple[str, str, str]] = Counter()
    own = frozenset(plan.own)  # which are no cells of the study, though a sweep may score them
    for batch in plan.units.batches:
        for score, id in zip(batch.owed, batch.score_ids(0), strict=True):
            if (score.source or batch.source, score.target or batch.target) in own:
                continue
            for record in records.results.get(id, ())[:1]:
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


def _undecided(tables: dict[str, Any]) -> list[str]:
    """A note for each target on which there is nothing to rank, where sources are ranked."""
    from tmbench.report.truths import primary, ranks_sources, undecided

    if "truth" not in tables or not ranks_sources(tables["reliability"]):
        return []
    return [f"note: {line}" for line in undecided(primary(tables["truth"]))]


def _data_notes(tables: dict[str, Any]) -> list[str]:
    """What was left out of targets, and what a wider tuning might better."""
    from tmbench.report.truths import dropped_sentences
    from tmbench.study.tuned import edge_notes

    found = list(dropped_sentences(tables["dropped"])) if "dropped" in tables else []
    found += edge_notes(tables["tuning"].to_dict("records")) if "tuning" in tables else []
    return [f"note: {line}" for line in found]


def _pooled_notes(study: Study, tables: dict[str, Any]) -> list[str]:
    """Where the mean of the query alone does as well as a metric, pooled over queries; once for all levels."""
    from tmbench.report.pooled import pooled_sentences
    from tmbench.report.terminal import MOST_TABLES

    if "pooled" not in tables or "win_rate" not in tables:
        return []
    said = pooled_sentences(tables["pooled"], measures_of(study.plan))
    found = [f"note: {line[:-1]} (tables/pooled.csv)" for line in said]
    return found[:MOST_TABLES]


def finish(
    study: Study, tables: dict[str, Any], gaps: "Gaps | None", files: dict[str, Path], flags: list[dict[str, Any]]
) -> int:
    """Say what to beware of, what is missing and what to open or run next; the exit code."""
    for line in [*_flag_notes(flags), *_undecided(tables), *_data_notes(tables), *_pooled_notes(study, tables)]:
        print(line, file=sys.stderr)
    incomplete = 0
    if "win_rate" in tables:
        incomplete = int(tables["win_rate"].groupby(["scenario", "recipe", "level"])["missing"].first().sum())
    tied = _tied_setups(tables)
    if gaps and (gaps.truths or gaps.scores):
        print(
            f"missing: {gaps.truths} truths and {gaps.scores} scores; they are counted in every table", file=sys.stderr
        )
    elif incomplete > tied:
        incomplete -= tied
        print(f"note: setups in which some metric has no value: {incomplete:,} (tables/counts.csv)", file=sys.stderr)
    print(f"\n{len(files)} files in {shown(study.out)}")
    if gaps and (gaps.truths or gaps.scores):
        print(f"next: tmbench run {study.command}")
        return 1
    print(f"next: open {shown(files['report'])}")
    return 0


def _tied_setups(tables: dict[str, Any]) -> int:
    """How many setups have no value because there is no order to predict; says so where there are any."""
    from tmbench.report.contract import TIED, all_tie
    from tmbench.report.findings import tied_setups

    if "counts" not in tables or not (number := tied_setups(tables["counts"])):
        return 0
    counts = tables["counts"]
    same = " or ".join(all_tie(direction) for direction in counts.loc[counts["what"] == TIED, "direction"].unique())
    print(f"note: setups that tell nothing because {same}: {number:,} (tables/counts.csv)", file=sys.stderr)
    return number


def print_notes(study: Study, state: "State") -> None:
    """What the user should know about the store."""
    from tmbench.status import notes

    for line in notes(study, state):
        print(line, file=sys.stderr)


def command(study: Study) -> str:
    """What was typed, less where the files went."""
    draws = f" bootstrap={study.extra['bootstrap']}" if "bootstrap" in study.extra else ""
    return f"tmbench aggregate {study.command}{draws}"


def shown(path: Path) -> Path:
    """Relative to the working directory where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path

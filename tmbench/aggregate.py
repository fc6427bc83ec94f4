"""``tmbench aggregate``: records → tables, figures and one page, as far as the records go."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmbench.verb import Study, guarded, parser, resolve


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, figures and page of a sweep; exit 0 when nothing was missing, else 1."""
    command = parser("aggregate", "From the records of a sweep to its tables, figures and report.html.")
    options = command.parse_intermixed_args(arguments)
    study = resolve(options)
    from tmbench.errors import NothingMatched
    from tmbench.report import build_tables, print_summary, write_report
    from tmbench.study.cells import collect

    state = study.state()
    cells, gaps = collect(study.plan, state.records)
    outcomes = evaluate(study.plan, cells)
    if not any(unit.id in state.records.results for unit in study.plan.units if unit.stage == "truth"):
        raise NothingMatched(f"no truth of {study.plan.sweep.name} is there yet. Next: tmbench run {study.command}")
    tables = build_tables(cells, outcomes)
    files = write_report(
        study.out,
        cells,
        outcomes,
        provenance(study, state.records),
        study.plan.sweep.title or study.plan.sweep.name,
        tables=tables,
        rebuild=f"tmbench run {study.command} && tmbench aggregate {study.command}",
    )
    print_summary(tables)
    return _finish(study, state, gaps, files)


def evaluate(plan: Any, cells: Any) -> Any:
    """The outcomes of all setups of ``plan``."""
    from tmbench.functions import find_function
    from tmbench.stats.outcomes import evaluate_study

    # Pools depend on the query alone, so any recipe's and level's blocks give them.
    recipe, level = plan.sweep.recipe[0], plan.sweep.level[0]
    pools: dict[str, list[Any]] = {query: [] for query in plan.options.target}
    for block in plan.setups:
        if (block.recipe, block.level) == (recipe, level):
            pools[block.query].append(block.members())
    queries = tuple(plan.options.target)

    def of(query: int) -> Any:
        return pools[queries[query]]

    measures = {name: find_function(option.function) for name, option in plan.options.measure.items()}
    return evaluate_study(cells, of, measures)


def provenance(study: Study, records: Any) -> dict[str, Any]:
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


def _finish(study: Study, state: Any, gaps: Any, files: dict[str, Path]) -> int:
    from tmbench.status import notes

    for line in notes(state):
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

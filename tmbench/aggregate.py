"""``tmbench aggregate``: records or cell tables → tables, figures and one page, as far as the cells go."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tmbench.reporting import command, finish, flag_rows, measures_of, print_notes, provenance, shown
from tmbench.truth_report import check_truths, published_truths, recorded_truths, truth_tables
from tmbench.verb import Study, guarded, parser, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tmbench.engine.records import Records
    from tmbench.engine.state import State
    from tmbench.report import Scene
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.cells import Cells
    from tmbench.stats.measures import Measure
    from tmbench.study.cells import Gaps
    from tmbench.study.plan import Plan

ABOUT = """From the records of a sweep, or from a table of cells, to tables, figures and report.html.

  tmbench aggregate sweep=demo                       what a run has recorded
  tmbench aggregate sweep=stability                  published cells that come with tmbench
  tmbench aggregate cells=scores.csv                 a table of your own: columns source, target, truth, one a metric
  tmbench aggregate cells=FILE cells.columns.source=model cells.columns.target=dataset
  tmbench aggregate cells=[truths.csv,scores.csv]    or cells=FOLDER with both, as every aggregate writes them

Keys beside the axes: out=DIR, pool.size=K (all pools of K candidates), bootstrap=N (resamplings of the queries for
the intervals; 0 for none), seed=N (of the resampling, where the cells are read from tables)."""

KEYS = ("out", "bootstrap")
"""The keys that this verb understands beside the axes; ``seed`` is one too where the cells are published."""

FEWEST_DRAWS, FEW_DRAWS = 40, 1000
"""Fewer resamplings than the first give no 95 % interval; with fewer than the second its ends are rough."""

SECONDS_A_LINE = 10.0


@partial(guarded, stopped="Nothing is kept of the work; files are whole, of this run or of the one before.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, figures and page of a study; exit 1 when a run has left something to do."""
    options = parser("aggregate", ABOUT).parse_intermixed_args(arguments)
    study = resolve(options, KEYS)
    from tmbench.errors import NothingMatched

    plan = study.plan
    if not plan.sweep.metric and not plan.published:
        return recorded_truths(study, _recorded_state(study))
    if plan.published and all(option.truths_only for option in plan.options.cells.values()):
        return published_truths(study)
    if why := _why_no_ranking(plan):
        if not plan.published and _has_truths(study):
            why = _truths_without_ranking(study, why)
        raise NothingMatched(why)
    if plan.published:
        return _report(study, plan.tables)
    from tmbench.study.cells import collect

    state = _recorded_state(study)
    cells, gaps = collect(plan, state.records)
    code = _report(study, [cells], state.records, gaps)
    print_notes(study, state)
    return code


def _why_no_ranking(plan: "Plan") -> str:
    """What there is to change before metrics can be compared; "" for nothing."""
    if not plan.compared:
        return "only baselines are named, and they compete for no win: name a metric beside them."
    return "" if plan.setups.total else f"there is no setup to evaluate: {plan.why_no_setups}"


def _has_truths(study: Study) -> bool:
    records = study.state().records
    return not all(records.done.keys().isdisjoint(ids) for ids in _truth_ids(study.plan))


def _truths_without_ranking(study: Study, why: str) -> str:
    """Report the truths all the same, unless an earlier ranking would be lost; why there is none now."""
    if (study.out / "tables" / "win_rate.csv").exists():
        return f"{why} {shown(study.out)} keeps its earlier ranking; out=DIR would report the truths elsewhere."
    recorded_truths(study, _recorded_state(study))
    return f"the truths are reported without a ranking: {why}"


def _truth_ids(plan: "Plan") -> "Iterator[Sequence[str]]":
    return (batch.ids for batch in plan.units.batches if batch.stage == "truth")


def _recorded_state(study: Study) -> "State":
    """The study against its store.

    Raises:
        NothingMatched: when no truth is there yet.
    """
    from tmbench.errors import NothingMatched

    plan, state = study.plan, study.state()
    if all(state.records.done.keys().isdisjoint(ids) for ids in _truth_ids(plan)):
        ahead = " ".join(study.stuck) or f"Next: tmbench run {study.command}"
        raise NothingMatched(f"no truth of {plan.sweep.name} is there yet. {ahead[0].upper()}{ahead[1:]}")
    state.check_keys()
    return state


def _report(
    study: Study, every: "Sequence[Cells]", records: "Records | None" = None, gaps: "Gaps | None" = None
) -> int:
    """Evaluate ``every`` scenario as far as the sweep's ``exclude`` rules leave it, write what comes out and say so."""
    from pandas import DataFrame

    from tmbench.report import build_tables, print_summary, write_report
    from tmbench.stats.bootstrap import Resampling
    from tmbench.study.exclusion import parts
    from tmbench.study.tables import POLICIES, write_cells

    plan = study.plan
    check_truths(every, study)
    resampling = Resampling(_draws(study), study.extra.get("seed", 0))
    measures = measures_of(plan)
    scenes = list(_scenes([part for cells in every for part in parts(plan.sweep, cells)], plan, measures, resampling))
    tables = build_tables(scenes, measures, resampling, POLICIES)
    flags = flag_rows(plan, records) if records else []
    if flags:
        tables["flags"] = DataFrame(flags)
    truths, of_truth = truth_tables(study, records) if records else ([], {})
    tables |= of_truth
    files = write_report(
        study.out,
        scenes,
        measures,
        resampling,
        tables,
        provenance(study, resampling, records),
        plan.sweep.title or plan.sweep.name,
        rebuild=command(study) if plan.published else f"tmbench run {study.command} && {command(study)}",
        truths=truths,
    )
    write_cells(study.out / "cells", every)
    print_summary(tables, measures, resampling)
    return finish(study, tables, gaps, files, flags)


def _scenes(
    every: "Sequence[Cells]", plan: "Plan", measures: "Mapping[str, Measure]", resampling: "Resampling"
) -> "Iterator[Scene]":
    """The sums over all setups of each scenario, and over those without each family of candidates."""
    from tmbench.report import Scene
    from tmbench.stats.accumulate import tally_study
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.jackknife import FEWEST_FAMILIES

    with _progress(plan.setups.total) as advance:
        for cells, space in zip(every, plan.setups.spaces, strict=True):
            tally = tally_study(cells, space.chunks(), measures, resampling, advance)
            families = [name for name in dict.fromkeys(cells.families) if name]
            if not resampling.draws or len(families) < FEWEST_FAMILIES:
                families = []  # no jackknife
            fewer = [
                tally_study(cells.without_family(name), space.without_family(name).chunks(), measures, Resampling(0))
                for name in families
            ]
            yield Scene(cells, tally, fewer)


@contextmanager
def _progress(setups: int) -> "Iterator[Callable[[int], None]]":
    """How far the setups are, on stderr: a bar in a terminal, else a line every ``SECONDS_A_LINE``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(setups)
        return
    columns = (TextColumn(f"{setups:,} setups"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=setups)
        yield lambda done: progress.advance(task, done)


def _lines(setups: int) -> "Callable[[int], None]":
    """Counts setups, and says so now and then."""
    done, last = 0, time.monotonic()

    def advance(number: int) -> None:
        nonlocal done, last
        done += number
        if time.monotonic() - last > SECONDS_A_LINE:
            last = time.monotonic()
            print(f"{done:,} of {setups:,} setups", file=sys.stderr)

    return advance


def _draws(study: Study) -> int:
    """``bootstrap=N``, or the usual number."""
    from tmbench.errors import ConfigError
    from tmbench.stats.bootstrap import Resampling

    draws = int(study.extra.get("bootstrap", Resampling.draws))
    if 0 < draws < FEWEST_DRAWS:
        raise ConfigError(
            f"bootstrap={draws}: a 95 % interval takes {FEWEST_DRAWS} resamplings at least, and {FEW_DRAWS:,} to be "
            "steady. Say bootstrap=0 for no intervals."
        )
    if 0 < draws < FEW_DRAWS:
        print(f"warning: {draws} resamplings leave the ends of the intervals to one or two draws", file=sys.stderr)
    return draws


if __name__ == "__main__":
    sys.exit(main())

"""What ``tmbench aggregate`` makes of truths: the report of a study without scores, where there is nothing to rank."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tmbench.reporting import command, finish, measures_of, print_notes, provenance
from tmbench.verb import Study

if TYPE_CHECKING:
    from pandas import DataFrame

    from tmbench.engine.records import Records
    from tmbench.engine.state import State
    from tmbench.stats.cells import Cells
    from tmbench.stats.truths import Runs


def recorded_truths(study: Study, state: "State") -> int:
    """The report of a study that names no metric: the table of truths, its pictures, how far seeds can be relied on."""
    from tmbench.report import write_report
    from tmbench.report.terminal import print_truths
    from tmbench.report.truths import reliability_table
    from tmbench.stats.bootstrap import Resampling
    from tmbench.study.cells import collect
    from tmbench.study.exclusion import parts

    cells, gaps = collect(study.plan, state.records)
    truths, tables = truth_tables(study, state.records)
    tables["reliability"] = reliability_table(parts(study.plan.sweep, cells))
    resampling = Resampling(0)
    files = write_report(
        study.out,
        (),
        {},
        resampling,
        tables,
        provenance(study, resampling, state.records),
        study.plan.sweep.title or study.plan.sweep.name,
        rebuild=f"tmbench run {study.command} && {command(study)}",
        truths=truths,
    )
    print_truths(tables["truth"])
    code = finish(study, tables, gaps, files, [])
    print_notes(study, state)
    return code


def published_truths(study: Study) -> int:
    """The report of tables of truths without scores: the truths, and how far their baselines get when pooled."""
    from tmbench.report import write_report
    from tmbench.report.findings import capital
    from tmbench.report.pooled import pooled_sentences
    from tmbench.report.query_tables import pooled_table
    from tmbench.report.terminal import print_truths
    from tmbench.report.truths import reliability_table, truth_table
    from tmbench.stats.bootstrap import Resampling
    from tmbench.stats.truths import runs_of_cells

    plan = study.plan
    check_truths(plan.published, study)
    measures, resampling = measures_of(plan), Resampling(0)
    truths = [runs for cells in plan.published for runs in runs_of_cells(cells)]
    tables = {
        "truth": truth_table(truths),
        "reliability": reliability_table(plan.published),
        "pooled": pooled_table(plan.published, measures),
    }
    made = provenance(study, resampling, None)
    title = plan.sweep.title or plan.sweep.name
    files = write_report(
        study.out, (), measures, resampling, tables, made, title, rebuild=command(study), truths=truths
    )
    print_truths(tables["truth"])
    for text in pooled_sentences(tables["pooled"], measures):
        print(f"\n{capital(text)}")
    return finish(study, tables, None, files, [])


def truth_tables(study: Study, records: "Records") -> "tuple[list[Runs], dict[str, DataFrame]]":
    """What was recorded of the truths of a sweep that runs, the table of it, of its tuning and of what was left out."""
    from pandas import DataFrame

    from tmbench.report.truths import truth_table
    from tmbench.study.truths import dropped_rows, output_rows, runs_of
    from tmbench.study.tuned import tuning_rows

    truths = runs_of(study.plan, records)
    tables = {"truth": truth_table(truths)}
    if study.plan.sweep.tuning:
        tables["tuning"] = DataFrame(tuning_rows(study.plan, records))
    if outputs := output_rows(study.plan, records):
        tables["truth_outputs"] = DataFrame(outputs)
    if dropped := dropped_rows(study.plan, records):
        tables["dropped"] = DataFrame(dropped)
    return truths, tables


def check_truths(every: "Sequence[Cells]", study: Study) -> None:
    """Refuse cells without a single truth: there is nothing to hold a score against."""
    import numpy as np

    from tmbench.errors import NothingMatched

    if all(np.isnan(cells.truth).all() for cells in every):
        raise NothingMatched(
            f"{study.plan.sweep.name}: no cell has a truth, so that no score can be held against one. Give the column "
            "of truths: cells.columns.truth=COLUMN."
        )

"""The tables of a study as data frames: those over setups, from the sums of ``tally_study``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.contract import COLUMNS, SPLIT, Row, query_word
from tmbench.stats.bootstrap import Resampling, mean_of_sums
from tmbench.stats.cells import Array, Cells
from tmbench.stats.convergence import convergence
from tmbench.stats.entropy import candidate_entropies, metric_entropies
from tmbench.stats.jackknife import jackknife_interval
from tmbench.stats.measures import Measure
from tmbench.stats.outcomes import ALL, Slice
from tmbench.stats.pairwise import duels
from tmbench.stats.stability import Stability, stability, stability_across
from tmbench.stats.tally import StudyTally, Tally
from tmbench.stats.win_rate import WinRate, win_rate

if TYPE_CHECKING:
    from pandas import DataFrame

NO_INTERVALS = Resampling(0)


@dataclass(frozen=True, eq=False)
class Scene:
    """One scenario of a report.

    Attributes:
        cells: its truths and scores.
        tally: from ``tally_study`` of these cells.
        without_family: the tallies with one family of candidates deleted each, for the jackknife; three or more of
            them fill ``family_low`` and ``family_high``.
    """

    cells: Cells
    tally: StudyTally
    without_family: Sequence[StudyTally] = ()


def build_tables(
    scenes: Sequence[Scene],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    policies: Mapping[str, str] | None = None,
) -> dict[str, DataFrame]:
    """Every table of the study by name; ``tmbench.report.contract`` says what stands in them.

    Args:
        scenes: one for each scenario.
        measures: those that the tallies were made with.
        resampling: of the queries, for intervals and for the draws of ``convergence``; no intervals with 0 draws.
        policies: what is done with each thing that ``Cells.counts`` counts, a sentence by key.
    """
    from tmbench.report.cell_tables import cell_matrix, count_rows
    from tmbench.report.query_tables import query_rows

    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    scenarios = [scene.cells.scenario for scene in scenes]
    for scene in scenes:
        for name, found in _setup_rows(scene, resampling):
            rows[name].extend(found)
        for name, found in query_rows(scene.cells, measures, resampling).items():
            rows[name].extend(found)
        rows["counts"].extend(count_rows(scene, resampling, policies or {}, scenarios.count(scene.cells.scenario) > 1))
    tables = {name: _frame(found, COLUMNS[name]) for name, found in rows.items()}
    tables["cells"] = cell_matrix([scene.cells for scene in scenes])
    return tables


def _frame(rows: list[Row], columns: Sequence[str]) -> DataFrame:
    import pandas

    return pandas.DataFrame({column: [row[column] for row in rows] for column in columns}, columns=list(columns))


def _setup_rows(scene: Scene, resampling: Resampling) -> Iterator[tuple[str, Iterable[Row]]]:
    """The rows of one scenario by table."""
    # Without draws there are no intervals at all, nor those over families.
    deleted = scene.without_family if resampling.draws else ()
    fewer = [{part.where: part for part in study.slices} for study in deleted]
    level = resampling.level
    for tally in scene.tally.slices:
        where = tally.where._asdict()
        without = [study[tally.where] for study in fewer]
        overall = win_rate(tally, resampling)
        yield "win_rate", _win_rates(tally, overall, without, level)
        for number, measure in enumerate(tally.measures):
            found = _win_rates(tally, win_rate(tally, resampling, number), without, level, number)
            yield "win_rate_by_measure", ({**row, "measure": measure} for row in found)
        yield "means", _means(tally, resampling)
        yield "pairwise", ({**where, **asdict(duel)} for duel in duels(tally, resampling))
        yield "convergence", ({**where, **asdict(row)} for row in convergence(tally, resampling.seed))
        yield "ranges", _ranges(tally)
        yield "bounds", _bounds(tally, overall)
        yield "rank_entropy", ({**where, **asdict(row)} for row in metric_entropies(tally))
    for number, recipe in enumerate(scene.cells.recipes):
        where = Slice(scene.cells.scenario, recipe, ALL, scene.cells.direction)._asdict()
        yield "rank_entropy", ({**where, **asdict(row)} for row in candidate_entropies(scene.cells, number))
    yield "stability", _stability(scene.tally, resampling)


def _win_rates(
    tally: Tally, rate: WinRate, without: Sequence[Tally], level: float, measure: int | None = None
) -> Iterator[Row]:
    """A row for each metric; those outside the field have no rate, since they take no vote."""
    family_low, family_high = _over_families(tally, rate, without, measure, level)
    place = {int(metric): position for position, metric in enumerate(rate.metrics)}
    for metric, name in enumerate(tally.names):
        row: Row = {**tally.where._asdict(), "metric": name, "kind": tally.kinds[metric]}
        row |= dict.fromkeys(("strict", "split", "all", "low", "high", "family_low", "family_high"), np.nan)
        if metric in place:
            at = place[metric]
            row |= {
                "strict": rate.strict[at], "split": rate.split.value[at], "all": rate.all[at],
                "low": rate.split.low[at], "high": rate.split.high[at],
                "family_low": family_low[at], "family_high": family_high[at],
            }  # fmt: skip
        yield row | {"setups": rate.setups, "missing": rate.missing}


def _over_families(
    tally: Tally, rate: WinRate, without: Sequence[Tally], measure: int | None, level: float
) -> tuple[Array, Array]:
    """The jackknife interval of the win rates; none where the field changes with a family, as LEEP's would."""
    if not without:
        nothing = np.full(len(tally.field), np.nan)
        return nothing, nothing
    field = [tally.names[metric] for metric in tally.field]
    deleted = [
        win_rate(other, NO_INTERVALS, measure).split.value
        if [other.names[metric] for metric in other.field] == field
        else np.full(len(field), np.nan)
        for other in without
    ]
    return jackknife_interval(rate.split.value, deleted, level, 0.0, 1.0)


def _means(tally: Tally, resampling: Resampling) -> Iterator[Row]:
    sums = tally.sums
    measures, queries, metrics = sums["value"].shape
    flat = [sums[name].transpose(1, 0, 2).reshape(queries, measures * metrics) for name in ("value", "valued")]
    estimate = mean_of_sums(flat[0], flat[1], tally.families, resampling)
    mean, low, high, count = (
        values.reshape(measures, metrics) for values in (estimate.value, estimate.low, estimate.high, estimate.count)
    )
    # What does not apply is so for every measure alike, and is not missing.
    inapplicable = sums["inapplicable"].sum(axis=0) / max(measures, 1)
    missing = sums["setups"].sum(axis=1)[:, None] - count - inapplicable
    for number, measure in enumerate(tally.measures):
        for metric, name in enumerate(tally.names):
            yield {
                **tally.where._asdict(), "measure": measure, "metric": name, "kind": tally.kinds[metric],
                "mean": mean[number, metric], "low": low[number, metric], "high": high[number, metric],
                "setups": int(count[number, metric]), "missing": round(float(missing[number, metric])),
            }  # fmt: skip


def _ranges(tally: Tally) -> Iterator[Row]:
    """The least and the greatest value that a single query has: the win rate's, and each measure's mean."""
    complete = tally.sums["complete"].sum(axis=0)[:, None]
    won = np.full((len(tally.queries), len(tally.names)), np.nan)
    won[:, tally.field] = _ratio(tally.sums["split"].sum(axis=0), complete)
    values = {SPLIT: won}
    for number, measure in enumerate(tally.measures):
        values[f"mean {measure}"] = _ratio(tally.sums["value"][number], tally.sums["valued"][number])
    for statistic, by_query in values.items():
        for metric, name in enumerate(tally.names):
            there = by_query[~np.isnan(by_query[:, metric]), metric]
            if statistic == SPLIT and metric not in tally.field:
                continue
            yield {
                **tally.where._asdict(), "statistic": statistic, "metric": name, "kind": tally.kinds[metric],
                "least": there.min() if len(there) else np.nan, "greatest": there.max() if len(there) else np.nan,
                "queries": len(there),
            }  # fmt: skip


def _ratio(sums: Array, counts: Array) -> Array:
    counts = np.broadcast_to(counts, sums.shape)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _bounds(tally: Tally, rate: WinRate) -> Iterator[Row]:
    for at, metric in enumerate(rate.metrics):
        yield {
            **tally.where._asdict(), "metric": tally.names[metric], "kind": tally.kinds[metric],
            "as_loss": rate.as_loss[at], "lowest": rate.lowest[at], "highest": rate.highest[at],
            "setups": rate.setups, "missing": rate.missing,
        }  # fmt: skip


def _stability(study: StudyTally, resampling: Resampling) -> Iterator[Row]:
    """Query, pool and measure for each slice; then what varies across slices, where there are several.

    None with fewer than two metrics: there is no order of metrics that could be stable.
    """
    for tally in study.slices:
        if len(tally.field) > 1:
            for varied in ("query", "pool", "measure"):
                yield _stability_row(tally.where, stability(tally, varied, resampling))
    if any(len(tally.field) > 1 for tally in study.slices):
        for across in study.across:
            yield _stability_row(across.where, stability_across(across, resampling))


def _stability_row(where: Slice, found: Stability) -> Row:
    row = {**where._asdict(), **asdict(found)}
    return row | {"varied": query_word(where.direction)} if found.varied == "query" else row

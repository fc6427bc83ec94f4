"""The short table with which ``aggregate`` ends in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tmbench.report.captions import all_queries, independent_queries
from tmbench.report.comparable import MARK, compared
from tmbench.report.contract import all_tie
from tmbench.report.findings import tied_setups
from tmbench.report.frames import KEY, column, part_of, parts, shortened
from tmbench.report.markup import best_of, brief, by_win_rate, lower_is_better, places, shown, spread, titled
from tmbench.report.truths import decimals, measure_title, primary
from tmbench.stats.bootstrap import FEWEST_QUERIES, Resampling
from tmbench.stats.measures import Measure

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.table import Table

MOST_TABLES = 8
"""So many scenarios, recipes and levels are printed; the files have them all."""

MOST_LETTERS = 22
"""So long a name fits before four measures in 80 columns; of a longer one the middle is left out."""

MOST_HEADER = 12
"""So many letters of a word above numbers stay in one line; a longer one is broken."""

MOST_MEASURES = 4
"""So many measures fit beside the win rate in 80 columns."""


def print_summary(
    tables: dict[str, DataFrame],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    console: Console | None = None,
    *,
    measure: str | None = None,
) -> None:
    """Print, for each scenario, recipe and level, who wins and the means; best first.

    Args:
        tables: from ``build_tables``.
        measures: as given there.
        resampling: as given there.
        console: where to; standard output where not given.
        measure: show the mean of this one alone; the first four where not given.
    """
    from rich.console import Console

    console = console or Console()
    number = len(tables["win_rate"][KEY].drop_duplicates())
    for place, table in enumerate(short_tables(tables, measures, resampling, measure)):
        if place == MOST_TABLES:
            console.print(f"… and {number - MOST_TABLES} more in tables/win_rate.md")
            break
        print_table(console, table)


def print_table(console: Console, table: Table) -> None:
    """Print ``table``, wider than the console rather than with a number cut; in a pipe without blanks at the ends."""
    from rich.measure import measure_renderables

    wide = console.options.update_width(1_000)
    for numbers in (one for one in table.columns if one.justify == "right"):
        header = measure_renderables(console, wide, [numbers.header]).minimum
        cells = measure_renderables(console, wide, list(numbers.cells)).minimum if table.row_count else 0
        numbers.min_width, numbers.overflow = max(min(header, MOST_HEADER), cells, numbers.min_width or 0), "fold"
    if console.is_terminal:
        console.print(table, crop=False)
        return
    with console.capture() as captured:
        console.print(table, crop=False)
    for line in captured.get().splitlines():
        console.out(line.rstrip(), highlight=False)


def short_tables(
    tables: dict[str, DataFrame],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    measure: str | None = None,
) -> Iterator[Table]:
    """The rich tables of ``print_summary``."""
    from rich.table import Table
    from rich.text import Text

    wins, means, lower = tables["win_rate"], tables["means"], lower_is_better(measures)
    shown = [measure] if measure else list(dict.fromkeys(means["measure"]))[:MOST_MEASURES]
    for names, part in parts(wins, KEY):
        where = dict(zip(KEY, names, strict=True))
        mean = column(part_of(means, where), "mean", ["metric", "measure"])
        header, ends = spread(part, part_of(tables["ranges"], where), where["direction"], resampling)
        comparison = compared(part_of(means, where), shown, lower)
        # One word where columns are narrow; the caption says over what.
        header, over = (header, "") if part["low"].notna().any() else ("range", header)
        table = Table(
            title=_title(wins, where),
            caption=_caption(tables, part, where, resampling, over, comparison.note),
            title_justify="left",
            caption_justify="left",
            box=None,
            pad_edge=False,
        )
        table.add_column("", no_wrap=True)
        # Rather than their numbers, the titles of columns break.
        for name, least in (("wins", 4), (header, 9), *((titled(name, measures), 5) for name in shown)):
            table.add_column(name, justify="right", min_width=least)
        ordered = by_win_rate(part, mean, shown[0], lower, places(means, where["scenario"], lower))
        winner = best_of(row.split for row in ordered)
        for row in ordered:
            interval = "–".join(brief(end) for end in ends.get(row.metric, ())) or "–"
            cells = [Text(brief(row.split), _BEST if row.split == winner else ""), Text(interval)]
            for name in shown:
                value = mean.get((row.metric, name), math.nan)
                text = brief(value, comparison.largest[name]) + MARK * ((row.metric, name) in comparison.marked)
                best = row.kind == "metric" and value == comparison.best[name]
                cells.append(Text(text, _BEST if best else ""))
            name = shortened(str(row.metric), MOST_LETTERS)
            table.add_row(Text(name), *cells, style="" if row.kind == "metric" else "dim")
        yield table


_BEST = "bold green"


def _title(wins: DataFrame, where: Mapping[str, str]) -> str:
    from rich.markup import escape

    several = wins.loc[wins["scenario"] == where["scenario"], "level"].nunique() > 1
    title = f"{shortened(where['scenario'], 40)} · recipe {shortened(where['recipe'])}"
    return escape(title + (f" · level {shortened(where['level'])}" if several else ""))


def _caption(
    tables: dict[str, DataFrame],
    part: DataFrame,
    where: Mapping[str, str],
    resampling: Resampling,
    over: str,
    note: str,
) -> str:
    from rich.markup import escape

    setups, missing = int(part["setups"].iloc[0]), int(part["missing"].iloc[0])
    text = f"{setups:,} setups"
    tied = tied_setups(part_of(tables["counts"], dict(where)))
    text += f", {tied:,} left out because {all_tie(where['direction'])}" if tied else ""
    text += f", {missing - tied:,} left out for missing values" if missing > tied else ""
    text += f"; {over}" if over else ""
    queries = independent_queries(tables["counts"], where["scenario"])
    if resampling.draws and queries < FEWEST_QUERIES:
        every = all_queries(tables["counts"], where["scenario"])
        few = f"{queries}" if queries == every else f"of {queries} famil{'y' if queries == 1 else 'ies'}"
        text += f" ({few}: too few for an interval)"
    text += "; baselines compete for no win"
    return escape(f"{text}\n{note}" if note else text)


def print_truths(truths: DataFrame, console: Console | None = None) -> None:
    """Print, for each recipe, what each source reaches on each target: mean and deviation over seeds."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    for (recipe, measure), part in parts(primary(truths), ["recipe", "measure"]):
        every = list(dict.fromkeys(part["target"]))
        targets, digits = every[:MOST_TABLES], decimals(part["mean"], part["target"])
        more = f"… and {len(every) - MOST_TABLES} more targets in tables/truth.md" if len(every) > MOST_TABLES else None
        # Over a narrow table a title of its own would break.
        console.print(Text(f"recipe {shortened(recipe)} · {measure_title(measure)}", "italic"), soft_wrap=True)
        table = Table(caption=more, caption_justify="left", box=None)
        table.add_column("", no_wrap=True)
        for target in targets:
            table.add_column(shortened(target), justify="right")
        means, sds = (column(part, name, ["source", "target"]) for name in ("mean", "sd"))
        best = {target: best_of(means[key] for key in means if key[1] == target) for target in targets}
        for source in dict.fromkeys(part["source"]):
            cells = [Text(shortened(source, MOST_LETTERS))]
            for target in targets:
                mean, sd = means.get((source, target), math.nan), sds.get((source, target), math.nan)
                spread = "" if math.isnan(sd) else f" ± {shown(sd, digits)}"
                cells.append(Text(f"{shown(mean, digits)}{spread}", _BEST if mean == best[target] else ""))
            table.add_row(*cells)
        print_table(console, table)

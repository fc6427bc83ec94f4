"""The short table with which ``aggregate`` ends in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tmbench.report.frames import KEY, column, part_of, parts
from tmbench.report.markup import by_win_rate
from tmbench.stats.measures import MEASURES

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.table import Table


def print_summary(tables: dict[str, DataFrame], console: Console | None = None, *, measure: str | None = None) -> None:
    """Print, for each scenario, recipe and level, who wins and the means; best first.

    Args:
        tables: from ``build_tables``.
        console: where to; standard output where not given.
        measure: show the mean of this one alone; all of them where not given.
    """
    from rich.console import Console

    console = console or Console()
    for table in short_tables(tables, measure):
        console.print(table)


def short_tables(tables: dict[str, DataFrame], measure: str | None = None) -> Iterator[Table]:
    """The rich tables of ``print_summary``."""
    from rich.table import Table
    from rich.text import Text

    wins, means = tables["win_rate"], tables["means"]
    measures = [measure] if measure else list(dict.fromkeys(means["measure"]))
    for names, part in parts(wins, KEY):
        scenario, recipe, level, _ = names
        mean = column(part_of(means, dict(zip(KEY, names, strict=True))), "mean", ["metric", "measure"])
        several = wins.loc[wins["scenario"] == scenario, "level"].nunique() > 1
        setups, missing = int(part["setups"].iloc[0]), int(part["missing"].iloc[0])
        left_out = f", {missing:,} left out for missing values" if missing else ""
        table = Table(
            title=f"{scenario} · recipe {recipe}" + (f" · level {level}" if several else ""),
            caption=f"{setups:,} setups{left_out}; baselines compete for no win",
            title_justify="left",
            caption_justify="left",
            box=None,
            pad_edge=False,
        )
        table.add_column("", no_wrap=True)
        table.add_column("wins", justify="right")
        table.add_column("95 % interval", justify="right")
        for name in measures:
            table.add_column(MEASURES[name].title if name in MEASURES else name, justify="right")
        ordered = by_win_rate(part, mean, measures[0])
        field = [row for row in ordered if row.kind == "metric"]
        best = {name: max((_comparable(mean.get((row.metric, name))) for row in field), default=0) for name in measures}
        winner = max((_comparable(row.split) for row in field), default=0)
        for row in ordered:
            cells = [Text(_number(row.split), _BEST if row.split == winner else "")]
            cells.append(Text("–" if math.isnan(row.low) else f"{_number(row.low)}–{_number(row.high)}"))
            for name in measures:
                value = mean.get((row.metric, name), math.nan)
                cells.append(Text(_number(value), _BEST if row.kind == "metric" and value == best[name] else ""))
            table.add_row(str(row.metric), *cells, style="" if row.kind == "metric" else "dim")
        yield table


_BEST = "bold green"


def _comparable(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")

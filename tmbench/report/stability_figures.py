"""The figures of stability: which components change the ranking, and how much evidence it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import FAINT, MARKERS, PALETTE, Figure, legend_below, new_canvas, saved
from tmbench.report.frames import KEY, parts

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_SERIES = len(PALETTE)
"""So many scenarios, recipes and levels can be told apart in one panel; the tables have them all."""


def _series(table: DataFrame) -> tuple[list[tuple[str, DataFrame]], str]:
    """The rows of each scenario, recipe and level, titled by what tells them apart; and what was left out."""
    told = [name for name in KEY[:3] if table[name].nunique() > 1]
    found = [
        (", ".join(name for key, name in zip(KEY, names, strict=True) if key in told) or names[1], part)
        for names, part in parts(table, KEY)
    ]
    more = (
        f" The first {MOST_SERIES} of {len(found)} scenarios, recipes and levels." if len(found) > MOST_SERIES else ""
    )
    return found[:MOST_SERIES], more


def stability_figure(table: DataFrame, interval: str) -> Iterator[Figure]:
    """A dot for each component that varies, with its interval over queries."""
    table = table[table["stability"].notna()]
    if table.empty:
        return
    series, more = _series(table)
    varied = list(dict.fromkeys(name for _, part in series for name in part["varied"]))
    canvas = new_canvas(5.4, 0.9 + len(varied) * (0.15 + 0.11 * len(series)))
    panel = canvas.subplots()
    step = 0.7 / max(len(series), 1)
    for number, (title, part) in enumerate(series):
        at = np.array([varied.index(name) for name in part["varied"]]) + (number - (len(series) - 1) / 2) * step
        colour = PALETTE[number]
        panel.hlines(at, part["low"], part["high"], color=colour, linewidth=3, alpha=0.35)
        panel.scatter(part["stability"], at, s=28, color=colour, marker=MARKERS[number], zorder=3, label=title)
    lines = bool(table["low"].notna().any())
    panel.axvline(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    panel.axvline(1, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    panel.set_yticks(range(len(varied)), [f"{name} varies" for name in varied])
    panel.set_ylim(len(varied) - 0.5, -0.5)
    panel.set_xlabel("stability of the ranking of the metrics")
    panel.tick_params(axis="y", length=0)
    if len(series) > 1:
        legend_below(canvas, panel)
    caption = (
        "How stable the ranking of the metrics is when one component of a setup varies and the others stay: mean "
        f"Kendall τ between two setups, 1 for always the same ranking.{f' Lines: {interval}.' if lines else ''}{more}"
    )
    yield saved(canvas, "stability", caption, "Stability of the ranking by the component that varies")


def convergence_figure(table: DataFrame) -> Iterator[Figure]:
    """The probability to name the winner against the number of setups (log axis) and of queries.

    None where each has fewer than two points: nothing would be seen to converge.
    """
    if table.empty or table.groupby([*KEY, "unit"], sort=False).size().max() < 2:
        return
    series, more = _series(table)
    canvas = new_canvas(7.2, 2.9)
    panels = canvas.subplots(1, 2, sharey=True)
    for number, (title, part) in enumerate(series):
        for panel, unit in zip(panels, ("setups", "queries"), strict=True):
            chosen = part[part["unit"] == unit]
            panel.plot(
                chosen["count"],
                chosen["probability"],
                color=PALETTE[number],
                marker=MARKERS[number],
                markersize=4,
                linewidth=1.3,
                label=title,
            )
    panels[0].set_xscale("log")
    # Plain numbers where there are values, rather than powers of ten.
    counts = sorted({int(count) for count in table.loc[table["unit"] == "setups", "count"]})
    panels[0].set_xticks(counts, [f"{count:,}" for count in counts])
    panels[0].minorticks_off()
    panels[0].set_xlabel("setups drawn at random")
    panels[1].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # half a query is none
    most = int(table.loc[table["unit"] == "queries", "count"].max()) if (table["unit"] == "queries").any() else 0
    panels[1].set_xlim(0.5, max(most, 1) + 0.5)
    if not most:
        panels[1].text(1, 0.5, "too few independent queries", ha="center", va="center", color=FAINT)
    panels[1].set_xlabel("queries, against the remaining ones")
    panels[0].set_ylabel("names the winner")
    panels[0].set_ylim(-0.03, 1.03)
    if len(series) > 1:
        legend_below(canvas, panels[0])
    caption = (
        "How much it takes to name the winner. Left: the probability that so many setups drawn at random have the same "
        "winner as the whole study. Right: that so many queries have the same winner as the queries left over, which "
        f"says more, since the setups of one query are alike.{more}"
    )
    yield saved(canvas, "convergence", caption, "Probability to name the winner by number of setups and of queries")

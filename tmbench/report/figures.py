"""The figures of a study: win rates, agreement on each query, stability, convergence, scores against truths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import (
    ACROSS,
    FAINT,
    MOST_PANELS,
    PALETTE,
    Figure,
    Figures,
    drawing,
    legend_below,
    order_of,
    panel_grid,
    saved,
    scenarios,
    slices,
)  # fmt: skip
from tmbench.report.captions import interval_name
from tmbench.report.frames import part_of, shortened
from tmbench.report.markup import lower_is_better, titled
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure
from tmbench.stats.per_query import COMMON

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from tmbench.report.tables import Scene

__all__ = ["Figures", "draw_figures"]


def draw_figures(
    scenes: Sequence[Scene],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    tables: dict[str, DataFrame],
) -> Figures:
    """All figures of the study, from its cells and the tables that ``build_tables`` made."""
    from tmbench.report.scatters import scatters
    from tmbench.report.stability_figures import convergence_figure, stability_figure

    figures = Figures()
    with drawing():
        figures.drawn += _win_rates(tables, interval_name(resampling))
        figures.drawn += _agreements(tables, measures, interval_name(resampling))
        figures.drawn += stability_figure(tables["stability"], interval_name(resampling))
        figures.drawn += convergence_figure(tables["convergence"])
        scatters(figures, scenes, measures, tables)
    return figures


def _of(scenario: str, name: str, figure: str) -> str:
    """What a caption begins with where each scenario has a figure of its own."""
    return "" if name == figure else f"{scenario}. "


def _more(number: int) -> str:
    return f" The first {MOST_PANELS} of {number} recipes and levels." if number > MOST_PANELS else ""


def _win_rates(tables: dict[str, DataFrame], interval: str) -> Iterator[Figure]:
    """One figure a scenario: the share of setups that each metric wins, ties split, with its interval."""
    table = tables["win_rate"]
    for scenario, name, part in scenarios(table[table["split"].notna()], "win_rate"):
        found = slices(part)
        order = order_of(part, "split")
        shown = found[:MOST_PANELS]
        canvas, panels = panel_grid(len(shown), 3.1, 0.7 + 0.32 * len(order), order, sharey=True)
        for number, (panel, (title, wins)) in enumerate(zip(panels, shown, strict=True)):
            _win_rate_panel(panel, wins.set_index("metric"), order, interval)
            panel.set_title(title, loc="left", fontweight="bold")
            if number >= len(shown) - ACROSS:
                panel.set_xlabel("share of setups won")
        legend_below(canvas, panels[0])
        intervals = f" Thick lines: {interval} over queries." if part["low"].notna().any() else ""
        caption = (
            "How often each metric is the best of the field. Dot: ties split; ends of the thin line: won alone, "
            f"and won or tied.{intervals} Dotted: what a metric drawn at random would win.{_more(len(found))}"
        )
        yield saved(canvas, name, _of(scenario, name, "win_rate") + caption, f"Win rate of each metric, {scenario}")


def _win_rate_panel(panel: Axes, wins: DataFrame, order: list[str], interval: str) -> None:
    here = [name for name in order if name in wins.index]
    at = np.array([order.index(name) for name in here])
    value = wins.loc[here]
    panel.hlines(at, value["strict"], value["all"], color=FAINT, linewidth=1, label="won alone to won or tied")
    panel.scatter(value["strict"], at, marker="|", s=30, color=FAINT, linewidth=1)
    panel.scatter(value["all"], at, marker="|", s=30, color=FAINT, linewidth=1)
    if value["low"].notna().any():
        panel.hlines(at, value["low"], value["high"], color=PALETTE[0], linewidth=4, alpha=0.35, label=interval)
    panel.scatter(value["split"], at, s=34, color=PALETTE[0], zorder=3, label="win rate, ties split")
    panel.axvline(1 / len(here), color=FAINT, linestyle=":", linewidth=1, zorder=0, label="by chance")
    right = value[["all", "high", "split"]].max(axis=1)
    for y, (end, rate) in enumerate(zip(right, value["split"], strict=True)):
        panel.annotate(f"{rate:.2f}", (end, at[y]), (5, 0), "data", "offset points", va="center", fontsize=7)
    panel.set_yticks(range(len(order)), [shortened(name) for name in order])
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.set_xlim(-0.02, min(1.12, float(right.max()) * 1.18 + 0.05))
    panel.tick_params(axis="y", length=0)


def _agreements(tables: dict[str, DataFrame], measures: Mapping[str, Measure], interval: str) -> Iterator[Figure]:
    """One figure a scenario: the first measure on each query's full pool, and its mean, baselines too."""
    table = tables["by_candidates"]
    table = table[(table["candidates"] == COMMON) & (table["mean"].notna() | (table["kind"] == "metric"))]
    if table.empty:
        return
    measure = str(table["measure"].iloc[0])
    title, lower = titled(measure, measures), measure in lower_is_better(measures)
    points = part_of(tables["per_query"], {"measure": measure})
    for scenario, name, part in scenarios(table[table["measure"] == measure], "agreement"):
        found, of_scenario = slices(part), part_of(points, {"scenario": scenario})
        order = order_of(part, "mean", lower)
        shown = found[:MOST_PANELS]
        canvas, panels = panel_grid(len(shown), 3.1, 0.7 + 0.3 * len(order), order, sharey=True, sharex=True)
        for number, (panel, (panel_title, means)) in enumerate(zip(panels, shown, strict=True)):
            where = {"recipe": str(means["recipe"].iloc[0]), "level": str(means["level"].iloc[0])}
            _agreement_panel(panel, means.set_index("metric"), part_of(of_scenario, where), order, interval)
            panel.set_title(panel_title, loc="left", fontweight="bold")
            if number >= len(shown) - ACROSS:
                panel.set_xlabel(title)
        legend_below(canvas, panels[0])
        caption = (
            f"{title[:1].upper()}{title[1:]} of score and truth on the full pool of each query, and the mean, which is "
            "not the mean over setups: their pools may hold only some of these candidates."
        )
        caption = _of(scenario, name, "agreement") + caption + _more(len(found))
        yield saved(canvas, name, caption, f"{title} per query, {scenario}")


def _agreement_panel(panel: Axes, means: DataFrame, points: DataFrame, order: list[str], interval: str) -> None:
    place = {name: number for number, name in enumerate(order)}
    for kinds, colour, label in ((("metric",), PALETTE[0], "one query"), (("variant", "baseline"), PALETTE[6], "")):
        some = points[points["kind"].isin(kinds)]
        heights = some["metric"].map(place)
        panel.scatter(some["value"], heights, s=16, color=colour, alpha=0.4, linewidth=0, label=label or None)
        row = means[means["kind"].isin(kinds)]
        at = np.array([place[name] for name in row.index])
        panel.scatter(row["mean"], at, marker="|", s=150, linewidth=2.2, color=colour, zorder=3, label=_mean_of(label))
        if row["low"].notna().any():
            panel.hlines(
                at, row["low"], row["high"], color=colour, linewidth=4, alpha=0.3, label=interval if label else ""
            )
    panel.axvline(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    panel.scatter([], [], s=16, color=PALETTE[6], alpha=0.4, label="baseline or variant")
    panel.set_yticks(range(len(order)), [shortened(name) for name in order])
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)


def _mean_of(label: str) -> str | None:
    return "mean over queries" if label else None

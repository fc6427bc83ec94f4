"""The figures of a study: score against truth, win rates, and agreement on each query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.frames import parts, rows
from tmbench.stats.cells import Cells, common_candidates
from tmbench.stats.measures import MEASURES
from tmbench.stats.per_query import COMMON

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from pandas import DataFrame

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Okabe and Ito's colours, told apart with every common colour blindness; the darkest first."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""A shape for each family too, so that colour never carries a meaning alone."""

INK, FAINT = "#1f2933", "#9aa5b1"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    # Ids inside the file are hashes; a fixed salt makes the file the same on each run.
    "svg.hashsalt": "tmbench",
}


@dataclass(frozen=True)
class Figure:
    """A picture in both formats: a file name without ending, a caption, and the words for who cannot see it."""

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


def draw_figures(every: Sequence[Cells], tables: dict[str, DataFrame]) -> list[Figure]:
    """All figures of the study, from its cells and the tables that ``build_tables`` made."""
    import matplotlib

    settings: Any = STYLE
    with matplotlib.rc_context(settings):
        return [*_win_rates(tables), *_agreements(tables), *_scatters(every, tables)]


def _canvas(width: float, height: float) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(canvas)
    return canvas


def _saved(canvas: Canvas, name: str, caption: str, alt: str) -> Figure:
    svg, png = BytesIO(), BytesIO()
    # No date and no version: the same picture is the same file.
    canvas.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # The layout is found; finding it again for the second format would take as long again.
    canvas.set_layout_engine("none")
    canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Figure(name, caption, alt, svg.getvalue(), png.getvalue())


def _scenes(table: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """The (recipe, level) panels of each scenario, titled by what tells them apart."""
    several = table["level"].nunique() > 1
    for (recipe, level), part in parts(table, ["recipe", "level"]):
        yield f"{recipe}, {level}" if several else recipe, part


def _win_rates(tables: dict[str, DataFrame]) -> Iterator[Figure]:
    """One figure a scenario: the share of setups that each metric wins, ties split, with its interval."""
    table = tables["win_rate"]
    table = table[table["split"].notna()]
    for (scenario,), of_scenario in parts(table, ["scenario"]):
        scenes = list(_scenes(of_scenario))
        order = _order(of_scenario, "split")
        canvas = _canvas(1.0 + 3.1 * len(scenes), 1.15 + 0.32 * len(order))
        panels = canvas.subplots(1, len(scenes), sharey=True, squeeze=False)[0]
        for panel, (title, part) in zip(panels, scenes, strict=True):
            _win_rate_panel(panel, part.set_index("metric"), order)
            panel.set_title(title, loc="left", fontweight="bold")
            panel.set_xlabel("share of setups won")
        _legend_below(canvas, panels[0])
        intervals = " Thick lines: 95 % intervals over queries." if of_scenario["low"].notna().any() else ""
        caption = (
            "How often each metric is the best of the field. Dot: ties split; ends of the thin line: won alone, "
            f"and won or tied.{intervals} Dotted: what a metric drawn at random would win."
        )
        yield _saved(canvas, _name("win_rate", scenario, table), caption, f"Win rate of each metric, {scenario}")


def _win_rate_panel(panel: Axes, wins: DataFrame, order: list[str]) -> None:
    here = [name for name in order if name in wins.index]
    at = np.array([order.index(name) for name in here])
    value = wins.loc[here]
    panel.hlines(at, value["strict"], value["all"], color=FAINT, linewidth=1, label="won alone to won or tied")
    panel.scatter(value["strict"], at, marker="|", s=30, color=FAINT, linewidth=1)
    panel.scatter(value["all"], at, marker="|", s=30, color=FAINT, linewidth=1)
    if value["low"].notna().any():
        panel.hlines(at, value["low"], value["high"], color=PALETTE[0], linewidth=4, alpha=0.35, label="95 % interval")
    panel.scatter(value["split"], at, s=34, color=PALETTE[0], zorder=3, label="win rate, ties split")
    panel.axvline(1 / len(here), color=FAINT, linestyle=":", linewidth=1, zorder=0, label="by chance")
    right = value[["all", "high", "split"]].max(axis=1)
    for y, (end, rate) in enumerate(zip(right, value["split"], strict=True)):
        panel.annotate(f"{rate:.2f}", (end, at[y]), (5, 0), "data", "offset points", va="center", fontsize=7)
    panel.set_yticks(range(len(order)), order)
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.set_xlim(-0.02, min(1.12, float(right.max()) * 1.18 + 0.05))
    panel.tick_params(axis="y", length=0)


def _agreements(tables: dict[str, DataFrame]) -> Iterator[Figure]:
    """One figure a scenario: the first measure on each query's full pool, and its mean, baselines too."""
    table = tables["by_candidates"]
    table = table[table["candidates"] == COMMON]
    if table.empty:
        return
    measure = str(table["measure"].iloc[0])
    title = MEASURES[measure].title if measure in MEASURES else measure
    table = table[table["measure"] == measure]
    points = tables["per_query"]
    points = points[points["measure"] == measure]
    for (scenario,), of_scenario in parts(table, ["scenario"]):
        scenes = list(_scenes(of_scenario))
        order = _order(of_scenario, "mean")
        canvas = _canvas(1.0 + 3.1 * len(scenes), 1.15 + 0.3 * len(order))
        panels = canvas.subplots(1, len(scenes), sharey=True, sharex=True, squeeze=False)[0]
        for panel, (name, part) in zip(panels, scenes, strict=True):
            key = ["scenario", "recipe", "level"]
            same = (points[key] == part[key].iloc[0]).all(axis=1)
            _agreement_panel(panel, part.set_index("metric"), points[same], order)
            panel.set_title(name, loc="left", fontweight="bold")
            panel.set_xlabel(title)
        _legend_below(canvas, panels[0])
        caption = f"{title} of score and truth on the full pool of each query, and the mean over queries."
        yield _saved(canvas, _name("agreement", scenario, table), caption, f"{title} per query, {scenario}")


def _agreement_panel(panel: Axes, means: DataFrame, points: DataFrame, order: list[str]) -> None:
    for y, name in enumerate(order):
        if name not in means.index:
            continue
        row = means.loc[name]
        colour = PALETTE[0] if row["kind"] == "metric" else PALETTE[6]
        values = points.loc[points["metric"] == name, "value"]
        panel.scatter(values, np.full(len(values), y), s=16, color=colour, alpha=0.4, linewidth=0)
        panel.hlines(y, row["low"], row["high"], color=colour, linewidth=4, alpha=0.3)
        panel.scatter([row["mean"]], [y], marker="|", s=150, linewidth=2.2, color=colour, zorder=3)
    panel.axvline(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
    panel.scatter([], [], s=16, color=PALETTE[0], alpha=0.4, label="one query")
    panel.scatter([], [], marker="|", s=80, linewidth=2.2, color=PALETTE[0], label="mean over queries")
    if means["low"].notna().any():
        panel.plot([], [], color=PALETTE[0], linewidth=4, alpha=0.3, label="95 % interval")
    panel.scatter([], [], s=16, color=PALETTE[6], label="baseline or variant")
    panel.set_yticks(range(len(order)), order)
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)


def _scatters(every: Sequence[Cells], tables: dict[str, DataFrame]) -> Iterator[Figure]:
    """One figure a scenario, recipe and level: metrics down, queries across, a point a candidate."""
    points = tables["per_query"]
    measure = str(points["measure"].iloc[0]) if len(points) else ""
    for cells in every:
        common = common_candidates(cells)
        for recipe, recipe_name in enumerate(cells.recipes):
            for level, level_name in enumerate(cells.levels):
                chosen = points[
                    (points["scenario"] == cells.scenario)
                    & (points["recipe"] == recipe_name)
                    & (points["level"] == level_name)
                    & (points["measure"] == measure)
                ]
                agreement = {(row.metric, row.query): row.value for row in rows(chosen)}
                canvas = _scatter(cells, recipe, level, common, agreement)
                parts = [recipe_name]
                parts += [level_name] if len(cells.levels) > 1 else []
                parts += [cells.scenario] if len(every) > 1 else []
                title = MEASURES[measure].title if measure in MEASURES else measure
                caption = (
                    f"Score against truth, recipe {recipe_name}: a point a candidate, hollow where it is a random "
                    f"start. In the corner {title} over the candidates that all metrics can score."
                )
                yield _saved(canvas, _file_name("scatter", *parts), caption, f"Score against truth, {recipe_name}")


def _scatter(
    cells: Cells, recipe: int, level: int, common: np.ndarray, agreement: dict[tuple[Any, Any], float]
) -> Canvas:
    from matplotlib.ticker import MaxNLocator

    shown = [metric for metric, kind in enumerate(cells.kinds) if kind == "metric"]
    truth = cells.mean_truth[recipe]
    families = list(dict.fromkeys(cells.families))
    canvas = _canvas(0.6 + 1.62 * len(cells.queries), 0.9 + 1.3 * len(shown))
    panels = canvas.subplots(len(shown), len(cells.queries), sharex="col", squeeze=False)
    for down, metric in enumerate(shown):
        for across, query in enumerate(cells.queries):
            panel = panels[down][across]
            for number, family in enumerate(families):
                for random in (False, True):
                    member = np.array([name == family for name in cells.families]) & (cells.random_start == random)
                    colour = PALETTE[number % len(PALETTE)]
                    panel.scatter(
                        truth[across, member],
                        cells.scores[level, metric, across, member],
                        s=22,
                        marker=MARKERS[number % len(MARKERS)],
                        facecolor="none" if random else colour,
                        edgecolor=colour,
                        linewidth=1,
                        alpha=0.85,
                        label=f"{family}, random start" if random else family,
                    )
            panel.margins(0.12)
            panel.xaxis.set_major_locator(MaxNLocator(3))
            panel.yaxis.set_major_locator(MaxNLocator(3))
            panel.tick_params(labelsize=6, length=2)
            value = agreement.get((cells.metrics[metric], query), np.nan)
            if not np.isnan(value):
                # Above the panel rather than in it, so that it never covers a point.
                panel.set_title(f"{value:.2f}".replace("-", "−"), loc="right", fontsize=7, color=INK, pad=2)
            if down == 0:
                # A line above the value, and smaller where it is long, so that the two never meet.
                size = min(8.0, 8.0 * 17 / max(len(query), 1))
                panel.set_title(f"{query}\n", loc="left", fontweight="bold", fontsize=size, pad=2)
            if across == 0:
                panel.set_ylabel(cells.metrics[metric], fontweight="bold")
            if down == len(shown) - 1:
                panel.set_xlabel("truth", fontsize=7)
    canvas.align_ylabels(panels[:, 0])
    _legend_below(canvas, panels[0][0])
    return canvas


def _order(table: DataFrame, column: str) -> list[str]:
    """Names by their mean over the panels, best first."""
    return [str(name) for name in table.groupby("metric", sort=False)[column].mean().sort_values(ascending=False).index]


def _legend_below(canvas: Canvas, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    columns = min(len(labels), max(2, int(canvas.get_size_inches()[0] / 1.6)))
    canvas.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7)


def _name(figure: str, scenario: str, table: DataFrame) -> str:
    return _file_name(figure, scenario) if table["scenario"].nunique() > 1 else figure


def _file_name(*parts: str) -> str:
    return "_".join("".join(c if c.isalnum() else "_" for c in part) for part in parts)

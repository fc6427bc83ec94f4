"""Score against truth, a point a candidate: metrics down and queries across, or the leading metric alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import (
    INK,
    MARKERS,
    PALETTE,
    Figure,
    Figures,
    file_name,
    legend_below,
    new_canvas,
    saved,
)
from tmbench.report.frames import part_of, shortened
from tmbench.report.markup import titled
from tmbench.stats.cells import Cells
from tmbench.stats.measures import Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from pandas import DataFrame

    from tmbench.report.tables import Scene

MOST_PANELS = 40
"""With more panels no point would be seen, and drawing them would take longest of all."""

MOST_ACROSS = 10
"""With more queries in one row their names could not be read."""

MOST_ALONE = 24
"""So many queries are shown of the leading metric alone, where all metrics would be more than ``MOST_PANELS``."""

MOST_ALONE_IN_ALL = 60
"""So many such panels are drawn in one report: they take a second."""

MOST_FIGURES = 6

Agreement = Mapping[tuple[str, str], float]
"""The first measure on the full pool by (metric, query)."""


def scatters(
    figures: Figures, scenes: Sequence[Scene], measures: Mapping[str, Measure], tables: dict[str, DataFrame]
) -> None:
    """Add one figure for each scenario, recipe and level to ``figures``, or say why there is none."""
    points = tables["per_query"]
    measure = str(points["measure"].iloc[0]) if len(points) else ""
    points = points[points["measure"] == measure]
    corner = f"{titled(measure, measures)} over the candidates all metrics can score."
    drawn = alone = 0
    for cells in (scene.cells for scene in scenes):
        shown = [metric for metric, kind in enumerate(cells.kinds) if kind == "metric"]
        queries = len(cells.queries)
        if not shown or not queries:
            continue
        whole = len(shown) * queries <= MOST_PANELS and queries <= MOST_ACROSS
        slices = list(np.ndindex(len(cells.recipes), len(cells.levels)))
        if not whole:
            alone += queries * len(slices)
            fits = queries <= MOST_ALONE and alone <= MOST_ALONE_IN_ALL
            figures.left_out.append(_left_out(cells, len(shown), fits))
            if not fits:
                continue
        for recipe, level in slices:
            drawn += 1
            if drawn > MOST_FIGURES:
                continue
            names = [cells.recipes[recipe]]
            names += [cells.levels[level]] if len(cells.levels) > 1 else []
            names += [cells.scenario] if len(scenes) > 1 else []
            where = {"scenario": cells.scenario, "recipe": cells.recipes[recipe], "level": cells.levels[level]}
            chosen = part_of(points, where)
            agreement = dict(zip(zip(chosen["metric"], chosen["query"], strict=True), chosen["value"], strict=True))
            metric = None if whole else _leading(part_of(tables["win_rate"], where), cells, shown)
            figures.drawn.append(_figure(cells, recipe, level, shown, metric, agreement, names, corner))
    if drawn > MOST_FIGURES:
        left = drawn - MOST_FIGURES
        figures.left_out.append(f"{left} more figures of score against truth are left out; tables/cells.csv has all.")


def _left_out(cells: Cells, metrics: int, fits: bool) -> str:
    count = f"{metrics} metrics × {len(cells.queries)} queries are more panels than can be read"
    if fits:
        return f"In {cells.scenario} score against truth is shown for one metric: {count}; tables/cells.csv has all."
    return f"No figure of score against truth for {cells.scenario}: {count}. The values are in tables/cells.csv."


def _titles(queries: Sequence[str], most: int) -> list[str]:
    """The titles of panels, a line for each part of ``SOURCE · OPTION``; less the source where all have the same."""
    parts = [query.split(" · ") for query in queries]
    if len({tuple(part[:-1]) for part in parts}) == 1:
        parts = [part[-1:] for part in parts]
    return ["\n".join(shortened(name, most) for name in part) for part in parts]


def _leading(wins: DataFrame, cells: Cells, shown: list[int]) -> int:
    """The metric with the highest win rate; the first where none has one, or it is combined in each pool."""
    rates = dict(zip(wins["metric"], wins["split"].fillna(-1.0), strict=True))
    return max(shown, key=lambda metric: float(rates.get(cells.metrics[metric], -1.0)))


def _figure(
    cells: Cells,
    recipe: int,
    level: int,
    shown: list[int],
    metric: int | None,
    agreement: Agreement,
    names: list[str],
    corner: str,
) -> Figure:
    """All of ``shown``, or ``metric`` alone where one is given."""
    of = ", ".join(names)
    caption = f"{of}: a point a candidate, hollow where a random start. In the corner {corner}"
    if metric is None:
        title = f"Score against truth, {of}"
        canvas = _scatter(cells, recipe, level, shown, agreement)
        return saved(canvas, file_name("scatter", *names), f"Score against truth, {caption}", title)
    title = f"Score of {cells.metrics[metric]}, which wins most often, against truth"
    canvas = _multiples(cells, recipe, level, metric, agreement)
    return saved(canvas, file_name("leading", *names), f"{title}, {caption}", f"{title}, {of}")


def _multiples(cells: Cells, recipe: int, level: int, metric: int, agreement: Agreement) -> Canvas:
    """The queries in rows of five, a panel each."""
    across = min(5, len(cells.queries))
    down = -(-len(cells.queries) // across)
    width, height = 0.5 + 1.5 * across, 1.0 + 1.25 * down
    # All panels are alike, so that the place of each is known; finding it would take longer than drawing.
    canvas = new_canvas(width, height, None)
    panels = canvas.subplots(down, across, squeeze=False).ravel().tolist()
    canvas.subplots_adjust(0.35 / width, 0.85 / height, 1 - 0.1 / width, 1 - 0.3 / height, wspace=0.14, hspace=0.5)
    for unused in panels[len(cells.queries) :]:
        unused.remove()
    titles = _titles(cells.queries, 18)
    for number, (panel, query) in enumerate(zip(panels, cells.queries, strict=False)):
        _points(panel, cells, cells.mean_truth[recipe, number], cells.scores[level, metric, number])
        panel.margins(0.12)
        # The unit of a score says nothing across queries.
        panel.set_yticks([])
        panel.tick_params(labelsize=6, length=2)
        panel.locator_params(axis="x", nbins=3)
        # Told where they stand, titles need no search for a free place, which would take as long as the points.
        _corner(panel, agreement.get((cells.metrics[metric], query), np.nan), y=1.0)
        panel.set_title(titles[number], loc="left", fontweight="bold", fontsize=6.5, pad=2, y=1.0)
    canvas.supylabel(shortened(cells.metrics[metric]), fontsize=8, fontweight="bold", x=0.1 / width)
    canvas.supxlabel("truth", fontsize=7, y=0.5 / height)
    legend_below(canvas, panels[0])
    return canvas


def _scatter(cells: Cells, recipe: int, level: int, shown: list[int], agreement: Agreement) -> Canvas:
    canvas = new_canvas(0.6 + 1.62 * len(cells.queries), 0.9 + 1.3 * len(shown))
    panels = canvas.subplots(len(shown), len(cells.queries), sharex="col", squeeze=False)
    titles = _titles(cells.queries, 30)
    for down, metric in enumerate(shown):
        for across, query in enumerate(cells.queries):
            panel = panels[down][across]
            _panel(panel, cells, cells.mean_truth[recipe, across], cells.scores[level, metric, across])
            _corner(panel, agreement.get((cells.metrics[metric], query), np.nan))
            if down == 0:
                # A line above the value, and smaller where it is long, so that the two never meet.
                size = min(8.0, 8.0 * 17 / max(1, *map(len, titles[across].split("\n"))))
                panel.set_title(f"{titles[across]}\n", loc="left", fontweight="bold", fontsize=size, pad=2)
            if across == 0:
                panel.set_ylabel(shortened(cells.metrics[metric], 18), fontweight="bold")
            if down == len(shown) - 1:
                panel.set_xlabel("truth", fontsize=7)
    canvas.align_ylabels(panels[:, 0])
    legend_below(canvas, panels[0][0])
    return canvas


def _corner(panel: Axes, value: float, y: float | None = None) -> None:
    """The agreement above the panel rather than in it, so that it never covers a point."""
    if not np.isnan(value):
        panel.set_title(f"{value:.2f}".replace("-", "−"), loc="right", fontsize=7, color=INK, pad=2, y=y)


def _panel(panel: Axes, cells: Cells, truth: np.ndarray, scores: np.ndarray) -> None:
    from matplotlib.ticker import MaxNLocator

    _points(panel, cells, truth, scores)
    panel.margins(0.12)
    panel.xaxis.set_major_locator(MaxNLocator(3))
    panel.yaxis.set_major_locator(MaxNLocator(3))
    panel.tick_params(labelsize=6, length=2)


def _points(panel: Axes, cells: Cells, truth: np.ndarray, scores: np.ndarray) -> None:
    """A series for each family and, hollow, its random starts. An infinite score has no place in a panel."""
    finite = np.where(np.isfinite(scores), scores, np.nan)
    for number, family in enumerate(dict.fromkeys(cells.families)):
        colour = PALETTE[number % len(PALETTE)]
        for random in (False, True):
            member = np.array([name == family for name in cells.families]) & (cells.random_start == random)
            if not member.any():
                continue
            label = family or "candidates"
            panel.scatter(
                truth[member],
                finite[member],
                s=22,
                marker=MARKERS[number % len(MARKERS)],
                facecolor="none" if random else colour,
                edgecolor=colour,
                linewidth=1,
                alpha=0.85,
                label=f"{label}, random start" if random else label,
            )

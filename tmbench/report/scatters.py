"""Score against truth: metrics down, queries across, a point a candidate; where these are few enough to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import INK, MARKERS, PALETTE, Figures, file_name, legend_below, new_canvas, saved
from tmbench.report.frames import part_of
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

MOST_FIGURES = 6


def scatters(
    figures: Figures, scenes: Sequence[Scene], measures: Mapping[str, Measure], tables: dict[str, DataFrame]
) -> None:
    """Add one figure for each scenario, recipe and level to ``figures``, or say why there is none."""
    points = tables["per_query"]
    measure = str(points["measure"].iloc[0]) if len(points) else ""
    points = points[points["measure"] == measure]
    drawn = 0
    for cells in (scene.cells for scene in scenes):
        shown = [metric for metric, kind in enumerate(cells.kinds) if kind == "metric"]
        panels = len(shown) * len(cells.queries)
        if not panels:
            continue
        if panels > MOST_PANELS:
            figures.left_out.append(
                f"No figure of score against truth for {cells.scenario}: {len(shown)} metrics × {len(cells.queries)} "
                f"queries are more than {MOST_PANELS} panels. The values are in tables/cells.csv."
            )
            continue
        of_scenario = part_of(points, {"scenario": cells.scenario})
        for recipe, level in np.ndindex(len(cells.recipes), len(cells.levels)):
            drawn += 1
            if drawn > MOST_FIGURES:
                continue
            names = [cells.recipes[recipe]]
            names += [cells.levels[level]] if len(cells.levels) > 1 else []
            names += [cells.scenario] if len(scenes) > 1 else []
            chosen = part_of(of_scenario, {"recipe": cells.recipes[recipe], "level": cells.levels[level]})
            agreement = dict(zip(zip(chosen["metric"], chosen["query"], strict=True), chosen["value"], strict=True))
            caption = (
                f"Score against truth, {', '.join(names)}: a point a candidate, hollow where a random "
                f"start. In the corner {titled(measure, measures)} over the candidates all metrics can score."
            )
            canvas = _scatter(cells, recipe, level, shown, agreement)
            alt = f"Score against truth, {', '.join(names)}"
            figures.drawn.append(saved(canvas, file_name("scatter", *names), caption, alt))
    if drawn > MOST_FIGURES:
        left = drawn - MOST_FIGURES
        figures.left_out.append(f"{left} more figures of score against truth are left out; tables/cells.csv has all.")


def _scatter(
    cells: Cells, recipe: int, level: int, shown: list[int], agreement: dict[tuple[str, str], float]
) -> Canvas:
    from matplotlib.ticker import MaxNLocator

    canvas = new_canvas(0.6 + 1.62 * len(cells.queries), 0.9 + 1.3 * len(shown))
    panels = canvas.subplots(len(shown), len(cells.queries), sharex="col", squeeze=False)
    for down, metric in enumerate(shown):
        for across, query in enumerate(cells.queries):
            panel = panels[down][across]
            _points(panel, cells, cells.mean_truth[recipe, across], cells.scores[level, metric, across])
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
    legend_below(canvas, panels[0][0])
    return canvas


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

"""The figures of the truths: each source's seeds and mean on each target, and what longer schedules bring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import (
    ACROSS,
    FAINT,
    INK,
    MARKERS,
    MOST_PANELS,
    PALETTE,
    Figure,
    drawing,
    file_name,
    legend_below,
    panel_grid,
    saved,
)
from tmbench.report.frames import shortened
from tmbench.report.truths import measure_title
from tmbench.stats.truths import CLEAR_P, RANDOM_START, Runs, differ_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", ":", "-.")
"""One for each family, the smallest first."""


def truth_figures(every: Sequence[Runs]) -> list[Figure]:
    """One figure a recipe, and one of the schedules where a source has several; of the recipe's own measure."""
    first: dict[tuple[str, str], str] = {}
    for runs in every:
        first.setdefault((runs.target, runs.recipe), runs.measure)
    shown = [runs for runs in every if runs.measure == first[runs.target, runs.recipe] and not np.isnan(runs.mean)]
    recipes = _grouped(shown, "recipe")
    with drawing():
        return [
            *(_by_source(recipe, runs, len(recipes) > 1) for recipe, runs in recipes.items()),
            *_over_epochs(shown),
        ]


def _grouped(every: Sequence[Runs], name: str) -> dict[str, list[Runs]]:
    found: dict[str, list[Runs]] = {}
    for runs in every:
        found.setdefault(getattr(runs, name), []).append(runs)
    return found


def _more(number: int, panels: str = "targets") -> str:
    return f" The first {MOST_PANELS} of {number} {panels}." if number > MOST_PANELS else ""


def _by_option(every: Sequence[Runs]) -> list[Runs]:
    """Those of the targets that one option stands for, ``NAME.003``, together: a value is the mean on one of them."""
    found: dict[tuple[str, str], list[Runs]] = {}
    for runs in every:
        found.setdefault((re.sub(r"\.\d{3,}$", "", runs.target), runs.source), []).append(runs)
    return [
        replace(some[0], target=option, values=np.array([one.mean for one in some]))
        for (option, _), some in found.items()
    ]


def _by_source(recipe: str, every: Sequence[Runs], several: bool) -> Figure:
    """Seeds and mean of each source, one panel a target, the sources in the order of their mean over targets.

    Where these are many, a panel holds all that an option stands for.
    """
    targets, dot, title = _grouped(every, "target"), "seed", "targets"
    if len(targets) > MOST_PANELS and len(options := _by_option(every)) < len(every):
        targets, dot, title = _grouped(options, "target"), "target", "options, each of several targets"
    overall = {source: float(np.mean([one.mean for one in runs])) for source, runs in _grouped(every, "source").items()}
    order = sorted(overall, key=lambda source: -overall[source])
    shown = list(targets.items())[:MOST_PANELS]
    random = any(one.initialisation == RANDOM_START for _, runs in shown for one in runs)
    canvas, panels = panel_grid(len(shown), 3.0, 0.8 + 0.26 * len(order), order, sharey=True)
    for number, (panel, (target, runs)) in enumerate(zip(panels, shown, strict=True)):
        _source_panel(panel, runs, order, dot, random)
        p = differ_p([one.values for one in runs]) if dot == "seed" else np.nan
        panel.set_title(shortened(target), loc="left", fontweight="bold")
        if p >= CLEAR_P:
            panel.set_title("no difference beyond seeds", loc="right", fontsize=7, color=PALETTE[1])
        if number >= len(shown) - ACROSS:
            panel.set_xlabel(measure_title(runs[0].measure))
    legend_below(canvas, panels[0])
    caption = (
        f"What each source reaches by the recipe {recipe}: a dot a {dot}, the mean as a line; better is to the "
        "right, on a scale of each panel's own. Sources in the order of their mean over the targets that they have"
        f"{'; random starts in grey' * random}.{_more(len(targets), title)}"
    )
    name = file_name("truth", recipe) if several else "truth"
    return saved(canvas, name, caption, f"Truth by source and target, recipe {recipe}")


def _source_panel(panel: Axes, every: Sequence[Runs], order: list[str], dot: str, random: bool) -> None:
    """One target; ``random``: whether any panel has a random start, since the legend is that of the first."""
    for kind, colour, label in ((False, PALETTE[0], f"one {dot}"), (True, PALETTE[6], "")):
        chosen = [runs for runs in every if (runs.initialisation == RANDOM_START) == kind]
        heights = [order.index(runs.source) for runs in chosen]
        values = [runs.values[~np.isnan(runs.values)] for runs in chosen]
        dots = np.concatenate(values) if values else np.empty(0)
        at = np.repeat(heights, [len(found) for found in values])
        panel.scatter(dots, at, s=16, color=colour, alpha=0.45, linewidth=0, label=label or None)
        means = [runs.mean for runs in chosen]
        panel.scatter(
            means, heights, marker="|", s=150, linewidth=2.2, color=colour, zorder=3, label="mean" if label else None
        )
    if random:
        panel.scatter([], [], s=16, color=PALETTE[6], alpha=0.45, label="random start")
    panel.grid(axis="y", color=FAINT, linewidth=0.3, alpha=0.5)
    # More would run into each other where the numbers are long, as those of a small error are.
    panel.locator_params(axis="x", nbins=4)
    panel.set_yticks(range(len(order)), [shortened(name) for name in order])
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)


def _over_epochs(every: Sequence[Runs]) -> Iterator[Figure]:
    """The mean over the epochs of the schedule, a line a source and protocol; where any has several schedules."""
    lines: dict[tuple[str, str, str], list[Runs]] = {}
    for one in every:
        if not np.isnan(one.schedule):
            lines.setdefault((one.target, one.source, one.protocol), []).append(one)
    several = {place: line for place, line in lines.items() if len({one.schedule for one in line}) > 1}
    if not several:
        return
    targets = list(dict.fromkeys(target for target, _, _ in several))
    shown = targets[:MOST_PANELS]
    canvas, panels = panel_grid(len(shown), 3.2, 2.6, [""])
    sources = [one for line in several.values() for one in line]
    colours = list(dict.fromkeys(one.initialisation or one.source for one in sources))
    families = list(dict.fromkeys(one.family for one in sorted(sources, key=lambda one: one.size)))
    for panel, target in zip(panels, shown, strict=True):
        for (of, source, _), line in several.items():
            if of == target:
                kind = colours.index(line[0].initialisation or source), families.index(line[0].family)
                _line(panel, source, sorted(line, key=lambda one: one.schedule), *kind)
        panel.set_title(shortened(target), loc="left", fontweight="bold", color=INK)
        panel.set_xlabel("epochs")
        panel.set_ylabel(measure_title(every[0].measure))
    legend_below(canvas, panels[0])
    caption = (
        "What longer schedules bring: the mean over seeds by the epochs of the recipe, bars of one deviation between "
        f"seeds. A colour for each initialisation, a kind of line for each family.{_more(len(targets))}"
    )
    yield saved(canvas, "truth_epochs", caption, "Truth over the epochs of the schedule, by source")


def _line(panel: Axes, source: str, runs: Sequence[Runs], colour: int, family: int) -> None:
    epochs, means = [one.schedule for one in runs], [one.mean for one in runs]
    spread = [float(np.nanstd(one.values, ddof=1)) if (~np.isnan(one.values)).sum() > 1 else 0.0 for one in runs]
    panel.errorbar(
        epochs,
        means,
        yerr=spread,
        color=PALETTE[colour % len(PALETTE)],
        linestyle=LINES[family % len(LINES)],
        marker=MARKERS[colour % len(MARKERS)],
        markersize=4,
        linewidth=1.2,
        elinewidth=0.8,
        label=source,
    )
    panel.set_xscale("log")
    panel.set_xticks(epochs, [f"{number:g}" for number in epochs])
    panel.minorticks_off()

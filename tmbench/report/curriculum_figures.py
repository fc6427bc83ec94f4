"""The figures of a curriculum: who is learned from whom, and how the order did against chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from tmbench.report.canvas import FAINT, INK, PALETTE, drawing, legend_below, new_canvas
from tmbench.report.curricula import SCRATCH, mean_truth, spoken
from tmbench.report.frames import shortened
from tmbench.report.markup import brief
from tmbench.stats.curriculum import Curriculum
from tmbench.stats.transfer import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ACROSS, DOWN = 1.9, 0.55
"""Inches from a task to those that are learned from it, and from one leaf to the next: from left to right."""

BESIDE, BELOW = 1.45, 0.85
"""The same from top to bottom: from one leaf to the next, and from a task to those that are learned from it."""

MARGIN = 0.42
"""Inches for the words above and below."""

MOST_TASKS = 40
"""Of more tasks the graph shows those that are learned first."""


def curriculum_figures(every: Sequence[Evaluation]) -> dict[str, bytes]:
    """File names and contents: the graph of the first evaluation, and all of them against chance, as PNG and PDF."""
    found: dict[str, bytes] = {}
    with drawing():
        for name, canvas in (("transfer_graph", _graph(every[0])), ("order_against_random", _against_random(every))):
            if canvas is not None:
                found |= {f"{name}.{ending}": content for ending, content in _contents(canvas).items()}
    return found


def _contents(canvas: Canvas) -> dict[str, bytes]:
    png, pdf = BytesIO(), BytesIO()
    # No date and no version: the same picture is the same file.
    canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    canvas.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return {"png": png.getvalue(), "pdf": pdf.getvalue()}


def places(curriculum: Curriculum) -> dict[int, tuple[int, float]]:
    """Where each task, and scratch (by the number of tasks), stands: how many steps from scratch, and how far down.

    Leaves stand one below the other, each other node amid those that are learned from it: no two lines cross.
    """
    root = len(curriculum.parents)
    children: dict[int, list[int]] = {node: [] for node in range(root + 1)}
    for task in curriculum.order:
        children[curriculum.parents[task]].append(task)
    found: dict[int, tuple[int, float]] = {}
    leaves = 0

    def put(node: int, depth: int) -> float:
        nonlocal leaves
        if children[node]:
            down = float(np.mean([put(child, depth + 1) for child in children[node]]))
        else:
            down = float(leaves)
            leaves += 1
        found[node] = depth, down
        return down

    put(root, 0)
    return found


@dataclass(frozen=True)
class _Tree:
    """The tree in inches: from left to right, or from top to bottom where that is less wide.

    Attributes:
        at: the middle of each node.
        width, height: of it all.
        gap: from the middle of a node to where its lines begin, to the right or downwards.
    """

    at: dict[int, tuple[float, float]]
    width: float
    height: float
    gap: tuple[float, float]

    @classmethod
    def of(cls, curriculum: Curriculum) -> _Tree:
        found = places(curriculum)
        depths, leaves = max(depth for depth, _ in found.values()) + 1, max(down for _, down in found.values()) + 1
        if depths * ACROSS <= leaves * BESIDE:
            at = {node: ((depth + 0.5) * ACROSS, (down + 0.5) * DOWN) for node, (depth, down) in found.items()}
            return cls(at, depths * ACROSS, leaves * DOWN, (0.62, 0.0))
        at = {node: ((down + 0.5) * BESIDE, (depth + 0.5) * BELOW) for node, (depth, down) in found.items()}
        return cls(at, leaves * BESIDE, depths * BELOW, (0.0, 0.19))


def _graph(one: Evaluation) -> Canvas:
    """The tree of tasks that begins at scratch: the number is the place in the order, a line's width the transfer."""
    transfer = one.transfer
    curriculum = _first(one.curriculum, MOST_TASKS)
    values, truths = transfer.between_tasks(transfer.values), transfer.between_tasks(mean_truth(transfer))
    root = len(one.curriculum.parents)
    tree, names = _Tree.of(curriculum), spoken(transfer.targets)
    width, height = max(tree.width, 5.4), tree.height + 2 * MARGIN
    canvas = new_canvas(width, height, layout=None)
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim((tree.width - width) / 2, (tree.width + width) / 2)
    axes.set_ylim(tree.height + MARGIN, -MARGIN)
    known = [float(values[parent, task]) for task, parent in enumerate(one.curriculum.parents)]
    largest = max((value for value in known if value > 0), default=1.0)
    for task in curriculum.order:
        parent = curriculum.parents[task]
        _edge(axes, tree, parent, task, float(values[parent, task]), largest, parent == root)
    _node(axes, tree.at[root], SCRATCH, "", FAINT)
    for place, task in enumerate(curriculum.order):
        parent = curriculum.parents[task]
        reached = float(truths[parent, task])
        below = "" if math.isnan(reached) else f"reaches {brief(reached)}"
        _node(
            axes,
            tree.at[task],
            f"{place + 1}  {shortened(names[transfer.names[task]], 18)}",
            below,
            PALETTE[0],
        )
    left = len(one.curriculum.order) - len(curriculum.order)
    words = "score as a share of the target's own" if transfer.scale == "normalised" else "score, worst 0 to best 1"
    words += f"; reached: {transfer.truth_measure}"
    title = f"Who is learned from whom, in which order\n{transfer.metric}, {transfer.level}, recipe {transfer.recipe}"
    canvas.text(0.1 / width, 1 - 0.08 / height, title, va="top", fontsize=8)
    more = f"; {left} tasks more" if left else ""
    canvas.text(0.1 / width, 0.1 / height, f"width and number of a line: {words}{more}", fontsize=7)
    return canvas


def _first(curriculum: Curriculum, most: int) -> Curriculum:
    """The curriculum as far as the first ``most`` tasks: parents come before their children."""
    return Curriculum(curriculum.order[:most], curriculum.parents)


def _edge(axes: Axes, tree: _Tree, parent: int, task: int, value: float, largest: float, scratch: bool) -> None:
    """A line from a task to one that is learned from it; dotted where no score says how well."""
    right, down = tree.gap
    (x0, y0), (x1, y1) = tree.at[parent], tree.at[task]
    x1, y1 = x1 - right, y1 - down  # it begins in the middle, under the node
    unknown = math.isnan(value)
    width = 0.8 if unknown else 0.8 + 5.0 * max(0.0, value) / largest
    colour = FAINT if scratch else PALETTE[5]
    style = {"linewidth": width, "color": colour, "linestyle": ":" if unknown else "-", "solid_capstyle": "butt"}
    axes.plot([x0, x1], [y0, y1], **style)  # type: ignore[arg-type]
    axes.plot(x1, y1, marker=">" if right else "v", markersize=5 + width / 2, color=colour)
    if not unknown:
        # Nearer to the child, where the lines of one parent have parted.
        at = x0 + 0.75 * (x1 - x0), y0 + 0.75 * (y1 - y0)
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
        axes.text(*at, brief(value), ha="center", va="center", fontsize=7, bbox=box)


def _node(axes: Axes, place: tuple[float, float], name: str, below: str, colour: str) -> None:
    text = f"{name}\n{below}" if below else name
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.2}
    axes.text(*place, text, ha="center", va="center", fontsize=7, color=INK, bbox=box, zorder=3)


def _against_random(every: Sequence[Evaluation]) -> Canvas | None:
    """One line an evaluation: the order, the random ones, the best there is and learning from scratch."""
    shown = [one for one in every if one.comparison is not None]
    if not shown:
        return None
    several = len({(one.transfer.recipe, one.transfer.level) for one in shown}) > 1
    names = [
        f"{one.transfer.metric}, {one.transfer.level}, {one.transfer.recipe}" if several else one.transfer.metric
        for one in shown
    ]
    canvas = new_canvas(6.2, 1.4 + 0.5 * len(shown))
    axes = canvas.subplots()
    for y, one in enumerate(shown):
        found = one.comparison
        assert found is not None
        for drawn, shift, colour, label in (
            (found.orders, -0.16, PALETTE[5], "random orders"),
            (found.parents, 0.16, PALETTE[6], "random parents"),
        ):
            _spread_of(axes, drawn, y + shift, colour, _once(label, y))
        axes.errorbar(
            found.value, y, xerr=np.nan_to_num(found.spread), fmt="o", color=PALETTE[1], capsize=3, zorder=4,
            label=_once("this order, ± SD over seeds", y),
        )  # fmt: skip
        axes.scatter(found.best, y, marker="D", s=30, facecolor="none", edgecolor=INK, label=_once("best order", y))
        if not math.isnan(found.scratch):
            axes.scatter(found.scratch, y, marker="x", s=30, color=INK, label=_once("all from scratch", y))
    axes.set_yticks(range(len(shown)), [shortened(name) for name in names])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel(
        "truth, from the worst source of a target (0) to the best (1), mean over tasks\n"
        "random ones: the middle half, 95 %, and the mean"
    )
    legend_below(canvas, axes)
    return canvas


def _once(label: str, row: int) -> str:
    """A label of the first row, so that the legend has it once."""
    return "_" * (row > 0) + label


def _spread_of(axes: Axes, drawn: np.ndarray, y: float, colour: str, label: str) -> None:
    """The middle 95 % and the middle half of what was drawn, and its mean."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return
    low, lower, upper, high = np.quantile(known, [0.025, 0.25, 0.75, 0.975])
    axes.hlines(y, low, high, color=colour, linewidth=1.2, alpha=0.8)
    axes.hlines(y, lower, upper, color=colour, linewidth=6, alpha=0.6, label=label)
    axes.scatter(known.mean(), y, marker="|", s=60, color=INK, linewidth=1, zorder=3)

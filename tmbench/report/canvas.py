"""What all figures share: style, colours, the canvas, and how a picture is kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from tmbench.report.frames import parts, shortened

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
    # A name may hold a dollar sign, which is no formula.
    "text.parse_math": False,
    # Ids inside the file are hashes; a fixed salt makes the file the same on each run.
    "svg.hashsalt": "tmbench",
}

ACROSS = 4
"""So many panels stand side by side."""

MOST_PANELS = 12
"""A figure of more recipes and levels than this shows the first ones; the tables have them all."""


@dataclass(frozen=True)
class Figure:
    """A picture in both formats.

    Attributes:
        name: of the file, without ending.
        caption: what is to be seen.
        alt: the words for who cannot see it.
        width: in inches.
        svg, png: the files.
    """

    name: str
    caption: str
    alt: str
    width: float
    svg: bytes
    png: bytes


@contextmanager
def drawing() -> Iterator[None]:
    """The style of all figures, without matplotlib's warnings, such as of a letter that no font has, on stderr."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib

        settings: Any = STYLE
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logger.setLevel(before)


@dataclass
class Figures:
    """The figures of a report, and a sentence for each that was left out."""

    drawn: list[Figure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def new_canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Canvas:
    """An empty figure of this size in inches, laid out when it is saved, or without one by whoever fills it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(canvas)
    return canvas


def panel_grid(
    number: int, width: float, height: float, names: Sequence[str], **shared: Any
) -> tuple[Canvas, list[Axes]]:
    """A canvas with so many panels, each of this size, in rows of ``ACROSS``; what they share as in ``subplots``.

    There is room on the left for ``names`` as ``shortened`` has them.
    """
    across = min(number, ACROSS)
    down = -(-number // across)
    left = max(1.0, 0.055 * max((len(shortened(name)) for name in names), default=0))
    canvas = new_canvas(left + width * across, 0.45 + height * down)
    panels = canvas.subplots(down, across, squeeze=False, **shared).ravel().tolist()
    for unused in panels[number:]:
        unused.remove()
    return canvas, panels[:number]


def saved(canvas: Canvas, name: str, caption: str, alt: str) -> Figure:
    """The picture in both formats."""
    svg, png = BytesIO(), BytesIO()
    # Laid out once, for both formats: finding it again would take as long again.
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
    canvas.set_layout_engine("none")
    # No date and no version: the same picture is the same file.
    canvas.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Figure(name, caption, alt, float(canvas.get_size_inches()[0]), svg.getvalue(), png.getvalue())


def legend_below(canvas: Canvas, panel: Axes) -> None:
    """The legend of ``panel``, under all of them."""
    handles, labels = panel.get_legend_handles_labels()
    labels = [shortened(label, 40) for label in labels]
    # A letter of this size is about 0.06 inches wide, a handle and the gaps 0.6.
    widest = 0.6 + 0.06 * max(map(len, labels), default=0)
    columns = max(1, min(len(labels), int(canvas.get_size_inches()[0] / widest)))
    canvas.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7)


def slices(table: DataFrame) -> list[tuple[str, DataFrame]]:
    """The (recipe, level) panels of a scenario, titled by what tells them apart."""
    several = table["level"].nunique() > 1
    found = parts(table, ["recipe", "level"])
    return [(shortened(f"{recipe}, {level}" if several else recipe), part) for (recipe, level), part in found]


def scenarios(table: DataFrame, figure: str) -> Iterator[tuple[str, str, DataFrame]]:
    """Each scenario, the name of its figure, and its rows."""
    several = table["scenario"].nunique() > 1
    for (scenario,), part in parts(table, ["scenario"]):
        yield scenario, file_name(figure, scenario) if several else figure, part


def order_of(table: DataFrame, column: str, lower: bool = False) -> list[str]:
    """Names by their mean over the panels, best first."""
    means = table.groupby("metric", sort=False)[column].mean()
    return [str(name) for name in means.sort_values(ascending=lower, kind="stable").index]


def file_name(*names: str) -> str:
    """A name without anything that a file's name could trip over."""
    return "_".join("".join(c if c.isalnum() else "_" for c in name) for name in names)

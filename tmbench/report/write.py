"""Write a study's tables, figures and page into one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.files import whole_file
from tmbench.report.tables import Scene
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure

if TYPE_CHECKING:
    from pandas import DataFrame


def write_report(
    out: Path,
    scenes: Sequence[Scene],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    tables: dict[str, DataFrame],
    provenance: Mapping[str, Any],
    title: str,
    *,
    rebuild: str = "",
) -> dict[str, Path]:
    """Write ``out``/tables, ``out``/figures, ``out``/report.html and ``out``/provenance.json.

    Each table is there as CSV, Markdown and LaTeX, each figure as SVG and PNG. They are the same, byte for byte,
    whenever their numbers are; times and hosts stand in the provenance alone. Each file appears whole or not at all.

    Args:
        out: the folder, made where it does not exist.
        scenes: as given to ``build_tables``.
        measures: as given there.
        resampling: as given there.
        tables: from ``build_tables``, and any of your own.
        provenance: what the results came from, values that JSON has a form for; nested dicts are shown flat.
        title: of the page.
        rebuild: the command that makes all this again, shown on the page.

    Returns:
        The files written, by their path inside ``out`` and the page also as ``report``.
    """
    from tmbench.report.captions import captions
    from tmbench.report.figures import draw_figures
    from tmbench.report.latex import latex_text
    from tmbench.report.markup import csv_text, lower_is_better, markdown_text
    from tmbench.report.page import render_page

    lower, texts = lower_is_better(measures), captions(scenes, tables, resampling)
    figures = draw_figures(scenes, measures, resampling, tables)
    written: dict[str, Path] = {}

    def keep(name: str, content: bytes) -> None:
        written[name] = _write(out / name, content)

    for name, table in tables.items():
        keep(f"tables/{name}.csv", csv_text(table).encode())
        keep(f"tables/{name}.md", markdown_text(table, texts[name], lower).encode())
        keep(f"tables/{name}.tex", latex_text(table, name, texts[name], lower).encode())
    for figure in figures.drawn:
        keep(f"figures/{figure.name}.svg", figure.svg)
        keep(f"figures/{figure.name}.png", figure.png)
    keep("provenance.json", (json.dumps(provenance, indent=2, sort_keys=True, default=str) + "\n").encode())
    page = render_page(title, scenes, measures, resampling, tables, texts, figures, provenance, rebuild)
    keep("report.html", page.encode())
    written["report"] = written["report.html"]
    return written


def _write(path: Path, content: bytes) -> Path:
    with whole_file(path) as stream:
        stream.write(content)
    return path

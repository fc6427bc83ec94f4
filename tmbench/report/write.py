"""Write a study's tables, figures and page into one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmbench.files import whole_file
from tmbench.report.tables import build_tables
from tmbench.stats.cells import Cells
from tmbench.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from pandas import DataFrame


def write_report(
    out: Path,
    cells: Cells | Sequence[Cells],
    outcomes: Outcomes,
    provenance: Mapping[str, Any],
    title: str,
    *,
    tables: dict[str, DataFrame] | None = None,
    rebuild: str = "",
) -> dict[str, Path]:
    """Write ``out``/tables, ``out``/figures, ``out``/report.html and ``out``/provenance.json.

    Tables and figures are the same, byte for byte, whenever their numbers are; times and hosts stand in the
    provenance alone. Each file appears whole or not at all.

    Args:
        out: the folder, made where it does not exist.
        cells: of each scenario in ``outcomes``.
        outcomes: from ``evaluate_study``.
        provenance: what the results came from, values that JSON has a form for; nested dicts are shown flat.
        title: of the page.
        tables: from ``build_tables``; made here where not given.
        rebuild: the command that makes all this again, shown on the page.

    Returns:
        The files written, by their path inside ``out`` and the page also as ``report``.
    """
    from tmbench.report.figures import draw_figures
    from tmbench.report.markup import csv_text, markdown_text
    from tmbench.report.page import render_page

    every = [cells] if isinstance(cells, Cells) else list(cells)
    tables = build_tables(every, outcomes) if tables is None else tables
    figures = draw_figures(every, tables)
    written: dict[str, Path] = {}

    def keep(name: str, content: bytes) -> None:
        written[name] = _write(out / name, content)

    for name, table in tables.items():
        keep(f"tables/{name}.csv", csv_text(table).encode())
        keep(f"tables/{name}.md", markdown_text(table).encode())
    for figure in figures:
        keep(f"figures/{figure.name}.svg", figure.svg)
        keep(f"figures/{figure.name}.png", figure.png)
    keep("provenance.json", (json.dumps(provenance, indent=2, sort_keys=True, default=str) + "\n").encode())
    page = render_page(title, every, outcomes, tables, figures, provenance, rebuild)
    keep("report.html", page.encode())
    written["report"] = written["report.html"]
    return written


def _write(path: Path, content: bytes) -> Path:
    with whole_file(path) as stream:
        stream.write(content)
    return path

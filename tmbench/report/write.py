"""Write a study's tables, figures and page into one folder."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tmbench.files import StoreError, whole_file
from tmbench.report.tables import Scene
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure
from tmbench.stats.truths import Runs

if TYPE_CHECKING:
    from pandas import DataFrame

PAGE, PROVENANCE = "report.html", "provenance.json"


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
    truths: Sequence[Runs] = (),
) -> dict[str, Path]:
    """Write ``out``/tables, ``out``/figures, ``out``/report.html and ``out``/provenance.json.

    Each table is there as CSV, Markdown and LaTeX, each figure as SVG and PNG. They are the same, byte for byte,
    whenever their numbers are; times and hosts stand in the provenance, which the page shows. The provenance also lists
    the ``files``: what an earlier report listed there and this one does not write is removed; files of yours stay.

    Args:
        out: the folder, made where it does not exist.
        scenes: as given to ``build_tables``; none where a study names no metric.
        measures: as given there.
        resampling: as given there.
        tables: from ``build_tables``, and any of your own.
        provenance: what the results came from, values that JSON has a form for; nested dicts are shown flat.
        title: of the page.
        rebuild: the command that makes all this again, shown on the page.
        truths: what the table ``truth`` was made from, for its figures.

    Returns:
        The files written, by their path inside ``out`` and the page also as ``report``.

    Raises:
        StoreError: when something cannot be written; it says whether the folder still holds one report or two.
    """
    from tmbench.report.captions import captions
    from tmbench.report.figures import Figures, draw_figures
    from tmbench.report.latex import latex_text
    from tmbench.report.markup import csv_text, lower_is_better, markdown_text
    from tmbench.report.page import render_page
    from tmbench.report.truth_figures import truth_figures

    lower, texts = lower_is_better(measures), captions(scenes, tables, resampling)
    figures = draw_figures(scenes, measures, resampling, tables) if scenes else Figures()
    figures.drawn += truth_figures(truths)
    contents: dict[str, bytes] = {}
    for name, table in tables.items():
        contents[f"tables/{name}.csv"] = csv_text(table).encode()
        contents[f"tables/{name}.md"] = markdown_text(table, texts[name], lower).encode()
        contents[f"tables/{name}.tex"] = latex_text(table, name, texts[name], lower).encode()
    for figure in figures.drawn:
        contents[f"figures/{figure.name}.svg"] = figure.svg
        contents[f"figures/{figure.name}.png"] = figure.png
    page = render_page(title, scenes, measures, resampling, tables, texts, figures, provenance, rebuild)
    contents[PAGE] = page.encode()
    # Last: as long as it is the old one, it lists what the old report left.
    listed = {**provenance, "files": sorted([*contents, PROVENANCE])}
    contents[PROVENANCE] = (json.dumps(listed, indent=2, sort_keys=True, default=str) + "\n").encode()
    written = _replace(out, contents)
    return {**written, "report": written[PAGE]}


def _replace(out: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Put ``contents`` in the place of the report in ``out``: all of it is on the disk before the first is renamed."""
    earlier = set(_listed(out))
    staging = out / f".report.{uuid.uuid4().hex[:8]}.tmp"
    try:
        for name, content in contents.items():
            with whole_file(staging / name, f"{out} is as it was before, and has no file of this run.") as stream:
                stream.write(content)
        place = out
        try:
            for name in sorted(earlier - set(contents)):
                place = out / name
                place.unlink(missing_ok=True)
            for name in contents:
                place = out / name
                place.parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(place)
        except OSError as error:
            raise StoreError(
                f"cannot replace {place}: {error.strerror or error}. {out} now holds files of two runs: mend that, "
                "then run the same command again or give another out=DIR."
            ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {name: out / name for name in contents}


def _listed(out: Path) -> Iterator[str]:
    """The files that the provenance of an earlier report lists, none outside the places where reports write."""
    try:
        found = json.loads((out / PROVENANCE).read_bytes())
    except (OSError, ValueError):
        return
    names = found.get("files") if isinstance(found, dict) else None
    for name in names if isinstance(names, list) else ():
        parts = PurePosixPath(name).parts if isinstance(name, str) else ()
        if name in (PAGE, PROVENANCE) or (len(parts) == 2 and parts[0] in ("tables", "figures") and parts[1] != ".."):
            yield str(PurePosixPath(name))

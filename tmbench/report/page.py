"""The page: one HTML file with findings, figures, tables and provenance, that needs nothing else to be read."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmbench.report.contract import TITLES
from tmbench.report.findings import Finding, capital, counts, doubtful_truths, findings
from tmbench.report.grids import MOST_SHORT, group_grids, short_grids, table_grid
from tmbench.report.markup import lower_is_better
from tmbench.report.pooled import pooled_sentences
from tmbench.report.truths import dropped_sentences, ranks_sources, truth_counts, truth_findings
from tmbench.stats.bootstrap import Resampling
from tmbench.stats.measures import Measure

if TYPE_CHECKING:
    from pandas import DataFrame

    from tmbench.report.figures import Figures
    from tmbench.report.tables import Scene

MOST_DOUBTS = 20
"""So many doubtful truths are named on the page."""


def render_page(
    title: str,
    scenes: Sequence[Scene],
    measures: Mapping[str, Measure],
    resampling: Resampling,
    tables: dict[str, DataFrame],
    captions: Mapping[str, str],
    figures: Figures,
    provenance: Mapping[str, Any],
    rebuild: str,
) -> str:
    """The whole page as HTML, everything inline."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tmbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    order = [*(name for name in TITLES if name in tables), *(name for name in tables if name not in TITLES)]
    lower, found = lower_is_better(measures), findings(tables, measures, resampling) if scenes else []
    of_truth = truth_findings(tables["truth"], ranks_sources(tables["reliability"])) if "truth" in tables else []
    if not scenes and "pooled" in tables:
        of_truth += [Finding("pooled", capital(text), ()) for text in pooled_sentences(tables["pooled"], measures)]
    doubts = doubtful_truths(tables["reliability"])
    return environment.get_template("report.html.j2").render(
        title=title,
        findings=[*found[:MOST_SHORT], *of_truth],
        more_findings=max(0, len(found) - MOST_SHORT),
        counts=counts(scenes) if scenes else truth_counts(tables["truth"]),
        dropped=list(dropped_sentences(tables["dropped"])) if "dropped" in tables else [],
        doubts=doubts[:MOST_DOUBTS],
        more_doubts=max(0, len(doubts) - MOST_DOUBTS),
        short=list(short_grids(tables, found, measures, resampling)) if scenes else [],
        groups=list(group_grids(tables, found, measures)) if scenes else [],
        figures=[(figure, base64.b64encode(figure.svg).decode()) for figure in figures.drawn],
        left_out=figures.left_out,
        tables=[table_grid(name, tables[name], captions[name], lower) for name in order],
        provenance=list(_flat(provenance)),
        rebuild=rebuild,
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as (dotted name, text)."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        yield name, ", ".join(str(item) for item in value)
    else:
        yield name, str(value)

"""The table of Fouquet et al., Transferability metrics for object detection, 2023: this study beside what it printed.

    tmbench run sweep=tlogme_synthetic && tmbench aggregate sweep=tlogme_synthetic
    tmbench run sweep=tlogme_synthetic_targets && tmbench aggregate sweep=tlogme_synthetic_targets
    python analysis/tlogme.py [RESULTS]        # the folder that aggregate wrote to; results by default

For source and target selection, local and global features: the mean over the queries of Pearson's r, which the paper
reports, and beside it that of weighted τ, on all candidates of a query. The paper's sets are MNIST, KMNIST, EMNIST,
Fashion-MNIST and USPS, ours are built in: the two columns are two studies of one form, not one study twice.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published" / "tlogme"

SWEEPS = {"Source": "tlogme_synthetic", "Target": "tlogme_synthetic_targets"}
"""What is selected, as the paper says it → the sweep."""

FINER = {"Source": "source_selection_by_target", "Target": "target_selection_by_source"}
"""The same → what the paper's table by query calls it."""

METRICS = {
    "logme": "LogME",
    "tlogme": "TLogME",
    "tlogme_box": "XY_LogME",
    "hscore": "H",
    "shrunk_hscore": "H_alpha",
    "transrate": "TransRate",
}
"""Our name → the paper's; it has none for TLogME's half of the classes, which is LogME."""

MEASURES = ("pearson", "weighted_tau")

Table = dict[tuple[str, str, str], float]
"""(features, metric, measure) → mean over queries."""


def main(folder: Path) -> str:
    """The table as Markdown, for each selection of which there are results; a sentence for each of which not."""
    return "\n\n".join(_part(selected, folder / sweep, sweep) for selected, sweep in SWEEPS.items())


def _part(selected: str, folder: Path, sweep: str) -> str:
    printed = published(selected)
    title = f"### {selected} selection ({sweep})"
    path = folder / "tables" / "per_query.csv"
    if not path.is_file():
        missing = f"No results: there is no {path}. Next: tmbench run sweep={sweep} && tmbench aggregate sweep={sweep}"
        return f"{title}\n\n{missing}\n\nWhat the paper printed:\n\n{_markdown(printed, {})}"
    found, queries = seen(path)
    lines = [title, "", f"Means over {queries} queries; the paper's over 5.", "", _markdown(printed, found)]
    return "\n".join(lines)


def seen(path: Path) -> tuple[Table, int]:
    """The means of ``tables/per_query.csv``, and the number of queries; a query whose value is missing is left out."""
    values = defaultdict(list)
    queries = set()
    for row in _rows(path):
        if row["kind"] == "baseline" or row["measure"] not in MEASURES:
            continue
        queries.add(row["query"])
        if row["value"]:
            features = row["level"].partition("_")[0]
            values[features, row["metric"], row["measure"]].append(float(row["value"]))
    return {key: fmean(found) for key, found in values.items()}, len(queries)


def published(selected: str) -> Table:
    """The paper's summary; what it leaves out, as means of its table by query."""
    values = defaultdict(list)
    ours = {theirs: name for name, theirs in METRICS.items()}
    for row in _rows(PUBLISHED / "synthetic_fpn_ms.csv"):
        if row["task"] == FINER[selected]:
            values[row["features"], ours[row["metric"]], "pearson"].append(float(row["pearson"]))
    table = {key: fmean(found) for key, found in values.items()}
    for row in _rows(PUBLISHED / "summary.csv"):
        if (row["datasets"], row["task"]) == ("Synthetic", selected):
            table[row["features"], ours[row["metric"]], "pearson"] = float(row["pearson"])
    return table


def _markdown(printed: Table, found: Table) -> str:
    names = [*METRICS, *dict.fromkeys(metric for _, metric, _ in found if metric not in METRICS)]
    lines = [
        "| features | metric | Pearson r, paper | Pearson r, here | weighted τ, here |",
        "|---|---|---:|---:|---:|",
    ]
    for features in ("local", "global"):
        for metric in names:
            paper = printed.get((features, metric, "pearson"))
            here = [found.get((features, metric, measure)) for measure in MEASURES]
            if paper is not None or any(value is not None for value in here):
                cells = " | ".join("–" if value is None else f"{value:.2f}" for value in (paper, *here))
                lines.append(f"| {features} | {metric} | {cells} |")
    return "\n".join(lines)


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))

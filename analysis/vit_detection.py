"""The truths of ``vit_detection`` beside those of Li et al., Benchmarking detection transfer learning, 2021.

    tmbench run sweep=vit_detection && tmbench aggregate sweep=vit_detection
    python analysis/vit_detection.py [RESULTS]        # the folder that aggregate wrote to; results by default

Box and mask AP in points, of the schedule that gave the best box AP, as the paper reports; its random starts are
trained for 100 to 400 epochs, ours for 25 to 100.
"""

import csv
import math
import sys
from collections.abc import Iterable
from pathlib import Path

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published" / "li2021" / "detection.csv"

SWEEP = "vit_detection"

Key = tuple[str, str, str]
"""Family, initialisation, and epochs or ``best``."""

Pair = tuple[float, float]
"""Box and mask AP in points; NaN where there is none."""


def main(folder: Path) -> str:
    """The table as Markdown; without results the published half, and what makes the other."""
    path = folder / SWEEP / "tables" / "truth.csv"
    printed = published()
    if path.is_file():
        found = with_best(seen(path))
        intro = f"From {path}; what is missing there is –."
    else:
        found = {}
        intro = f"No results: there is no {path}. Next: tmbench run sweep={SWEEP} && tmbench aggregate sweep={SWEEP}"
    keys = [*printed, *(key for key in found if key not in printed)]
    lines = [
        intro,
        "",
        "| family | initialisation | epochs | box AP, paper | box AP, here | mask AP, paper | mask AP, here |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for key in sorted(keys, key=_order):
        (paper_box, paper_mask), (box, mask) = (table.get(key, (math.nan, math.nan)) for table in (printed, found))
        cells = " | ".join(map(_points, (paper_box, box, paper_mask, mask)))
        lines.append(f"| {' | '.join(key)} | {cells} |")
    return "\n".join(lines)


def published() -> dict[Key, Pair]:
    """What the authors report; not what others reached by their recipe."""
    return {
        (row["family"], row["initialisation"], row["epochs"]): (_number(row["box_ap"]), _number(row["mask_ap"]))
        for row in _rows(PUBLISHED)
        if row["told_by"] != "MIMDet"
    }


def seen(path: Path) -> dict[Key, Pair]:
    """Box and mask AP of ``tables/truth.csv`` by schedule, in points."""
    found: dict[Key, dict[str, float]] = {}
    for row in _rows(path):
        key = row["family"], row["initialisation"], f"{_number(row['schedule']):g}"
        found.setdefault(key, {})[row["measure"]] = 100 * _number(row["mean"])
    return {key: (one.get("box_ap", math.nan), one.get("mask_ap", math.nan)) for key, one in found.items()}


def with_best(found: dict[Key, Pair]) -> dict[Key, Pair]:
    """``found``, and for each source the schedule of highest box AP once more as ``best``."""
    best: dict[Key, Pair] = {}
    for (family, initialisation, _), pair in found.items():
        key = family, initialisation, "best"
        if not math.isnan(pair[0]) and (key not in best or pair[0] > best[key][0]):
            best[key] = pair
    return {**found, **best}


def _order(key: Key) -> tuple[object, ...]:
    family, initialisation, epochs = key
    known = ("random", "supervised", "moco_v3", "beit", "mae")
    rank = known.index(initialisation) if initialisation in known else len(known)
    return family, rank, initialisation, math.inf if epochs == "best" else float(epochs)


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _points(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))

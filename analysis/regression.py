"""What the pooled correlations of Nguyen et al., Simple transferability estimation for regression, 2023, are worth.

    python analysis/regression.py [out=DIR]        # writes regression.md, .svg and .png there; results/regression

The paper correlates scores with test errors over all (source, target) pairs at once. Beside each printed correlation
stands what the mean of the target alone reaches on the same pairs, which knows nothing of the sources: each pair is
predicted as the mean truth of the target's other sources (for correlations of ranks, of all of them: there leaving
the pair out would order a target's sources in reverse). The truths were released for one of the settings, 15
keypoints of birds as targets and 17 of monkeys as sources with a new head, and only there can it be said.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmbench.stats.correlations import kendall_tau, pearson, spearman
from tmbench.stats.pooled import mean_of_query, share_between

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published" / "nguyen2023"

MEASURES = {
    "pearson": ("Pearson r", pearson),
    "kendall": ("Kendall τ", kendall_tau),
    "spearman": ("Spearman ρ", spearman),
}

Array = NDArray[np.float64]
Truths = dict[str, Array]
"""Target → the truths of its sources."""


def main(out: Path) -> str:
    """The table as Markdown, which is also written to ``out``, with the figure beside it."""
    truths, printed = released(), list(_rows(PUBLISHED / "correlations.csv"))
    alone = {measure: pooled(truths, measure) for measure in MEASURES}
    text = _markdown(truths, printed, alone)
    out.mkdir(parents=True, exist_ok=True)
    (out / "regression.md").write_text(f"{text}\n", encoding="utf-8")
    for ending, content in _figure(truths, printed, alone["pearson"]).items():
        (out / f"regression.{ending}").write_bytes(content)
    return text


def released() -> Truths:
    """The negative test errors of all pairs, by target."""
    found: dict[str, list[float]] = {}
    for row in _rows(PUBLISHED / "head_mse.csv"):
        found.setdefault(row["target"], []).append(float(row["negative_mse"]))
    return {target: np.array(values) for target, values in found.items()}


def pooled(truths: Truths, measure: str) -> float:
    """What the mean of the target alone reaches over all pairs."""
    correlation = MEASURES[measure][1]
    predicted = [mean_of_query(one, correlation) for one in truths.values()]
    return float(correlation(np.concatenate(list(truths.values())), np.concatenate(predicted)))


def _markdown(truths: Truths, printed: list[dict[str, str]], alone: dict[str, float]) -> str:
    pairs, share = sum(map(len, truths.values())), share_between(list(truths.values()))
    lines = [
        "### Correlations pooled over targets, and the mean of the target alone",
        "",
        f"Of the variance of {pairs} released truths {100 * share:.1f} % lies between the {len(truths)} targets. The "
        f"mean of the target alone reaches Pearson r {alone['pearson']:.4f} and tells no source from another: per "
        "target its correlation is 0. A pooled value near it says nothing of sources; read the correlation per target.",
        "",
        "| setting | training | metric | measure | printed | mean of the target | above it |",
        "|---|---|---|---|---:|---:|---|",
    ]
    for row in printed:
        here = alone[row["measure"]] if row["truths"] == "released" else None
        digits = len(row["value"].partition(".")[2])
        above = "" if here is None else "yes" if float(row["value"]) > round(here, digits) else "no"
        cells = [row["setting"], row["training"], row["metric"], MEASURES[row["measure"]][0], row["value"]]
        lines.append(f"| {' | '.join([*cells, '–' if here is None else f'{here:.4f}', above or '–'])} |")
    return "\n".join(lines)


def _figure(truths: Truths, printed: list[dict[str, str]], alone: float) -> dict[str, bytes]:
    """Left the truths by target; right what was printed of them, beside the mean of the target."""
    from tmbench.report.canvas import FAINT, PALETTE, drawing, new_canvas, saved

    with drawing():
        canvas = new_canvas(8.2, 3.4)
        left, right = canvas.subplots(1, 2, width_ratios=(1.5, 1))
        order = sorted(truths, key=lambda target: float(truths[target].mean()))
        for place, target in enumerate(order):
            errors = -truths[target]
            left.scatter(errors, np.full(len(errors), place), s=10, color=PALETTE[0], alpha=0.5, linewidth=0)
        left.set_xscale("log")
        ticks = [0.03, 0.05, 0.1, 0.15]
        left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        left.minorticks_off()
        left.set_yticks(range(len(order)), order)
        left.set_xlabel("test MSE, a point a source")
        left.set_title("Truths by target", loc="left", fontweight="bold")
        shown = [row for row in printed if (row["truths"], row["measure"]) == ("released", "pearson")]
        shown.sort(key=lambda row: float(row["value"]))
        values = [float(row["value"]) for row in shown]
        right.scatter(values, range(len(shown)), s=34, color=PALETTE[0], label="printed, pooled", zorder=3)
        right.axvline(alone, color=PALETTE[1], linewidth=1.4, label=f"mean of the target alone, {alone:.4f}")
        right.set_yticks(range(len(shown)), [row["metric"] for row in shown])
        right.set_xlabel("Pearson r over all pairs")
        right.set_title("Pooled correlations, new head", loc="left", fontweight="bold")
        right.grid(axis="x", color=FAINT, linewidth=0.3)
        canvas.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
        figure = saved(canvas, "regression", "", "")
    return {"svg": figure.svg, "png": figure.png}


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    print(main(Path(given.get("out", "results/regression"))))

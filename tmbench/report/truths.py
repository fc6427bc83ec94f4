"""The table of truths and what it says: what each source reached on each target, with no metric at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from tmbench.report.captions import p_text
from tmbench.report.contract import COLUMNS
from tmbench.report.findings import Count, Finding
from tmbench.report.frames import part_of, parts
from tmbench.stats.cells import Cells
from tmbench.stats.reliability import reliability
from tmbench.stats.truths import Runs, TruthRow, truth_rows

if TYPE_CHECKING:
    from pandas import DataFrame

HIDDEN = "hidden"
"""The reason of what is whole and does not show what is predicted; all else was broken."""

MEASURES = {
    "accuracy_over_chance": "accuracy over chance",
    "box_ap": "box AP",
    "mask_ap": "mask AP",
    "mean_iou": "mean IoU",
    "miou": "mean IoU",
    "negative_mse": "negative MSE (0: perfect)",
    "negative_mse_over_variance": "negative MSE / variance (0: perfect, −1: the mean)",
    "pck": "PCK",
}
"""How a measure of truths is printed; any other by its name."""

MOST_NAMED = 8
"""So many targets are named in a finding."""

MOST_BEST = 10
"""So many are named together with the source that is the best there."""


def measure_title(name: str) -> str:
    """A measure of truths in words."""
    return MEASURES.get(name, name.replace("_", " "))


def decimals(values: Iterable[float], groups: Iterable[str]) -> int:
    """So many decimals that values of one group are told apart: two, or more where all groups are narrow; four at most.

    Args:
        values: the numbers that are shown.
        groups: which of them are compared with each other, such as those on one target.
    """
    found: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if not math.isnan(value):
            found.setdefault(group, []).append(value)
    widest = max((max(group) - min(group) for group in found.values()), default=0.0)
    return min(4, max(2, 1 - math.floor(math.log10(widest)))) if widest > 0 else 2


def truth_table(every: Sequence[Runs]) -> DataFrame:
    """One row for each target, recipe, source and measure."""
    import pandas

    columns = [field.name for field in fields(TruthRow)]
    return pandas.DataFrame([asdict(row) for row in truth_rows(every)], columns=columns)


def reliability_table(every: Sequence[Cells]) -> DataFrame:
    """The table ``reliability`` of cells that have truths and no scores."""
    import pandas

    found = [
        {"scenario": cells.scenario, "direction": cells.direction, "level": "all", **asdict(row)}
        for cells in every
        for row in reliability(cells)
    ]
    return pandas.DataFrame(found, columns=list(COLUMNS["reliability"]))


def primary(table: DataFrame) -> DataFrame:
    """The rows of the first measure of each target and recipe, which is the recipe's own."""
    first = table.groupby(["target", "recipe"], sort=False)["measure"].transform("first")
    return table[table["measure"] == first]


def ranks_sources(reliability: DataFrame) -> bool:
    """Whether any scenario of the table ``reliability`` ranks sources; where all rank targets, theirs is no contest."""
    return reliability.empty or bool((reliability["direction"] != "target_selection").any())


def truth_findings(table: DataFrame, ranked: bool = True) -> list[Finding]:
    """For each recipe: on how many targets sources differ beyond the spread of seeds, and which is the best there.

    Args:
        table: of truths.
        ranked: whether sources are what the study ranks; else what each reaches is said, and nothing of who is best.
    """
    found = []
    for (recipe, measure), part in parts(primary(table), ["recipe", "measure"]):
        known = part[part["mean"].notna()]
        if known.empty:
            continue
        details = [*undecided(part), _best(known)] if ranked else _reached(known)
        missing = int(part["missing"].sum())
        details += [f"{missing} {'truth is' if missing == 1 else 'truths are'} missing."] if missing else []
        found.append(Finding(f"truth: recipe {recipe}, {measure}", _headline(part, ranked), tuple(details)))
    return found


def _headline(part: DataFrame, ranked: bool) -> str:
    said = part.groupby("target", sort=False)["differ"].first()
    tested = said[said != ""]
    targets = f"{len(said)} target{'s' * (len(said) != 1)}"
    if not ranked:
        sources = part["source"].nunique()
        return f"{sources} source{'s' * (sources != 1)} on {targets}, which the metrics rank."
    if part["source"].nunique() == 1:
        return f"One source on {targets}: none to compare it with."
    if tested.empty:
        return f"One seed on {targets}: whether the sources differ beyond the spread of seeds is not known."
    differing = int((tested == "yes").sum())
    of = targets if len(tested) == len(said) else f"{len(tested)} of {targets} that have several seeds"
    return f"The sources differ beyond the spread of seeds on {differing} of {of}."


def undecided(table: DataFrame) -> Iterator[str]:
    """A sentence for each target on which sources do not differ beyond the spread of seeds; one for many targets."""
    for (recipe, measure), some in parts(table[table["differ"] == "no"], ["recipe", "measure"]):
        p = some.groupby("target", sort=False)["p"].first()
        said = [(str(target), f"p = {p_text(float(value))}") for target, value in p.items()]
        if len(said) > MOST_NAMED:
            said = [(f"{len(p)} targets ({_some([name for name, _ in said])})", f"p from {p_text(float(p.min()))}")]
        for where, reached in said:
            yield (
                f"On {where} the sources do not differ beyond the spread of seeds (recipe {recipe}, {measure}; F test, "
                f"{reached}): whatever ranks them there ranks luck."
            )


def _best(known: DataFrame) -> str:
    """Which source is the best on which targets, and where all of several reach the same."""
    if known["source"].nunique() == 1:
        return " ".join(_reached(known))
    best: dict[str, list[str]] = {}
    equal: list[str] = []
    for (target,), part in parts(known, ["target"]):
        first = part[part["mean"] == part["mean"].max()]
        where = f"{target} ({_number(first['mean'].iloc[0])})"
        if len(first) == len(part) > 1:
            equal.append(where)
        else:
            best.setdefault(" and ".join(first["source"].astype(str)[:MOST_NAMED]), []).append(where)
    total = sum(map(len, best.values()))
    most = MOST_BEST if total <= MOST_BEST else max(1, MOST_BEST // len(best))
    named = [f"{source} on {_some(where, most)}" for source, where in best.items()][:MOST_BEST]
    more = sum(map(len, list(best.values())[MOST_BEST:]))
    named += [f"others on {more} more"] if more else []
    said = [f"Best: {'; '.join(named)}."] if named else []
    said += [f"All sources reach the same on {_some(equal)}: none is the best."] if equal else []
    return " ".join(said)


def _reached(known: DataFrame) -> list[str]:
    """The least and the greatest that each source reaches, and on which target; of many sources the first."""
    found = []
    for (source,), part in parts(known, ["source"]):
        ordered = part.sort_values("mean", kind="stable")
        ends = [f"{_number(ordered['mean'].iloc[at])} on {ordered['target'].iloc[at]}" for at in (0, -1)]
        found.append(f"{source} reaches {' to '.join(ends)}.")
    more = len(found) - MOST_NAMED
    return [*found[:MOST_NAMED], f"{more} more sources are in tables/truth.csv."] if more > 0 else found


def _some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first ``most``, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _number(value: float) -> str:
    """Three decimals, and more where these are zeros."""
    return (f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}").replace("-", "−")


def dropped_sentences(table: DataFrame) -> Iterator[str]:
    """A sentence for each target of which something was left out or passed over, and why."""
    for (target, reason), part in parts(table, ["target", "reason"]):
        by_split = part.groupby("split", sort=False)["count"].sum()
        splits, number = ", ".join(f"{split} {count:,}" for split, count in by_split.items()), int(by_split.sum())
        if reason == HIDDEN:
            what = "image was" if number == 1 else "images were"
            yield f"{target}: {number:,} {what} left out because a point that is predicted is hidden ({splits})."
            continue
        what = "fault in the data was" if number == 1 else "faults in the data were"
        example = str(part["problem"].iloc[0]).rstrip(".")
        yield (f"{target}: {number:,} {what} passed over ({splits}), such as: {example}; tables/dropped.csv lists all.")


def truth_counts(table: DataFrame) -> list[Count]:
    """How much there is of a study without metrics."""
    first = primary(table)
    return [
        Count(int(table["source"].nunique()), "sources"),
        Count(int(table["target"].nunique()), "targets"),
        Count(int(first["seeds"].sum() + first["missing"].sum()), "truths"),
        Count(int(first["missing"].sum()), "truths missing"),
    ]


def schedules(table: DataFrame) -> list[str]:
    """The targets on which a source was trained for different numbers of epochs."""
    counted = part_of(table, {}).groupby(["target", "source"], sort=False)["schedule"].nunique()
    return list(dict.fromkeys(str(target) for target, _ in counted[counted > 1].index))

"""The table of truths and what it says: what each source reached on each target, with no metric at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

MOST_NAMED = 8
"""So many targets are named in a finding."""


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


def truth_findings(table: DataFrame) -> list[Finding]:
    """For each recipe: on how many targets sources differ beyond the spread of seeds, and which is the best there."""
    found = []
    for (recipe, measure), part in parts(primary(table), ["recipe", "measure"]):
        known = part[part["mean"].notna()]
        if known.empty:
            continue
        details = [*undecided(part), _best(known)]
        missing = int(part["missing"].sum())
        details += [f"{missing} {'truth is' if missing == 1 else 'truths are'} missing."] if missing else []
        found.append(Finding(f"truth: recipe {recipe}, {measure}", _headline(part), tuple(details)))
    return found


def _headline(part: DataFrame) -> str:
    said = part.groupby("target", sort=False)["differ"].first()
    tested = said[said != ""]
    targets = f"{len(said)} target{'s' * (len(said) != 1)}"
    if tested.empty:
        return f"One seed on {targets}: whether the sources differ beyond the spread of seeds is not known."
    differing = int((tested == "yes").sum())
    of = targets if len(tested) == len(said) else f"{len(tested)} of {targets} that have several seeds"
    return f"The sources differ beyond the spread of seeds on {differing} of {of}."


def undecided(table: DataFrame) -> Iterator[str]:
    """A sentence for each target on which sources do not differ beyond the spread of seeds."""
    for (target, recipe, measure), part in parts(table[table["differ"] == "no"], ["target", "recipe", "measure"]):
        p = float(part["p"].iloc[0])
        yield (
            f"On {target} the sources do not differ beyond the spread of seeds (recipe {recipe}, {measure}; F test, "
            f"p = {p_text(p)}): whatever ranks them there ranks luck."
        )


def _best(known: DataFrame) -> str:
    """Which source is the best on which targets, and where all of several reach the same."""
    best: dict[str, list[str]] = {}
    equal: list[str] = []
    for (target,), part in parts(known, ["target"]):
        first = part[part["mean"] == part["mean"].max()]
        where = f"{target} ({first['mean'].iloc[0]:.3f})"
        if len(first) == len(part) > 1:
            equal.append(where)
        else:
            best.setdefault(" and ".join(first["source"].astype(str)[:MOST_NAMED]), []).append(where)
    named = [f"{source} on {', '.join(where[:MOST_NAMED])}" for source, where in best.items()]
    said = [f"Best: {'; '.join(named[:MOST_NAMED])}."] if named else []
    said += [f"All sources reach the same on {', '.join(equal[:MOST_NAMED])}: none is the best."] if equal else []
    return " ".join(said)


def dropped_sentences(table: DataFrame) -> Iterator[str]:
    """A sentence for each target of which something was left out as broken."""
    for (target,), part in parts(table, ["target"]):
        by_split = part["split"].value_counts(sort=False)
        splits = ", ".join(f"{split} {number:,}" for split, number in by_split.items())
        what = "annotation or image was" if len(part) == 1 else "annotations or images were"
        example = str(part["problem"].iloc[0]).rstrip(".")
        yield (
            f"{target}: {len(part):,} {what} left out as broken ({splits}), such as: {example}; tables/dropped.csv "
            "lists all."
        )


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

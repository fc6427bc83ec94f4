"""Which means may be compared: those over the same setups. The others are marked, and none of them is called best."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmbench.report.frames import part_of, rows, shortened
from tmbench.report.markup import best_of

if TYPE_CHECKING:
    from pandas import DataFrame

MARK = "†"
"""Stands behind a mean over fewer setups than others in its group."""

MOST_MARKED = 6
"""So many marked metrics are named under a table; of more, the number."""


def partial_means(counts: Mapping[str, float], names: Iterable[str]) -> list[str]:
    """Those of ``names`` whose mean is over fewer setups than that of another of them, by their ``counts``."""
    known = [name for name in names if counts.get(name, 0) > 0]
    most = max((counts[name] for name in known), default=0)
    return [name for name in known if counts[name] < most]


@dataclass(frozen=True)
class Comparison:
    """The means of one scenario, recipe and level as a short table shows them.

    Attributes:
        marked: (metric, measure) of the means over fewer setups than others.
        best: the best mean of a metric by measure; NaN where the metrics have means over different setups.
        largest: the largest mean by measure, its sign left out.
        note: what the mark means, empty where nothing is marked.
    """

    marked: frozenset[tuple[str, str]]
    best: Mapping[str, float]
    largest: Mapping[str, float]
    note: str


def compared(means: DataFrame, measures: Sequence[str], lower: Collection[str]) -> Comparison:
    """The comparison of ``means``, the rows of one scenario, recipe and level, under each of ``measures``."""
    marked: dict[tuple[str, str], int] = {}
    best, largest, most = {}, {}, 0
    for measure in measures:
        known = [row for row in rows(part_of(means, {"measure": measure})) if not math.isnan(row.mean)]
        counts = {row.metric: row.setups for row in known}
        most = max(most, *counts.values(), 0)
        marked |= {(name, measure): counts[name] for name in partial_means(counts, counts)}
        field = [row for row in known if row.kind == "metric"]
        alike = len({row.setups for row in field}) < 2
        best[measure] = best_of((row.mean for row in field), measure in lower) if alike else math.nan
        largest[measure] = best_of(abs(row.mean) for row in known)
    return Comparison(frozenset(marked), best, largest, _note(marked, most))


def _note(marked: Mapping[tuple[str, str], int], most: int) -> str:
    if not marked:
        return ""
    listed = []
    for metric in dict.fromkeys(metric for metric, _ in marked):
        counts = sorted({count for (name, _), count in marked.items() if name == metric})
        listed.append(
            f"{shortened(metric)} {' to '.join(f'{count:,}' for count in dict.fromkeys((counts[0], counts[-1])))}"
        )
    more = f" and {len(listed) - MOST_MARKED} more" if len(listed) > MOST_MARKED else ""
    listed = listed[:MOST_MARKED]
    return f"{MARK} mean over fewer setups than others, not to be compared: {', '.join(listed)}{more} of {most:,}"

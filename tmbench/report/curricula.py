"""What a curriculum says, as plain values for scripts, as rows of tables and as the short tables in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmbench.report.frames import shortened
from tmbench.report.markup import brief
from tmbench.report.terminal import MOST_LETTERS, MOST_TABLES, print_table
from tmbench.stats.covering import NOTHING, Cover
from tmbench.stats.transfer import Evaluation, Transfer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCRATCH = "scratch"
"""The parent of a task that is learned from random weights."""

SCALES = {
    "normalised": "score of the source's feature / score of the feature that was trained on the target itself",
    "ranged": "score from the worst source of the target (0) to the best (1)",
}

TRUTH_SCALE = (
    "mean over tasks of the truth from the worst source of each target (0) to the best (1), scratch being one of them"
)


def facts(every: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Each evaluation as plain JSON values; NaN as None."""
    return [_facts(one) for one in every]


def _facts(one: Evaluation) -> dict[str, Any]:
    transfer = one.transfer
    return {
        **_where(transfer),
        "scale": SCALES[transfer.scale],
        "order": list(curriculum_rows(one)),
        "against_random": _comparison(one),
        "covers": [_cover(transfer, cover) | {"budget": budget} for budget, cover in one.covers.items()],
        "fewest": None if one.fewest is None else _cover(transfer, one.fewest) | {"share_of_best": one.share},
    }


def _where(transfer: Transfer) -> dict[str, Any]:
    return {"recipe": transfer.recipe, "level": transfer.level, "metric": transfer.metric}


def _comparison(one: Evaluation) -> dict[str, Any] | None:
    found = one.comparison
    if found is None:
        return None
    drawn = {"orders": found.orders, "parents": found.parents}
    return {
        "truth": one.transfer.truth_measure,
        "scale": TRUTH_SCALE,
        "value": _plain(found.value),
        "by_seed": [_plain(value) for value in found.by_seed],
        "sd_of_seeds": _plain(found.spread),
        "best_order": _plain(found.best),
        "scratch_alone": _plain(found.scratch),
        **{
            f"random_{name}": {
                "number": len(values),
                "all": name == "orders" and found.every_order,
                "mean": _plain(_mean(values)),
                "sd": _plain(values.std() if values.size else math.nan),
                "z": _plain(found.z(values)),
                "share_beaten": _plain(found.percentile(values)),
            }
            for name, values in drawn.items()
        },
    }


def _cover(transfer: Transfer, cover: Cover) -> dict[str, Any]:
    return {
        "learned": [transfer.units[member] for member in cover.members],
        "mean": _plain(cover.mean),
        "serves": {
            target: {"source": None if source == NOTHING else transfer.sources[source], "value": _plain(value)}
            for target, source, value in zip(transfer.targets, cover.sources, cover.values, strict=True)
        },
    }


def _mean(drawn: np.ndarray) -> float:
    return float(drawn.mean()) if drawn.size else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def curriculum_rows(one: Evaluation) -> Iterator[dict[str, Any]]:
    """A row for each task, in the order in which they are learned.

    ``value`` is the parent's score on the evaluation's scale; ``truth`` what was really reached from the parent,
    ``gain`` that less what was reached from scratch, in the truth's own unit, and ``best`` of all sources.
    """
    transfer = one.transfer
    values = transfer.between_tasks(transfer.values)
    truths = mean_truth(transfer)
    for place, task in enumerate(one.curriculum.order):
        parent = one.curriculum.parents[task]
        source, target = transfer.tasks[task]
        row = transfer.scratch if parent == len(transfer.tasks) else transfer.tasks[parent][0]
        reached = math.nan if row is None else float(truths[row, target])
        scratch = math.nan if transfer.scratch is None else float(truths[transfer.scratch, target])
        known = truths[:, target][~np.isnan(truths[:, target])]
        yield {
            **_where(transfer),
            "place": place + 1,
            "task": transfer.targets[target],
            "source": transfer.sources[source],
            "parent": SCRATCH if parent == len(transfer.tasks) else transfer.names[parent],
            "value": _plain(values[parent, task]),
            "truth": _plain(reached),
            "gain": _plain(reached - scratch),
            "best": _plain(known.max()) if known.size else None,
        }


def mean_truth(transfer: Transfer) -> np.ndarray:
    """(S, N) the mean truth over the seeds that are there; NaN on own targets."""
    there = ~np.isnan(transfer.truths) & ~transfer.own[..., None]
    count = there.sum(axis=-1)
    total = np.where(there, transfer.truths, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def matrix_rows(transfer: Transfer) -> Iterator[dict[str, Any]]:
    """A row for each source and target: the score, the value on the common scale, and the truths."""
    truths = mean_truth(transfer)
    for (s, source), (t, target) in _pairs(transfer):
        seeds = transfer.truths[s, t][~np.isnan(transfer.truths[s, t])]
        yield {
            **_where(transfer),
            "source": source,
            "target": target,
            "own": "yes" if transfer.own[s, t] else "no",
            "score": _plain(transfer.scores[s, t]),
            transfer.scale: _plain(transfer.values[s, t]),
            "truth": _plain(truths[s, t]),
            "sd": _plain(seeds.std(ddof=1)) if len(seeds) > 1 else None,
            "seeds": len(seeds),
        }


def _pairs(transfer: Transfer) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    for source in enumerate(transfer.sources):
        for target in enumerate(transfer.targets):
            yield source, target


def spoken(names: Sequence[str]) -> dict[str, str]:
    """Each of ``names`` without what all of them begin with, up to an underscore: that tells none from the others."""
    first = names[0]
    ends = (place for place, letter in enumerate(first, 1) if letter == "_")
    shared = [first[:end] for end in ends if len(names) > 1 and all(name.startswith(first[:end]) for name in names)]
    return {name: name.removeprefix(shared[-1] if shared else "") for name in names}


def _spoken_source(name: str, targets: Sequence[str]) -> str:
    """A source without the beginning that the targets share: ``class+edges`` of ``common_class+common_edges``."""
    first = targets[0]
    shared = first.removesuffix(spoken(targets)[first])
    return "+".join(part.removeprefix(shared) or part for part in name.split("+"))


def print_curricula(every: Sequence[Evaluation], console: Console | None = None) -> None:
    """Print the matrix, the order and the covering sets of the first evaluation, and how all orders did."""
    from rich.console import Console

    console = console or Console()
    first = every[0]
    for table in (matrix_table(first.transfer), order_table(first), chance_table(every), cover_table(first)):
        if table.row_count:
            print_table(console, table)
            console.print()


def _table(title: str, caption: str, *columns: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(title),
        caption=escape(caption),
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(escape(name), justify="right")
    return table


def matrix_table(transfer: Transfer) -> Table:
    """Sources by targets; what a source was trained on itself is in brackets."""
    from rich.text import Text

    targets = transfer.targets[:MOST_TABLES]
    where = " · ".join((transfer.metric, transfer.level, f"recipe {transfer.recipe}"))
    left = len(transfer.targets) - len(targets)
    caption = f"{SCALES[transfer.scale]}{f'; {left} more targets in matrix.csv' if left else ''}"
    spoken_targets = spoken(transfer.targets)
    table = _table(f"transfer · {where}", caption, *(shortened(spoken_targets[target]) for target in targets))
    known = np.where(np.isnan(transfer.values), -np.inf, transfer.values)
    best = known.argmax(axis=0)
    for s, source in enumerate(transfer.sources):
        cells = [Text(shortened(_spoken_source(source, transfer.targets), MOST_LETTERS))]
        for t in range(len(targets)):
            value = transfer.values[s, t]
            own = "(own)" if transfer.own[s, t] else brief(value)
            cells.append(Text(own, "bold green" if s == best[t] and not transfer.own[s, t] else ""))
        table.add_row(*cells)
    return table


def order_table(one: Evaluation) -> Table:
    """The tasks in the order in which they are learned."""
    from rich.text import Text

    table = _table(
        "in which order to learn", f"truth: {one.transfer.truth_measure}", "from", "value", "truth", "gain", "best"
    )
    names = spoken(one.transfer.targets)
    for row in curriculum_rows(one):
        numbers = [math.nan if row[name] is None else row[name] for name in ("value", "truth", "gain", "best")]
        name = f"{row['place']} {shortened(names[row['task']], MOST_LETTERS)}"
        table.add_row(
            Text(name), Text(shortened(names.get(row["parent"], SCRATCH))), *(Text(brief(number)) for number in numbers)
        )
    return table


def chance_table(every: Sequence[Evaluation]) -> Table:
    """Each order against random orders and random parents."""
    from rich.text import Text

    columns = ("order", "sd", "orders", "z", "beats", "parents", "z", "best", "scratch")
    number = next((len(one.comparison.orders) for one in every if one.comparison), 0)
    whole = any(one.comparison and one.comparison.every_order for one in every)
    which = "all" if whole else "random"
    caption = (
        f"{TRUTH_SCALE}. sd: over seeds; orders: the mean of {which} {number:,}, each task learned from the "
        "best-scored before it; parents: of random ones. z: standard deviations between; beats: so many of the orders"
    )
    table = _table("the order against chance", caption, *columns)
    several = len({(one.transfer.recipe, one.transfer.level) for one in every}) > 1
    for one in every:
        found, transfer = one.comparison, one.transfer
        if found is None:
            continue
        name = f"{transfer.metric} {transfer.level} {transfer.recipe}" if several else transfer.metric
        cells = [brief(found.value), brief(found.spread)]
        beaten = found.percentile(found.orders)
        cells += [brief(_mean(found.orders)), brief(found.z(found.orders))]
        cells += ["–" if math.isnan(beaten) else f"{100 * beaten:.0f} %"]
        cells += [brief(_mean(found.parents)), brief(found.z(found.parents)), brief(found.best), brief(found.scratch)]
        table.add_row(shortened(name), *map(Text, cells))
    return table


def cover_table(one: Evaluation) -> Table:
    """What to learn within each budget, and for all targets."""
    from rich.text import Text

    table = _table("which tasks to learn", "worst: the target that is served least; a task serves itself with 1")
    for name in ("learn", "mean", "worst", "worst served"):
        table.add_column(name, justify="left" if name == "learn" else "right")
    rows = [(f"at most {budget}", cover) for budget, cover in one.covers.items()]
    if one.fewest is not None:
        rows.append((f"all ≥ {one.share:g} of best", one.fewest))
    for name, cover in rows:
        units = (_spoken_source(one.transfer.units[member], one.transfer.targets) for member in cover.members)
        learned = ", ".join(units) or "nothing"
        worst = int(np.argmin(cover.values))
        cells = [
            learned,
            brief(cover.mean),
            brief(cover.values[worst]),
            shortened(spoken(one.transfer.targets)[one.transfer.targets[worst]]),
        ]
        table.add_row(Text(name), *map(Text, cells))
    return table

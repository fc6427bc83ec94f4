"""Reading rows and parts of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

KEY = ["scenario", "recipe", "level", "direction"]
"""What a table row is about, before anything is averaged; the first columns of the tables."""


def rows(table: DataFrame) -> Iterator[Any]:
    """The rows as named tuples, their values as Python has them."""
    return iter(table.itertuples(index=False))


def parts(table: DataFrame, columns: list[str]) -> Iterator[tuple[tuple[str, ...], DataFrame]]:
    """The rows that agree in ``columns`` together, in the order in which they first appear."""
    for names, part in table.groupby(columns, sort=False):
        yield tuple(str(name) for name in names), part


def part_of(table: DataFrame, values: dict[str, str]) -> DataFrame:
    """The rows that have ``values`` by column."""
    chosen = table
    for column, value in values.items():
        chosen = chosen[chosen[column] == value]
    return chosen


def shortened(name: str, most: int = 30) -> str:
    """``name``, its middle left out where it has more than ``most`` characters; files and page have it whole."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"


def column(table: DataFrame, name: str, by: str | list[str]) -> dict[Any, float]:
    """The column ``name`` as numbers by the names in ``by`` (a tuple of them where ``by`` is a list)."""
    return {key: float(value) for key, value in table.set_index(by)[name].items()}

"""Columns of a table as numbers: names as codes in order of first appearance, values with what each cell was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmbench.errors import ConfigError
from tmbench.study.tables.files import Table
from tmbench.study.tables.options import CellsOption

NUMBER, EMPTY, TEXT, INFINITE = 0, 1, 2, 3
"""What a cell of a column of values holds."""

EMPTY_WORDS = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none")
"""What stands for no value, in lower case; any other text that is no number is counted as text."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"^[+-]?inf(inity)?$"


@dataclass(frozen=True)
class Names:
    """(rows,) names: ``names[codes]``, the names in order of first appearance."""

    codes: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def constant(cls, name: str, rows: int) -> "Names":
        """One name for every row."""
        return cls(np.zeros(rows, dtype=np.int64), (name,))

    def take(self, index: NDArray[Any]) -> "Names":
        """The chosen rows; names that no longer occur stay."""
        return Names(self.codes[index], self.names)

    @classmethod
    def of(cls, codes: NDArray[np.int64], names: Sequence[str]) -> "Names":
        """``names[codes]``; names that are equal become one."""
        position: dict[str, int] = {}
        places = np.array([position.setdefault(name, len(position)) for name in names], dtype=np.int64)
        return cls(places[codes], tuple(position))

    def renamed(self, names: Sequence[str]) -> "Names":
        """Other names for the codes."""
        return Names.of(self.codes, names)

    def joined(self, other: "Names", form: str) -> "Names":
        """``form`` filled with both names, where ``other`` has one; this name alone where it is empty."""
        key = self.codes * len(other.names) + other.codes
        _, first, codes = np.unique(key, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        pairs = [(self.names[self.codes[row]], other.names[other.codes[row]]) for row in first[order]]
        texts = [form.format(mine, theirs) if theirs else mine for mine, theirs in pairs]
        return Names.of(rank[codes], texts)

    @staticmethod
    def stacked(parts: Sequence["Names"]) -> "Names":
        """One after the other."""
        position: dict[str, int] = {}
        codes = []
        for part in parts:
            places = np.array([position.setdefault(name, len(position)) for name in part.names], dtype=np.int64)
            codes.append(places[part.codes])
        return Names(np.concatenate(codes), tuple(position))


@dataclass(frozen=True)
class Values:
    """(rows,) float64 numbers, NaN where there is none, and (rows,) int8 what each cell holds."""

    numbers: NDArray[np.float64]
    holds: NDArray[np.int8]

    def take(self, index: NDArray[Any]) -> "Values":
        """The chosen rows."""
        return Values(self.numbers[index], self.holds[index])


class View:
    """A table as an option names its columns; blanks that it strips from names are counted by row."""

    def __init__(self, table: Table, option: CellsOption) -> None:
        """Take a table and the option that maps its columns."""
        self.table = table
        self.option = option
        self.stripped = np.zeros(len(table), dtype=np.int64)
        self.texts: dict[str, str] = {}
        """Of each column of values that holds text: the first one and its row, for a warning."""
        self._names: dict[str, Names] = {}
        self._values: dict[str, Values] = {}
        self._mapped = {key: column for key, column in option.columns.items() if column in table.columns}
        self._claimed = {*self._mapped.values(), *option.truths.values(), *option.metrics}

    def __len__(self) -> int:
        return len(self.table)

    def place(self, key: str) -> str | None:
        """The file's column for one of tmbench's: the mapped one, or the one of that name that nothing else claims."""
        if key in self._mapped:
            return self._mapped[key]
        return key if key in self.table.columns and key not in self._claimed else None

    def first(self, *keys: str) -> str | None:
        """The first of the columns that exists."""
        return next((place for key in keys if (place := self.place(key)) is not None), None)

    def names(self, key: str, default: str = "") -> Names:
        """(rows,) the names in tmbench's column ``key``; ``default`` where it is empty or does not exist."""
        column = self.place(key)
        if column is None:
            return Names.constant(default, len(self))
        if column not in self._names:
            self._names[column] = self._coded(column)
        found = self._names[column]
        return found.renamed([name or default for name in found.names]) if default and "" in found.names else found

    def required(self, key: str) -> Names:
        """(rows,) the names in a column that must name something in every row.

        Raises:
            ConfigError: for a row without a name.
        """
        names = self.names(key)
        if "" in names.names:
            row = int(np.flatnonzero(names.codes == names.names.index(""))[0])
            raise ConfigError(
                f"{self.table.path}: row {self.table.numbers[row]} has content and an empty {key} (column "
                f"'{self.place(key)}'). Name it or remove the row."
            )
        return names

    def _coded(self, column: str) -> Names:
        import pyarrow as pa

        array = self.table.columns[column]
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        raw = ["" if value is None else _name(value) for value in encoded.dictionary.to_pylist()]
        codes = encoded.indices.cast(pa.int64()).fill_null(len(raw)).to_numpy(zero_copy_only=False)
        clean = [name.strip() for name in raw] + [""]
        changed = np.array([name != text for name, text in zip(clean, [*raw, ""], strict=True)])
        self.stripped += changed[codes]
        # A dictionary that the file brought may have another order than the rows, or names that never occur.
        used, first = np.unique(codes, return_index=True)
        order = used[np.argsort(first)]
        rank = np.zeros(len(clean), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return Names.of(rank[codes], [clean[code] for code in order])

    def values(self, column: str) -> Values:
        """(rows,) the numbers in a column of the file."""
        if column not in self._values:
            self._values[column] = self._numbers(column)
        return self._values[column]

    def _numbers(self, column: str) -> Values:
        import pyarrow as pa

        array = self.table.columns[column]
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_decimal(array.type):
            numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            holds = np.select([np.isnan(numbers), np.isinf(numbers)], [EMPTY, INFINITE], NUMBER).astype(np.int8)
            return Values(numbers, holds)
        return self._parsed(column, array)

    def _parsed(self, column: str, array: Any) -> Values:
        """Numbers written as text, each read to the nearest float64."""
        import pyarrow as pa
        import pyarrow.compute as compute

        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            array = pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.large_string())
        text = compute.utf8_trim_whitespace(compute.fill_null(array, ""))
        lower = compute.utf8_lower(text)

        def where(found: Any) -> NDArray[np.bool_]:
            return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)

        number = where(compute.match_substring_regex(text, _NUMBER))
        empty = where(compute.is_in(lower, value_set=pa.array(EMPTY_WORDS, lower.type)))
        infinite = where(compute.match_substring_regex(lower, _INFINITE))
        readable = pa.array(number | infinite)
        bare = compute.utf8_ltrim(compute.if_else(readable, lower, "nan"), characters="+")
        numbers = np.array(bare.cast(pa.float64()).to_numpy(zero_copy_only=False))
        # 1e999 is written as a number and is none that a float64 holds.
        infinite |= np.isinf(numbers)
        holds = np.select([infinite, number, empty], [INFINITE, NUMBER, EMPTY], TEXT).astype(np.int8)
        if (holds == TEXT).any():
            row = int(np.argmax(holds == TEXT))
            self.texts[column] = f"'{text[row].as_py()}' in row {self.table.numbers[row]}"
        return Values(numbers, holds)


def _name(value: Any) -> str:
    """A name as a person writes it: the 3.0 that a column of floats holds is 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else "" if value != value else str(value)


def key_of(columns: Sequence[Names]) -> NDArray[np.int64]:
    """(rows,) one number for each combination of names."""
    key, size = columns[0].codes, len(columns[0].names)
    for column in columns[1:]:
        if size * len(column.names) > 2**62:
            _, key = np.unique(key, return_inverse=True)
            size = int(key.max()) + 1 if len(key) else 1
        key = key * len(column.names) + column.codes
        size *= len(column.names)
    return key


def first_of_each(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows,) the first row that has the key of each row."""
    order = np.argsort(key, kind="stable")
    starts = np.ones(len(key), dtype=bool)
    starts[1:] = key[order[1:]] != key[order[:-1]]
    first = np.empty_like(order)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def axis(listed: Sequence[str], columns: Sequence[Names]) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """The names of an axis and, for each column, the place of each row on it.

    ``listed`` names come first; the others follow in order of first appearance in the columns, one after the other.
    """
    position = {name: place for place, name in enumerate(listed)}
    places = []
    for column in columns:
        used, first = np.unique(column.codes, return_index=True)
        place = np.zeros(len(column.names), dtype=np.int64)
        for code in used[np.argsort(first)]:
            place[code] = position.setdefault(column.names[code], len(position))
        places.append(place[column.codes])
    return tuple(position), places


def counted(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that found something, in their order."""
    return {name: int(count) for name, count in counts.items() if count}

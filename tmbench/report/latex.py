r"""A data frame as a LaTeX table for a paper: booktabs, the best in bold, intervals beside the values.

The file is for ``\input`` in a document that uses booktabs, and longtable where a table has many rows. pdfLaTeX sets
it; names in scripts that it has no font for need LuaLaTeX or XeLaTeX.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tmbench.report.contract import BASE, TITLES
from tmbench.report.markup import best_column, best_rows, empty_columns, is_number, shown

if TYPE_CHECKING:
    from pandas import DataFrame

TEXT_WIDTH = 342
"""The width of the text of the article class, in points, less a little."""

DIGIT = {"small": 4.63, "footnotesize": 4.25, "scriptsize": 3.99}
"""How wide a digit is in each size of the article class, in points."""

SIZES = (("small", 4), ("footnotesize", 4), ("footnotesize", 2), ("scriptsize", 2))
"""Sizes and gaps between columns, of which the first is taken that fits."""

TIGHT = SIZES[2]

COUNTS = ("kind", "setups", "missing", "queries", "groups", "seeds", "candidates", "count", "noise", "test_size")
"""Columns that say what values are about or over: the same in every row, they go to the caption."""

OPTIONAL = {
    "reliability": (
        "spread", "source_sd", "pretrained_best", "random_start", "noise", "test_size", "candidates", "missing",
        "worst",
    ),
    "win_rate": ("strict", "all"),
    "win_rate_by_measure": ("strict", "all"),
    "pairwise": ("tie", "loss"),
    "by_candidates": ("missing", "count"),
    "counts": ("policy",),
}  # fmt: skip
"""What is left to the CSV file, in this order, where a table would be wider than the text."""

LONG_HEADER = 9
"""From so many letters on, a title is set on several lines."""

MOST_ROWS = 60
"""Beyond, a table runs over pages as a longtable."""

ENDS = {"low": "high", "family_low": "family_high"}
"""The columns of an interval's ends, set as one."""

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}",
    # After the end of a row, a bracket or a star would be read as its argument.
    "[": "{[}", "]": "{]}", "*": "{*}",
    "−": "$-$", "–": "--", "—": "---", "…": r"\dots{}", "×": r"$\times$", "·": r"$\cdot$", "∞": r"$\infty$",
    "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$", "α": r"$\alpha$", "β": r"$\beta$", "ρ": r"$\rho$", "τ": r"$\tau$",
    "σ": r"$\sigma$", "²": r"$^2$",
    **{raised: f"$^{{{plain}}}$" for raised, plain in zip("⁻⁰¹³⁴⁵⁶⁷⁸⁹", "-013456789", strict=True)},
    "’": "'", "“": "``", "”": "''",
}  # fmt: skip


@dataclass(frozen=True)
class _Column:
    """A column as it is set: one of the table's, with the interval's ends after it or in its place."""

    header: str
    value: str = ""
    low: str = ""
    high: str = ""


def latex_text(table: DataFrame, name: str, caption: str, lower: Collection[str] = ()) -> str:
    """``table`` as one float, or as a longtable beyond ``MOST_ROWS`` rows.

    Columns of the base that are the same everywhere go to the caption, the others head the groups of rows. So that it
    fits into an article, columns without a value are named in the caption, and of a very wide table some are left to
    the CSV file, which the caption says too.

    Args:
        table: one of the report's.
        name: of the table, for its title and label.
        caption: plain text.
        lower: the measures of which less is better.
    """
    empty = [c for c in empty_columns(table) if c not in (*ENDS, *ENDS.values())]
    constant = [c for c in (*BASE, *COUNTS) if c in table.columns and c not in empty and table[c].nunique() == 1]
    fixed = [c for c in constant if c in BASE or len(table) > 1]
    varied = [c for c in BASE if c in table.columns and c not in fixed]
    varied += ["measure"] if _heads(table, [*varied, "measure"]) else []
    columns = [column for column in _columns(table, varied) if column.value not in (*fixed, *empty)]
    body = list(_body(table, columns, varied, lower))
    omitted: list[str] = []
    for less in OPTIONAL.get(name, ()):
        if _width(columns, body, *TIGHT) <= TEXT_WIDTH:
            break
        if any(column.value == less for column in columns):
            columns = [column for column in columns if column.value != less]
            body = list(_body(table, columns, varied, lower))
            omitted.append(less)
    caption += "".join(_aside(table, fixed, empty, omitted))
    alignment = "".join("r" if column.low or is_number(table, column.value) else "l" for column in columns)
    header = " & ".join(_header(column.header) for column in columns) + r" \\"
    label = "\\label{tab:" + re.sub(r"[^a-z0-9]+", "-", name.lower()) + "}"
    title = f"\\caption[{escaped(TITLES.get(name, name))}]{{{escaped(caption)}}}"
    size, gap = next((s for s in SIZES if _width(columns, body, *s) <= TEXT_WIDTH), SIZES[-1])
    size = f"\\{size}\\setlength{{\\tabcolsep}}{{{gap}pt}}"
    whole = _long if len(table) > MOST_ROWS else _float
    return "\n".join(whole(title, label, size, alignment, header, body)) + "\n"


def _heads(table: DataFrame, names: list[str]) -> bool:
    """Whether the rows that agree in ``names`` stand together, several of them, so that a heading can say it once."""
    if any(name not in table.columns for name in names) or not len(table):
        return False
    keys = list(zip(*(table[name].tolist() for name in names), strict=True))
    changes = 1 + sum(one != other for one, other in pairwise(keys))
    return changes == len(set(keys)) and 1 < changes <= len(keys) / 2


def _aside(table: DataFrame, fixed: Sequence[str], empty: Sequence[str], omitted: Sequence[str]) -> Iterator[str]:
    """What the caption says of the columns that are not set."""
    if fixed:
        yield f" Throughout: {', '.join(f'{name} {shown(table[name].iloc[0])}' for name in fixed)}."
    if empty:
        yield f" Without any value: {', '.join(empty)}."
    if omitted:
        yield f" The CSV file also has {', '.join(omitted)}."


def _header(name: str) -> str:
    """A column's title, on several lines where it is long beside its numbers."""
    if len(name) < LONG_HEADER or "_" not in name:
        return escaped(name)
    return "\\shortstack{" + r"\\".join(escaped(part) for part in name.split("_")) + "}"


def _width(columns: Sequence[_Column], body: Sequence[str], size: str, gap: int) -> float:
    """About how many points wide a table is set: its letters as wide as digits of Computer Modern."""
    letters = [max(map(len, c.header.split("_"))) if len(c.header) >= LONG_HEADER else len(c.header) for c in columns]
    for line in body:
        cells = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        if len(cells) == len(columns):
            letters = [max(most, _letters(cell)) for most, cell in zip(letters, cells, strict=True)]
    return sum(letters) * DIGIT[size] + 2 * gap * len(columns)


def _letters(cell: str) -> int:
    """How many letters a cell shows, a raised one for half a letter."""
    cell = re.sub(r"\^\{([^}]*)\}", lambda power: "0" * (len(power[1]) // 2), cell)
    return len(re.sub(r"\\[a-z]+|[\\{}$]", "", cell.replace(r"\cdot", ".")))


def _float(title: str, label: str, size: str, alignment: str, header: str, body: list[str]) -> Iterator[str]:
    yield "% \\usepackage{booktabs}"
    yield from (r"\begin{table}[tbp]", r"\centering", size, title, label, r"\par\medskip")
    yield from (f"\\begin{{tabular}}{{{alignment}}}", r"\toprule", header, r"\midrule")
    yield from body
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def _long(title: str, label: str, size: str, alignment: str, header: str, body: list[str]) -> Iterator[str]:
    yield "% \\usepackage{booktabs,longtable}"
    yield from (
        "{" + size + r"\setlength{\LTcapwidth}{\textwidth}",
        f"\\begin{{longtable}}{{{alignment}}}",
        title + label + r"\\",
    )
    yield from (r"\toprule", header, r"\midrule", r"\endfirsthead")
    yield from (r"\toprule", header, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot")
    yield from body
    yield from (r"\end{longtable}", "}")


def _columns(table: DataFrame, varied: Sequence[str]) -> Iterator[_Column]:
    """What is set, in order: ends of intervals join their value, and leave where there is no interval at all."""
    ends = {name: high for name, high in ENDS.items() if name in table.columns}
    known = {name: high for name, high in ends.items() if table[[name, high]].notna().any(axis=None)}
    value = next((name for name in ("split", "mean", "stability", "difference") if name in table.columns), "")
    for name in table.columns:
        if name == "family_low" and name in known:
            yield _Column("family", low=name, high=ends[name])
        elif name == value and "low" in known:
            yield _Column(name, name, "low", ends["low"])
        elif name not in (*BASE, *varied, *ends, *ends.values()):
            yield _Column(name, name)


def _body(table: DataFrame, columns: Sequence[_Column], varied: list[str], lower: Collection[str]) -> Iterator[str]:
    """The rows, each group under a heading of its values of ``varied``."""
    best, ranked = best_rows(table, lower), best_column(table)
    place = {name: number for number, name in enumerate(table.columns)}
    plain = {name for name in table.columns if _is_plain(table, name)}
    before: tuple[str, ...] | None = None
    for position, row in enumerate(table.itertuples(index=False, name=None)):
        group = tuple(str(row[place[name]]) for name in varied)
        if varied and group != before:
            if before is not None:
                yield r"\midrule"
            yield f"\\multicolumn{{{len(columns)}}}{{l}}{{\\emph{{{escaped(', '.join(group))}}}}}" + r" \\"
            before = group
        cells = []
        for column in columns:
            text = number_text(row[place[column.value]], column.value in plain) if column.value else ""
            if position in best and column.value == ranked:
                text = f"\\textbf{{{text}}}"
            if column.low and not math.isnan(row[place[column.low]]):
                low, high = (number_text(row[place[end]], end in plain) for end in (column.low, column.high))
                text = f"{text} {{[}}{low}, {high}{{]}}".lstrip()
            cells.append(text or "--")
        yield " & ".join(cells) + r" \\"


def _is_plain(table: DataFrame, name: str) -> bool:
    """Whether three decimals do for a column: it is about the size of 1, and no p value, of which the size matters."""
    if name in ("p", "p_holm") or table[name].dtype.kind != "f":
        return False
    return bool(0.05 <= table[name].abs().max() < 100)


def number_text(value: Any, plain: bool = False) -> str:
    r"""A cell: ``.479``, ``$-$.050``, ``297,024``, ``$2.1\cdot10^{-5}$``; text is escaped.

    ``plain`` numbers have three decimals, however small they are.
    """
    if isinstance(value, str) or type(value).__name__ in ("bool", "bool_"):
        return escaped(shown(value))
    if not isinstance(value, float):
        return f"{value:,}".replace("-", "$-$")
    if plain and abs(value) < 1e-3:
        value = round(value, 3) + 0.0  # adding 0.0 turns −0 into 0
    mantissa, _, power = shown(value).partition("e")
    mantissa = re.sub(r"^(−?)0\.", r"\1.", mantissa)
    if not power:
        return escaped(mantissa)
    return f"${mantissa.replace('−', '-')}\\cdot10^{{{int(power.replace('−', '-'))}}}$"


def escaped(text: str) -> str:
    """``text`` so that LaTeX prints it as it is."""
    return "".join(ESCAPES.get(character, character) for character in " ".join(text.split()))

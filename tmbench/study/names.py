"""How a sweep names what no option file of its own stands for.

``NAME@LAYER`` is a source that ends at a module; ``A+B`` is two sources whose features are joined; ``NAME.003`` is one
of the targets that an option stands for. A query of target selection is a source, or ``SOURCE · OPTION``, a source
for which the targets of one option are ranked.
"""

import re
from collections.abc import Collection

OF = " · "
"""Between the source and the option of targets in the name of a query."""

_MEMBER = re.compile(r"([^@+]+)\.\d{3,}")
"""One of the targets that an option stands for; a module of a source (``NAME@layer4.0``) has numbers too."""


def source_parts(name: str) -> list[tuple[str, str]]:
    """The options, each with the layer at which it ends ("" for the whole network), that a source's name speaks of."""
    return [(option, layer) for option, _, layer in (part.partition("@") for part in name.split("+"))]


def place_of(name: str) -> str:
    """The key under which an option of this name stands in a config."""
    return re.sub(r"\W", "_", name)


def query_name(source: str, group: str) -> str:
    """The query that ranks the targets of an option (``group``; "" for those that stand for themselves)."""
    return f"{source}{OF}{group}" if group else source


def query_option(query: str) -> str:
    """The option that a query is of."""
    return query.partition(OF)[0]


def is_among(name: str, names: Collection[str]) -> bool:
    """Whether a source, target or query is one of ``names``, or is of an option that is."""
    option = query_option(name)
    return option in names or ((member := _MEMBER.fullmatch(option)) is not None and member[1] in names)

"""Drawing images from a set on disk, of which some cannot be used."""

from collections.abc import Callable, Sequence

import numpy as np


def rows_drawn(
    count: int, size: int | None, generator: np.random.Generator, broken: Callable[[int], Sequence[str] | None]
) -> tuple[list[int], list[str]]:
    """``size`` rows at random, or all, ascending; those that cannot be used are passed over.

    A smaller draw of the same generator is a part of a larger one. Fewer where the set has fewer.

    Args:
        count: of the set's images.
        size: how many are wanted; all where None.
        generator: draws them.
        broken: row → why its image cannot be used, a sentence each; None where it can. Asked of no more rows than
            needed.

    Returns:
        The rows, and the sentences of those passed over on the way.
    """
    kept: list[int] = []
    lost: list[str] = []
    order = np.arange(count) if size is None else generator.permutation(count)
    for row in order.tolist():
        if len(kept) == size:
            break
        problems = broken(row)
        if problems is None:
            kept.append(row)
        else:
            lost.extend(problems)
    return sorted(kept), lost

"""Maximum spanning arborescences: of all trees that lead from a root to every node, the one of the heaviest edges."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def spanning_arborescence(weights: Array, root: int) -> NDArray[np.int64]:
    """The parent of each node in a maximum spanning arborescence; -1 for the root.

    Chu and Liu (Scientia Sinica, 1965) and Edmonds (J. Research of the NBS, 1967): take each node's heaviest edge;
    where these make a cycle, make one node of it, in which an edge into the cycle counts by what it gains over the
    one that it replaces, and begin anew. O(n³). Of edges of equal weight the one from the first node is taken.

    Args:
        weights: (n, n), ``weights[a, b]`` of the edge from a to b; NaN where there is none.
        root: the node at which the tree begins.

    Raises:
        ValueError: when some node cannot be reached.
    """
    edges = np.where(np.isnan(weights), -np.inf, weights).astype(np.float64)
    np.fill_diagonal(edges, -np.inf)
    edges[:, root] = -np.inf
    if unreached := set(range(len(edges))) - set(_reached(edges, root)):
        raise ValueError(f"no edges lead from node {root} to {', '.join(map(str, sorted(unreached)))}.")
    return _parents(edges, root)


def _parents(edges: Array, root: int) -> NDArray[np.int64]:
    heaviest = edges.argmax(axis=0)
    heaviest[root] = -1
    cycle = _cycle(heaviest)
    if not cycle:
        return heaviest
    outside = np.array([node for node in range(len(edges)) if node not in cycle])
    inside = np.array(cycle)
    # The cycle becomes one node behind the others: what leaves it does so from its best node, and what enters it
    # takes the place of one of its edges.
    leaving = edges[np.ix_(inside, outside)]
    entering = edges[np.ix_(outside, inside)] - edges[heaviest[inside], inside]
    n = len(outside)
    smaller = np.full((n + 1, n + 1), -np.inf)
    smaller[:n, :n] = edges[np.ix_(outside, outside)]
    smaller[n, :n], smaller[:n, n] = leaving.max(axis=0), entering.max(axis=1)
    found = _parents(smaller, int(np.flatnonzero(outside == root)[0]))
    parents = heaviest.copy()
    for place, node in enumerate(outside):
        if node != root:
            above = found[place]
            parents[node] = inside[leaving[:, place].argmax()] if above == n else outside[above]
    parents[inside[entering[found[n]].argmax()]] = outside[found[n]]
    return parents


def _cycle(parents: NDArray[np.int64]) -> list[int]:
    """The nodes of a cycle among ``parents``, if there is one."""
    seen = np.full(len(parents), -1)
    for start in range(len(parents)):
        node = start
        while node >= 0 and seen[node] < 0:
            seen[node] = start
            node = parents[node]
        if node >= 0 and seen[node] == start:
            cycle, other = [node], parents[node]
            while other != node:
                cycle.append(other)
                other = parents[other]
            return [int(each) for each in cycle]
    return []


def _reached(edges: Array, root: int) -> Iterator[int]:
    """The nodes to which edges lead from ``root``, itself included."""
    seen, waiting = {root}, [root]
    while waiting:
        node = waiting.pop()
        yield node
        new = [int(other) for other in np.flatnonzero(edges[node] > -np.inf) if int(other) not in seen]
        seen.update(new)
        waiting += new

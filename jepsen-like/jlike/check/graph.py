"""Strongly connected parts of a graph, and short cycles in them. Pure.

Called by `jlike.check.append`. Nodes are numbers; an edge may carry several reasons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

Edges = Mapping[int, Mapping[int, Collection[str]]]
"""from → to → reasons."""


def components(edges: Edges, *, kinds: Collection[str]) -> Iterator[set[int]]:
    """Those of more than one node, over edges that have one of these reasons (Tarjan, 1972)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[int] = []
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(_next(edges, root, kinds)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(_next(edges, other, kinds))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found: set[int] = set()
                    while node not in found:
                        found.add(stack.pop())
                    on_stack -= found
                    if len(found) > 1:
                        yield found


def shortest_cycle(edges: Edges, nodes: Collection[int], *, kinds: Collection[str]) -> list[int]:
    """Nodes of one with the fewest edges; nodes: a component, so there is one."""
    best: list[int] = []
    for start in sorted(nodes):
        path = shortest_path(edges, start, start, nodes=nodes, kinds=kinds)
        if path and (not best or len(path) < len(best)):
            best = path
    return best


def shortest_path(
    edges: Edges, start: int, end: int, *, nodes: Collection[int], kinds: Collection[str]
) -> list[int]:
    """From start up to, without, end; one edge at least. Empty: there is none."""
    came: dict[int, int] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for other in _next(edges, node, kinds):
            if other == end:
                path = [node]
                while path[-1] != start:
                    path.append(came[path[-1]])
                return path[::-1]
            if other in nodes and other not in came and other != start:
                came[other] = node
                waiting.append(other)
    return []


def _next(edges: Edges, node: int, kinds: Collection[str]) -> Iterator[int]:
    for other, reasons in edges.get(node, {}).items():
        if any(it in kinds for it in reasons):
            yield other

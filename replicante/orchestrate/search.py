"""Finds nodes by their attributes: the search language of declarations. Pure; called by the steps.

A node matches when every matcher does. An attribute is *set* when the node has it and its value is
not null; a null is as good as none.

- `unset`: the attribute is not set.           - `set`: it is.
- `eq v`, `in [v…]`: it is set and equals the, or one, value. `null` equals nothing.
- `ne v`, `not-in [v…]`: the negation of `eq` and `in`, so a node without the attribute matches.

Numbers are equal by value, 1 and 1.0 too; a boolean never equals a number; texts by their bytes.

Order: rule after rule, at last by node id, so that it never depends on anything else. Ascending:
numbers (by value; NaN after all) before texts (by code points) before booleans (false first) before
unset. Descending is the exact reverse: unset comes first.

Names: `ns_id`, `cluster_id`, `node_id`, `node_status`, `node_class`, `node_group`, `address.*`,
`agent_version`, `agent_version.{checkout,number,taint}`, `store_id`, `store_version`,
`store_version.{checkout,number,extra}`, `shard.count.*` by role (a node without copies has none
of them), then the node's own attributes, then those of the store. A name of this list is never
taken by an attribute of the same name.
"""

from __future__ import annotations

import functools
import math

from replicante.model.node import Attribute
from replicante.model.node_search import Matcher, MatchOp, NodeSearch, SortRule
from replicante.orchestrate.view import ClusterView

_NUMBER, _TEXT, _BOOLEAN, _UNSET = range(4)


def search_nodes(view: ClusterView, search: NodeSearch) -> tuple[str, ...]:
    """Ids of the discovered nodes that match, in order, at most `results_max`."""
    attributes = {node_id: node_attributes(view, node_id) for node_id in view.node_ids}
    found = [
        node_id
        for node_id in view.node_ids
        if all(_matches(attributes[node_id].get(name), it) for name, it in search.matches.items())
    ]

    def compare(left: str, right: str) -> int:
        for rule in search.sort_by:
            order = _compare(attributes[left], attributes[right], rule)
            if order:
                return order
        return -1 if left < right else 1

    found.sort(key=functools.cmp_to_key(compare))
    return tuple(found[: search.results_max])


def node_attributes(view: ClusterView, node_id: str) -> dict[str, Attribute]:
    """Everything that a search may ask of a node."""
    found: dict[str, Attribute] = {}
    extras, node = view.extras.get(node_id), view.nodes.get(node_id)
    if extras is not None:
        found |= extras.attributes
    if node is not None and node.details is not None:
        found |= node.details.attributes
    for role in ("primary", "secondary", "recovering"):
        found.pop(f"shard.count.{role}", None)
    counts = view.role_counts(node_id)
    if counts:
        found |= {f"shard.count.{role}": 0 for role in ("primary", "secondary", "recovering")}
        found |= {f"shard.count.{role}": count for role, count in counts.items()}
    discovered = view.discovered(node_id)
    if discovered is not None:
        found["node_class"], found["node_group"] = discovered.node_class, discovered.node_group
    if node is None:
        return found | {"node_id": node_id}
    found |= {
        "ns_id": node.ns_id,
        "cluster_id": node.cluster_id,
        "node_id": node.node_id,
        "node_status": str(node.node_status),
    }
    details = node.details
    if details is not None:
        agent, store = details.agent_version, details.store_version
        found |= {f"address.{name}": address for name, address in details.addresses.items()}
        found |= {
            "agent_version": agent.number,
            "agent_version.number": agent.number,
            "agent_version.checkout": agent.checkout,
            "agent_version.taint": agent.taint,
            "store_id": details.store_id,
            "store_version": store.number,
            "store_version.number": store.number,
            "store_version.checkout": store.checkout,
            "store_version.extra": store.extra,
        }
    return found


def _matches(value: Attribute, matcher: Matcher) -> bool:
    match matcher.op:
        case MatchOp.SET:
            return value is not None
        case MatchOp.UNSET:
            return value is None
        case MatchOp.EQ | MatchOp.IN:
            return any(_equal(value, wanted) for wanted in matcher.values)
        case MatchOp.NE | MatchOp.NOT_IN:
            return not any(_equal(value, wanted) for wanted in matcher.values)


def _equal(value: Attribute, wanted: Attribute) -> bool:
    if value is None or wanted is None or _kind(value) != _kind(wanted):
        return False
    return value == wanted


def _compare(left: dict[str, Attribute], right: dict[str, Attribute], rule: SortRule) -> int:
    own, other = _rank(left.get(rule.attribute)), _rank(right.get(rule.attribute))
    order = (own > other) - (own < other)
    return -order if rule.is_descending else order


def _rank(value: Attribute) -> tuple[int, bool, float | int, str]:
    """Comparable among all values; Python compares int and float exactly."""
    kind = _kind(value)
    if isinstance(value, str):
        return kind, False, 0, value
    if value is None:
        return kind, False, 0, ""
    is_nan = isinstance(value, float) and math.isnan(value)
    return kind, is_nan, 0 if is_nan else value, ""


def _kind(value: Attribute) -> int:
    if value is None:
        return _UNSET
    if isinstance(value, bool):
        return _BOOLEAN
    return _TEXT if isinstance(value, str) else _NUMBER

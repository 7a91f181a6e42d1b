"""The search for nodes as it is declared: matchers, a bound, an order. Pure.

Called by the declarations that hold one; what it means is told and done in `orchestrate.search`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from replicante.limits import SEARCH_MATCHERS_MAX, SEARCH_SORTS_MAX, SEARCH_VALUES_MAX
from replicante.model.codec import Path, Value
from replicante.model.node import Attribute
from replicante.model.records import Record
from replicante.model.violations import Violations, describe


class MatchOp(enum.StrEnum):
    EQ = "eq"
    IN = "in"
    NE = "ne"
    NOT_IN = "not-in"
    SET = "set"
    UNSET = "unset"


class Matcher(Record, frozen=True, kw_only=True):
    op: MatchOp
    values: tuple[Attribute, ...] = ()
    """One for eq and ne, any number for in and not-in, none for set and unset."""


class SortRule(Record, frozen=True, kw_only=True):
    attribute: str
    is_descending: bool = False


class NodeSearch(Record, frozen=True, kw_only=True):
    matches: dict[str, Matcher] = msgspec.field(default_factory=dict)
    results_max: int | None = None
    sort_by: tuple[SortRule, ...] = (SortRule(attribute="node_id"),)

    def to_spec(self) -> dict[str, Value]:
        return {
            "matches": {name: _matcher_spec(it) for name, it in self.matches.items()},
            "max_results": self.results_max,
            "sort_by": [("-" if it.is_descending else "+") + it.attribute for it in self.sort_by],
        }


def read_node_search(value: Value, path: Path, violations: Violations) -> NodeSearch | None:
    """The declared search; None when there is none."""
    if value is None:
        return None
    search = violations.mapping(value, path, fields=("matches", "max_results", "sort_by"))
    results_max = search.get("max_results")
    if results_max is not None:
        results_max = violations.integer(
            results_max, (*path, "max_results"), lowest=1, highest=65_535
        )
    return NodeSearch(
        matches=_read_matches(search.get("matches", {}), (*path, "matches"), violations),
        results_max=results_max,
        sort_by=_read_sorts(search.get("sort_by"), (*path, "sort_by"), violations),
    )


def _read_matches(value: Value, path: Path, violations: Violations) -> dict[str, Matcher]:
    if not isinstance(value, dict):
        violations.add(path, f"must be a map, not {describe(value)}")
        return {}
    if len(value) > SEARCH_MATCHERS_MAX:
        violations.add(path, f"must be at most {SEARCH_MATCHERS_MAX} matchers")
        return {}
    found: dict[str, Matcher] = {}
    for name in sorted(value):
        matcher = _read_matcher(value[name], (*path, name), violations)
        if matcher is not None:
            found[name] = matcher
    return found


def _read_matcher(value: Value, path: Path, violations: Violations) -> Matcher | None:
    if isinstance(value, list | tuple):
        return Matcher(op=MatchOp.IN, values=_read_values(value, path, violations))
    if not isinstance(value, dict):
        return Matcher(op=MatchOp.EQ, values=_read_values([value], path, violations))
    fields = violations.mapping(value, path, fields=("op", "value", "values"))
    op = violations.choice(fields.get("op"), (*path, "op"), MatchOp, default=MatchOp.SET)
    return Matcher(op=op, values=_read_operands(op, fields, path, violations))


def _read_operands(
    op: MatchOp, fields: Mapping[str, Value], path: Path, violations: Violations
) -> tuple[Attribute, ...]:
    """The original takes a matcher without its operand for one that never matches: a silent
    mistake. Here it is a fault."""
    if op in (MatchOp.SET, MatchOp.UNSET):
        wanted = None
    else:
        wanted = "value" if op in (MatchOp.EQ, MatchOp.NE) else "values"
    for name in ("value", "values"):
        if name in fields and name != wanted:
            violations.add((*path, name), f"{op} takes no {name}")
    if wanted is None:
        return ()
    if wanted not in fields:
        violations.add((*path, wanted), f"required by {op}")
        return ()
    if wanted == "value":
        return _read_values([fields["value"]], path, violations)
    values = violations.items(fields["values"], (*path, "values"), count_max=SEARCH_VALUES_MAX)
    return _read_values(values, (*path, "values"), violations)


def _read_values(
    values: list[Value] | tuple[Value, ...], path: Path, violations: Violations
) -> tuple[Attribute, ...]:
    if len(values) > SEARCH_VALUES_MAX:
        violations.add(path, f"must be at most {SEARCH_VALUES_MAX} values")
        return ()
    for value in values:
        if isinstance(value, dict | list | tuple):
            violations.add(path, f"must hold plain values, not {describe(value)}")
            return ()
    return tuple(values)


def _read_sorts(value: Value, path: Path, violations: Violations) -> tuple[SortRule, ...]:
    if value is None:
        return (SortRule(attribute="node_id"),)
    rules: list[SortRule] = []
    for i, item in enumerate(violations.items(value, path, count_max=SEARCH_SORTS_MAX)):
        text = violations.text(item, (*path, i))
        name = text[1:] if text[:1] in ("+", "-") else text
        if text and not name:
            violations.add((*path, i), "names no attribute")
        rules.append(SortRule(attribute=name, is_descending=text[:1] == "-"))
    return tuple(rules)


def _matcher_spec(matcher: Matcher) -> Value:
    match matcher.op:
        case MatchOp.EQ | MatchOp.NE:
            return {"op": str(matcher.op), "value": matcher.values[0]}
        case MatchOp.IN | MatchOp.NOT_IN:
            return {"op": str(matcher.op), "values": list(matcher.values)}
        case MatchOp.SET | MatchOp.UNSET:
            return {"op": str(matcher.op)}

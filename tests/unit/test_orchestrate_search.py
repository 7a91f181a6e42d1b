from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrate_builders import FakeNode, World, replicated

from replicante.model.node_search import read_node_search
from replicante.model.shard import ShardRole
from replicante.model.violations import Violations
from replicante.orchestrate.search import search_nodes
from replicante.orchestrate.view import build_view


def found(view, **search):
    violations = Violations()
    read = read_node_search(search, ("s",), violations)
    violations.raise_if_any()
    return list(search_nodes(view, read))


def view_of(**attributes):
    """One node a name, with one attribute `x`; `None` is null, ... is not there."""
    nodes = [
        FakeNode(name, attributes={} if value is ... else {"x": value})
        for name, value in attributes.items()
    ]
    world = World(*nodes)
    world.cycle()
    return stored_view(world)


def stored_view(world):
    inputs = world.inputs()
    return build_view(
        spec=inputs.spec,
        discovery=inputs.discovery,
        nodes=inputs.nodes,
        extras=inputs.extras,
        shards=inputs.shards,
    )


MIXED = {"a": 1, "b": "1", "c": True, "d": None, "e": ..., "f": 1.0}


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (1, "af"),
        (1.0, "af"),
        ("1", "b"),
        (True, "c"),
        (None, ""),
        ([1, "1"], "abf"),
        ([], ""),
        ({"op": "set"}, "abcf"),
        ({"op": "unset"}, "de"),
        ({"op": "eq", "value": 1}, "af"),
        ({"op": "ne", "value": 1}, "bcde"),
        ({"op": "in", "values": [True, None]}, "c"),
        ({"op": "not-in", "values": [1, True]}, "bde"),
    ],
)
def test_matchers_mean_what_is_written(matcher, expected):
    assert found(view_of(**MIXED), matches={"x": matcher}) == list(expected)


def test_every_matcher_counts_also_when_an_attribute_is_not_set():
    view = view_of(**MIXED)
    assert found(view, matches={"y": {"op": "unset"}, "x": 1}) == ["a", "f"]
    assert found(view, matches={"x": {"op": "unset"}, "node_id": "zz"}) == []


def test_an_attribute_of_a_node_never_takes_the_place_of_a_fact():
    world = World(FakeNode("a", attributes={"node_id": "b", "shard.count.primary": 9}))
    world.cycle()
    view = stored_view(world)
    assert found(view, matches={"node_id": "a"}) == ["a"]
    assert found(view, matches={"shard.count.primary": 9}) == []


def test_counts_are_not_set_where_there_is_no_copy():
    world = World(FakeNode("a", role=ShardRole.PRIMARY), FakeNode("b", role=None))
    world.cycle()
    view = stored_view(world)
    assert found(view, matches={"shard.count.primary": {"op": "set"}}) == ["a"]
    assert found(view, matches={"shard.count.secondary": 0}) == ["a"]


def test_facts_of_node_discovery_and_store_can_be_asked():
    view = stored_view(replicated())
    assert found(view, matches={"address.member": "n2:6379"}) == ["n2"]
    assert found(view, matches={"node_group": "data", "store_id": "redis"}, max_results=2) == [
        "n1",
        "n2",
    ]
    assert found(view, sort_by=["-shard.count.primary", "-node_id"]) == ["n1", "n3", "n2"]


def test_the_order_of_values_is_numbers_texts_booleans_unset():
    values = {"a": ..., "b": True, "c": False, "d": "x", "e": "", "f": 2**62, "g": 1.5, "h": 5}
    view = view_of(**values)
    assert found(view, sort_by=["x"]) == ["g", "h", "f", "e", "d", "c", "b", "a"]
    assert found(view, sort_by=["-x"]) == ["a", "b", "c", "d", "e", "f", "h", "g"]


attribute = st.none() | st.booleans() | st.text(max_size=3) | st.floats() | st.integers(-5, 5)


@given(st.lists(attribute, max_size=6), st.sampled_from(["x", "-x"]))
def test_the_order_is_total_and_does_not_depend_on_where_one_begins(values, rule):
    nodes = [FakeNode(f"n{i}", attributes={"x": value}) for i, value in enumerate(values)]
    world = World(*nodes)
    world.cycle()
    view = stored_view(world)
    order = found(view, sort_by=[rule])
    assert sorted(order) == sorted(view.node_ids)
    for left, right in itertools.combinations(order, 2):
        pair = World(world.nodes[left], world.nodes[right])
        pair.cycle()
        assert found(stored_view(pair), sort_by=[rule]) == [left, right]

from __future__ import annotations

import pytest
from orchestrate_builders import (
    CLUSTER,
    FakeNode,
    World,
    against,
    condition_names,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CLUSTER_ADD,
    CLUSTER_INIT,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    PLATFORM_DEPROVISION,
    PLATFORM_PROVISION,
    SERVICE_STOP,
)
from replicante.model.actions import OActionPhase
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.actions.oaction_kinds import platform_answered, platform_failed


def definition(count=3, **groups):
    nodes = groups or {"data": {"desired_count": count, "node_class": "small"}}
    return {"store": "redis", "store_version": "6.2", "nodes": nodes}


def virgin(node_id, **fields):
    return FakeNode(node_id, status=NodeStatus.NOT_IN_CLUSTER, role=None, **fields)


BUILD = {
    "definition": definition(),
    "initialise": {"mode": "SingleNode"},
    "expand": {"mode": "Join"},
    "graces": {"scale_up": "5s", "init": "5s", "expand": "5s"},
}


# --- scale up, and the platform behind it ---------------------------------------


def test_missing_nodes_are_ordered_one_at_a_time_in_the_order_of_groups():
    group = {"desired_count": 1, "node_class": "small"}
    world = World(spec=make_spec(definition=definition(b=group, a={**group, "desired_count": 2})))
    result = world.cycle()
    assert outcomes(result, "scale_up") == ["done", "denied", "denied"]
    (ordered,) = world.oactions
    assert ordered.kind == PLATFORM_PROVISION
    assert ordered.args["request"] == {"node_group_id": "a", "count": 1}


def test_a_declared_cluster_is_built_from_nothing():
    world = World(spec=make_spec(**BUILD))
    for _ in range(80):
        result = world.cycle(after_ms=2_000)
        for call in result.calls:
            nth = len(world.nodes) + 1
            (asked,) = [it for it in world.oactions if it.action_id == call.action_id]
            world.put(platform_answered(asked, expected=1))
            world.nodes[f"n{nth}"] = virgin(f"n{nth}")
            world.rediscover()
        world.work()
    assert len(world.nodes) == 3
    assert [it.role for it in world.nodes.values()].count(ShardRole.PRIMARY) == 1
    assert {it.follows for it in world.nodes.values()} == {None, "n1"}
    kinds = [(it.kind, it.node_id) for it in world.sent]
    assert kinds == [(CLUSTER_INIT, "n1"), (CLUSTER_JOIN, "n2"), (CLUSTER_JOIN, "n3")]
    assert all(it.phase is OActionPhase.DONE for it in world.oactions)
    assert condition_names(result) == set()


def test_provisioning_ends_only_after_its_nodes_stayed():
    world = World(spec=make_spec(definition=definition(1), graces={"scale_up": "10s"}))
    world.cycle()
    world.cycle()
    world.put(platform_answered(world.oactions[0], expected=1))
    world.nodes["n1"] = virgin("n1")
    world.rediscover()
    for _ in range(10):
        world.cycle(after_ms=1_000)
        assert world.oactions[0].phase is OActionPhase.RUNNING
    world.cycle(after_ms=1_000)
    assert world.oactions[0].phase is OActionPhase.DONE


def test_a_node_that_vanishes_again_starts_the_wait_anew():
    world = World(spec=make_spec(definition=definition(1), graces={"scale_up": "10s"}))
    world.cycle()
    world.cycle()
    world.put(platform_answered(world.oactions[0], expected=1))
    for _ in range(4):
        world.nodes["n1"] = virgin("n1")
        world.rediscover()
        world.cycle(after_ms=6_000)
        del world.nodes["n1"]
        world.rediscover()
        world.cycle(after_ms=6_000)
    assert world.oactions[0].phase is OActionPhase.RUNNING


def test_a_crash_between_the_order_and_its_answer_repeats_the_same_order():
    world = World(spec=make_spec(definition=definition(1)))
    world.cycle()
    first = world.cycle().calls
    again = world.cycle().calls
    assert [it.action_id for it in first] == [it.action_id for it in again]
    assert len(first) == 1


def test_a_node_that_came_without_an_answer_is_not_ordered_twice():
    world = World(spec=make_spec(definition=definition(1)))
    world.cycle()
    world.cycle()
    world.nodes["n1"] = virgin("n1")
    world.rediscover()
    assert world.cycle().calls == ()


def test_a_platform_that_keeps_failing_fails_the_action():
    world = World(spec=make_spec(definition=definition(1)))
    world.cycle()
    for _ in range(5):
        world.cycle()
        world.put(platform_failed(world.oactions[0], message="no room"))
    world.cycle()
    assert world.oactions[0].phase is OActionPhase.FAILED
    assert "no room" in world.oactions[0].error["error_msg"]


def test_orders_that_keep_failing_ask_in_the_end():
    world = World(spec=make_spec(definition=definition(1), policies={"failures_max": 2}))
    for _ in range(40):
        result = world.cycle(after_ms=60_000)
        for action in world.oactions:
            if action.phase is OActionPhase.RUNNING:
                world.put(platform_failed(action, message="no room"))
    assert [it.phase for it in world.oactions].count(OActionPhase.FAILED) == 2
    assert against(result, "scale_up") == {"attempts_bounded"}


def test_an_inactive_platform_is_asked_for_nothing():
    world = World(spec=make_spec(definition=definition(1)))
    world.is_platform_usable = False
    assert against(world.cycle(), "scale_up") == {"platform_usable"}


# --- initialise ---------------------------------------------------------------


def test_a_cluster_is_begun_when_every_node_says_it_is_in_none():
    world = World(virgin("n1"), virgin("n2"), spec=make_spec(initialise={"mode": "SingleNode"}))
    assert sent_kinds(world.cycle()) == [(CLUSTER_INIT, "n1")]


@pytest.mark.parametrize(
    "doubt",
    [
        {"answer": AgentAnswer.TIMEOUT},
        {"answer": AgentAnswer.GARBAGE},
        {"answer": AgentAnswer.WRONG_IDS},
        {"status": NodeStatus.UNKNOWN},
        {"status": NodeStatus.UNHEALTHY},
        {"status": NodeStatus.JOINING_CLUSTER},
        {"status": NodeStatus.HEALTHY, "role": ShardRole.SECONDARY},
    ],
)
def test_one_node_in_doubt_keeps_a_cluster_from_being_begun(doubt):
    world = World(virgin("n1"), virgin("n2"), spec=make_spec(initialise={"mode": "SingleNode"}))
    for name, value in doubt.items():
        setattr(world.nodes["n2"], name, value)
    result = world.cycle()
    assert result.submissions == ()
    assert "initialise_only_virgin" in against(result, "cluster_init")


def test_the_declared_search_chooses_where_to_begin():
    search = {"matches": {"node_id": {"op": "ne", "value": "n1"}}, "sort_by": ["-node_id"]}
    spec = make_spec(initialise={"mode": "SingleNode", "search": search, "action_args": {"x": 1}})
    world = World(*(virgin(f"n{i}") for i in (1, 2, 3)), spec=spec)
    (sent,) = world.cycle().submissions
    assert (sent.node_id, sent.args) == ("n3", {"x": 1})


def test_a_cluster_that_had_a_primary_is_never_begun_again():
    world = replicated(spec=make_spec(initialise={"mode": "SingleNode"}))
    for node in world.nodes.values():
        node.status, node.role = NodeStatus.NOT_IN_CLUSTER, None
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == ()
    assert against(result, "cluster_init") == {"initialise_only_virgin"}


# --- expand -------------------------------------------------------------------


def grown(mode, *joining, **declaration):
    return World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        *joining,
        spec=make_spec(expand={"mode": mode}, **declaration),
    )


def test_add_is_asked_of_the_member_join_of_the_new_node():
    (added,) = grown("Add", virgin("n2")).cycle().submissions
    assert (added.kind, added.node_id, added.args) == (CLUSTER_ADD, "n1", {"node": "n2:6379"})
    (joined,) = grown("Join", virgin("n2")).cycle().submissions
    assert (joined.kind, joined.node_id, joined.args) == (CLUSTER_JOIN, "n2", {"node": "n1:6379"})


def test_nodes_join_one_at_a_time_in_their_order():
    world = grown("Join", virgin("n4"), virgin("n3"), virgin("n2"), graces={"expand": "1s"})
    for _ in range(8):
        assert len(world.cycle().submissions) <= 1
        world.work()
    assert [it.node_id for it in world.sent] == ["n2", "n3", "n4"]


def test_a_node_without_member_address_is_never_sent_as_null():
    world = grown("Add", virgin("n2", has_address=False))
    result = world.cycle()
    assert result.submissions == ()
    idle = {it.step: it.reason for it in result.decision.idle}
    assert "address" in idle["cluster_expand"]


def test_nothing_joins_through_a_member_that_is_not_healthy_or_holds_no_primary():
    world = grown("Join", virgin("n2"))
    world.nodes["n1"].status = NodeStatus.UNHEALTHY
    assert world.cycle().submissions == ()
    world = grown("Join", virgin("n2"))
    world.nodes["n1"].role = ShardRole.SECONDARY
    assert world.cycle().submissions == ()


def test_an_unreachable_nodes_unfinished_join_keeps_the_next_one_waiting():
    world = grown("Join", virgin("n2"), virgin("n3"), graces={"expand": "1s"})
    world.cycle()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for _ in range(5):
        result = world.cycle(after_ms=5_000)
        assert result.submissions == ()
    assert "action_at_silent_agent" in condition_names(result)


# --- leaving ------------------------------------------------------------------


LEAVING = {"steps": {"scale_down": True, "replace_node": True}, "graces": {"scale_down": "1s"}}


def test_scaling_down_is_off_by_default_and_the_record_says_so():
    world = replicated(spec=make_spec(definition=definition(2)))
    result = world.cycle()
    assert result.submissions == () and world.oactions == []
    assert against(result, "scale_down") == {"step_switched_on"}


def test_a_surplus_node_is_stopped_then_forgotten_then_taken_away():
    world = replicated(4, spec=make_spec(definition=definition(3), **LEAVING))
    (stop,) = world.sent
    assert (stop.kind, stop.node_id) == (SERVICE_STOP, "n4")
    world.work()
    kill_store(world, "n4")
    (removal,) = world.cycle(after_ms=2_000).submissions
    assert (removal.kind, removal.node_id) == (CLUSTER_REMOVE, "n1")
    assert removal.args == {"node": "n4:6379", "node_id": "n4"}
    world.work()
    (call,) = world.cycle(after_ms=2_000).calls
    assert [(it.kind, it.args) for it in world.oactions] == [
        (PLATFORM_DEPROVISION, {"node_id": "n4"})
    ]
    assert call.body == {"cluster_id": CLUSTER, "node_id": "n4"}


def test_a_node_whose_store_was_down_at_first_sight_is_not_taken_away():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY, contact=StoreContact.REFUSED),
        FakeNode("n2", follows="n1", sight=Sight.REFUSED),
        FakeNode("n3", follows="n1", sight=Sight.REFUSED),
        spec=make_spec(definition=definition(2), **LEAVING),
    )
    for _ in range(5):
        result = world.cycle(after_ms=60_000)
        assert result.calls == () and result.submissions == ()


def test_a_node_that_died_before_its_cluster_was_begun_is_replaced():
    spec = make_spec(
        definition=definition(2), steps={"replace_node": True}, graces={"replace_node": "60s"}
    )
    world = World(virgin("n1"), virgin("n2"), spec=spec)
    world.cycle()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    (call,) = world.cycle(after_ms=61_000).calls
    assert call.body == {"cluster_id": CLUSTER, "node_id": "n2"}


def test_the_primary_is_never_the_one_to_go():
    world = World(
        FakeNode("n1", follows="n3"),
        FakeNode("n2", follows="n3"),
        FakeNode("n3", role=ShardRole.PRIMARY),
        spec=make_spec(definition=definition(2), **LEAVING),
    )
    (stop,) = world.cycle().submissions
    assert (stop.kind, stop.node_id) == (SERVICE_STOP, "n2")


def test_nobody_goes_while_no_majority_is_healthy():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        FakeNode("n2", follows="n1", status=NodeStatus.UNHEALTHY),
        FakeNode("n3", follows="n1", status=NodeStatus.UNHEALTHY),
        spec=make_spec(definition=definition(2), **LEAVING),
    )
    assert against(world.cycle(), "scale_down") == {"majority_kept"}


def test_a_node_is_replaced_when_its_agent_was_gone_for_the_declared_time():
    spec = make_spec(
        definition=definition(3), steps={"replace_node": True}, graces={"replace_node": "60s"}
    )
    world = replicated(spec=spec)
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    assert outcomes(world.cycle(after_ms=59_000), "replace_node") == []
    (removal,) = world.cycle(after_ms=2_000).submissions
    assert removal.args["node_id"] == "n3"


def test_a_store_that_is_down_is_repaired_not_replaced():
    spec = make_spec(
        definition=definition(3), steps={"replace_node": True}, graces={"replace_node": "1s"}
    )
    world = replicated(spec=spec)
    kill_store(world, "n3")
    for _ in range(5):
        result = world.cycle(after_ms=60_000)
    assert outcomes(result, "replace_node") == []

"""What convergence wished of a platform is judged again before each call of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import (
    CLUSTER,
    NS,
    FakeNode,
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.limits import DEFINITION_NODES_MAX, PLATFORM_ATTEMPTS_MAX
from replicante.model.action_kinds import (
    PLATFORM_DEPROVISION,
    PLATFORM_PROVISION,
    STORE_PROMOTE,
)
from replicante.model.actions import OAction, OActionPhase, Requester
from replicante.model.decision import Outcome
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole
from replicante.orchestrate.actions.oaction_kinds import (
    platform_answered,
    platform_failed,
    platform_said,
)
from replicante.orchestrate.explain import explain

LEAVING = {"steps": {"scale_down": True}, "graces": {"scale_down": "1s"}}


def definition(count):
    nodes = {"data": {"desired_count": count, "node_class": "small"}}
    return {"store": "redis", "store_version": "6.2", "nodes": nodes}


def spec_of(count, **changes):
    return make_spec(**{"definition": definition(count), **changes})


def surplus(**changes):
    """Three nodes, two are declared, and one of the three is in no cluster."""
    world = replicated(2, spec=spec_of(2, **{**LEAVING, **changes}))
    world.nodes["n3"] = FakeNode("n3", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    return world


def the_order(world) -> OAction:
    (found,) = [it for it in world.oactions if not it.phase.is_final]
    return found


def test_what_is_wished_is_called_for_in_the_cycle_that_finds_it_right():
    world = World(spec=spec_of(1))
    (call,) = world.cycle().calls
    assert call.action_id == the_order(world).action_id
    assert the_order(world).phase is OActionPhase.RUNNING


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_an_order_that_was_approved_is_not_called_for_once_the_mode_forbids_it(mode):
    world = World(spec=spec_of(1, approval="required"))
    world.cycle()
    waiting = the_order(world)
    assert waiting.phase is OActionPhase.PENDING_APPROVE
    world.put(msgspec.structs.replace(waiting, phase=OActionPhase.PENDING_SCHEDULE))
    world.spec = spec_of(1, approval="required", mode=mode)
    result = world.cycle()
    assert result.calls == () and outcomes(result, "scale_up") == ["would_do"]
    assert [it.phase for it in world.oactions] == [OActionPhase.CANCELLED]


def test_an_order_that_was_approved_is_called_for():
    world = World(spec=spec_of(1, approval="required"))
    assert world.cycle().calls == ()
    waiting = the_order(world)
    world.put(msgspec.structs.replace(waiting, phase=OActionPhase.PENDING_SCHEDULE))
    assert [it.action_id for it in world.cycle().calls] == [waiting.action_id]


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_a_call_that_nobody_answered_is_held_while_the_mode_forbids_it_and_goes_on_after(mode):
    world = World(spec=spec_of(1))
    (first,) = world.cycle().calls
    world.spec = spec_of(1, mode=mode)
    result = world.cycle()
    assert result.calls == () and the_order(world).phase is OActionPhase.RUNNING
    (step,) = [it for it in explain(result.decision).steps if it.step == "scale_up"]
    assert step.action_id == first.action_id
    assert [it.rule for it in step.blocked_by] == ["mode_active"]
    world.spec = spec_of(1)
    assert [it.action_id for it in world.cycle().calls] == [first.action_id]


def test_a_call_that_failed_is_held_by_every_rule_and_explain_names_it():
    window = {"days": ["tue"], "start": "02:00", "duration": "1h"}
    world = surplus()
    (first,) = world.cycle().calls
    world.put(platform_failed(the_order(world), message="no answer"))
    world.spec = spec_of(2, **LEAVING, maintenance_windows=[window])
    result = world.cycle()
    assert result.calls == ()
    assert [it.outcome for it in explain(result.decision).steps] == [Outcome.DENIED]
    assert against(result, "scale_down") == {"maintenance_window"}
    assert the_order(world).action_id == first.action_id


def test_a_rule_that_asks_holds_what_has_begun_because_nobody_could_approve_it():
    world = surplus()
    world.cycle()
    world.spec = spec_of(2, **LEAVING, approval="required")
    result = world.cycle()
    assert result.calls == () and outcomes(result, "scale_down") == ["denied"]
    assert against(result, "scale_down") == {"approval_granted"}


def test_an_order_that_no_step_wants_any_more_is_cancelled():
    world = surplus()
    world.cycle()
    world.spec = spec_of(3, **LEAVING)
    assert world.cycle().calls == ()
    assert [it.phase for it in world.oactions] == [OActionPhase.CANCELLED]


def test_a_wish_that_nobody_approved_waits_when_a_rule_asks_meanwhile():
    world = World(spec=spec_of(1, approval="required"))
    wish = OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="before",
        kind=PLATFORM_PROVISION,
        args={"request": {"node_group_id": "data", "count": 1}, "stable_after_ms": 300_000},
        requester=Requester.CORE_DECLARATIVE,
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.PENDING_SCHEDULE,
    )
    world.put(wish)
    result = world.cycle()
    assert result.calls == () and outcomes(result, "scale_up") == ["awaits_approval"]
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE
    assert [it.phase for it in world.oactions if it.action_id == "before"] == ["CANCELLED"]


def test_what_a_platform_took_is_not_asked_for_again():
    world = World(spec=spec_of(1))
    world.cycle()
    world.put(platform_answered(the_order(world), expected=1))
    for _ in range(3):
        assert world.cycle().calls == ()


# --- what a platform promises ----------------------------------------------------


def ten_hours(world, answer) -> tuple[list[str], set[str]]:
    """Ids of all calls, and the conditions in the end. answer: (world, order) → its record."""
    asked: list[str] = []
    for _ in range(120):
        result = world.cycle(after_ms=300_000)
        for call in result.calls:
            asked.append(call.action_id)
            world.put(answer(world, the_order(world)))
    return asked, {it.name for it in result.conditions}


def test_a_platform_that_promises_no_node_is_not_ordered_from_for_ever():
    world = World(spec=spec_of(1))
    asked, conditions = ten_hours(world, lambda _, order: platform_said(order, {"count": 0}))
    failures_max = world.spec.declaration.policies.failures_max
    assert len(asked) == failures_max * PLATFORM_ATTEMPTS_MAX
    assert len(set(asked)) == failures_max
    assert "action_awaits_approval" in conditions


def test_nodes_that_tell_no_group_are_not_made_for_ever():
    world = World(spec=spec_of(1))

    def made(world, order):
        node_id = f"n{len(world.nodes) + 1}"
        world.nodes[node_id] = FakeNode(
            node_id, status=NodeStatus.NOT_IN_CLUSTER, role=None, group=None
        )
        world.rediscover()
        return platform_said(order, {"count": 1, "node_ids": [node_id]})

    asked, conditions = ten_hours(world, made)
    assert len(asked) == world.spec.declaration.policies.failures_max
    assert "action_awaits_approval" in conditions


def test_an_order_of_which_no_node_was_expected_has_failed():
    world = World(spec=spec_of(1))
    world.cycle()
    order = the_order(world)
    payload = {**order.payload, "requested": True, "expected": 0}
    world.put(msgspec.structs.replace(order, payload=payload))
    world.cycle()
    assert [it.phase for it in world.oactions if it.action_id == order.action_id] == ["FAILED"]
    assert world.state.attempts["scale_up"].count == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"count": 0},
        {"count": -1},
        {"count": True},
        {"count": "1"},
        {"count": DEFINITION_NODES_MAX + 1},
        {"count": 0, "node_ids": []},
        {"count": 1, "node_ids": []},
        {"count": 2, "node_ids": ["a"]},
        {"count": 1, "node_ids": ["a", "b"]},
        {"count": 2, "node_ids": ["a", "a"]},
        {"count": 1, "node_ids": [1]},
        {"count": 1, "node_ids": "a"},
        {"node_ids": []},
        [],
        "made",
    ],
)
def test_a_promise_that_cannot_be_kept_is_a_failure_of_the_platform(answer):
    world = World(spec=spec_of(1))
    world.cycle()
    failed = platform_said(the_order(world), answer)
    assert failed.payload["attempts"] == 1 and failed.payload["last_error"]
    assert failed.payload["requested"] is False


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, 1),
        ({}, 1),
        ({"count": None}, 1),
        ({"count": 1}, 1),
        ({"count": 1, "node_ids": None}, 1),
        ({"count": 2, "node_ids": ["b", "a"]}, 2),
        ({"node_ids": ["a", "b"]}, 2),
    ],
)
def test_a_promise_says_how_many_nodes_are_waited_for(answer, expected):
    world = World(spec=spec_of(1))
    world.cycle()
    taken = platform_said(the_order(world), answer)
    assert (taken.payload["requested"], taken.payload["expected"]) == (True, expected)


def test_what_a_platform_says_of_a_node_that_it_takes_away_promises_nothing():
    world = surplus()
    world.cycle()
    taken = platform_said(the_order(world), {"count": 0})
    assert taken.payload["requested"] is True and "last_error" not in taken.payload


# --- taking nodes away ----------------------------------------------------------


def test_taking_a_node_away_is_one_of_the_things_that_disturb():
    result = surplus().cycle()
    (record,) = [it for it in result.decision.proposals if it.step == "scale_down"]
    assert record.action_kind == PLATFORM_DEPROVISION and record.is_disruptive


def test_no_node_is_taken_away_while_another_action_disturbs():
    world = surplus()
    kill_store(world)
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    assert result.calls == () and "one_disruption" in against(result, "scale_down")


def test_a_node_whose_agent_never_answered_is_not_taken_for_surplus():
    world = replicated(2, spec=spec_of(2, **LEAVING))
    # It may hold the primary: nobody has ever looked.
    world.nodes["n3"] = FakeNode("n3", role=ShardRole.PRIMARY, answer=AgentAnswer.TIMEOUT)
    world.rediscover()
    for _ in range(5):
        result = world.cycle(after_ms=60_000)
        assert result.calls == () and result.submissions == ()
    assert {"primary_not_removed", "information_complete"} <= against(result, "scale_down")


# --- any order of modes, approvals, answers --------------------------------------

moment = st.tuples(
    st.sampled_from(["active", "active", "observe", "paused"]),
    st.sampled_from(["granted", "required"]),
    st.sampled_from(["approves", "waits"]),
    st.sampled_from(["takes", "fails", "unheard"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(moment, max_size=14))
def test_no_call_is_made_that_the_mode_forbids_or_that_waits_for_a_person(moments):
    world = World(spec=spec_of(1))
    granted: set[str] = set()
    for mode, approval, person, answer in moments:
        if person == "approves":
            for action in world.oactions:
                if action.phase is OActionPhase.PENDING_APPROVE:
                    ready = msgspec.structs.replace(action, phase=OActionPhase.PENDING_SCHEDULE)
                    world.put(ready)
                    granted.add(action.action_id)
        world.spec = spec_of(1, mode=mode, approval=approval)
        result = world.cycle(after_ms=200_000)
        for call in result.calls:
            assert mode == "active"
            assert approval == "granted" or call.action_id in granted
            asked = next(it for it in world.oactions if it.action_id == call.action_id)
            if answer == "takes":
                world.put(platform_answered(asked, expected=1))
            elif answer == "fails":
                world.put(platform_failed(asked, message="no room"))
        open_ids = [it.action_id for it in world.oactions if not it.phase.is_final]
        assert len(open_ids) <= 1, "one node is wanted, and it is ordered once at a time"
